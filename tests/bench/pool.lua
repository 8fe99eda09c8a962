-- pool.lua KIND WORKERS N [threads]: N tasks that do nothing, by KIND: "async"
-- (apply_async for all, then get for all), "turns" (apply_async and get, one
-- after the other), "map1" (chunks of 1), "map" (the default),
-- "unordered" (imap_unordered). "make": N pools
-- are made and joined. "compute": N tasks that compute for some milliseconds.

local kind, workers, n = arg[1], tonumber(arg[2]), tonumber(arg[3])
local new = arg[4] == "threads" and ThreadPool or Pool

local function target(x)
  return x
end

local function compute()
  local sum = 0
  for i = 1, 300000 do
    sum = sum + i % 7
  end
  return sum
end

local list = {}
if kind ~= "make" then
  for i = 1, n do
    list[i] = i
  end
end

local run = {}

function run.async(pool)
  local results = {}
  for i = 1, n do
    results[i] = pool:apply_async(target, {i})
  end
  for i = 1, n do
    results[i]:get()
  end
end

function run.turns(pool)
  for i = 1, n do
    pool:apply_async(target, {i}):get()
  end
end

function run.map1(pool)
  pool:map(target, list, 1)
end

function run.map(pool)
  pool:map(target, list)
end

function run.unordered(pool)
  local count = 0
  for _ in pool:imap_unordered(target, list) do
    count = count + 1
  end
  assert(count == n)
end

function run.compute(pool)
  pool:map(compute, list, 1)
end

function run.make()
  for _ = 1, n do
    local pool = new(workers)
    pool:close()
    pool:join()
  end
end

local pool = kind ~= "make" and new(workers)
if pool then
  pool:map(target, {1, 2, 3, 4}, 1)
end
local begin = monotonic()
run[kind](pool)
print(monotonic() - begin)
if pool then
  pool:terminate()
end
