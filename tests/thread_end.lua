-- How a process ends while threads run.
local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

-- Threads that compute, sleep, wait, and do not end by themselves.
local others = [[
  local l = Lock()
  l:acquire()
  local function run(f, daemon)
    local begun = Event()
    local t = Thread { daemon = daemon, target = function()
      begun:set()
      f()
    end }:start()
    begun:wait()
    return t
  end
  local function others(daemon)
    run(function() while true do end end, daemon)
    run(function() while true do pcall(string.rep, "x", 1000) end end, daemon)
    run(function() sleep(3600) end, daemon)
    run(function() Queue():get() end, daemon)
    run(function() l:acquire() end, daemon)
    run(function() coroutine.wrap(function()
      table.sort({ 1, 2 }, function() sleep(3600) end) end)() end, daemon)
  end
]]

local function script(text)
  return tap.lua(others .. text)
end

test("the end of the script joins the threads, those they start, too",
  function()
    local out, err, status = script [[
      local main_is_over = false
      run(function()
        sleep(0.02)
        print("first", current_thread() == main_thread())
        Thread { target = function()
          sleep(0.02)
          print "second"
        end }:start()
      end)
      Thread { target = function() print "third" end }:start():join()
      print "end of script"]]
    eq(out, "third\nend of script\nfirst\tfalse\nsecond\n")
    eq(err, "")
    eq(status, 0)
  end)

test("a Timer is waited for, a cancelled one is not", function()
  local out, _, status = script [[
    Timer(0.02, print, { "timer" }):start()
    local t = Timer(3600, print, { "never" }):start()
    t:cancel()
    print "end"]]
  eq(out, "end\ntimer\n")
  eq(status, 0)
end)

test("threads go on after the end of the main script, and see it", function()
  local out, err = script [[
    run(function()
      main_thread():join()
      print(main_thread():is_alive(), tostring(main_thread()))
      print(wait_any { main_thread() }[1] == main_thread())
      local n = 0
      for _ = 1, 1e5 do n = n + 1 end
      print(n, #threads() >= 1)
    end)]]
  eq(out, "false\t<Thread(MainThread, stopped)>\ntrue\n100000\ttrue\n")
  eq(err, "")
end)

test("daemon threads are dropped", function()
  local out, err, status = script [[
    others(true)
    run(function() pcall(sleep, 3600) print "not dropped" end, true)
    local kept = setmetatable({}, { __gc = function() print "finalizer" end })
    print("end", kept ~= nil)]]
  eq(out, "end\ttrue\nfinalizer\n")
  eq(err, "")
  eq(status, 0)
end)

test("daemon threads run while the others are waited for", function()
  local out, err, status = script [[
    local n = 0
    run(function() while true do n = n + 1 end end, true)
    run(function()
      local before = n
      while n == before do sleep(0.001) end
      print "it runs"
    end)]]
  eq(out, "it runs\n")
  eq(err, "")
  eq(status, 0)
end)

for _, close in ipairs { "", ", true" } do
  test("os.exit(3" .. close .. ") in the main thread", function()
    local out, err, status = script("others() print 'out' os.exit(3" .. close
      .. ")")
    eq(out, "out\n")
    eq(err, "")
    eq(status, 3)
  end)

  test("os.exit(3" .. close .. ") in a thread", function()
    for _, main in ipairs { "sleep(3600)", "while true do end", "",
      "Queue():get()", "current_thread(); l:acquire()" } do
      local out, err, status = script([[
        others()
        run(function()
          io.write "out\n"
          os.exit(3]] .. close .. [[)
        end)
        ]] .. main)
      eq(out, "out\n", main)
      eq(err, "", main)
      eq(status, 3, main)
    end
  end)

  test("os.exit(3" .. close .. ") in a coroutine of a thread, in a callback",
    function()
      local _, err, status = script([[
        others()
        run(coroutine.wrap(function()
          table.sort({ 1, 2, 3 }, function() os.exit(3]] .. close .. [[) end)
        end))]])
      eq(err, "")
      eq(status, 3)
    end)

  test("os.exit(true" .. close .. ") and false in threads at once", function()
    local _, err, status = script([[
      for i = 1, 20 do
        Thread { target = function() os.exit(i % 2 == 0]] .. close
          .. [[) end }:start()
      end
      sleep(3600)]])
    eq(err, "")
    ok(status == 0 or status == 1, status)
  end)
end

test("os.exit(0, true) closes the state: finalizers run once", function()
  local out, err, status = script [[
    others()
    kept = {}
    for i = 1, 3 do
      kept[i] = setmetatable({}, { __gc = function() io.write "gc\n" end })
    end
    run(function() os.exit(0, true) end)
    sleep(3600)]]
  eq(out, "gc\ngc\ngc\n")
  eq(err, "")
  eq(status, 0)
end)

test("an error in main while threads run", function()
  local out, err, status = script [[
    run(function() sleep(0.02) print "the thread ends in order" end)
    run(function() while true do end end, true)
    error "main fails"]]
  eq(out, "the thread ends in order\n")
  ok(err:find "main fails\nstack traceback:\n", err)
  eq(status, 1)
end)

test("an error in a thread leaves the exit status 0", function()
  local out, err, status = script [[
    run(function() error "oops" end)
    run(function() local _ = nil + 1 end)
    print "end"]]
  eq(out, "end\n")
  local _, n = err:gsub("Exception in thread", "")
  eq(n, 2, err)
  eq(status, 0)
end)

test("kill -9 while all kinds of threads run", function()
  for _ = 1, 5 do
    local _, _, status = script [[
      others()
      run(function() while true do kill(getpid(), "KILL") end end)
      sleep(3600)]]
    eq(status, 137)
  end
end)

test("TERM ends a process with threads", function()
  local _, err, status = script [[
    others()
    run(function() kill(getpid(), "TERM") end)
    sleep(3600)]]
  eq(err, "")
  eq(status, 143)
end)

-- Threads that come and go in the background.
local churn = [[
  local function nothing() local t = {} for i = 1, 10 do t[i] = { i } end end
  local function starter()
    while true do
      local list = {}
      for i = 1, 10 do list[i] = Thread { target = nothing }:start() end
      for i = 1, 10 do list[i]:join() end
    end
  end
  for _ = 1, 5 do run(starter, DAEMON) end
]]

for what, finish in pairs {
  ["os.exit"] = "os.exit(4)", ["os.exit and close"] = "os.exit(4, true)",
  ["os.exit in a thread"] = "run(function() os.exit(4) end) sleep(3600)",
  ["os.exit and close in a thread"] =
    "run(function() os.exit(4, true) end) sleep(3600)",
  ["the end of the script"] = "", ["an error"] = "error(4)",
} do
  test(what .. " while 50 threads start and end", function()
    local daemon = (finish == "" or finish == "error(4)") and "true" or "false"
    for i = 1, 8 do
      local _, err, status = script(churn:gsub("DAEMON", daemon)
        .. ("for _ = 1, %d do sleep(0) end "):format(i * i) .. finish)
      if finish == "error(4)" then
        eq(status, 1)
      elseif not (eq(status, finish == "" and 0 or 4) and eq(err, "")) then
        break
      end
    end
  end)
end

test("a child ends like the main script: its threads are joined", function()
  local q = Queue()
  local p = Process { target = function()
    Thread { target = function() sleep(0.02) q:put "thread" end }:start()
    Thread { daemon = true, target = function() sleep(3600) end }:start()
    return "result"
  end }:start()
  eq(p:result(), "result")
  eq(q:get(true, 0), "thread")
  eq(p.exitcode, 0)
  eq(proc.run(function()
    Thread { target = function() os.exit(9) end }:start()
    sleep(3600)
  end), 9)
end)

test("a child whose thread fails has the exit code 0", function()
  local out, err, status = tap.lua [[
    local p = Process { target = function()
      Thread { target = function() error "oops" end }:start()
      return 1
    end }:start()
    print(p:result(), p:join(), p.exitcode)]]
  eq(out, "1\ttrue\t0\n")
  ok(err:find "^Exception in thread Thread%-1:\n[^\n]*oops", err)
  eq(status, 0)
end)

test("daemon children of a thread that has ended live on, and end with main",
  function()
    local out, err, status = tap.lua [[
      local q = Queue()
      local t = Thread { target = function()
        return Process { daemon = true, target = function()
          q:put "begun"
          sleep(3600)
        end }:start()
      end }:start()
      local p = t:result()
      t:join()
      print(q:get(), p:is_alive(), p:join(0.02))]]
    eq(out, "begun\ttrue\tfalse\n")
    eq(err, "")
    eq(status, 0)
  end)

test("what was printed comes out, by whatever end", function()
  for _, finish in ipairs { "os.exit(0)", "os.exit(0, true)", "" } do
    local out = script([[
      io.stdout:setvbuf "full"
      local t = run(function() io.write "thread\n" end)
      t:join()
      io.write "main\n"
      ]] .. finish)
    eq(out, "thread\nmain\n", finish)
  end
end)
