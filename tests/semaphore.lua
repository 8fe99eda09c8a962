local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

test("counting", function()
  local s = Semaphore(2)
  eq(s.value, 2)
  eq(s:acquire(), true)
  eq(s:acquire(false), true)
  eq(s:acquire(false), false)
  eq(s:acquire(true, 0.02), false)
  s:release()
  s:release(3)
  eq(s.value, 4)
  eq(Semaphore().value, 1)
  eq(Semaphore(0).value, 0)
  ok(tostring(s):find "^<Semaphore 0x%x+ value=4>$", tostring(s))
end)

test("bounded", function()
  local s = BoundedSemaphore(2)
  fails("BoundedSemaphore released too many times", s.release, s)
  s:acquire()
  fails("too many times", s.release, s, 2)
  eq(s.value, 1)
  s:release()
  eq(s.value, 2)
  ok(tostring(s):find "^<BoundedSemaphore 0x%x+ value=2>$", tostring(s))
end)

test("misuse", function()
  fails("bad argument #1 to '.*Semaphore'", Semaphore, -1)
  fails("bad argument #1 to '.*BoundedSemaphore'", BoundedSemaphore, "x")
  fails("bad argument #1 to '.*Semaphore'", Semaphore, 1.5)
  local s = Semaphore()
  fails("bad argument", s.release, s, -1)
  fails("Semaphore expected, got Lock", s.acquire, Lock())
end)

test("anyone may release", function()
  local s = Semaphore(0)
  local child = proc.child(function() return s:acquire() end)
  proc.until_asleep(child)
  s:release()
  eq(proc.status(child), 0)
  eq(s.value, 0)
end)

test("never more than n inside", function()
  local s, inside, most, pids = BoundedSemaphore(2), Value(0), Value(0), {}
  for i = 1, 4 do
    pids[i] = proc.child(function()
      for _ = 1, 500 do
        local _ <close> = s:guard()
        local n = inside:add(1)
        if n > most.value then most.value = n end
        inside:add(-1)
      end
    end)
  end
  for i = 1, 4 do eq(proc.status(pids[i]), 0) end
  ok(most.value <= 2)
  eq(s.value, 2)
end)

test("killed waiters take nothing", function()
  local s, pids = Semaphore(0), {}
  for i = 1, 4 do
    pids[i] = proc.child(function() return s:acquire() end)
    proc.until_asleep(pids[i])
  end
  proc.slay(pids[1])
  proc.slay(pids[3])
  s:release(2)
  eq(proc.status(pids[2]), 0)
  eq(proc.status(pids[4]), 0)
  eq(s.value, 0)
end)

test("guard", function()
  local s = Semaphore(1)
  do
    local _ <close> = s:guard()
    eq(s.value, 0)
    proc.run(function() end)
  end
  eq(s.value, 1)
  local g = s:guard()
  proc.run(function()
    getmetatable(g).__close(g)
  end)
  eq(s.value, 0)
end)

-- A child that has done f, and is then killed.
local function killed_after(f)
  local ready = Event()
  local child = proc.child(function()
    f()
    ready:set()
    sleep(100)
  end)
  ready:wait()
  kill(child, "KILL")
  proc.status(child)
end

test("what a killed process held is given back", function()
  for _, make in ipairs { Semaphore, BoundedSemaphore } do
    local s = make(2)
    killed_after(function() s:acquire() s:acquire() end)
    eq(s:acquire(true, 10), true)
    eq(s:acquire(true, 10), true)
    eq(s:acquire(false), false)
    s:release(2)
    killed_after(function()
      s:acquire()
      s:release()
    end)
    eq(s.value, 2)
  end
end)

test("what was held by a guard in a killed process is given back", function()
  local s, held = Semaphore(1), Event()
  local _ <close> = Process { target = function()
    local _ <close> = s:guard()
    held:set()
    kill(getpid(), "KILL")
  end }:start()
  held:wait()
  eq(s:acquire(), true)
end)

test("a sleeper gets what a killed process held", function()
  local s, held = Semaphore(1), Event()
  local holder = proc.child(function()
    s:acquire()
    held:set()
    sleep(100)
  end)
  held:wait()
  local sleeper = proc.child(function() return s:acquire() end)
  proc.until_asleep(sleeper)
  kill(holder, "KILL")
  eq(proc.status(sleeper), 0)
  proc.status(holder)
end)

test("signals that a killed process has taken do not come back", function()
  local s = Semaphore(0)
  s:release(5)
  killed_after(function() for _ = 1, 3 do s:acquire() end end)
  eq(s:acquire(true, 0.1), true)
  eq(s:acquire(true, 0.1), true)
  eq(s:acquire(true, 0.1), false)
end)

test("what was handed over is not given back", function()
  local s = Semaphore(1)
  local p = Process { target = function()
    s:acquire()
    sleep(100)
  end }:start()
  while s.value > 0 do sleep(0.001) end
  s:release()
  s:acquire()
  p:kill()
  p:join()
  eq(s:acquire(true, 0.1), false)
  local room, items = Semaphore(4), Semaphore(0)
  p = Process { target = function()
    while true do
      room:acquire()
      items:release()
    end
  end }:start()
  for _ = 1, 10 do
    items:acquire()
    room:release()
  end
  while items.value < 4 do sleep(0.001) end
  p:kill()
  p:join()
  eq({ room.value, items.value }, { 0, 4 })
end)

test("a guard that outlives its semaphore at the end", function()
  local out, err, status = tap.lua [[
    last = setmetatable({}, { __gc = function(f) coroutine.close(f.co) end })
    s = Semaphore(1)
    last.co = coroutine.create(function()
      local _ <close> = s:guard()
      coroutine.yield()
    end)
    coroutine.resume(last.co)]]
  eq({ out, err, status }, { "", "", 0 })
end)

test("who ends by itself keeps what it has", function()
  local s = Semaphore(3)
  proc.run(function() s:acquire() end)
  local p = Process { target = function() s:acquire() os.exit(1) end }:start()
  p:join()
  eq(s:acquire(true, 0.1), true)
  eq(s:acquire(true, 0.1), false)
end)

test("killed while it acquires and releases", function()
  local s = Semaphore(3)
  for _ = 1, 30 do
    local ps = {}
    for i = 1, 3 do
      ps[i] = Process { target = function()
        while true do
          s:acquire()
          s:release()
        end
      end }:start()
    end
    sleep(0.002)
    for _, p in ipairs(ps) do
      p:kill()
      p:join()
    end
    eq(s.value, 3)
  end
end)

test("release of less than one", function()
  local s = Semaphore(1)
  for _, n in ipairs { 0, -1, 1.5 } do
    fails("n must be an integer from 1 to 2147483647, got", s.release, s, n)
  end
  eq(s.value, 1)
end)

test("the largest value", function()
  local s = Semaphore(0)
  for _ = 1, 2 do s:release(2 ^ 31 - 1) end
  eq(s.value, 2 ^ 32 - 2 | 0)
  ok(tostring(s):find "value=4294967294>$", tostring(s))
  s:release()
  fails("the value of a Semaphore would be too large", s.release, s)
  eq(s.value, 2 ^ 32 - 1 | 0)
  eq({ s:acquire(false) }, { true })
  eq(s.value, 2 ^ 32 - 2 | 0)
end)

test("numbers that are too large", function()
  local c = Condition()
  for _, n in ipairs { 2 ^ 31, 2 ^ 40, 1 << 31 } do
    local text = "must be an integer from %d to 2147483647, got " .. n
    for _, make in ipairs { Semaphore, BoundedSemaphore } do
      fails("value " .. text:format(0), make, n)
    end
    fails("maxsize " .. text:format(0), Queue, n)
    fails("n " .. text:format(1), Semaphore().release, Semaphore(), n)
    fails("n " .. text:format(0), c.notify, c, n)
  end
end)

test("sent", function()
  local q = Queue()
  q:put { Semaphore(3), BoundedSemaphore(4) }
  eq(proc.run(function()
    local a, b = table.unpack(q:get())
    a:release()
    return a.value == 4 and b.value == 4 and not pcall(b.release, b)
  end), 0)
end)

test("Ctrl-C out of acquire", function()
  local s = Semaphore(0)
  local child = proc.child(function()
    local done, message = pcall(s.acquire, s)
    return not done and message:find "interrupted!" ~= nil
  end)
  proc.until_asleep(child)
  kill(child, "INT")
  eq(proc.status(child), 0)
  s:release()
  eq(s.value, 1)
end)
