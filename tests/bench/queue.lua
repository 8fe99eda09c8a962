-- queue.lua KIND PRODUCERS CONSUMERS N: N messages through a Queue, from
-- process to process. The first consumer is the process that started the
-- others. Of the big ones the first few do not count: they touch the pages.

local values = {
  int = 7,
  string = ("x"):rep(100),
  table = {id = 1, name = "abc", list = {1, 2, 3}},
  big = ("x"):rep(1000000),
}

local kind = arg[1]
local producers, consumers = tonumber(arg[2]), tonumber(arg[3])
local wanted = tonumber(arg[4])
local share = producers * consumers
local n = (wanted + share - 1) // share * share

-- Of the big ones not all of a sample's should be in memory at once.
local q = Queue(kind == "big" and 8 or 0)
local warm = kind == "big" and 16 or 0 -- from each producer to each consumer
local ready, gate = Queue(), Queue()

local function begin_together()
  ready:put(true)
  gate:get()
end

local function produce()
  local value = values[kind]
  for _ = 1, warm * consumers do
    q:put(value)
  end
  begin_together()
  for _ = 1, n // producers do
    q:put(value)
  end
end

local function take(count)
  for _ = 1, count do
    q:get()
  end
end

local function consume()
  take(warm * producers)
  begin_together()
  take(n // consumers)
end

local list = {}
for i = 1, producers + consumers - 1 do
  local role = i <= producers and produce or consume
  list[i] = Process{target = role}:start()
end
take(warm * producers)
for _ = 1, #list do
  ready:get()
end
local begin = monotonic()
for _ = 1, #list do
  gate:put(true)
end
take(n // consumers)
for _, p in ipairs(list) do
  p:join()
end
print((monotonic() - begin) * wanted / n)
