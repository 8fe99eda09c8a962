-- roundtrip.lua KIND N [threads]: two processes, or threads, hand a turn to and
-- fro N times. KIND: queue, semaphore, event or condition.

local kinds = {}

function kinds.queue()
  local a, b = Queue(), Queue()
  local function ask(n)
    for _ = 1, n do
      a:put(1)
      b:get()
    end
  end
  local function answer(n)
    for _ = 1, n do
      a:get()
      b:put(1)
    end
  end
  return ask, answer
end

function kinds.semaphore()
  local a, b = Semaphore(0), Semaphore(0)
  local function ask(n)
    for _ = 1, n do
      a:release()
      b:acquire()
    end
  end
  local function answer(n)
    for _ = 1, n do
      a:acquire()
      b:release()
    end
  end
  return ask, answer
end

function kinds.event()
  local a, b = Event(), Event()
  local function ask(n)
    for _ = 1, n do
      a:set()
      b:wait()
      b:clear()
    end
  end
  local function answer(n)
    for _ = 1, n do
      a:wait()
      a:clear()
      b:set()
    end
  end
  return ask, answer
end

function kinds.condition()
  local changed, turn = Condition(), Value(-1)
  local function give(side)
    changed:acquire()
    turn.value = side
    changed:notify()
    changed:release()
  end
  local function take(side)
    changed:acquire()
    while turn.value ~= side do
      changed:wait()
    end
    turn.value = -1
    changed:release()
  end
  local function ask(n)
    for _ = 1, n do
      give(0)
      take(1)
    end
  end
  local function answer(n)
    for _ = 1, n do
      take(0)
      give(1)
    end
  end
  return ask, answer
end

local ask, answer = kinds[arg[1]]()
local n = tonumber(arg[2])
local Worker = arg[3] == "threads" and Thread or Process
local p = Worker{target = answer, args = {n + 1}}
p:start()
ask(1)
local begin = monotonic()
ask(n)
print(monotonic() - begin)
p:join()
