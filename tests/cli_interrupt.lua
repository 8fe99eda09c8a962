-- Ctrl-C: ends loops, coroutines and waits, and can be caught.
local tap <close> = dofile "tests/lib/tap.lua"
local interrupt = assert(loadfile "tests/lib/ctrlc.lua")(tap)

tap.test("a loop ends with the error and a traceback", function()
  local out, err, status = interrupt [[
    local function f() while true do end end
    print "ready" f()]]
  tap.eq(out, "")
  tap.ok(err:find "interrupted!\nstack traceback:\n.*in main chunk\n", err)
  tap.eq(status, 1)
end)

tap.test("it can be caught, and what follows runs", function()
  local out, err, status = interrupt [[
    print(pcall(function() print "ready" while true do end end))
    local n = 0
    for i = 1, 1e5 do n = n + 1 end
    print(n, debug.gethook())]]
  tap.ok(out:find "^false\t.*interrupted!\n100000\t", out)
  tap.eq(err, "")
  tap.eq(status, 0)
end)

for name, body in pairs {
  resume = "print(coroutine.resume(coroutine.create(f)))",
  wrap = "print(pcall(coroutine.wrap(f)))",
  nested = "print(pcall(coroutine.wrap(function() coroutine.wrap(f)() end)))",
  yields = [[print(pcall(function()
    local w = coroutine.wrap(function() f(coroutine.yield) end)
    while true do w() end
  end))]],
  close = [[print(coroutine.close((function()
    local co = coroutine.create(function()
      local x <close> = setmetatable({}, {__close = function() f() end})
      coroutine.yield()
    end)
    coroutine.resume(co)
    return co
  end)()))]],
} do
  tap.test("a loop in a coroutine: " .. name, function()
    local out, err, status = interrupt([[
      local first = true
      local function f(g)
        if first then print "ready" first = false end
        while true do if g then g() end end
      end
      ]] .. body .. [[ print "after" for i = 1, 1e5 do end]])
    tap.ok(out:find "^false\t.*interrupted!\nafter\n", out)
    tap.eq(err, "")
    tap.eq(status, 0)
  end)
end

tap.test("the script's own hook is still there afterwards", function()
  local out = interrupt [[
    local n = 0
    local function hook() n = n + 1 end
    debug.sethook(hook, "", 1000)
    pcall(function() print "ready" while true do end end)
    local before = n
    for i = 1, 1e5 do end
    local f, mask, count = debug.gethook()
    print(n > before, f == hook, mask, count)]]
  tap.eq(out, "true\ttrue\t\t1000\n")
end)

tap.test("sleep and a wait end by it", function()
  for _, wait in ipairs {
    "sleep(60)", "Queue():get()", "Lock():acquire() Event():wait()",
  } do
    local out, err, status = interrupt("print(pcall(function() print 'ready' "
      .. wait .. " end)) print 'after'")
    tap.ok(out:find "^false\t[^\n]*:1: interrupted!\nafter\n",
      wait .. ": " .. out)
    tap.eq(err, "")
    tap.eq(status, 0)
  end
end)

tap.test("a blocking read ends by it", function()
  local out = interrupt [[
    local p = io.popen("echo; exec sleep 5")
    p:read()
    print(pcall(function() print "ready" p:read() end))
    os.exit(0)]]
  tap.ok(out:find "^false\t.*interrupted!\n", out)
end)

tap.test("it ends the wait for Processes at the end of the script", function()
  local _, err, status = interrupt([[
    Process { target = sleep, args = { 1000 } }:start()
    local last <close> = setmetatable({}, { -- no instruction comes after it
      __close = print, __tostring = function() return "ready" end })]], "$p", [[
    n=0
    while grep -qs '^State:.[^Z]' /proc/$p/status && [ $n -lt 600 ]; do
      n=$((n + 1)); sleep 0.05
    done
    kill -s KILL -- -$p]])
  tap.ok(err:find "interrupted!", err)
  tap.eq(status, 1)
end)

tap.test("a second one ends a process that does not come to the first",
  function()
    local _, _, status = interrupt([[
      local s, p = ("a"):rep(30), ("a*"):rep(30) .. "b"
      local function stubborn() s:find(p) end
      pcall(function() print "ready" stubborn() end)
      pcall(stubborn)
      stubborn()]], "$p", [[
      while kill -INT $p && ! grep -q "^State:.Z" /proc/$p/status; do
        sleep 0.01
      done]])
    tap.eq(status, 130)
  end)

tap.test("a tree of processes prints one traceback", function()
  local out, err, status = interrupt([[
    for i = 1, 3 do
      if fork() == 0 then while true do end end
    end
    print "ready"
    while true do end]], "-$p")
  tap.eq(out, "")
  local _, n = err:gsub("stack traceback", "")
  tap.eq(n, 1)
  tap.eq(status, 1)
end)

tap.test("an error that comes with it is told, and nothing besides", function()
  for _ = 1, 20 do
    local out, err, status = tap.lua [[
      local me, q = getpid(), Queue()
      Process { target = function() q:shutdown() kill(me, "INT") end }:start()
      q:get()]]
    tap.eq(out, "")
    local errors = select(2, err:gsub("interrupted!", "")) +
      select(2, err:gsub("queue is shut down", ""))
    tap.eq(errors, 1, err)
    tap.eq(status, 1)
  end
end)

for _, name in ipairs {"Pool", "ThreadPool"} do
  tap.test("out of a call of a " .. name .. ": the script's line", function()
    local _, err, status = interrupt(([[
      local pool = %s(1)
      local ready = Semaphore(0)
      Thread { daemon = true, target = function()
        ready:acquire()
        print "ready"
        io.stdout:flush()
      end }:start()
      pool:map(function()
        ready:release()
        sleep(100)
      end, {1, 2})]]):format(name))
    tap.ok(err:find("^FILE:8: interrupted!\nstack traceback:\n" ..
      "\t%[cluarun%]: in method 'map'\n" ..
      "\t[^\n]*:8: in main chunk\n\t%[C%]: in %?\n$"), err)
    tap.eq(status, 1)
  end)
end
