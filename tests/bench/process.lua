-- process.lua KIND N: processes that do nothing. KIND is "start" (start and
-- join, one after the other), "fork" (fork and wait), "many" (start all, join
-- all), or "size": prints the KiB of private and shared memory that such a
-- program has, for the peer that shall be as big.

local function target()
end

local function start_join(n)
  for _ = 1, n do
    local p = Process{target = target}
    p:start()
    p:join()
  end
end

local function fork_wait(n)
  for _ = 1, n do
    local pid = fork()
    if pid == 0 then
      os.exit(0)
    end
    wait(pid)
  end
end

local function many(n)
  local list = {}
  for i = 1, n do
    list[i] = Process{target = target}:start()
  end
  for i = 1, n do
    list[i]:join()
  end
end

local function size()
  local status
  start_join(20)
  for line in io.lines("/proc/self/status") do
    status = (status or "") .. line .. "\n"
  end
  print(status:match("RssAnon:%s*(%d+)"), status:match("RssShmem:%s*(%d+)"))
  os.exit(0)
end

local kinds = {start = start_join, fork = fork_wait, many = many, size = size}
local run, n = kinds[arg[1]], tonumber(arg[2])
local begin = monotonic()
run(n)
print(monotonic() - begin)
