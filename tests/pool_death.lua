-- Pool: workers that die, exit, take too long; initializers that fail.
local tap <close> = dofile "tests/lib/tap.lua"

local function double(x) return 2 * x end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function die(signal)
  kill(getpid(), signal or "KILL")
  sleep(100)
end

-- Asks how each item of an imap came out: values, and errors in their places.
local function outcomes(pool, f, list, options)
  local got, next_item = {}, pool:imap(f, list, options)
  for i = 1, #list do
    local ok, index, value = pcall(next_item)
    if ok then
      tap.eq(index, i)
      got[i] = value
    else
      got[i] = {lost = index}
    end
  end
  tap.eq(next_item(), nil)
  return got
end

tap.test("the task is lost, its text names pid and signal", function()
  local pool <close> = Pool(2)
  for _, signal in ipairs {"KILL", "SEGV", "TERM", "INT"} do
    if signal == "SEGV" and tap.sanitizer then goto next end -- it has its own
    local note = Value ""
    local err = tap.fails(WorkerLost, pool.apply, pool, function()
      note.value = tostring(getpid())
      die(signal)
    end)
    tap.ok(tostring(err):find("(pid " .. note.value .. ") was killed by signal",
      1, true), err)
    tap.ok(tostring(err):find("(SIG" .. signal .. ")", 1, true), err)
    ::next::
  end
  tap.eq(pool:map(double, {1, 2, 3}), {2, 4, 6})
end)

tap.test("os.exit", function()
  local pool <close> = Pool(2)
  for _, code in ipairs {0, 3} do
    local err = tap.fails(WorkerLost, pool.apply, pool, os.exit, {code})
    tap.ok(tostring(err):find("was left by os.exit(" .. code .. ")", 1, true))
  end
  tap.eq(pool:apply(double, {4}), 8)
end)

tap.test("only the item in work is lost, whatever the chunks", function()
  local pool <close> = Pool(2)
  local runs = Array(60)
  local function f(i)
    runs[i] = runs[i] + 1
    if i % 20 == 7 then die() end
    return i
  end
  for size = 1, 61, 6 do
    for i = 1, 60 do runs[i] = 0 end
    local got = outcomes(pool, f, numbers(60), size)
    for i = 1, 60 do
      tap.eq(runs[i], 1)
      if i % 20 == 7 then
        tap.ok(type(got[i]) == "table" and got[i].lost == WorkerLost)
      else
        tap.eq(got[i], i)
      end
    end
  end
end)

tap.test("map raises the first error, after the others are done", function()
  local pool <close> = Pool(2)
  local done = Value(0)
  local function f(i)
    if i == 3 then error("three", 0) end
    if i == 5 then die() end
    done:add(1)
  end
  for size = 1, 10, 4 do
    done.value = 0
    tap.fails("^three\nin Process PoolWorker", pool.map, pool, f, numbers(10),
      size)
    tap.eq(done.value, 8)
  end
  tap.fails(WorkerLost, pool.map, pool, function(i)
    if i == 2 then die() end
    if i == 9 then error "nine" end
  end, numbers(10), 1)
end)

tap.test("errors", function()
  local pool <close> = Pool(2)
  local err = tap.fails("pool_death.lua:%d+: oops\nin Process PoolWorker%-%d" ..
    " %(pid %d+%), stack traceback:\n\t%[C%]: in function 'error'\n\t" ..
    "tests/pool_death.lua:%d+:", pool.apply, pool, function() error "oops" end)
  tap.ok(not err:find "xpcall" and not err:find "poolworker", err)
  tap.fails(Empty, pool.apply, pool, function() error(Empty) end)
  tap.eq(select(2, pcall(pool.apply, pool, function() error {1, 2} end)),
    {1, 2})
  tap.eq(select(2, pcall(pool.apply, pool, function() error() end)), nil)
  tap.fails("attempt to call a nil value", pool.apply, pool, function()
    return _G.unknown_function()
  end)
end)

tap.test("an idle worker that is killed is replaced", function()
  local pool <close> = Pool(2)
  local barrier = Barrier(2)
  local function pids()
    return pool:map(function()
      barrier:wait()
      return getpid()
    end, {1, 2}, 1)
  end
  for _ = 1, 5 do
    local before = pids()
    for _, pid in ipairs(before) do kill(pid, "KILL") end
    local after = pids()
    for _, pid in ipairs(after) do
      tap.ok(pid ~= before[1] and pid ~= before[2])
    end
  end
end)

tap.test("it is replaced also when nobody calls in", function()
  local pool <close> = Pool(2)
  pool:map(double, {1, 2}, 1)
  local function workers()
    local set, n = {}, 0
    for _, p in ipairs(active_children()) do set[p.pid], n = true, n + 1 end
    return set, n
  end
  local before = workers()
  for pid in pairs(before) do kill(pid, "KILL") end
  tap.eventually(30, function()
    sleep(0.001)
    local now, n = workers()
    for pid in pairs(before) do if now[pid] then return false end end
    return n == 2
  end)
end)

tap.test("results that were laid down before the death count", function()
  local pool <close> = Pool(1)
  local result = pool:map_async(function(i)
    if i == 500 then die() end
    return i
  end, numbers(1000), 1000)
  tap.fails(WorkerLost, result.get, result)
  local got = outcomes(pool, function(i)
    if i == 500 then die() end
    return i
  end, numbers(1000), 1000)
  for i = 1, 1000 do
    if i ~= 500 and got[i] ~= i then tap.eq(got[i], i) end
  end
end)

tap.test("timeout", function()
  local pool <close> = Pool(2)
  tap.fails(TimeoutError, pool.apply, pool, sleep, {100}, {timeout = 0.05})
  tap.fails(TimeoutError, pool.apply, pool, function() while true do end end,
    {}, {timeout = 0.05})
  tap.eq(pool:apply(double, {1}, {timeout = 60}), 2)
  tap.eq(pool:apply(double, {1}, {timeout = math.huge}), 2)
  local result = pool:apply_async(sleep, {100}, nil, nil, {timeout = 0.05})
  tap.fails(TimeoutError, result.get, result)
  result = pool:apply_async(sleep, {100}, {timeout = 0.05})
  tap.fails(TimeoutError, result.get, result)
end)

tap.test("timeout: the rest of the chunk goes on", function()
  local pool <close> = Pool(2)
  local runs = Array(20)
  local got = outcomes(pool, function(i)
    runs[i] = runs[i] + 1
    if i == 4 or i == 5 then sleep(100) end
    return i
  end, numbers(20), {chunksize = 10, timeout = 0.2})
  for i = 1, 20 do
    tap.eq(runs[i], 1)
    if i == 4 or i == 5 then
      tap.eq(got[i].lost, TimeoutError)
    else
      tap.eq(got[i], i)
    end
  end
  tap.fails(TimeoutError, pool.map, pool, function(i)
    if i == 4 then sleep(100) end
  end, numbers(20), {chunksize = 10, timeout = 0.2})
end)

tap.test("timeout also while nobody calls in", function()
  local pool <close> = Pool(1)
  local said = Queue()
  pool:apply_async(sleep, {100}, nil, function(e) said:put(e) end,
    {timeout = 0.05})
  tap.eq(said:get(true, 60), TimeoutError)
end)

tap.test("an initializer that fails, exits or dies stops the pool", function()
  local function first_call(initializer)
    local ok, err = pcall(function()
      local pool = Pool {processes = 2, initializer = initializer}
      for _ = 1, 1000 do
        pool:apply(math.abs, {1})
        sleep(0.01)
      end
    end)
    tap.eq(ok, false)
    return err
  end
  tap.ok(first_call(function() error "no luck" end):find "no luck")
  tap.eq(first_call(function() error(Full) end), Full)
  local err = first_call(function() os.exit(7) end)
  tap.eq(err, WorkerLost)
  tap.ok(tostring(err):find "left by os.exit%(7%)")
  err = first_call(die)
  tap.eq(err, WorkerLost)
  tap.ok(tostring(err):find "SIGKILL")
end)

tap.test("a pool that was stopped by its initializer", function()
  local pool = Pool {processes = 2, initializer = function() error "bad" end}
  pcall(pool.map, pool, double, numbers(100), 1)
  tap.fails("bad", pool.map, pool, double, {1})
  pool:close()
  pool:join()
  tap.eq(#active_children(), 0)
end)

tap.test("a worker killed while it takes arguments or leaves one", function()
  local pool <close> = Pool(4)
  local big = ("x"):rep(200000)
  local lost, good = 0, 0
  for _ = 1, 10 do
    local results = {}
    for i = 1, 20 do
      results[i] = pool:apply_async(function(s) return s, getpid() end, {big})
    end
    for i, p in ipairs(active_children()) do
      if i % 2 == 0 then p:kill() end
    end
    for i = 1, 20 do
      local ok, s = pcall(results[i].get, results[i])
      if ok then
        good = good + 1
        tap.ok(s == big)
      else
        lost = lost + 1
        tap.eq(s, WorkerLost)
      end
    end
  end
  tap.eq(good + lost, 200)
  tap.ok(lost <= 20)
end)

tap.test("nothing is left", function()
  collectgarbage()
  tap.eventually(30, function() return #active_children() == 0 end)
end)
