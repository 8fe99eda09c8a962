-- late.lua KIND: how late a thread is that wakes while another one computes.
-- KIND is "sleep" (of 1 ms) or "pipe" (lines that another process writes every
-- 2 ms). Prints the 99th percentile in seconds. "write": that other process.

local TIMES = 500
local stopped = false

local function spin()
  local n = 0
  while not stopped do
    n = n + 1
  end
end

local function write()
  io.stdout:setvbuf("line")
  for _ = 1, TIMES do
    sleep(2e-3)
    io.write(("%.9f\n"):format(monotonic()))
  end
end

local function sleeps(late)
  for i = 1, TIMES do
    local begin = monotonic()
    sleep(1e-3)
    late[i] = monotonic() - begin - 1e-3
  end
end

local function reads(late)
  local pipe <close> = assert(io.popen(
    arg[-1] .. " tests/bench/late.lua write"))
  for line in pipe:lines() do
    late[#late + 1] = monotonic() - tonumber(line)
  end
end

if arg[1] == "write" then
  write()
  os.exit(0)
end

local late = {}
local spinner = Thread{target = spin}:start()
local kinds = {sleep = sleeps, pipe = reads}
kinds[arg[1]](late)
stopped = true
spinner:join()
assert(#late == TIMES)
table.sort(late)
print(late[TIMES * 99 // 100])
