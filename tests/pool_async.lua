-- Pool: AsyncResult, callbacks, imap.
local tap <close> = dofile "tests/lib/tap.lua"

local function double(x) return 2 * x end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

tap.test("get, wait, ready, successful", function()
  local pool <close> = Pool(2)
  local gate = Event()
  local result = pool:apply_async(function(x)
    gate:wait()
    return x, x + 1
  end, {1})
  tap.eq(result:ready(), false)
  tap.eq(result:wait(0.01), false)
  tap.eq(result:wait(-1), false)
  tap.fails(TimeoutError, result.get, result, 0.01)
  tap.eq(tostring(result), "<AsyncResult pending>")
  gate:set()
  tap.eq({result:get()}, {1, 2})
  tap.eq({result:get(0)}, {1, 2})
  tap.eq(result:wait(), true)
  tap.eq(result:ready(), true)
  tap.eq(result:successful(), true)
  tap.eq(tostring(result), "<AsyncResult ready>")
  result = pool:apply_async(error, {"no", 0})
  tap.fails("^no\nin Process", result.get, result)
  tap.eq(result:successful(), false)
  tap.eq(tostring(result), "<AsyncResult failed>")
  tap.eq(pool:map_async(double, {1, 2, 3}):get(), {2, 4, 6})
end)

tap.test("the list may change after map_async", function()
  local pool <close> = Pool(1)
  local gate = Event()
  local list = numbers(100)
  local result = pool:map_async(function(x)
    gate:wait()
    return x
  end, list, 1)
  for i = 1, 100 do list[i] = 0 end
  gate:set()
  tap.eq(result:get(), numbers(100))
end)

tap.test("many at once", function()
  local pool <close> = Pool(3)
  local results = {}
  for i = 1, 3000 do results[i] = pool:apply_async(double, {i}) end
  for i = 3000, 1, -1 do
    local v = results[i]:get()
    if v ~= 2 * i then tap.eq(v, 2 * i) end
  end
end)

tap.test("work goes on while the caller computes or sleeps", function()
  local pool <close> = Pool(2)
  local done = Value(0)
  pool:map_async(function() done:add(1) end, numbers(2000), 1)
  tap.eventually(60, function()
    sleep(0.001)
    return done.value == 2000
  end)
  local result = pool:map_async(function() done:add(1) end, numbers(2000), 1)
  while done.value < 4000 do end
  result:wait()
end)

tap.test("wait_any", function()
  local pool <close> = Pool(2)
  local gate = Event()
  local slow = pool:apply_async(function() gate:wait() end)
  local quick = pool:apply_async(double, {1})
  tap.eq(wait_any {slow, quick}, {quick})
  tap.eq(wait_any({slow}, 0.01), {})
  gate:set()
  tap.eq(wait_any {slow}, {slow})
end)

tap.test("callbacks: in a thread of their own, in order of completion",
  function()
    local pool <close> = Pool(1)
    local calls, queue = {}, Queue()
    for i = 1, 50 do
      pool:apply_async(function(x) return x, -x end, {i}, function(a, b)
        calls[i] = {a, b, current_thread() ~= main_thread(), getpid()}
        queue:put(i)
      end)
    end
    for i = 1, 50 do
      tap.eq(queue:get(true, 60), i)
      tap.eq(calls[i], {i, -i, true, getpid()})
    end
    pool:map_async(double, {1, 2}, nil, function(list) queue:put(list) end)
    tap.eq(queue:get(true, 60), {2, 4})
    pool:map_async(error, {"x"}, 1, nil, function(e) queue:put(e) end)
    tap.ok(queue:get(true, 60):find "^x\nin Process")
  end)

tap.test("join waits for callbacks", function()
  local pool = Pool(2)
  local n = 0
  for _ = 1, 20 do
    pool:apply_async(double, {1}, function()
      sleep(0.001)
      n = n + 1
    end)
  end
  pool:close()
  pool:join()
  tap.eq(n, 20)
end)

tap.test("a callback may use the pool, close and join it", function()
  local pool = Pool(2)
  local queue = Queue()
  pool:apply_async(double, {1}, function(v)
    queue:put(pool:apply(double, {v}))
    pool:close()
    pool:join()
    queue:put "joined"
  end)
  tap.eq(queue:get(true, 60), 4)
  tap.eq(queue:get(true, 60), "joined")
  pool:join()
end)

tap.test("an error in a callback is reported and harms nothing", function()
  local out, err, status = tap.lua [[
    local pool = Pool(2)
    pool:apply_async(math.abs, {-1}, function() error "in callback" end)
    pool:apply_async(math.abs, {-2}, print)
    pool:close()
    pool:join()
  ]]
  tap.eq(out, "2\n")
  tap.ok(err:find "^Exception in thread PoolCallbacks:\n.*in callback\nstack",
    err)
  tap.eq(status, 0)
end)

tap.test("imap", function()
  local pool <close> = Pool(3)
  for size = 1, 30, 7 do
    local n = 0
    for i, v in pool:imap(double, numbers(100), size) do
      n = n + 1
      tap.eq({i, v}, {n, 2 * n})
    end
    tap.eq(n, 100)
    local seen, count = {}, 0
    for i, v in pool:imap_unordered(double, numbers(100), size) do
      tap.eq(v, 2 * i)
      tap.eq(seen[i], nil)
      seen[i], count = true, count + 1
    end
    tap.eq(count, 100)
  end
  for _ in pool:imap(double, {}) do tap.ok(false) end
end)

tap.test("imap: nil results, and several", function()
  local pool <close> = Pool(2)
  local n = 0
  for i, v in pool:imap(function() return nil end, numbers(10), 3) do
    n = n + 1
    tap.eq({i, v}, {n})
  end
  tap.eq(n, 10)
end)

tap.test("imap over an iterator reads ahead only as far as its window",
  function()
    local pool <close> = Pool(2)
    local read = 0
    local function forever()
      read = read + 1
      return read
    end
    local next_item = pool:imap(double, forever)
    for i = 1, 300 do
      tap.eq({next_item()}, {i, 2 * i})
      tap.ok(read <= i + 65, read)
    end
    read = 0
    next_item = pool:imap_unordered(double, forever, 10)
    for i = 1, 300 do
      next_item()
      tap.ok(read <= i + 10 * 17, read)
    end
  end)

tap.test("imap begins at once, and the window is filled", function()
  local pool <close> = Pool(2)
  local done = Value(0)
  local next_item = pool:imap(function() done:add(1) end, numbers(10))
  tap.eventually(60, function() return done.value == 10 end)
  tap.eq({next_item()}, {1, nil})
end)

tap.test("imap_unordered gives what is there", function()
  local pool <close> = Pool(2)
  local gate = Event()
  local function f(i)
    if i == 1 then gate:wait() end
    return i
  end
  local order = {}
  for i in pool:imap_unordered(f, {1, 2, 3}) do
    order[#order + 1] = i
    if #order == 2 then gate:set() end
  end
  tap.eq(order, {2, 3, 1})
end)

tap.test("errors in their places, and the iteration goes on", function()
  local pool <close> = Pool(2)
  local function f(i)
    if i % 2 == 0 then error("even", 0) end
    return i
  end
  for size = 1, 5 do
    local next_item = pool:imap(f, numbers(6), size)
    for i = 1, 6 do
      if i % 2 == 0 then
        tap.fails("^even", next_item)
      else
        tap.eq({next_item()}, {i, i})
      end
    end
    tap.eq(next_item(), nil)
    tap.eq(next_item(), nil)
  end
end)

tap.test("an error of the iterator comes at its place", function()
  local pool <close> = Pool(2)
  local i = 0
  local next_item = pool:imap(double, function()
    i = i + 1
    if i == 4 then error("broken", 0) end
    return i
  end, 2)
  for k = 1, 3 do tap.eq({next_item()}, {k, 2 * k}) end
  tap.fails("^broken$", next_item)
  tap.eq(next_item(), nil)
end)

tap.test("one begun before close may be read to its end", function()
  local pool = Pool(2)
  local next_item = pool:imap(double, numbers(500))
  pool:close()
  for i = 1, 100 do tap.eq({next_item()}, {i, 2 * i}) end
  pool:join()
  for i = 101, 500 do tap.eq({next_item()}, {i, 2 * i}) end
  tap.eq(next_item(), nil)
end)

-- Pools that were dropped, here or by a test before, are gone.
local function nobody_is_left()
  collectgarbage()
  collectgarbage()
  tap.eventually(30, function() return #active_children() == 0 end)
end

tap.test("an iterator function may be read on after join", function()
  nobody_is_left()
  local pool = Pool(2)
  local i = 0
  local next_item = pool:imap(double, function()
    i = i + 1
    if i <= 500 then return i end
  end)
  tap.eq({next_item()}, {1, 2})
  pool:close()
  pool:join()
  tap.ok(i < 500, "join read no further")
  tap.fails("closed", pool.apply, pool, double, {1})
  for k = 2, 500 do tap.eq({next_item()}, {k, 2 * k}) end
  tap.eq(next_item(), nil)
  pool:join()
  tap.eq(#active_children(), 0)
end)

tap.test("an iterator without an end is no obstacle to join", function()
  nobody_is_left()
  local pool = Pool(2)
  local i = 0
  local next_item, _, _, closer = pool:imap_unordered(double, function()
    i = i + 1
    return i
  end)
  next_item()
  pool:close()
  pool:join()
  getmetatable(closer).__close(closer)
  pool:join()
  tap.eq(#active_children(), 0)
  while next_item() do end
end)

tap.test("workers leave when what is not read yet is dropped", function()
  nobody_is_left()
  local function read_some()
    local pool = Pool(2)
    local next_item = pool:imap(double, function() return 1 end)
    tap.eq({next_item()}, {1, 2})
    pool:close()
    pool:join()
    tap.eq(#active_children(), 2)
    for _, worker in ipairs(active_children()) do worker:kill() end
    for i = 2, 100 do tap.eq({next_item()}, {i, 2}) end
  end
  read_some()
  nobody_is_left()
end)

tap.test("join waits for another thread that reads", function()
  local pool = Pool(2)
  local i, begun = 0, Event()
  local reader = Thread {target = function()
    local n = 0
    for _, v in pool:imap(double, function()
      i = i + 1
      if i <= 200 then return i end
    end) do
      begun:set()
      n = n + v
    end
    return n
  end}:start()
  begun:wait()
  pool:close()
  pool:join()
  tap.eq(reader:result(), 200 * 201)
end)

tap.test("one that is left early is no obstacle", function()
  local pool = Pool(2)
  for i in pool:imap(double, numbers(1000)) do
    if i == 1 then break end
  end
  local i = 0
  for _ in pool:imap_unordered(double, function()
    i = i + 1
    return i
  end) do
    if i > 10 then break end
  end
  pool:imap(double, function() return 1 end)
  collectgarbage()
  collectgarbage()
  tap.eq(pool:apply(double, {1}), 2)
  pool:close()
  pool:join()
end)

tap.test("terminate while one is read", function()
  local pool = Pool(2)
  local next_item = pool:imap(function(i)
    if i > 3 then sleep(100) end
    return i
  end, numbers(100))
  for i = 1, 3 do tap.eq({next_item()}, {i, i}) end
  pool:terminate()
  tap.fails(WorkerLost, next_item)
  tap.eq(next_item(), nil)
end)

tap.test("memory: a map holds little more than input and results", function()
  local pool <close> = Pool(2)
  local n = tap.sanitizer and 20000 or 200000
  local list = numbers(n)
  pool:map(double, list)
  collectgarbage()
  local before = collectgarbage "count"
  local result = pool:map(double, list)
  local after = collectgarbage "count"
  tap.ok(after - before < 4 * n * 16 / 1024, after - before)
  tap.eq(#result, n)
end)

for _, kind in ipairs {"Pool", "ThreadPool"} do
  local make = _G[kind]

  -- Reading the list says that it has begun, and lets the other one close.
  tap.test(kind .. ": closed while a list is being submitted", function()
    local pool <close> = make(2)
    local reading, closed = Event(), Event()
    local list = setmetatable({n = 3}, {__index = function(_, i)
      reading:set()
      closed:wait()
      return i
    end})
    local t = Thread{target = function()
      return pcall(pool.map_async, pool, tostring, list)
    end}:start()
    reading:wait()
    pool:close()
    pool:join()
    closed:set()
    local good, err = t:result()
    tap.eq(good, false)
    tap.ok(err:find "cannot map_async: the pool is closed", err)
  end)

  tap.test(kind .. ": an error in a list's __index is that call's", function()
    local pool <close> = make(2)
    local go = Event()
    local other = pool:apply_async(function() go:wait() return "fine" end)
    local list = setmetatable({n = 3}, {__index = function()
      error("boom", 0)
    end})
    for _, name in ipairs {"map", "map_async", "starmap"} do
      tap.eq({pcall(pool[name], pool, tostring, list)}, {false, "boom"}, name)
    end
    go:set()
    tap.eq(other:get(), "fine")
  end)

  tap.test(kind .. ": a list is taken as it is at the call", function()
    local pool <close> = make(1)
    local go = Event()
    pool:apply_async(function() go:wait() end)
    local array = Array(100)
    local result = pool:map_async(function(x) return x end, array, 1)
    for i = 1, 100 do array[i] = 7 end
    go:set()
    for _, x in ipairs(result:get()) do tap.eq(x, 0) end
  end)

  tap.test(kind .. ": a nil error comes to the callback as nil", function()
    local pool <close> = make(1)
    local q = Queue()
    local function tell(...) q:put{select("#", ...), (...)} end
    pool:map_async(function() error(nil, 0) end, {1}, 1, nil, tell)
    tap.eq(q:get(), {1})
  end)
end

tap.test("a callback that forks: the child runs no others", function()
  local out, err, status = tap.lua [[
    local pool = Pool(1)
    local main, q = getpid(), Queue()
    local gate = Event()
    pool:apply_async(function() gate:wait() end)
    for i = 1, 5 do
      pool:apply_async(function() return i end, {}, function(n)
        q:put { n, getpid() == main }
        local child = n == 1 and fork() or 0
        if child ~= 0 then wait(child) end
      end)
    end
    gate:set()
    pool:close()
    pool:join()
    while not q:empty() do print(table.unpack(q:get())) end]]
  tap.eq(err, "")
  tap.eq(status, 0)
  tap.eq(out, "1\ttrue\n2\ttrue\n3\ttrue\n4\ttrue\n5\ttrue\n")
end)

tap.test("a function that a worker cannot load: the same error each time",
  function()
  local pool <close> = Pool(1)
  package.preload.only_here = function()
    return {f = function() return 1 end}
  end
  local f = require "only_here".f
  for _ = 1, 3 do
    tap.fails("module 'only_here' not found", pool.apply, pool, f)
  end
end)

tap.test("callbacks go on when their thread is interrupted", function()
  tap.eq(tap.lua [[
    local pool, count = ThreadPool(1), 0
    local pest = Thread {target = function()
      for _ = 1, 100 do
        for _, t in ipairs(threads()) do
          if t.name == "ThreadPoolCallbacks" then t:interrupt "enough" end
        end
        sleep(1e-4)
      end
    end}:start()
    while pest:is_alive() do
      pool:apply_async(math.abs, {1}, function() count = count + 1 end):get()
    end
    pool:apply_async(math.abs, {1}, function() count = -1 end)
    pool:close()
    pool:join()
    print(count)
  ]], "-1\n")
end)

tap.test("many functions at once, each of its own", function()
  local pool <close> = Pool(2)
  local results = {}
  for i = 1, 3000 do
    results[i] = pool:apply_async(function() return i end)
  end
  for i = 1, 3000 do tap.eq(results[i]:get(), i) end
end)

tap.test("functions with long strings are not kept by the hundred", function()
  local pool <close> = Pool(1)
  for i = 1, 100 do
    local text = ("x"):rep(1000000) .. i
    tap.eq(pool:apply(function() return #text end), #text)
  end
  collectgarbage()
  tap.ok(collectgarbage "count" < 50 * 1024, collectgarbage "count")
end)
