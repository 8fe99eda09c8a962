-- In one process one thread runs at a time: two that count take as long as one
-- after the other. Two processes count on two CPUs.

local rounds = tonumber(arg[1]) or 50000000

local function count()
  local n = 0
  for _ = 1, rounds do n = n + 1 end
  return n
end

local function measure(what, f)
  local start = monotonic()
  f()
  print(("%s: %.3f s"):format(what, monotonic() - start))
end

local function both(class)
  local a = class { target = count }:start()
  local b = class { target = count }:start()
  assert(a:result() + b:result() == 2 * rounds)
end

measure("one after the other", function() count() count() end)
--> one after the other: N.N s
measure("two threads", function() both(Thread) end)
--> two threads: N.N s
measure("two processes", function() both(Process) end)
--> two processes: N.N s
