-- thread.lua KIND N: threads of one process. KIND is "start" (start and join,
-- one after the other), "together" (four threads count to N in all), "alone"
-- (one does), "lock" (two threads change a balance N times under a lock), or
-- "memory": prints the KiB that each of N threads takes that are alive.

local function target()
end

local function start_join(n)
  for _ = 1, n do
    local t = Thread{target = target}
    t:start()
    t:join()
  end
end

local function count(n)
  local c = 0
  for _ = 1, n do
    c = c + 1
  end
end

local function run_all(f, threads, ...)
  local list = {}
  for i = 1, threads do
    list[i] = Thread{target = f, args = {...}}:start()
  end
  for i = 1, threads do
    list[i]:join()
  end
end

local function together(n)
  run_all(count, 4, n // 4)
end

local function alone(n)
  run_all(count, 1, n)
end

local balance = 0
local lock = Lock()

local function change(n, times)
  for _ = 1, times do
    lock:acquire()
    balance = balance + n
    balance = balance - n
    lock:release()
  end
end

local function lock_loop(n)
  local five = Thread{target = change, args = {5, n}}:start()
  local eight = Thread{target = change, args = {8, n}}:start()
  five:join()
  eight:join()
  assert(balance == 0)
end

local function resident()
  local kib = 0
  for line in io.lines("/proc/self/status") do
    local part = line:match("^RssAnon:%s*(%d+)") or
      line:match("^RssShmem:%s*(%d+)")
    kib = kib + (part or 0)
  end
  return kib
end

local function memory(n)
  local list = {}
  local go, ready = Event(), Semaphore(0)
  local function wait_for_go()
    ready:release()
    go:wait()
  end
  collectgarbage()
  local before = resident()
  for i = 1, n do
    list[i] = Thread{target = wait_for_go}:start()
  end
  for _ = 1, n do
    ready:acquire()
  end
  local each = (resident() - before) / n
  go:set()
  for i = 1, n do
    list[i]:join()
  end
  print(each)
  os.exit(0)
end

local kinds = {start = start_join, together = together, alone = alone,
  lock = lock_loop, memory = memory}
local run, n = kinds[arg[1]], tonumber(arg[2])
local begin = monotonic()
run(n)
print(monotonic() - begin)
