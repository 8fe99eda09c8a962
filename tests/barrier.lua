local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local function broken(f, ...)
  local done, err = pcall(f, ...)
  return not done and err == BrokenBarrierError
end

local function gather(b, n, ...)
  local pids, args = {}, table.pack(...)
  for i = 1, n do
    pids[i] = proc.child(function()
      return broken(b.wait, b, table.unpack(args, 1, args.n)) and 7 or 0
    end)
  end
  while b.n_waiting < n and not b.broken do sleep(0) end
  return pids
end

test("attributes", function()
  local b = Barrier(3)
  eq(b.parties, 3)
  eq(b.n_waiting, 0)
  eq(b.broken, false)
  eq(b.other, nil)
  ok(tostring(b):find "^<Barrier 0x%x+ waiting=0/3>$", tostring(b))
  fails("bad argument #1 to '.*Barrier'", Barrier)
  fails("bad argument #1 to '.*Barrier'", Barrier, 0)
  fails("bad argument #1 to '.*Barrier'", Barrier, -2)
  fails("bad argument #2 to '.*Barrier'", Barrier, 2, "action")
  fails("bad argument #3 to '.*Barrier'", Barrier, 2, nil, 0 / 0)
end)

test("rounds: each index once", function()
  local b, q, pids = Barrier(3), Queue(), {}
  for i = 1, 3 do
    pids[i] = proc.child(function()
      for round = 1, 100 do q:put { round, b:wait() } end
    end)
  end
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
  local seen = {}
  for _ = 1, 300 do
    local round, index = table.unpack(q:get())
    seen[round] = (seen[round] or 0) | 1 << index
  end
  for round = 1, 100 do
    if not eq(seen[round], 14) then break end
  end
end)

test("a party of one", function()
  local n = 0
  local b = Barrier(1, function() n = n + 1 end)
  eq(b:wait(), 1)
  eq(b:wait(0), 1)
  eq(n, 2)
end)

test("a time-out breaks it", function()
  local b = Barrier(3)
  local pids = gather(b, 1)
  ok(broken(b.wait, b, 0.02))
  eq(proc.status(pids[1]), 7)
  eq(b.broken, true)
  ok(tostring(b):find "broken>$", tostring(b))
  ok(broken(b.wait, b))
  b:reset()
  eq(b.broken, false)
  ok(broken(b.wait, b, 0))
  ok(broken(Barrier(2, nil, 0.01).wait, Barrier(2, nil, 0.01)))
end)

test("abort and reset", function()
  local b = Barrier(3)
  local pids = gather(b, 2)
  b:abort()
  for i = 1, 2 do eq(proc.status(pids[i]), 7) end
  eq(b.broken, true)
  b:reset()
  pids = gather(b, 2)
  b:reset()
  for i = 1, 2 do eq(proc.status(pids[i]), 7) end
  eq(b.broken, false)
  pids = gather(b, 2)
  eq(b:wait(), 3)
  for i = 1, 2 do eq(proc.status(pids[i]), 0) end
end)

test("a death breaks it", function()
  local b = Barrier(3)
  local pids = gather(b, 2)
  proc.slay(pids[1])
  eq(proc.status(pids[2]), 7)
  eq(b.broken, true)
  b:reset()
  pids = gather(b, 1)
  proc.slay(pids[1])
  eq(b.broken, true)
  ok(broken(b.wait, b))
  b:reset()
  pids = gather(b, 2)
  b:wait()
  for i = 1, 2 do eq(proc.status(pids[i]), 0) end
end)

test("the action", function()
  local v = Value(0)
  local b = Barrier(2, function() v:add(1) end)
  for round = 1, 3 do
    local pids = gather(b, 1)
    b:wait()
    eq(v.value, round)
    eq(proc.status(pids[1]), 0)
  end
end)

test("an action that is no function but can be called", function()
  local n, q = Value(0), Queue()
  local counter = setmetatable({ by = 3 },
    { __call = function(self) n:add(self.by) end })
  local b = Barrier(1, counter)
  eq(b:wait(), 1)
  eq(n.value, 3)
  local child = proc.child(function() return q:get():wait() == 1 end)
  q:put(b)
  eq(proc.status(child), 0)
  eq(n.value, 6)
  for _, bad in ipairs { {}, 1, "x", true } do
    fails("bad argument #2 to 'Barrier' %(action must be a function, got "
      .. type(bad), function() Barrier(1, bad) end)
  end
end)

test("an action that fails", function()
  local b = Barrier(2, function() error("oops", 0) end)
  local pids = gather(b, 1)
  fails("^oops$", b.wait, b)
  eq(proc.status(pids[1]), 7)
  eq(b.broken, true)
  local object = {}
  local c = Barrier(1, function() error(object) end)
  fails(object, c.wait, c)
end)

test("an action whose process is killed", function()
  local b = Barrier(2, function() kill(getpid(), "KILL") end)
  local pids = gather(b, 1)
  local last = proc.child(function() b:wait() end)
  eq(proc.status(last), -9)
  eq(proc.status(pids[1]), 7)
  eq(b.broken, true)
end)

test("reset while the action runs", function()
  local b
  b = Barrier(1, function() b:reset() end)
  ok(broken(b.wait, b))
  eq(b.broken, false)
  b = Barrier(1, function() b:abort() end)
  ok(broken(b.wait, b))
  eq(b.broken, true)
end)

test("sent to somebody who has not the action", function()
  local q, v, n = Queue(), Value(0), 5
  local child = proc.child(function()
    local b = q:get()
    return b:wait() == 1 and v.value == 5
  end)
  q:put(Barrier(1, function() v:add(n) end))
  eq(proc.status(child), 0)
  local file = io.stdout
  child = proc.child(function()
    local b = q:get()
    local done, message = pcall(b.wait, b)
    return not done and message:find "could not be sent" ~= nil
  end)
  q:put(Barrier(1, function() file:write "" end))
  eq(proc.status(child), 0)
end)

test("Ctrl-C out of wait breaks it", function()
  local b = Barrier(3)
  local child = proc.child(function()
    local done, message = pcall(b.wait, b)
    return not done and tostring(message):find "interrupted!" ~= nil
  end)
  local other = proc.child(function() return broken(b.wait, b) end)
  while b.n_waiting < 2 do sleep(0) end
  kill(child, "INT")
  eq(proc.status(child), 0)
  eq(proc.status(other), 0)
end)
