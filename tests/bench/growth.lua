-- growth.lua KIND SIZE: what one operation costs when there are SIZE of
-- something. Prints seconds for one. KIND:
--   objects    make a Lock next to SIZE living ones
--   threads    start and join a Thread next to SIZE sleeping ones
--   waiters    wake and see back one of SIZE threads that wait at a Semaphore
--   processes  put and get a message while SIZE processes wait at the Queue
--   bytes      put and get a string of SIZE bytes

local kinds = {}

-- Seconds for one call: as many calls as fill 20 ms, the best of three.
local function cost(f)
  local best = math.huge
  for _ = 1, 3 do
    local begin, n, seconds = monotonic(), 0
    repeat
      f()
      n = n + 1
      seconds = monotonic() - begin
    until seconds > 0.02
    best = math.min(best, seconds / n)
  end
  return best
end

function kinds.objects(size)
  local alive = {}
  for i = 1, size do
    alive[i] = Lock()
  end
  local seconds = cost(function()
    return Lock()
  end)
  assert(#alive == size)
  return seconds
end

-- Runs f while so many workers wait in `role`; `free` lets them go.
local function beside(Worker, size, role, free, f)
  local ready, list = Semaphore(0), {}
  local function work()
    ready:release()
    role()
  end
  for i = 1, size do
    list[i] = Worker{target = work}:start()
  end
  for _ = 1, size do
    ready:acquire()
  end
  local seconds = cost(f)
  free()
  for _, worker in ipairs(list) do
    worker:join()
  end
  return seconds
end

function kinds.threads(size)
  local go = Event()
  return beside(Thread, size, function()
    go:wait()
  end, function()
    go:set()
  end, function()
    Thread{target = type, args = {1}}:start():join()
  end)
end

function kinds.waiters(size)
  local wake, woken, ended = Semaphore(0), Semaphore(0), false
  return beside(Thread, size, function()
    while true do
      wake:acquire()
      if ended then
        return
      end
      woken:release()
    end
  end, function()
    ended = true
    wake:release(size)
  end, function()
    wake:release()
    woken:acquire()
  end)
end

function kinds.processes(size)
  local ask, answer = Queue(), Queue()
  return beside(Process, size, function()
    for value in ask:iter() do
      answer:put(value)
    end
  end, function()
    ask:shutdown()
  end, function()
    ask:put(1)
    answer:get()
  end)
end

function kinds.bytes(size)
  local q, value = Queue(), ("x"):rep(size)
  return cost(function()
    q:put(value)
    q:get()
  end)
end

print(kinds[arg[1]](math.tointeger(tonumber(arg[2]))))
