-- steady.lua SECONDS [CAMPAIGN]: one process lives through many rounds of each
-- kind of work; at the end it takes as much memory of its own, shared memory,
-- descriptors, threads and children as after the first rounds.
local tap <close> = dofile "tests/lib/tap.lua"

local seconds = tonumber(arg[1]) or 10
local WARM = 0.3 -- part of the time: what is kept for later use comes first
-- KiB that may come and go: OS threads that wait for use, and malloc's arenas.
local ROOM = 4096 -- twice that under a sanitizer

local function target(x) return x and x * 2 or 7 end

local campaigns = {}

function campaigns.processes()
  local list = {}
  for i = 1, 5 do
    list[i] = Process { target = target, args = { i } }:start()
  end
  list[5]:kill()
  for i = 1, 4 do assert(list[i]:result(60) == 2 * i) end
  list[5]:join()
end

-- Children that fork, of whom some are killed at once, with all below them.
function campaigns.storm()
  local function grow(depth)
    if depth == 0 then return end
    for i = 1, 3 do
      local p = Process { target = grow, args = { depth - 1 }, daemon = true }
      p:start()
      if i == 2 then p:kill() end
      p:join()
    end
  end
  grow(2)
end

function campaigns.forks()
  local q, pids = Queue(), {}
  for i = 1, 8 do
    pids[i] = fork()
    if pids[i] == 0 then
      q:put(("x"):rep(1000 * i))
      os.exit(0)
    end
  end
  for i = 1, 8 do
    if i % 3 == 0 then kill(pids[i], "KILL") end
    wait(pids[i])
  end
end

function campaigns.threads()
  local q, list = Queue(), {}
  for i = 1, 20 do
    list[i] = Thread { target = function()
      q:put { i, ("x"):rep(100) }
    end }:start()
  end
  for _ = 1, 20 do assert(#q:get()[2] == 100) end
  for i = 1, 20 do list[i]:join() end
end

function campaigns.pools()
  local pool = Pool(3)
  local list = {}
  for i = 1, 200 do list[i] = i end
  for i, v in ipairs(pool:map(target, list, 7)) do assert(v == 2 * i) end
  assert(not pcall(pool.apply, pool, os.exit, { 3 }))
  pool:close()
  pool:join()
  local crew = ThreadPool(3)
  assert(#crew:map(target, list) == 200)
  crew:close()
  crew:join()
end

function campaigns.messages()
  local q, a, b = Queue(), Pipe()
  for i = 1, 100 do q:put { i, q = { ("y"):rep(i * 100) }, target } end
  for i = 1, 100 do assert(q:get()[1] == i) end
  a:send(Queue())
  assert(b:recv():qsize() == 0)
  for _ = 1, 20 do
    Queue():put(("z"):rep(50000)) -- goes with its message
    Value(1):add(1)
    RLock()
    Event():set()
  end
end

-- KiB of its own, KiB of shared memory, descriptors.
local function usage()
  collectgarbage()
  collectgarbage()
  local f <close> = assert(io.open "/proc/self/status")
  local text = f:read "a"
  local fds = 0
  local ls <close> = assert(io.popen("ls /proc/" .. getpid() .. "/fd"))
  for _ in ls:lines() do fds = fds + 1 end
  return tonumber(text:match "RssAnon:%s*(%d+)"),
    tonumber(text:match "RssShmem:%s*(%d+)"), fds
end

local function none_left()
  return tap.eventually(30, function()
    return #threads() == 1 and #active_children() == 0
  end)
end

local function endure(name, share)
  local round, n = campaigns[name], 0
  local begun = monotonic()
  repeat round() until monotonic() >= begun + share * WARM
  none_left()
  local own, shared, fds = usage()
  repeat
    round()
    n = n + 1
  until monotonic() >= begun + share
  none_left()
  local own_now, shared_now, fds_now = usage()
  local room = tap.sanitizer and 2 * ROOM or ROOM
  print(("# %s: %d rounds, own %d -> %d KiB, shared %d -> %d KiB"):format(name,
    n, own, own_now, shared, shared_now))
  tap.ok(own_now <= own + room, "memory of its own grows")
  tap.ok(shared_now <= shared + room, "shared memory grows")
  tap.eq(fds_now, fds, "descriptors")
end

local names = {}
for name in pairs(campaigns) do
  if not arg[2] or arg[2] == name then names[#names + 1] = name end
end
table.sort(names)
for _, name in ipairs(names) do
  tap.test(name .. " as at its start", endure, name, seconds / #names)
end
