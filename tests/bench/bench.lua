-- bench.lua [PATTERN]: the table of all benchmarks. tests/bench/run calls it.
--
-- A sample is a run of a program that does a workload n times and prints the
-- seconds it took; n is chosen so that a sample lasts long enough. Ours and
-- the peers' samples take turns, so that neighbours see the same machine: the
-- ratio is the median of the ratios of neighbours, which on a busy machine
-- scatters far less than the ratio of the two medians.

local quick = os.getenv("BENCH") == "quick"
local SAMPLES = quick and 3 or 7
local SECONDS = quick and 0.1 or 0.25
local LIMIT = 60 -- seconds, then a program hangs

local function tool(name)
  local path = os.getenv(name)
  return path and path ~= "" and path or nil
end

local ours, lua, python = tool "CLUARUN", tool "LUA", tool "PYTHON"

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("%s+$", ""))
end

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

-- Workloads of the unit "time" are told as the time for one, "rate" as how
-- many a second, "bytes" as MB a second, "size" as KiB. A target "<=" limits
-- the time, ">=" wants speed, "=" means as fast as the peer, 3 % up or down.
local size = capture(lua_run "process.lua size 0"):gsub("%s+", " ")
local table_of = {}

local function workload(name, unit, command, ...)
  table_of[#table_of + 1] =
    {name = name, unit = unit, command = command, peers = {...}}
end

local function peer(name, command, sign, limit)
  return {name = name, command = command or false, sign = sign, limit = limit}
end

-- A peer that is always that good: a target that is no ratio.
local function limit(value)
  return {name = "the limit", constant = value, sign = "<=", limit = 1}
end

workload("Process start + join", "time", lua_run "process.lua start %d",
  peer("C fork, waitpid", c_run("process one %d " .. size), "<=", 1.5),
  peer("Python Process", python_run "process.py %d", ">=", 5))
workload("fork + wait", "time", lua_run "process.lua fork %d",
  peer("C fork, waitpid", c_run("process one %d " .. size)))
workload("1,000 Processes at once", "time", lua_run "process.lua many 1000",
  peer("C fork, waitpid", c_run("process many 1000 " .. size)))
table_of[#table_of].n = 1000

local function queue(name, unit, kind, c, py)
  local how = kind .. " 1 1 %d"
  workload(name, unit, lua_run("queue.lua " .. how),
    peer("C pipe", kind ~= "table" and c_run("queue " .. how),
      c and ">=", c),
    peer("Python Queue", python_run("queues.py " .. how), ">=", py))
end

queue("Queue: small integers", "rate", "int", 2, 30)
queue("Queue: 100-byte strings", "rate", "string", nil, 10)
queue("Queue: small tables", "rate", "table", nil, 10)
queue("Queue: 1 MB strings", "bytes", "big", 0.6, 2.5)
for _, crowd in ipairs{{2, "2 2"}, {8, "8 8"}} do
  local how = "int " .. crowd[2] .. " %d"
  workload(("Queue: integers, %dP%dC"):format(crowd[1], crowd[1]), "rate",
    lua_run("queue.lua " .. how),
    peer("C pipe", c_run("queue " .. how)),
    peer("Python Queue", python_run("queues.py " .. how)))
end

workload("round trip: two Queues", "time", lua_run "roundtrip.lua queue %d",
  peer("C two futexes", c_run "roundtrip futex %d", "<=", 1.5),
  peer("Python Queue", python_run "roundtrip.py queue %d"))
workload("round trip: Semaphores", "time",
  lua_run "roundtrip.lua semaphore %d",
  peer("C sem_t", c_run "roundtrip semaphore %d"),
  peer("Python Semaphore", python_run "roundtrip.py semaphore %d"))
workload("round trip: Events", "time", lua_run "roundtrip.lua event %d",
  peer("C two futexes", c_run "roundtrip futex %d"),
  peer("Python Event", python_run "roundtrip.py event %d"))
workload("round trip: Condition", "time", lua_run "roundtrip.lua condition %d",
  peer("C pthread_cond_t", c_run "roundtrip condition %d"),
  peer("Python Condition", python_run "roundtrip.py condition %d"))

workload("Lock acquire + release", "time", lua_run "lock.lua lock %d",
  peer("2 empty C methods", lua_run "lock.lua method %d", "<=", 2.5),
  peer("2 empty C functions", lua_run "lock.lua function %d"))
workload("RLock acquire + release", "time", lua_run "lock.lua rlock %d",
  peer("2 empty C methods", lua_run "lock.lua method %d"))
workload("Semaphore acq. + release", "time",
  lua_run "lock.lua semaphore %d",
  peer("2 empty C methods", lua_run "lock.lua method %d"))

workload("Thread start + join", "time", lua_run "thread.lua start %d",
  peer("C pthread_create, join", c_run "thread %d", "<=", 1.8),
  peer("Python Thread", python_run "threads.py start %d", ">=", 3))
workload("4 threads counting", "time", lua_run "thread.lua together %d",
  peer("1 thread, same work", lua_run "thread.lua alone %d", "<=", 1.05),
  peer("Python, 4 threads", python_run "threads.py together %d"),
  peer("Python, 1 thread", python_run "threads.py alone %d"))
table_of[#table_of].n = quick and 4000000 or 20000000
workload("2 threads, 1 Lock", "time", lua_run "thread.lua lock %d",
  peer("Python", python_run "threads.py lock %d", ">=", 1.5))
table_of[#table_of].n = quick and 200000 or 1000000

-- Figures that a run tells itself, whatever its length.
local function absolute(name, unit, ours_run, most, python_peer)
  workload(name, unit, lua_run(ours_run), limit(most),
    peer("Python", python_run(python_peer)))
  table_of[#table_of].n = 1
  table_of[#table_of].samples = math.min(SAMPLES, 5)
end

absolute("late by, p99: 1 ms sleep", "time", "late.lua sleep", 4e-4,
  "threads.py sleep")
absolute("late by, p99: pipe read", "time", "late.lua pipe", 4e-4,
  "threads.py pipe")
absolute("memory of 1 of 10,000", "size", "thread.lua memory 10000", 16,
  "threads.py memory 10000")

workload("start-up, empty script", "time", spawn(ours),
  peer("lua5.4", spawn(lua), "<=", 1.2))
for _, kind in ipairs{
  "fib", "tables", "strings", "closures", "coroutines", "gc", "print",
} do
  workload("plain Lua: " .. kind, "time", plain(ours, kind),
    peer("lua5.4", plain(lua, kind), "="))
  -- The narrowest target takes the most samples, and the same n.
  table_of[#table_of].same_n = true
  table_of[#table_of].samples = 3 * SAMPLES
  table_of[#table_of].seconds = 0.1
end

local failed = false

-- One sample: seconds, or nil when the program failed.
local function sample(side, n)
  if side.constant then
    return side.constant
  end
  local command = side.command:gsub("%%d", ("%d"):format(n))
  local out = capture(("timeout -k 1 %d sh -c '%s' 2>&1"):format(LIMIT,
    command))
  local seconds = tonumber(out:match("[^\n]*$"))
  if not seconds then
    side.broken = true
    failed = true
    io.stdout:write("failed: ", command, "\n", out:sub(-400), "\n")
  end
  return seconds
end

-- How many make a sample long enough.
local function calibrate(side, wanted)
  local n = 10
  while true do
    local seconds = sample(side, n)
    if not seconds then
      return nil
    end
    local more = wanted / math.max(seconds, 1e-6)
    if more < 3 then
      return math.max(1, math.ceil(n * more))
    end
    n = math.ceil(n * math.min(more, 30))
  end
end

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return (sorted[middle] + sorted[#sorted - middle + 1]) / 2
end

-- The samples of all sides in turns: seconds for one operation.
local function measure(load, sides)
  local n = load.n
  for _, side in ipairs(sides) do
    side.n = n or not side.broken and
      calibrate(side, load.seconds or SECONDS) or 1
    side.times = {}
    n = load.n or load.same_n and side.n or nil
  end
  for i = 1, load.samples or SAMPLES do
    for _, side in ipairs(sides) do
      local seconds = not side.broken and sample(side, side.n)
      side.times[i] = seconds and seconds / side.n
    end
  end
end

local function scaled(value, units)
  local i = 1
  while value < 1 and i < #units do
    value, i = value * 1000, i + 1
  end
  local digits = value < 10 and "%.2f" or value < 100 and "%.1f" or "%.0f"
  return digits:format(value) .. " " .. units[i]
end

local function figure(seconds, unit)
  if unit == "time" then
    return scaled(seconds, {"s", "ms", "us", "ns"})
  elseif unit == "rate" then
    return scaled(1e-6 / seconds, {"M/s", "k/s", "/s"})
  elseif unit == "size" then
    return ("%.1f KiB"):format(seconds)
  end
  return ("%.0f MB/s"):format(1 / seconds)
end

-- How many times as long, or with ">=" as fast: the median of neighbouring
-- samples' ratios, the least and the greatest.
local function compare(mine, other, sign)
  local list = {}
  for i, seconds in ipairs(mine.times) do
    list[i] = seconds / other.times[i]
    if sign == ">=" then
      list[i] = 1 / list[i]
    end
  end
  table.sort(list)
  return median(list), list[1], list[#list]
end

local counts = {met = 0, MISSED = 0, skipped = 0}

local function verdict(ratio, other)
  local result, target
  if other.sign == "<=" then
    target, result = ("<= %g"):format(other.limit), ratio <= other.limit
  elseif other.sign == ">=" then
    target, result = (">= %g"):format(other.limit), ratio >= other.limit
  elseif other.sign == "=" then
    -- Faster than the peer is no fault.
    target, result = "1 +- 3%", ratio <= 1.03
  else
    return "", ""
  end
  result = result and "met" or "MISSED"
  counts[result] = counts[result] + 1
  return target, result
end

local LINE = "%-24s %9s  %-19s %9s %6s  %-10s %-7s %s"

local function put_line(...)
  print((LINE:format(...):gsub("%s+$", "")))
end

local function number(ratio)
  return (ratio < 10 and "%.2f" or "%.1f"):format(ratio)
end

local function report(load, mine, other, first)
  local name, value = "", ""
  if first then
    name, value = load.name, figure(median(mine.times), load.unit)
  end
  if other.broken then
    return put_line(name, value, other.name, "failed", "", "", "", "")
  end
  local small = load.unit == "time" or load.unit == "size"
  local sign = other.sign or small and "<=" or ">="
  local ratio, least, most = compare(mine, other, sign)
  local target, met = verdict(ratio, other)
  put_line(name, value, other.name, figure(median(other.times), load.unit),
    number(ratio), number(least) .. "-" .. number(most),
    target, met)
end

local function run(load)
  local mine = {command = load.command}
  local sides = {mine}
  local missing = {}
  for _, other in ipairs(load.peers) do
    if other.command or other.constant then
      sides[#sides + 1] = other
    elseif other.name ~= "C pipe" then
      missing[#missing + 1] = other
    end
  end
  measure(load, sides)
  if mine.broken then
    return put_line(load.name, "failed", "", "", "", "", "", "")
  end
  for i = 2, #sides do
    report(load, mine, sides[i], i == 2)
  end
  for i, other in ipairs(missing) do
    local first = #sides == 1 and i == 1
    counts.skipped = counts.skipped + 1
    put_line(first and load.name or "",
      first and figure(median(mine.times), load.unit) or "",
      other.name, "skipped", "", "(not installed)", "", "")
  end
end

local function load_average()
  local file <close> = assert(io.open("/proc/loadavg"))
  return file:read("n")
end

local function machine()
  local cpu = capture "grep -m1 'model name' /proc/cpuinfo"
  return ("%s, Linux %s, %d x %s"):format(capture "date '+%Y-%m-%d %H:%M'",
    capture "uname -r", cpu_count(),
    cpu:match(":%s*(.*)") or capture "uname -m")
end

local function versions()
  return table.concat({
    capture(ours .. " --version"):match("cluarun %S+") or "cluarun",
    lua and capture(lua .. " -v"):match("Lua %S+") or "no lua5.4",
    python and capture(python .. " -V") or "no python3",
    "cc " .. capture((os.getenv("CC") or "cc") .. " -dumpfullversion"),
  }, ", ")
end

print(([[
Medians of %d samples of %g s (plain Lua: %d of 0.1 s of CPU time), in turns.
ratio: how many times as long as the peer, for rates and targets ">=" how many
times as fast, median and range of neighbouring samples.
]]):format(SAMPLES, SECONDS, 3 * SAMPLES))
put_line("workload", "cluarun", "peer", "", "ratio", "range", "target", "")
local before = load_average()
for _, load in ipairs(table_of) do
  if load.name:find(arg[1] or "", 1, true) then
    run(load)
    io.stdout:flush()
  end
end
print(("\n%d targets met, %d missed, %d skipped; load %.2f before, %.2f " ..
  "after."):format(counts.met, counts.MISSED, counts.skipped, before,
  load_average()))
print(machine() .. "; " .. versions())
os.exit(failed and 1 or 0)
