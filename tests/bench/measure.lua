-- measure.lua: how the samples of a workload are taken.
--
-- A sample is a run of a program that does a workload n times and prints the
-- seconds it took; n is chosen so that a sample lasts long enough. Ours and
-- the peers' samples take turns, so that neighbours see the same machine: the
-- ratio is the median of the ratios of neighbours, which on a busy machine
-- scatters far less than the ratio of the two medians.

local M = {quick = os.getenv("BENCH") == "quick"}
M.samples = M.quick and 3 or 7
M.seconds = M.quick and 0.1 or 0.25
local LIMIT = 60 -- seconds, then a program hangs

--- What a command prints, without the white space at its end.
function M.capture(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("%s+$", ""))
end

--- One sample: seconds, or nil when the program failed (`side.broken`).
function M.sample(side, n)
  if side.constant then
    return side.constant
  end
  local command = side.command:gsub("%%d", ("%d"):format(n))
  local out = M.capture(("timeout -k 1 %d sh -c '%s' 2>&1"):format(LIMIT,
    command))
  local seconds = tonumber(out:match("[^\n]*$"))
  if not seconds then
    side.broken = true
    io.stdout:write("failed: ", command, "\n", out:sub(-400), "\n")
  end
  return seconds
end

-- How many make a sample long enough; nil when the program failed.
local function calibrate(side, wanted)
  local n = 10
  while true do
    local seconds = M.sample(side, n)
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

--- The value in the middle of a list, which is left as it is.
function M.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return (sorted[middle] + sorted[#sorted - middle + 1]) / 2
end

--- The samples of all sides in turns: `side.times`, seconds for one operation.
function M.measure(load, sides)
  local n = load.n
  for _, side in ipairs(sides) do
    side.n = n or calibrate(side, load.seconds or M.seconds) or 1
    side.times = {}
    n = load.n or load.same_n and side.n or nil
  end
  for i = 1, load.samples or M.samples do
    for _, side in ipairs(sides) do
      local seconds = not side.broken and M.sample(side, side.n)
      side.times[i] = seconds and seconds / (load.whole and 1 or side.n)
    end
  end
end

return M
