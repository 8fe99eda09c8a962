-- Pool: what its calls do.
local tap <close> = dofile "tests/lib/tap.lua"

local function double(x) return 2 * x end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

tap.test("apply", function()
  local pool <close> = Pool(2)
  local function f(...) return select("#", ...), ... end
  tap.eq(pool:apply(getpid) ~= getpid(), true)
  tap.eq(table.pack(pool:apply(f, {1, "two", {3}})),
    {3, 1, "two", {3}, n = 4})
  tap.eq(table.pack(pool:apply(f, table.pack(nil, 2, nil))),
    {3, nil, 2, nil, n = 4})
  tap.eq(table.pack(pool:apply(f)), {0, n = 1})
  tap.eq(table.pack(pool:apply(function() end)), {n = 0})
  tap.eq(pool:apply(string.upper, {"abc"}), "ABC")
  tap.eq(pool:apply(math.max, {1, 5, 3}), 5)
end)

tap.test("map", function()
  local pool <close> = Pool(3)
  local list = numbers(1000)
  for _, size in ipairs {1, 3, 7, 1000, 5000} do
    local got = pool:map(double, list, size)
    tap.eq(#got, 1000)
    for i = 1, 1000 do
      if got[i] ~= 2 * i then tap.eq(got[i], 2 * i, "at " .. i) end
    end
  end
  tap.eq(pool:map(double, {}), {})
  tap.eq(pool:map(double, {21}), {42})
  tap.eq(pool:map(double, numbers(9)), {2, 4, 6, 8, 10, 12, 14, 16, 18})
  tap.eq(pool:map(tostring, {1.5, true, "x"}), {"1.5", "true", "x"})
end)

tap.test("map of a long list", function()
  local pool <close> = Pool(2)
  local n, shared = 20000, {}
  local list = numbers(n)
  for i = 3, n, 3 do list[i] = {i, shared, shared} end
  for i = 7, n, 7 do list[i] = nil end
  list.n = n
  local function look(x)
    if type(x) ~= "table" then return x end
    return x[2] == x[3] and -x[1]
  end
  local ways = {
    function() return pool:map(look, list) end,
    function() return pool:map(look, list, 9000) end,
    function() return pool:map_async(look, list):get() end,
    function()
      return pool:map(look, setmetatable({n = n}, {__index = list}))
    end
  }
  for way, map in ipairs(ways) do
    local got = map()
    tap.eq(got.n, n)
    for i = 1, n do
      local want = i % 7 ~= 0 and (i % 3 == 0 and -i or i) or nil
      if got[i] ~= want then
        tap.eq(got[i], want, ("at %d, way %d"):format(i, way))
      end
    end
  end
  list[9999] = coroutine.create(print)
  tap.fails("cannot send a coroutine %(at %[9999%]%)$", pool.map, pool, look,
    list)
  list[9999] = {{coroutine.create(print)}}
  tap.fails("cannot send a coroutine %(at %[9999%]%[1%]%[1%]%)$", pool.map,
    pool, look, list)
end)

tap.test("only the first result of an item counts; holes stay holes", function()
  local pool <close> = Pool(2)
  tap.eq(pool:map(function(x) return x, "more" end, {1, 2, 3}), {1, 2, 3})
  tap.eq(pool:map(function(x) if x ~= 2 then return x end end, {1, 2, 3}, 3),
    {1, nil, 3})
  tap.eq(pool:map(function(x) return x or "nil" end, table.pack(1, nil, 3)),
    {1, "nil", 3, n = 3})
end)

tap.test("starmap", function()
  local pool <close> = Pool(2)
  local function add(a, b) return a + (b or 100) end
  tap.eq(pool:starmap(add, {{1, 2}, {3, 4}, {5}}), {3, 7, 105})
  tap.eq(pool:starmap(add, {{1, 2}, {3, 4}, {5}}, 3), {3, 7, 105})
  tap.eq(pool:starmap_async(add, {{1, 2}, {3, 4}}):get(), {3, 7})
  for _, p in ipairs {pool, ThreadPool(1)} do
    tap.fails("#2 to 'starmap' %(a list of arguments expected at %[2%], " ..
      "got number", p.starmap, p, add, {{1, 2}, 3})
  end
end)

tap.test("a chunk is done by one worker, one item after the other", function()
  local pool <close> = Pool(4)
  local pids = pool:map(function() return getpid() end, numbers(40), 10)
  for first = 1, 40, 10 do
    for i = first, first + 9 do tap.eq(pids[i], pids[first]) end
  end
end)

tap.test("all workers take part", function()
  local pool <close> = Pool(4)
  local barrier = Barrier(4)
  local pids = pool:map(function()
    barrier:wait()
    return getpid()
  end, numbers(4), 1)
  local seen, n = {}, 0
  for _, pid in ipairs(pids) do
    if not seen[pid] then n = n + 1 end
    seen[pid] = true
  end
  tap.eq(n, 4)
end)

tap.test("a list may be anything with a length", function()
  local pool <close> = Pool(2)
  tap.eq(pool:map(double, Array {1, 2, 3}), {2, 4, 6})
  local view = setmetatable({}, {
    __len = function() return 3 end, __index = function(_, i) return 10 * i end
  })
  tap.eq(pool:map(double, view), {20, 40, 60})
end)

tap.test("results and arguments of all sizes", function()
  local pool <close> = Pool(2)
  for _, size in ipairs {0, 1, 100, 4000, 4095, 4096, 4097, 16000, 20000, 3e6}
  do
    local n = math.tointeger(size)
    local text = pool:apply(string.rep, {"x", n})
    tap.eq(#text, n)
    tap.eq(pool:apply(function(s) return #s end, {text}), n)
  end
  local list = pool:map(function(i)
    return i % 3 == 0 and ("y"):rep(50000) or i % 3 == 1 and {i, {i}} or i
  end, numbers(300))
  for i = 1, 300 do
    tap.eq(list[i],
      i % 3 == 0 and ("y"):rep(50000) or i % 3 == 1 and {i, {i}} or i)
  end
end)

tap.test("more results than fit at once, and nobody looks", function()
  local pool <close> = Pool(2)
  local result = pool:map_async(function(i)
    return ("%d"):format(i):rep(100)
  end, numbers(5000))
  local list = result:get()
  for i = 1, 5000 do
    if list[i] ~= tostring(i):rep(100) then tap.ok(false, "item " .. i) end
  end
end)

tap.test("functions are as they were at the call", function()
  local pool <close> = Pool(2)
  local n, t = 1, {value = 1}
  local function plain() return n end
  local function deep() return t.value end
  local function nested() return plain() + deep() end
  for i = 1, 5 do
    n, t.value = i, 10 * i
    tap.eq(pool:apply(plain), i)
    tap.eq(pool:apply(deep), 10 * i)
    tap.eq(pool:apply(nested), 11 * i)
    tap.eq(pool:map(plain, {1, 2, 3}, 1), {i, i, i})
    tap.eq(pool:map(nested, {1, 2, 3}, 1), {11 * i, 11 * i, 11 * i})
  end
  local results = {}
  for i = 1, 200 do
    n, t.value = i, -i
    results[i] = {pool:apply_async(plain), pool:apply_async(deep)}
  end
  for i = 1, 200 do
    tap.eq({results[i][1]:get(), results[i][2]:get()}, {i, -i})
  end
end)

tap.test("what a task makes of its upvalues does not reach the next", function()
  local pool <close> = Pool(1)
  local n = 0
  local function count()
    n = n + 1
    return n
  end
  for _ = 1, 3 do tap.eq(pool:apply(count), 1) end
  tap.eq(n, 0)
  tap.eq(pool:map(count, {1, 2, 3}), {1, 2, 3})
  tap.eq(pool:map(count, {1, 2, 3}, 1), {1, 2, 3})
end)

tap.test("recursive and many functions", function()
  local pool <close> = Pool(2)
  local function fib(i) return i < 2 and i or fib(i - 1) + fib(i - 2) end
  tap.eq(pool:map(fib, numbers(10)), {1, 1, 2, 3, 5, 8, 13, 21, 34, 55})
  local results = {}
  for i = 1, 1000 do
    results[i] = pool:apply_async(function() return i end)
  end
  for i = 1, 1000 do tap.eq(results[i]:get(), i) end
  for _ = 1, 1000 do tap.eq(pool:apply(function() return 7 end), 7) end
end)

tap.test("callable tables", function()
  local pool <close> = Pool(2)
  local object = setmetatable({by = 3}, {
    __call = function(self, x) return self.by * x end
  })
  tap.eq(pool:apply(object, {5}), 15)
  tap.eq(pool:map(object, {1, 2}), {3, 6})
end)

tap.test("workers see the globals of the moment of their making", function()
  _G.pool_test = "before"
  local pool <close> = Pool(2)
  _G.pool_test = "after"
  tap.eq(pool:apply(function() return _G.pool_test end), "before")
  _G.pool_test = nil
end)

tap.test("synchronisation objects can be sent", function()
  local pool <close> = Pool(2)
  local total, queue = Value(0), Queue()
  pool:map(function(i)
    total:add(i)
    queue:put(i)
  end, numbers(100))
  tap.eq(total.value, 5050)
  tap.eq(queue:qsize(), 100)
  local back = pool:apply(function(q) return q end, {queue})
  tap.eq(back, queue)
end)

tap.test("initializer and initargs", function()
  local pool <close> = Pool {
    processes = 2, initargs = table.pack(1, nil, 3),
    initializer = function(...) _G.given = table.pack(...) end
  }
  tap.eq(pool:apply(function() return _G.given end), {1, nil, 3, n = 3})
  tap.eq(_G.given, nil)
end)

tap.test("maxtasksperchild", function()
  local pool <close> = Pool {processes = 2, maxtasksperchild = 3}
  local count = {}
  for _, pid in ipairs(pool:map(function() return getpid() end, numbers(30), 1))
  do
    count[pid] = (count[pid] or 0) + 1
  end
  for _, n in pairs(count) do tap.ok(n <= 3) end
  local first = pool:map(function() return getpid() end, numbers(60), 10)
  local workers = {}
  for i = 1, 60 do workers[first[i]] = (workers[first[i]] or 0) + 1 end
  for _, n in pairs(workers) do tap.ok(n <= 30) end
end)

tap.test("nested pools, and pools in threads", function()
  local pool <close> = Pool(2)
  local sums = pool:map(function(n)
    local inner <close> = Pool(2)
    local sum = 0
    for _, v in ipairs(inner:map(function(x) return x * x end, {1, 2, n})) do
      sum = sum + v
    end
    return sum
  end, {3, 4})
  tap.eq(sums, {14, 21})
  local threads = {}
  for i = 1, 4 do
    threads[i] = Thread {target = function()
      local own <close> = Pool(2)
      return own:map(double, {i, i + 1})
    end}:start()
  end
  for i = 1, 4 do tap.eq(threads[i]:result(), {2 * i, 2 * i + 2}) end
end)

tap.test("many threads use one pool", function()
  local pool <close> = Pool(3)
  local threads = {}
  for i = 1, 6 do
    threads[i] = Thread {target = function()
      local sum = 0
      for k = 1, 30 do
        sum = sum + pool:apply(double, {k}) + #pool:map(double, {1, 2, 3}, 1)
        for _, v in pool:imap(double, {k}) do sum = sum + v end
      end
      return sum
    end}:start()
  end
  for i = 1, 6 do tap.eq(threads[i]:result(), 4 * 465 + 90) end
end)

tap.test("names and texts", function()
  local pool <close> = Pool(1)
  tap.eq(pool:apply(function() return current_process().name end),
    "PoolWorker-1")
  tap.eq(pool:apply(function() return current_process().daemon end), true)
  tap.eq(tostring(pool), "<Pool open, 1 workers>")
end)

tap.test("a task that forks", function()
  local pool <close> = Pool(1)
  local pid = pool:apply(function()
    local child = fork()
    return child == 0 and "child" or child
  end)
  tap.eq(math.type(pid), "integer")
  tap.eq(pool:apply(double, {4}), 8)
end)
