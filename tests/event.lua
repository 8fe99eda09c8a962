local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

test("set and clear", function()
  local e = Event()
  eq(e:is_set(), false)
  ok(tostring(e):find "^<Event 0x%x+ unset>$", tostring(e))
  eq(e:wait(0), false)
  local start = monotonic()
  eq(e:wait(0.03), false)
  ok(monotonic() - start >= 0.03)
  e:set()
  e:set()
  eq(e:is_set(), true)
  ok(tostring(e):find " set>$", tostring(e))
  eq(e:wait(), true)
  eq(e:wait(0), true)
  e:clear()
  eq(e:is_set(), false)
  eq(e:wait(-1), false)
  fails("bad argument #1 to 'wait'", function() e:wait "x" end)
  fails("Event expected", e.set, Lock())
end)

local function waiters(e, n)
  local pids = {}
  for i = 1, n do
    pids[i] = proc.child(function() return e:wait() end)
  end
  for i = 1, n do proc.until_asleep(pids[i]) end
  return pids
end

test("everyone is woken, even if it is cleared at once", function()
  local e = Event()
  local pids = waiters(e, 5)
  e:set()
  e:clear()
  for i = 1, 5 do eq(proc.status(pids[i]), 0) end
end)

test("killed waiters keep nobody", function()
  local e = Event()
  local pids = waiters(e, 5)
  proc.slay(pids[1])
  proc.slay(pids[4])
  e:set()
  for _, i in ipairs { 2, 3, 5 } do eq(proc.status(pids[i]), 0) end
end)

test("set by a process that is killed", function()
  local e = Event()
  local pids = waiters(e, 2)
  eq(proc.run(function()
    e:set()
    kill(getpid(), "KILL")
  end), -9)
  eq(proc.status(pids[1]), 0)
  eq(proc.status(pids[2]), 0)
end)

test("Ctrl-C out of wait", function()
  local e = Event()
  local child = proc.child(function()
    local done, message = pcall(e.wait, e)
    return not done and message:find "interrupted!" ~= nil
  end)
  proc.until_asleep(child)
  kill(child, "INT")
  eq(proc.status(child), 0)
end)
