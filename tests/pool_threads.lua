-- ThreadPool: the interface of Pool on threads of this state.
local tap <close> = dofile "tests/lib/tap.lua"

local function double(x) return 2 * x end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

tap.test("calls", function()
  local pool <close> = ThreadPool(3)
  tap.eq(table.pack(pool:apply(function(...) return ... end,
    table.pack(nil, 2, nil))), {nil, 2, nil, n = 3})
  for _, size in ipairs {1, 7, 1000} do
    local list = pool:map(double, numbers(500), size)
    for i = 1, 500 do if list[i] ~= 2 * i then tap.eq(list[i], 2 * i) end end
  end
  tap.eq(pool:map(double, {}), {})
  tap.eq(pool:starmap(math.max, {{1, 2}, {4, 3}}), {2, 4})
  tap.eq(pool:starmap_async(math.max, {{1, 2}, {4, 3}}):get(), {2, 4})
  local n = 0
  for i, v in pool:imap(double, numbers(100), 3) do
    n = n + 1
    tap.eq({i, v}, {n, 2 * n})
  end
  tap.eq(n, 100)
  for i, v in pool:imap_unordered(double, numbers(100)) do
    n = n - 1
    tap.eq(v, 2 * i)
  end
  tap.eq(n, 0)
end)

tap.test("nothing is copied", function()
  local pool <close> = ThreadPool(2)
  local t, co = {}, coroutine.create(print)
  tap.eq(pool:apply(function(x) return rawequal(x, t), co end, {t}), true)
  pool:map(function(i) t[i] = getpid() end, numbers(10))
  for i = 1, 10 do tap.eq(t[i], getpid()) end
end)

tap.test("the threads work at the same time", function()
  local pool <close> = ThreadPool(4)
  local barrier = Barrier(4)
  local names = pool:map(function()
    barrier:wait()
    return current_thread().name
  end, numbers(4), 1)
  table.sort(names)
  for i = 1, 4 do tap.eq(names[i], "ThreadPoolWorker-" .. i) end
end)

tap.test("errors", function()
  local pool <close> = ThreadPool(2)
  local err = tap.fails("pool_threads.lua:%d+: oops\nin Thread " ..
    "ThreadPoolWorker%-%d, stack traceback:\n\t%[C%]: in function 'error'",
    pool.apply, pool, function() error "oops" end)
  tap.ok(not err:find "cluarun]", err)
  tap.fails(Empty, pool.map, pool, function(i)
    if i == 3 then error(Empty) end
  end, numbers(10))
  local next_item = pool:imap(function(i)
    if i == 2 then error("two", 0) end
    return i
  end, numbers(3))
  tap.eq({next_item()}, {1, 1})
  tap.fails("^two", next_item)
  tap.eq({next_item()}, {3, 3})
end)

tap.test("AsyncResult and callbacks", function()
  local pool = ThreadPool(2)
  local gate, calls = Event(), Queue()
  local result = pool:apply_async(function()
    gate:wait()
    return "done"
  end, {}, function(v) calls:put(v) end)
  tap.eq(result:ready(), false)
  tap.fails(TimeoutError, result.get, result, 0.01)
  gate:set()
  tap.eq(result:get(), "done")
  tap.eq(calls:get(true, 60), "done")
  pool:apply_async(error, {"x", 0}, nil, function(e) calls:put(e) end)
  tap.ok(calls:get(true, 60):find "^x")
  tap.eq(wait_any {pool:apply_async(double, {1})}[1]:get(), 2)
  pool:close()
  pool:join()
  tap.eq(#threads(), 1)
end)

tap.test("timeout: the item is interrupted, the rest goes on", function()
  local pool <close> = ThreadPool(2)
  tap.fails(TimeoutError, pool.apply, pool, function() while true do end end,
    {}, {timeout = 0.05})
  local next_item = pool:imap(function(i)
    if i == 3 then sleep(100) end
    return i
  end, numbers(6), {chunksize = 6, timeout = 0.3})
  for i = 1, 6 do
    if i == 3 then
      tap.fails(TimeoutError, next_item)
    else
      tap.eq({next_item()}, {i, i})
    end
  end
end)

tap.test("terminate: who waits gets WorkerLost, what runs is interrupted",
  function()
    local pool = ThreadPool(2)
    local begun, ended = Semaphore(0), Semaphore(0)
    local function f()
      local _ <close> = setmetatable({}, {
        __close = function() ended:release() end
      })
      begun:release()
      sleep(100)
    end
    local result = pool:map_async(f, numbers(5), 1)
    begun:acquire()
    begun:acquire()
    pool:terminate()
    tap.fails(WorkerLost, result.get, result)
    ended:acquire()
    ended:acquire()
    pool:join()
  end)

tap.test("initializer", function()
  local pool <close> = ThreadPool {
    processes = 2, initargs = {5},
    initializer = function(n) _G.INIT = (_G.INIT or 0) + n end
  }
  pool:map(double, {1, 2}, 1)
  tap.ok(_G.INIT == 5 or _G.INIT == 10)
  _G.INIT = nil
  local bad = ThreadPool {processes = 1, initializer = function()
    error "no luck"
  end}
  tap.fails("no luck", function()
    while true do bad:apply(double, {1}) end
  end)
  bad:close()
  bad:join()
end)

tap.test("a task that forks: the child ends with it", function()
  local pool <close> = ThreadPool(2)
  local said = Queue()
  local pid = pool:apply(function()
    local child = fork()
    if child == 0 then said:put(current_thread().name) end
    return child
  end)
  tap.eq({wait(pid, 60)}, {pid, "exit", 0})
  tap.ok(said:get():find "^ThreadPoolWorker")
  tap.eq(pool:apply(double, {2}), 4)
end)

tap.test("a pool that is collected ends", function()
  local function use(pool) pool:apply(double, {1}) end
  use(ThreadPool(2))
  tap.eventually(60, function()
    collectgarbage()
    sleep(0.001)
    return #threads() == 1
  end)
end)

tap.test("the script ends without close", function()
  local out, err, status = tap.lua [[
    P = ThreadPool(2)
    P:apply_async(sleep, {100})
    print(P:apply(math.abs, {-1}))
  ]]
  tap.eq({out, err, status}, {"1\n", "", 0})
end)

tap.test("bad lists of arguments", function()
  local pool <close> = ThreadPool(1)
  local list = setmetatable({}, {__len = function() error("len!", 0) end})
  tap.fails("^len!", pool.apply, pool, print, list)
  local far = setmetatable({}, {__len = function() return 1 << 40 end})
  tap.fails("too many", pool.apply, pool, print, far)
end)

for _, make in ipairs {Pool, ThreadPool} do
  tap.test("bad numbers of arguments", function()
    local pool <close> = make(1)
    local function bad(argument, what, n)
      return ("bad argument #%d .*%s must be a number of arguments, got %s")
        :format(argument, what, n)
    end
    tap.fails(bad(2, "args[.]n", "%-1"), pool.apply, pool, print, {n = -1})
    tap.fails(bad(2, "args[.]n", "x"), pool.apply_async, pool, print, {n = "x"})
    tap.fails(bad(2, "args[.]n", "1"), pool.apply, pool, print, {n = 1e9})
    tap.fails(bad(2, "%[2%][.]n", "x"), pool.starmap, pool, print,
      {{1}, {n = "x"}})
    tap.fails(bad(1, "initargs[.]n", "1.5"), make,
      {processes = 1, initializer = print, initargs = {n = 1.5}})
  end)

  tap.test("the error of what a task has forked is reported", function()
    local out, err = tap.lua((make == Pool and "make = Pool\n"
      or "make = ThreadPool\n") .. [[
      local q = Queue()
      local function task(x)
        local pid = fork()
        if pid == 0 then error("in task " .. x) end
        return select(3, wait(pid))
      end
      local function initializer() q:put(task "I") end
      local pool <close> = make {processes = 1, initializer = initializer}
      print(q:get(), pool:apply(task, {"T"}))
      pool:apply_async(math.abs, {1}, function() q:put(task "C") end)
      print(q:get())
    ]])
    tap.eq(out, "1\t1\n1\n")
    for _, which in ipairs {"I", "T", "C"} do
      local _, n = err:gsub("in task " .. which, "")
      tap.eq(n, 1, err)
    end
  end)
end
