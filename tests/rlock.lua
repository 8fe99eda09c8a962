local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, fails = tap.test, tap.eq, tap.fails

test("again and again", function()
  local l = RLock()
  eq(tostring(l), "<RLock unlocked>")
  for _ = 1, 3 do eq(l:acquire(), true) end
  eq(l:acquire(false), true)
  eq(tostring(l), "<RLock locked by MainThread (pid " .. getpid() .. ")>")
  for _ = 1, 3 do
    l:release()
    eq(l:locked(), true)
  end
  l:release()
  eq(l:locked(), false)
  fails("cannot release an unlocked RLock", l.release, l)
end)

test("others do not get in", function()
  local l = RLock()
  l:acquire()
  eq(proc.run(function()
    local done, message = pcall(l.release, l)
    return l:acquire(false) == false and l:acquire(true, 0.01) == false
      and not done and message:find "cannot release an RLock held by" ~= nil
  end), 0)
  l:release()
  eq(proc.run(function()
    l:acquire()
    l:acquire()
    l:release()
    l:release()
  end), 0)
  eq(select("#", l:acquire()), 1)
  l:release()
end)

test("free after a death at depth 3", function()
  local l = RLock()
  eq(proc.run(function()
    for _ = 1, 3 do l:acquire() end
    kill(getpid(), "KILL")
  end), -9)
  eq(l:locked(), false)
  local got, died = l:acquire()
  eq(got, true)
  eq(died == OwnerDied, true)
  l:release()
  eq(l:locked(), false)
end)

test("guards in guards", function()
  local l = RLock()
  do
    local _ <close> = l:guard()
    do
      local _ <close> = l:guard()
      eq(l:locked(), true)
    end
    eq(l:locked(), true)
  end
  eq(l:locked(), false)
end)

test("one at a time between processes", function()
  local l, v, pids = RLock(), Value(0), {}
  for i = 1, 3 do
    pids[i] = proc.child(function()
      for _ = 1, 1000 do
        l:acquire()
        l:acquire()
        v.value = v.value + 1
        l:release()
        l:release()
      end
    end)
  end
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
  eq(v.value, 3000)
end)
