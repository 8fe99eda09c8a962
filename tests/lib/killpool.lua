--- Kills the workers of a pool at random while it works, and checks that
-- exactly the items that they had begun are lost.
local M = {}

-- Some are over at once, some take a while; `runs` says how often each ran.
local function work(i, runs)
  runs[i] = runs[i] + 1
  local until_then = monotonic() + (i % 4 == 0 and 0.001 or i % 3 * 0.00002)
  repeat until monotonic() >= until_then
  if i % 50 == 0 then return ("x"):rep(5000) .. i end
  return i * i
end

local function expected(i)
  if i % 50 == 0 then return ("x"):rep(5000) .. i end
  return i * i
end

-- Kills until it is told to stop or has killed n, with pauses of up to so many
-- seconds; notes whom.
local function start_killer(n, state, pause)
  return Thread {target = function()
    while state.kills < n and not state.stop do
      local list = {}
      for _, p in ipairs(active_children()) do
        if p.name:find "^PoolWorker" then list[#list + 1] = p end
      end
      local victim = #list > 0 and list[math.random(#list)].pid
      if victim then
        state.killed[victim] = true -- before others can see it dead
        if pcall(kill, victim, "KILL") then state.kills = state.kills + 1 end
      end
      sleep(math.random() * pause)
    end
  end}:start()
end

local function check_lost(tap, err, killed)
  tap.eq(err, WorkerLost)
  local pid = tostring(err):match "%(pid (%d+)%) was killed by signal 9 %(SIGKI"
  tap.ok(pid and killed[math.tointeger(pid)], tostring(err))
end

-- One map of all items; returns how many were lost.
local function round(tap, pool, list, size, runs, killed)
  local lost = 0
  for i = 1, #list do runs[i] = 0 end
  local function f(i) return work(i, runs) end
  local next_item = pool:imap(f, list, size)
  for i = 1, #list do
    local ok, index, value = pcall(next_item)
    if not ok then
      lost = lost + 1
      check_lost(tap, index, killed)
    elseif index ~= i or value ~= expected(i) then
      tap.eq({index, value}, {i, expected(i)})
      return lost -- all that follows is shifted
    end
    if runs[i] ~= 1 and (ok or runs[i] ~= 0) then tap.eq(runs[i], 1) end
  end
  tap.eq(next_item(), nil)
  return lost
end

--- n items in chunks of the sizes in turn on so many workers, until there were
-- that many kills, with pauses of up to 4 ms or so many seconds. Returns kills,
-- rounds and lost items.
function M.run(tap, n, workers, kills, sizes, pause)
  local list, runs = {}, Array(n)
  for i = 1, n do list[i] = i end
  local state = {kills = 0, killed = {}}
  local pool = Pool(workers)
  local killer = start_killer(kills, state, pause or 0.004)
  local rounds, lost = 0, 0
  repeat
    rounds = rounds + 1
    local size = sizes[rounds % #sizes + 1]
    lost = lost + round(tap, pool, list, size, runs, state.killed)
  until state.kills >= kills
  killer:join()
  M.check_whole(tap, pool, workers)
  pool:close()
  pool:join()
  tap.eq(#active_children(), 0)
  tap.ok(lost <= state.kills, lost)
  return state.kills, rounds, lost
end

--- All workers of the pool are there: they meet.
function M.check_whole(tap, pool, workers)
  local barrier, list, seen = Barrier(workers), {}, {}
  for i = 1, workers do list[i] = i end
  local pids = pool:map(function()
    barrier:wait()
    return getpid()
  end, list, 1)
  for _, pid in ipairs(pids) do
    tap.ok(not seen[pid])
    seen[pid] = true
  end
end

return M
