-- Keeps every CPU busy for some seconds: cluarun scripts/multicore.lua 5

local seconds = tonumber(arg[1]) or 5

local function count()
  local n, stop = 0, monotonic() + seconds
  while monotonic() < stop do
    for _ = 1, 10000 do n = n + 1 end
  end
  return n
end

local workers = {}
for i = 1, cpu_count() do workers[i] = Process { target = count }:start() end

local total = 0
for _, p in ipairs(workers) do
  local n = p:result()
  print(("%s counted to %d"):format(p.name, n)) --> Process-N counted to N
  total = total + n
end
print(("%d CPUs counted to %d"):format(#workers, total)) --> N CPUs counted to N
