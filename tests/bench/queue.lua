-- queue.lua KIND PRODUCERS CONSUMERS N: N messages through a Queue, from
-- process to process. The first consumer is the process that started the
-- others.

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
local ready, gate = Queue(), Queue()

local function begin_together()
  ready:put(true)
  gate:get()
end

local function produce()
  local value = values[kind]
  begin_together()
  for _ = 1, n // producers do
    q:put(value)
  end
end

local function take()
  for _ = 1, n // consumers do
    q:get()
  end
end

local function consume()
  begin_together()
  take()
end

local list = {}
for i = 1, producers + consumers - 1 do
  local role = i <= producers and produce or consume
  list[i] = Process{target = role}:start()
end
for _ = 1, #list do
  ready:get()
end
local begin = monotonic()
for _ = 1, #list do
  gate:put(true)
end
take()
for _, p in ipairs(list) do
  p:join()
end
print((monotonic() - begin) * wanted / n)
