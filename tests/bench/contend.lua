-- contend.lua WHAT WHERE WORKERS N: N acquires and releases of one Lock in all
-- by WORKERS at once. WHERE is "threads" or "processes". WHAT is "time": prints
-- the seconds that all took, "held": the same, computing 200 us with the lock,
-- or "worst": the longest that one acquire waited.

local what, where = arg[1], arg[2]
local workers, n = tonumber(arg[3]), tonumber(arg[4])
local share = (n + workers - 1) // workers
local lock, ready, gate = Lock(), Semaphore(0), Event()
local worsts = Queue()

local function change()
  for _ = 1, share do
    lock:acquire()
    lock:release()
  end
end

local function hold()
  for _ = 1, share do
    lock:acquire()
    local finish = monotonic() + 200e-6
    repeat
    until monotonic() >= finish
    lock:release()
  end
end

local function change_and_look()
  local worst = 0
  for _ = 1, share do
    local begin = monotonic()
    lock:acquire()
    local waited = monotonic() - begin
    lock:release()
    worst = waited > worst and waited or worst
  end
  worsts:put(worst)
end

local roles = {time = change, held = hold, worst = change_and_look}

local function work()
  ready:release()
  gate:wait()
  roles[what]()
end

local list = {}
local Worker = where == "threads" and Thread or Process
for i = 1, workers do
  list[i] = Worker{target = work}:start()
end
for _ = 1, workers do
  ready:acquire()
end
local begin = monotonic()
gate:set()
for _, worker in ipairs(list) do
  worker:join()
end
local seconds = (monotonic() - begin) * n / (share * workers)
local worst = 0
while not worsts:empty() do
  worst = math.max(worst, worsts:get())
end
print(what == "worst" and worst or seconds)
