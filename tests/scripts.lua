-- Each script of scripts/ prints what its "-->" comments say. The lines of
-- different processes may come in any order; PID and N stand for numbers.
local tap <close> = dofile "tests/lib/tap.lua"

local arguments = { multicore = "0.1", gil = "100000", map = "20000" }

-- Where the order of the lines says something.
local order = {
  thread = "thread MainThread is running.*LoopThread is running.*>>> 1\n"
    .. ".*>>> 2\n.*>>> 3\n.*>>> 4\n.*>>> 5\n.*LoopThread ended.*"
    .. "MainThread ended%.\n$",
  gil = "^one after the other.*two threads.*two processes",
}

-- The expected lines as patterns.
local function expected(path)
  local list = {}
  for line in io.lines(path) do
    local text = line:match "%-%-> (.*)$"
    if text then
      local pattern = text:gsub("%p", "%%%0"):gsub("%f[%w]PID%f[%W]", "%%d+")
        :gsub("%f[%w]N%f[%W]", "%%-?%%d+")
      list[#list + 1] = "^" .. pattern .. "$"
    end
  end
  return list
end

local function compare(patterns, lines)
  local seen = {}
  for _, line in ipairs(lines) do
    local known
    for i, pattern in ipairs(patterns) do
      if line:find(pattern) and not known then known, seen[i] = true, true end
    end
    tap.ok(known, "unexpected line: " .. line)
  end
  for i, pattern in ipairs(patterns) do
    tap.ok(seen[i], "missing line: " .. pattern)
  end
end

for _, name in ipairs {
  "fork", "process", "queue", "pipe", "multicore", "thread", "lock", "local",
  "race", "gil", "pool", "map",
} do
  tap.test(name, function()
    local path = "scripts/" .. name .. ".lua"
    local out, err, status = tap.run(
      tap.program .. " " .. path .. " " .. (arguments[name] or ""))
    local progress = "%f[^\n\0]100%%  %d+/%d+  [^\n]+/s\n"
    tap.eq(name == "map" and err:gsub(progress, "") or err, "")
    tap.eq(status, 0)
    local patterns, lines = expected(path), tap.lines(out)
    compare(patterns, lines)
    if order[name] then tap.ok(out:find(order[name]), out) end
    if name ~= "multicore" then tap.eq(#lines, #patterns, "lines") end
  end)
end
