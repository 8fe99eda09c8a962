-- Very many threads: at once, and one after the other.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

local ALIVE = 10000
local IN_TURN = tap.sanitizer and 20000 or 100000

-- Of /proc/self/status; memory is in KiB.
local function status(field)
  for line in io.lines "/proc/self/status" do
    local value = line:match("^" .. field .. ":%s*(%d+)")
    if value then return tonumber(value) end
  end
end

local function resident() return status "RssAnon" + status "RssShmem" end

-- May this process have that many threads? The least of all limits.
local function allowed()
  local least = math.huge
  for _, path in ipairs {
    "/proc/sys/kernel/threads-max", "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/pids/pids.max",
  } do
    local f = io.open(path)
    least = math.min(least, f and f:read "n" or math.huge)
    if f then f:close() end
  end
  local mine = tap.run "ulimit -u"
  return math.min(least, tonumber(mine) or math.huge)
end

local name = ALIVE .. " threads at once take at most 16 KiB each"
if tap.sanitizer then
  tap.skip(name, "sanitizers need more")
elseif allowed() < ALIVE + 2000 then
  tap.skip(name, "the system allows fewer")
else
  test(name, function()
    local go, here = Event(), Semaphore(0)
    local sum = 0
    local function wait_for_go(i)
      here:release()
      go:wait()
      sum = sum + i
    end
    collectgarbage()
    local before = resident()
    local list = {}
    for i = 1, ALIVE do
      list[i] = Thread { target = wait_for_go, args = { i } }:start()
    end
    for _ = 1, ALIVE do here:acquire() end
    eq(status "Threads", ALIVE + 1)
    eq(#threads(), ALIVE + 1)
    local each = (resident() - before) / ALIVE
    ok(each <= 16, ("%.1f KiB each"):format(each))
    io.stdout:write(("# %.1f KiB each\n"):format(each))
    go:set()
    for i = 1, ALIVE do list[i]:join() end
    eq(sum, ALIVE * (ALIVE + 1) // 2)
    eq(#threads(), 1)
  end)
end

test(IN_TURN .. " threads one after the other leave nothing", function()
  local sum = 0
  local function work(i)
    local own = { i }
    sum = sum + own[1]
  end
  local function turn(first, last)
    for i = first, last do
      local t = Thread { target = work, args = { i } }
      t:start()
      t:join()
    end
    collectgarbage()
    collectgarbage()
  end
  turn(1, IN_TURN // 10)
  local anon, shared = status "RssAnon", status "RssShmem"
  local heap = collectgarbage "count"
  turn(IN_TURN // 10 + 1, IN_TURN)
  eq(sum, IN_TURN * (IN_TURN + 1) // 2)
  eq(#threads(), 1)
  tap.eventually(10, function() return status "Threads" == 1 end)
  -- Pages are taken in lots; a word for each thread would be 700 KiB.
  anon, shared = status "RssAnon" - anon, status "RssShmem" - shared
  heap = collectgarbage "count" - heap
  io.stdout:write(("# growth: %d + %d KiB, Lua's heap %.1f KiB\n"):format(anon,
    shared, heap))
  ok(shared <= 128, shared .. " KiB of shared memory")
  ok(heap <= 64, heap .. " KiB of Lua's heap")
  if not tap.sanitizer then ok(anon <= 512, anon .. " KiB of memory") end
end)
