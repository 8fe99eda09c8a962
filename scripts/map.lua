-- Counts primes with every CPU, and says what that gained:
-- cluarun scripts/map.lua 2000000

local limit = tonumber(arg[1]) or 2000000
local step = limit // 64 + 1

local function count_primes(first)
  local n = 0
  for i = math.max(first, 2), math.min(first + step - 1, limit) do
    local prime = i == 2 or i % 2 == 1
    for d = 3, math.floor(i ^ 0.5), 2 do
      if not prime or i % d == 0 then
        prime = false
        break
      end
    end
    if prime then n = n + 1 end
  end
  return n
end

local parts = {}
for first = 1, limit, step do parts[#parts + 1] = first end

local function measure(workers)
  local pool <close> = Pool(workers)
  local begin, sum = monotonic(), 0
  local options = { chunksize = 1, progress = true }
  local counts = pool:map(count_primes, parts, options)
  for _, n in ipairs(counts) do sum = sum + n end
  return sum, monotonic() - begin
end

local found, alone = measure(1)
local again, together = measure(cpu_count())
assert(found == again)
print(("%d primes up to %d"):format(found, limit)) --> N primes up to N
print(("1 worker: %.2f s, %d workers: %.2f s, %.2f times as fast"):format(
  alone, cpu_count(), together, alone / together))
--> 1 worker: N.N s, N workers: N.N s, N.N times as fast
