local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

test("its lock", function()
  local c = Condition()
  c:acquire()
  eq(c:acquire(false), true, "its own is an RLock")
  c:release()
  c:release()
  fails("cannot release an unlocked RLock", c.release, c)
  for _, l in ipairs { Lock(), RLock() } do
    local d = Condition(l)
    d:acquire()
    eq(l:locked(), true)
    l:release()
    do
      local _ <close> = d:guard()
      eq(l:locked(), true)
    end
    eq(l:locked(), false)
  end
  fails("bad argument #1 to '.*Condition' %(Lock expected", Condition, {})
end)

test("misuse without the lock", function()
  local c = Condition(Lock())
  local said = "a Condition whose lock is not held by the caller"
  fails("cannot wait on " .. said, c.wait, c)
  fails("cannot wait on " .. said, c.wait_for, c, print)
  fails("cannot notify " .. said, c.notify, c)
  fails("cannot notify " .. said, c.notify_all, c)
  c:acquire()
  fails("bad argument #1 to 'notify'", function() c:notify(-1) end)
  fails("bad argument #1 to 'wait'", function() c:wait(0 / 0) end)
  fails("bad argument #1 to 'wait_for'", function() c:wait_for() end)
  c:release()
end)

test("time-out", function()
  local c = Condition()
  c:acquire()
  c:acquire()
  eq(c:wait(0), false)
  local start = monotonic()
  eq(c:wait(0.03), false)
  ok(monotonic() - start >= 0.03)
  local calls = 0
  eq(c:wait_for(function()
    calls = calls + 1
    return false
  end, 0.02), false)
  eq(calls, 2)
  eq(c:wait_for(function() return "now" end, 0), "now")
  c:release()
  c:release()
  fails("unlocked", c.release, c)
end)

local function waiting(c)
  return tonumber(tostring(c):match "waiting=(%d+)")
end

-- Children that wait, each entered before the next.
local function waiters(c, n, f)
  local pids = {}
  for i = 1, n do
    pids[i] = proc.child(f or function()
      c:acquire()
      local notified = c:wait()
      c:release()
      return notified
    end)
    while waiting(c) < i do sleep(0) end
  end
  return pids
end

test("first come, first notified", function()
  local c = Condition()
  local pids = waiters(c, 4)
  for i = 1, 2 do
    c:acquire()
    c:notify()
    c:release()
    eq(proc.status(pids[i]), 0)
  end
  eq(waiting(c), 2)
  c:acquire()
  c:notify(7)
  eq(waiting(c), 0)
  c:release()
  eq(proc.status(pids[3]), 0)
  eq(proc.status(pids[4]), 0)
end)

test("notify_all; nobody is told what was said before", function()
  local c = Condition(Lock())
  c:acquire()
  c:notify_all()
  c:notify(3)
  eq(c:wait(0.01), false)
  c:release()
  local pids = waiters(c, 3)
  c:acquire()
  c:notify_all()
  c:release()
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
end)

test("wait_for", function()
  local c, v = Condition(), Value(0)
  local child = proc.child(function()
    c:acquire()
    return c:wait_for(function() return v.value >= 3 and v.value end)
  end)
  for _ = 1, 3 do
    c:acquire()
    v:add(1)
    c:notify()
    c:release()
  end
  eq(proc.status(child), 3)
  c:acquire()
  fails("oops", c.wait_for, c, function() error "oops" end)
  c:release()
end)

test("the dead are passed over", function()
  local c = Condition()
  local pids = waiters(c, 3)
  proc.slay(pids[1])
  c:acquire()
  c:notify()
  c:release()
  eq(proc.status(pids[2]), 0)
  -- A note whose reader dies before it has the lock goes to the next.
  c:acquire()
  c:notify()
  c:release()
  eq(proc.status(pids[3]), 0)
  pids = waiters(c, 2)
  c:acquire()
  c:notify()
  proc.slay(pids[1])
  c:release()
  eq(proc.status(pids[2]), 0)
end)

test("a notifier that is killed with the lock", function()
  local c = Condition(Lock())
  local pids = waiters(c, 1, function()
    c:acquire()
    local notified, died = c:wait()
    return notified and died == OwnerDied
  end)
  eq(proc.run(function()
    c:acquire()
    c:notify()
    kill(getpid(), "KILL")
  end), -9)
  eq(proc.status(pids[1]), 0)
end)

test("Ctrl-C out of wait takes the lock back first", function()
  local l = Lock()
  local c, heard = Condition(l), Event()
  local pids = waiters(c, 1, function()
    c:acquire()
    local done, message = pcall(c.wait, c)
    heard:set()
    return not done and message:find "interrupted!" ~= nil
      and (l:owner()) == getpid()
  end)
  l:acquire()
  kill(pids[1], "INT")
  eq(heard:wait(0.1), false)
  l:release()
  eq(proc.status(pids[1]), 0)
end)

test("producers and consumers", function()
  local c, items, taken, pids = Condition(), Value(0), Value(0), {}
  for i = 1, 3 do
    pids[i] = proc.child(function()
      for _ = 1, 300 do
        c:acquire()
        c:wait_for(function() return items.value > 0 end)
        items:add(-1)
        taken:add(1)
        c:release()
      end
    end)
  end
  for _ = 1, 900 do
    c:acquire()
    items:add(1)
    c:notify()
    c:release()
  end
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
  eq(taken.value, 900)
end)
