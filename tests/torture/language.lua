-- language.lua SECONDS [SEED]: the test of the language beside other threads,
-- in all modes, with other mixes of other sizes each time.
local tap <close> = dofile "tests/lib/tap.lua"

local seconds = tonumber(arg[1] or 60)
local seed = tonumber(arg[2] or os.time())
local stop = os.time() + seconds
local kinds = dofile("tests/lib/background.lua").names()
local small = tap.sanitizer ~= nil

-- What to set, the shortest interval, the largest size.
local modes = {
  { "", 50e-6, 20 },
  { "", 50e-6, 20 },
  { "", 1e-3, 30 },
  { "CLUARUN_SWITCH=1", 50e-6, 2 },
  { "CLUARUN_SWITCH=7", 50e-6, 5 },
  { "CLUARUN_SWITCH=100", 50e-6, 10 },
}

local function mix(n)
  local names = {}
  for i = 1, n do names[i] = kinds[math.random(#kinds)] end
  return table.concat(names, " ")
end

-- One program: at most some ten seconds of rounds, then it is told its time.
local function run()
  local setting, interval, largest = table.unpack(modes[math.random(#modes)])
  local left = math.max(1, math.min(10, stop - os.time()))
  -- Freed memory is overwritten: what goes on in it is found out.
  local command = ("%s MALLOC_PERTURB_=90 timeout -k 5 120 %s "
    .. "tests/lib/language/run.lua %d %d %g %s"):format(setting, tap.program,
    small and 1 or math.random(largest), left, interval, mix(3))
  tap.test(command, function()
    local out, err, status = tap.run(command)
    io.stdout:write("# ", out)
    tap.eq(err, "")
    tap.eq(status, 0)
  end)
end

math.randomseed(seed)
print("# seed " .. seed)
repeat run() until os.time() >= stop
