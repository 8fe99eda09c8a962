-- Pool: how it ends, and what ends with it.
local tap <close> = dofile "tests/lib/tap.lua"

local function double(x) return 2 * x end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function none_left()
  return #active_children() == 0
end

-- Is there such a process, or only its remains?
local function alive(pid)
  local f <close> = io.open("/proc/" .. pid .. "/stat")
  return f ~= nil and not f:read("a"):find "^.*%) [ZX]"
end

tap.test("close and join", function()
  local pool = Pool(3)
  local result = pool:map_async(double, numbers(1000), 1)
  pool:close()
  tap.eq(tostring(pool), "<Pool closed, 3 workers>")
  pool:join()
  tap.ok(none_left())
  tap.eq(result:ready(), true)
  tap.eq(#result:get(), 1000)
  tap.eq(#threads(), 1)
end)

tap.test("close returns at once; the workers leave", function()
  local pool = Pool(2)
  pool:apply(double, {1})
  pool:close()
  tap.eventually(60, function()
    sleep(0.001)
    return none_left()
  end)
  pool:join()
end)

tap.test("a worker that dies after close is replaced if need be", function()
  local pool = Pool(2)
  local result = pool:map_async(function(i)
    if i % 10 == 5 then kill(getpid(), "KILL") end
    return i
  end, numbers(100), 1)
  pool:close()
  pool:join()
  tap.fails(WorkerLost, result.get, result)
  tap.ok(none_left())
end)

tap.test("terminate: whoever waits gets WorkerLost", function()
  local pool = Pool(2)
  local gate = Semaphore(0)
  local function f()
    gate:release()
    sleep(100)
  end
  local waiting = {}
  for i, call in ipairs {
    function() return pool:apply(f) end,
    function() return pool:map(f, {1, 2, 3}) end,
    function() return pool:apply_async(f):get() end,
    function() return pool:map_async(f, {1, 2}):get() end,
    function() for _ in pool:imap(f, {1, 2}) do end end
  } do
    waiting[i] = Thread {target = function() return pcall(call) end}:start()
  end
  gate:acquire()
  gate:acquire()
  pool:terminate()
  for _, t in ipairs(waiting) do
    local ok, err = t:result()
    tap.eq(ok, false)
    if err ~= WorkerLost then
      tap.ok(tostring(err):find "the pool is terminated", err)
    end
  end
  pool:join()
  tap.ok(none_left())
end)

tap.test("terminate an idle pool, and one that is stuck", function()
  local pool = Pool(4)
  pool:terminate()
  pool:join()
  tap.ok(none_left())
  pool = Pool(2)
  local gate = Semaphore(0)
  pool:map_async(function()
    gate:release()
    while true do pcall(function() while true do end end) end
  end, numbers(10), 1)
  gate:acquire()
  gate:acquire()
  for _, p in ipairs(active_children()) do kill(p.pid, "STOP") end
  pool:terminate()
  pool:join()
  tap.ok(none_left())
end)

tap.test("to be closed: joined when all went well, else terminated", function()
  local result
  do
    local pool <close> = Pool(2)
    result = pool:map_async(double, numbers(100), 1)
  end
  tap.eq(result:ready(), true)
  tap.eq(result:successful(), true)
  tap.ok(none_left())
  tap.fails("oops", function()
    local pool <close> = Pool(2)
    result = pool:apply_async(sleep, {100})
    error "oops"
  end)
  tap.fails(WorkerLost, result.get, result)
  tap.ok(none_left())
end)

tap.test("a pool that is collected ends", function()
  local function use(pool) pool:apply(double, {1}) end
  use(Pool(2))
  tap.eventually(60, function()
    collectgarbage()
    sleep(0.001)
    return none_left()
  end)
  tap.eq(Pool(2):apply_async(double, {21}):get(), 42)
  local queue = Queue()
  Pool(1):apply_async(double, {4}, nil, nil)
  Pool(1):apply_async(double, {4}, function(v) queue:put(v) end)
  collectgarbage()
  tap.eq(queue:get(true, 60), 8)
  tap.eventually(60, function()
    collectgarbage()
    sleep(0.001)
    return none_left()
  end)
end)

tap.test("the script ends without close", function()
  for _, code in ipairs {
    "local p = Pool(3) p:apply_async(sleep, {100})",
    "P = Pool(3) P:map(math.abs, {1, 2, 3}) os.exit(0)",
    "P = Pool(3) os.exit(0, true)", "P = Pool(3) P:apply_async(sleep, {100})"
  } do
    local out, err, status = tap.lua(code)
    tap.eq({out, err, status}, {"", "", 0})
  end
  local _, err, status = tap.lua "P = Pool(3) error 'at the end'"
  tap.ok(err:find "at the end")
  tap.eq(status, 1)
end)

tap.test("the workers end when the parent is killed", function()
  local pids = Queue()
  for _, what in ipairs {"idle", "busy", "map"} do
    local parent = Process {target = function()
      local pool = Pool(4)
      if what == "busy" then
        pool:map_async(function() while true do end end, {1, 2, 3, 4}, 1)
      end
      local list = {}
      for _, p in ipairs(active_children()) do list[#list + 1] = p.pid end
      pids:put(list)
      if what == "map" then pool:map(function() end, numbers(1000000), 1) end
      sleep(100)
    end}:start()
    local list = pids:get(true, 60)
    tap.eq(#list, 4)
    parent:kill()
    parent:join()
    tap.eventually(30, function()
      for _, pid in ipairs(list) do if alive(pid) then return false end end
      return true
    end)
  end
end)

local waits_in_map = [[
  local pids = ...
  local pool = Pool(3)
  io.stdout:write(getpid(), "\n")
  pool:map(function()
    io.stdout:write("in\n")
    sleep(100)
  end, {1, 2, 3, 4, 5, 6}, 1)
]]

-- Runs the script in a session of its own, sends SIGINT to it (or to its whole
-- group) once n lines are there; returns its output and status.
local function interrupted(script, lines, whole)
  local file, log = os.tmpname(), os.tmpname()
  do
    local f <close> = assert(io.open(file, "w"))
    f:write(script)
  end
  local pid = fork()
  if pid == 0 then
    os.execute(("exec setsid sh -c 'echo $$ >%s.pid; exec %s %s' >%s 2>&1; " ..
      "echo $? >%s.status"):format(log, tap.program, file, log, log))
    os.exit(0)
  end
  local function read(name)
    local f <close> = io.open(name)
    return f and f:read "a" or ""
  end
  tap.eventually(60, function()
    return select(2, read(log):gsub("\n", "\n")) >= lines
  end)
  local main = math.tointeger(tonumber(read(log .. ".pid")))
  kill(whole and -main or main, "INT")
  wait(pid, 60)
  local out, status = read(log), read(log .. ".status")
  for _, name in ipairs {file, log, log .. ".pid", log .. ".status"} do
    os.remove(name)
  end
  return out, tonumber(status), main
end

tap.test("Ctrl-C during map: one traceback, the usual status", function()
  for _, whole in ipairs {true, false} do
    local out, status = interrupted(waits_in_map, 4, whole)
    local _, tracebacks = out:gsub("stack traceback:", "")
    tap.eq(tracebacks, 1, out)
    local _, said = out:gsub("interrupted!", "")
    tap.eq(said, 1, out)
    local _, expected = interrupted("print(1) sleep(100)", 1, whole)
    tap.eq(status, expected)
  end
end)

tap.test("Ctrl-C that is caught: the pool is terminated", function()
  local out = interrupted([[
    local pool = Pool(2)
    local ok, err = pcall(pool.map, pool, function(i)
      if i == 1 then print "begun" end
      sleep(100)
    end, {1, 2})
    print(ok, err:match "[^ ]+$")
    print(pcall(pool.apply, pool, math.abs, {1}))
    pool:join()
    print(#active_children())
  ]], 1, false)
  tap.ok(out:find "^begun\nfalse\tinterrupted!\nfalse\t.*cannot apply: the ",
    out)
  tap.ok(out:find "\n0\n$", out)
end)

tap.test("an error that reads like Ctrl-C does not end the pool", function()
  local out = interrupted([[
    print "begun"
    print(pcall(sleep, 100))
    local pool = Pool(1)
    print(select(2, pcall(pool.apply, pool, function()
      error("work was interrupted!", 0)
    end)):match "^[^\n]*")
    print(pool:apply(math.abs, {-1}))
    pool:terminate()
  ]], 1, false)
  tap.ok(out:find "\nwork was interrupted!\n1\n$", out)
end)

tap.test("an interrupt while a pool is made leaves nobody behind", function()
  for _, make in ipairs {Pool, ThreadPool} do
    for i = 1, 30 do
      local t = Thread {target = function()
        return pcall(function()
          local pool = make(2)
          pool:close()
          pool:join()
        end)
      end}:start()
      sleep(i * 2e-4) -- at any point of it
      t:interrupt "enough"
      t:join()
    end
    tap.ok(tap.eventually(60, function()
      collectgarbage()
      return #active_children() == 0 and #threads() == 1
    end), #active_children() .. " processes, " .. #threads() .. " threads")
  end
end)

tap.test("a worker does not inherit an interrupt of who forks it", function()
  local out, err = tap.lua [[
    local pool = Pool(1)
    local asked = false
    local function interrupt_where_workers_are_replaced()
      local where = debug.getinfo(2, "S").short_src
      if asked or not where:find "poolcrew" then return end
      if not debug.traceback():find "bury" then return end
      asked = true
      current_thread():interrupt "enough"
    end
    Thread {target = function()
      debug.sethook(interrupt_where_workers_are_replaced, "l")
      local ok, err
      repeat -- the pool's own thread may have replaced it
        ok, err = pcall(pool.apply, pool, function() kill(getpid(), "KILL") end)
      until asked
      debug.sethook()
      print(ok, err)
    end}:start():join()
    print(pool:apply(math.abs, {-1}))
  ]]
  tap.eq(out, "false\tenough\n1\n")
  tap.eq(err, "")
end)

tap.test("an interrupted thread leaves the pool to the others", function()
  local pool <close> = Pool(2)
  local begun = Semaphore(0)
  local t = Thread {target = function()
    return pcall(pool.map, pool, function()
      begun:release()
      sleep(0.01)
      return 1
    end, {1, 2, 3, 4}, 1)
  end}:start()
  begun:acquire()
  t:interrupt "enough"
  tap.eq({t:result()}, {false, "enough"})
  pool:map(double, {1, 2, 3, 4})
  begun = Semaphore(0)
  tap.eq(pool:map(double, {1, 2}), {2, 4})
  local n = 0
  for _ = 1, 100 do
    local busy = Thread {target = function()
      pcall(function()
        pool:map(double, {1, 2, 3}, 1)
        begun:release()
        while true do pool:map(double, {1, 2, 3}, 1) end
      end)
    end}:start()
    begun:acquire()
    busy:interrupt()
    busy:join()
    n = n + pool:apply(double, {1})
  end
  tap.eq(n, 200)
end)

tap.test("processes and threads of a pool are not the script's", function()
  local pool <close> = Pool(2)
  tap.fails("no child made by fork", wait)
  pool:apply(double, {1})
  tap.fails("no child made by fork", wait)
end)
