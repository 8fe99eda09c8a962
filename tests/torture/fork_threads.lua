-- fork_threads.lua [SECONDS]: children of the main thread and of others of a
-- busy program, by fork and as Process, for so long; else 10,000 in a row.
local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local busy = dofile "tests/lib/busy.lua"

local seconds = tonumber(arg[1])
local stop = monotonic() + (seconds or math.huge)
local most = seconds and math.huge or 10000
local forks, good = 0, true

local function next_one()
  if not good or forks >= most or monotonic() > stop then return false end
  forks = forks + 1
  return true
end

-- One child by fork, one as Process, in turns; each must find itself in order.
local function fork_all()
  local name = current_thread().name
  while next_one() do
    if forks % 2 == 0 then
      local code = proc.status(busy.child(busy.check, name), 120)
      good = tap.eq(code, 0, "fork in " .. name) and good
    else
      local p = Process { target = busy.check, args = { name } }:start()
      good = tap.eq(p:result(120), 0, "Process in " .. name) and good
      good = tap.eq(p.exitcode, 0, "exit code in " .. name) and good
    end
  end
end

tap.test("children of a busy program", function()
  busy.busily(function()
    local list = {}
    for i = 1, 2 do
      list[i] = Thread { target = fork_all, name = "Forker-" .. i }:start()
    end
    fork_all()
    for i = 1, 2 do list[i]:result() end
  end)
end)
print(("# %d children"):format(forks))
