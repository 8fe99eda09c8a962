-- workloads.lua: what is measured, against whom, and what is wanted of it.
--
-- Workloads of the unit "time" are told as the time for one, "rate" as how
-- many a second, "bytes" as MB a second, "size" as KiB. A target "<=" limits
-- the ratio of the times, ">=" wants speed, "=" means as fast as the peer, 3 %
-- up or down, "+" limits how much longer it takes than the peer, in seconds.
-- Rows that `long` marks are left out of the quick form.

local measure = require "measure"

local M = {}
local quick, SAMPLES = measure.quick, measure.samples

local function tool(name)
  local path = os.getenv(name)
  return path and path ~= "" and path or nil
end

local ours, lua, python = tool "CLUARUN", tool "LUA", tool "PYTHON"

-- Commands with %d for n. The ones that need a missing program are nil.
local function lua_run(what)
  return ours .. " tests/bench/" .. what
end

local function c_run(what)
  return "build/bench/" .. what
end

local function python_run(what)
  return python and python .. " tests/bench/py/" .. what
end

local function plain(program, kind)
  return program and
    program .. " tests/bench/plain.lua " .. kind .. " %d 2>&1 >/dev/null"
end

local function spawn(program)
  return program and "build/bench/spawn %d " .. program ..
    " tests/bench/empty.lua"
end

local function prompt(program)
  return program and
    "TERM=xterm XDG_STATE_HOME=build/bench/state build/bench/prompt %d " ..
    program
end

local function workload(name, unit, command, ...)
  local row = {name = name, unit = unit, command = command, peers = {...}}
  M[#M + 1] = row
  return row
end

local function long(row)
  row.long = true
  return row
end

local function peer(name, command, sign, limit)
  return {name = name, command = command or false, sign = sign, limit = limit}
end

-- A peer that is always that good: a target that is no ratio.
local function limit(value)
  return {name = "the limit", constant = value, sign = "<=", limit = 1}
end

local function processes()
  local size = measure.capture(lua_run "process.lua size 0")
    :gsub("%s+", " ")
  workload("Process start + join", "time", lua_run "process.lua start %d",
    peer("C fork, waitpid", c_run("process one %d " .. size), "<=", 1.5),
    peer("Python Process", python_run "process.py start %d", ">=", 5))
  workload("fork + wait", "time", lua_run "process.lua fork %d",
    peer("C fork, waitpid", c_run("process one %d " .. size)))
  local row = long(workload("1,000 Processes at once", "time",
    lua_run "process.lua many %d",
    peer("C fork, waitpid", c_run("process many %d " .. size)),
    peer("Python Process", python_run "process.py many %d")))
  row.n, row.samples = 1000, math.min(SAMPLES, 5)
end

local function queue(name, unit, kind, c, py)
  local how = kind .. " 1 1 %d"
  local peers = {peer("Python Queue", python_run("queues.py " .. how), ">=",
    py)}
  if kind ~= "table" then
    table.insert(peers, 1, peer("C pipe", c_run("queue " .. how),
      c and ">=", c))
  end
  workload(name, unit, lua_run("queue.lua " .. how), table.unpack(peers))
end

local function crowded_queue(crowd)
  local how = ("int %d %d %%d"):format(crowd, crowd)
  return workload(("Queue: integers, %dP%dC"):format(crowd, crowd), "rate",
    lua_run("queue.lua " .. how),
    peer("C pipe", c_run("queue " .. how)),
    peer("Python Queue", python_run("queues.py " .. how)))
end

local function queues()
  queue("Queue: small integers", "rate", "int", 2, 30)
  queue("Queue: 100-byte strings", "rate", "string", nil, 10)
  queue("Queue: small tables", "rate", "table", nil, 10)
  queue("Queue: 1 MB strings", "bytes", "big", 0.6, 2.5)
  crowded_queue(2)
  long(crowded_queue(8))
  long(crowded_queue(50)).n = 5000 -- 100 processes
end

local function round_trip(kind, name, c_name, c, most)
  local how = "roundtrip.lua " .. kind .. " %d"
  local how_py = "roundtrip.py " .. kind .. " %d"
  local row = workload("round trip: " .. name, "time", lua_run(how),
    peer(c_name, c_run("roundtrip " .. c .. " %d"), most and "<=", most),
    peer("Python " .. name, python_run(how_py)))
  long(workload("threads: " .. name, "time", lua_run(how .. " threads"),
    peer("Python threads", python_run(how_py .. " threads"))))
  return row
end

local function round_trips()
  round_trip("queue", "Queue", "C two futexes", "futex", 1.5)
  long(round_trip("semaphore", "Semaphore", "C sem_t", "semaphore"))
  long(round_trip("event", "Event", "C two futexes", "futex"))
  long(round_trip("condition", "Condition", "C pthread_cond_t", "condition"))
end

local function contended(where, workers)
  local how = ("%s %d"):format(where, workers)
  local row = workload(("Lock: %d %s"):format(workers, where), "time",
    lua_run("contend.lua time " .. how .. " %d"),
    peer("Python Lock", python_run("contend.py time " .. how .. " %d")))
  local held = workload(("Lock held: %d %s"):format(workers, where),
    "time", lua_run("contend.lua held " .. how .. " %d"),
    peer("Python Lock", python_run("contend.py held " .. how .. " %d")))
  local worst = workload(("worst wait: %d %s"):format(workers, where), "time",
    lua_run("contend.lua worst " .. how .. " %d"),
    peer("Python Lock", python_run("contend.py worst " .. how .. " %d")))
  worst.n, worst.whole = 100000, true
  if workers > 2 then
    long(row)
  end
  long(held)
  long(worst)
end

local function locks()
  workload("Lock acquire + release", "time", lua_run "lock.lua lock %d",
    peer("2 empty C methods", lua_run "lock.lua method %d", "<=", 2.5),
    peer("2 empty C functions", lua_run "lock.lua function %d"))
  long(workload("RLock acquire + release", "time", lua_run "lock.lua rlock %d",
    peer("2 empty C methods", lua_run "lock.lua method %d")))
  long(workload("Semaphore acq. + release", "time",
    lua_run "lock.lua semaphore %d",
    peer("2 empty C methods", lua_run "lock.lua method %d")))
  for _, where in ipairs{"threads", "processes"} do
    contended(where, 2)
    contended(where, 8)
  end
end

-- Figures that a run tells itself, whatever its length. Without `most` there
-- is no limit.
local function absolute(name, unit, ours_run, most, python_peer)
  local peers = {peer("Python", python_run(python_peer))}
  if most then
    table.insert(peers, 1, limit(most))
  end
  local row = workload(name, unit, lua_run(ours_run), table.unpack(peers))
  row.n, row.samples = 1, math.min(SAMPLES, 5)
  return row
end

local function threads()
  workload("Thread start + join", "time", lua_run "thread.lua start %d",
    peer("C pthread_create, join", c_run "thread %d", "<=", 1.8),
    peer("Python Thread", python_run "threads.py start %d", ">=", 3))
  workload("4 threads counting", "time", lua_run "thread.lua together %d",
    peer("1 thread, same work", lua_run "thread.lua alone %d", "<=", 1.05),
    peer("Python, 4 threads", python_run "threads.py together %d")).n =
      quick and 4000000 or 20000000
  workload("2 threads, 1 Lock", "time", lua_run "thread.lua lock %d",
    peer("Python", python_run "threads.py lock %d", ">=", 1.5)).n =
      quick and 200000 or 1000000
  absolute("late by, p99: 1 ms sleep", "time", "late.lua sleep", 4e-4,
    "threads.py sleep")
  absolute("late by, p99: pipe read", "time", "late.lua pipe", 4e-4,
    "threads.py pipe")
  absolute("memory of 1 of 1,000", "size", "thread.lua memory 1000", nil,
    "threads.py memory 1000")
  long(absolute("memory of 1 of 10,000", "size", "thread.lua memory 10000",
    16, "threads.py memory 10000"))
end

local function pool(name, kind, times, executor)
  local how = kind .. " 2 %d"
  local row = workload("Pool(2): " .. name, "rate",
    lua_run("pool.lua " .. how),
    peer("Python Pool", python_run("pool.py " .. how), times and ">=", times))
  if executor and not quick then
    table.insert(row.peers, peer("ProcessPoolExecutor",
      python_run("executor.py " .. how)))
  end
end

local function thread_pool(name, kind)
  local how = kind .. " 8 %d threads"
  long(workload("ThreadPool(8): " .. name, "rate",
    lua_run("pool.lua " .. how),
    peer("Python ThreadPool", python_run("pool.py " .. how))))
end

local function pool_made(workers, times)
  return workload(("Pool(%d): make + join"):format(workers), "time",
    lua_run(("pool.lua make %d %%d"):format(workers)),
    peer("Python Pool", python_run(("pool.py make %d %%d"):format(workers)),
      times and ">=", times))
end

local function pools()
  pool("apply_async, get", "async", 10, true)
  pool("the same in turns", "turns", 10)
  pool("map, chunks of 1", "map1", 10, true)
  pool("map", "map", 2)
  pool("imap_unordered", "unordered", 5)
  long(pool_made(2))
  pool_made(8, 10)
  local row = long(pool_made(64))
  row.n, row.samples = 1, math.min(SAMPLES, 5)
  thread_pool("async", "async")
  thread_pool("in turns", "turns")
  thread_pool("map of 1", "map1")
  thread_pool("unordered", "unordered")
  workload("Pool(2): computing", "rate", lua_run "pool.lua compute 2 %d",
    peer("Pool(1)", lua_run "pool.lua compute 1 %d", ">=", 1.9))
end

local function program()
  workload("start-up, empty script", "time", spawn(ours),
    peer("lua5.4", spawn(lua), "<=", 1.2),
    peer("python3", python and "build/bench/spawn %d " .. python ..
      " -c pass"))
  workload("start-up, prompt", "time", prompt(ours),
    peer("lua5.4 -i", prompt(lua and lua .. " -i"), "+", 0.02))
  local rerun = workload("--watch: save to rerun", "time",
    lua_run "watch.lua", limit(0.1))
  rerun.n, rerun.samples = 1, math.min(SAMPLES, 3)
end

local function plain_lua()
  for _, kind in ipairs{
    "fib", "tables", "strings", "closures", "coroutines", "gc", "print",
  } do
    local row = workload("plain Lua: " .. kind, "time", plain(ours, kind),
      peer("lua5.4", plain(lua, kind), "="))
    -- The narrowest target takes the most samples, and the same n.
    row.same_n, row.samples, row.seconds = true, 3 * SAMPLES, 0.1
  end
end

-- How the cost of one operation grows: name, kind of growth.lua, sizes.
M.growth = {
  {"make a Lock, N alive", "objects", {1, 10, 100, 1000}},
  {"start + join, N threads", "threads", {1, 10, 100, 1000}},
  {"wake one of N threads", "waiters", {1, 10, 100, 1000}},
  {"ask one of N processes", "processes", {1, 10, 100, 1000}},
  {"put + get of N bytes", "bytes", {1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}},
}
-- The table is cheap but for the large numbers.
M.growth_limit = quick and {processes = 100, bytes = 1e7} or {}

--- The command that measures one cell of that table.
function M.growth_run(kind, size)
  return lua_run(("growth.lua %s %d"):format(kind, size))
end

for _, group in ipairs{processes, queues, round_trips, locks, threads, pools,
  program, plain_lua} do
  group()
end
M.ours, M.lua, M.python = ours, lua, python

return M
