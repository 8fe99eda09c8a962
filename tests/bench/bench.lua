-- bench.lua [PATTERN]: the table of all benchmarks, or of those whose name has
-- PATTERN. tests/bench/run calls it. measure.lua says how it measures.

package.path = "tests/bench/?.lua;" .. package.path
local measure = require "measure"
local workloads = require "workloads"
local median, capture = measure.median, measure.capture
local pattern = arg[1] or ""

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

-- How many times as long, with ">=" as fast, with "+" how much longer (in
-- seconds): the median of neighbouring samples, the least and the greatest.
local function compare(mine, other, sign)
  local list = {}
  for i, seconds in ipairs(mine.times) do
    if sign == "+" then
      list[i] = seconds - other.times[i]
    elseif sign == ">=" then
      list[i] = other.times[i] / seconds
    else
      list[i] = seconds / other.times[i]
    end
  end
  table.sort(list)
  return median(list), list[1], list[#list]
end

local counts = {met = 0, MISSED = 0, skipped = 0, failed = 0}
local missed = {} -- lines: what the end of the output lists

local function verdict(ratio, other)
  local result, target
  if other.sign == "<=" then
    target, result = ("<= %g"):format(other.limit), ratio <= other.limit
  elseif other.sign == ">=" then
    target, result = (">= %g"):format(other.limit), ratio >= other.limit
  elseif other.sign == "+" then
    target = "<= +" .. figure(other.limit, "time")
    result = ratio <= other.limit
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

local function number(ratio, sign)
  if sign == "+" then
    return ("%+.1fms"):format(ratio * 1000)
  end
  return (ratio < 10 and "%.2f" or "%.1f"):format(ratio)
end

local function report(load, mine, other, first)
  local name, value = "", ""
  if first then
    name, value = load.name, figure(median(mine.times), load.unit)
  end
  if other.broken then
    counts.failed = counts.failed + 1
    return put_line(name, value, other.name, "failed", "", "", "", "")
  end
  local small = load.unit == "time" or load.unit == "size"
  local sign = other.sign or small and "<=" or ">="
  local ratio, least, most = compare(mine, other, sign)
  local target, met = verdict(ratio, other)
  if met == "MISSED" then
    missed[#missed + 1] = ("%s / %s: %s, wanted %s"):format(load.name,
      other.name, number(ratio, sign), target)
  end
  put_line(name, value, other.name, figure(median(other.times), load.unit),
    number(ratio, sign),
    sign == "+" and "" or number(least) .. "-" .. number(most), target, met)
end

local failed = false -- whether a program of ours did

local function run(load)
  local mine = {command = load.command}
  local sides, missing = {mine}, {}
  for _, other in ipairs(load.peers) do
    local there = other.command or other.constant
    table.insert(there and sides or missing, other)
  end
  measure.measure(load, sides)
  if mine.broken then
    failed = true
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

-- Powers of ten, as short as a cell wants them.
local function amount(n)
  return n < 1000 and ("%d"):format(n) or n < 1e6 and ("%dk"):format(n // 1000)
    or ("%dM"):format(n // 1000000)
end

-- One line of the table of growth: sizes and the seconds for one operation.
local function grow(name, kind, sizes)
  local cells = {}
  for _, size in ipairs(sizes) do
    if size <= (workloads.growth_limit[kind] or math.huge) then
      local side = {command = workloads.growth_run(kind, size)}
      local seconds = measure.sample(side, size)
      failed = failed or side.broken
      cells[#cells + 1] = ("%s: %s"):format(amount(size),
        seconds and figure(seconds, "time") or "failed")
    end
  end
  print(("%-24s %s"):format(name, table.concat(cells, "  ")))
end

local function growth()
  local headed = false
  for _, row in ipairs(workloads.growth) do
    if ("growth: " .. row[1]):find(pattern, 1, true) then
      if not headed then
        print("\ngrowth: the time for one when there are N")
        headed = true
      end
      grow(table.unpack(row))
      io.stdout:flush()
    end
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
    capture(workloads.ours .. " --version"):match("cluarun %S+") or "cluarun",
    workloads.lua and capture(workloads.lua .. " -v"):match("Lua %S+")
      or "no lua5.4",
    workloads.python and capture(workloads.python .. " -V") or "no python3",
    "cc " .. capture((os.getenv("CC") or "cc") .. " -dumpfullversion"),
  }, ", ")
end

print(([[
Medians of %d samples of %g s (plain Lua: %d of 0.1 s of CPU time), in turns.
ratio: how many times as long as the peer, for rates and targets ">=" how many
times as fast, median and range of neighbouring samples.
]]):format(measure.samples, measure.seconds, 3 * measure.samples))
put_line("workload", "cluarun", "peer", "", "ratio", "range", "target", "")
local before = load_average()
for _, load in ipairs(workloads) do
  -- Who names a row wants it, also in the quick form.
  if load.name:find(pattern, 1, true) and
    not (load.long and measure.quick and pattern == "") then
    run(load)
    io.stdout:flush()
  end
end
growth()
print(("\n%d targets met, %d missed; peers: %d skipped, %d failed; load " ..
  "%.2f before, %.2f after."):format(counts.met, counts.MISSED,
  counts.skipped, counts.failed, before, load_average()))
print(machine() .. "; " .. versions())
for i, line in ipairs(missed) do
  print((i == 1 and "Missed:\n  " or "  ") .. line)
end
os.exit(failed and 1 or 0)
