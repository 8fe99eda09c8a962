-- Pool and ThreadPool: misuse, and what cannot be sent. Each message names the
-- argument and says what was expected.
local tap <close> = dofile "tests/lib/tap.lua"

tap.test("what the script makes of its globals does no harm", function()
  local out, err = tap.lua [[
    local print, pairs, abs, Queue = print, pairs, math.abs, Queue
    local makers, names = {Pool, ThreadPool}, {}
    for name in pairs(_G) do names[name] = true end
    local globals = _G
    for name in pairs(names) do globals[name] = "the script's" end
    for _, make in pairs(makers) do
      local q = Queue()
      local pool <close> = make(2)
      print(#pool:map(abs, {-1, -2}))
      for i, v in pool:imap(abs, {-3}) do print(i, v) end
      pool:apply_async(abs, {-4}, function(x) q:put(x) end)
      print(q:get())
    end
  ]]
  tap.eq(err, "")
  tap.eq(out, ("2\n1\t3\n4\n"):rep(2))
end)

local function f() end

tap.test("making", function()
  for name, make in pairs {Pool = Pool, ThreadPool = ThreadPool} do
    for _, n in ipairs {0, -1, 1.5, 0 / 0, 1e9} do
      tap.fails("bad argument #1 to '" .. name ..
        "' %(processes must be a whole number from 1 to %d+, got ", make, n)
    end
    tap.fails("processes must be a whole number.*got string", make, "two")
    tap.fails("processes must be.*got 0", make, {processes = 0})
    tap.fails("unknown field 'workers'", make, {workers = 2})
    tap.fails("unknown field '1'", make, {2})
    tap.fails("initializer must be a function, got number", make,
      {initializer = 1})
    tap.fails("initargs must be a table, got string", make, {initargs = "x"})
    tap.fails("maxtasksperchild must be a whole number from 1 on, got 0", make,
      {maxtasksperchild = 0})
  end
end)

tap.test("positions", function()
  local _, err = pcall(function() Pool(0) end)
  tap.ok(err:find "^tests/pool_misuse.lua:%d+: bad argument #1 to 'Pool'", err)
  _, err = pcall(function() ThreadPool(0) end)
  tap.ok(err:find "^tests/pool_misuse.lua:%d+: bad argument #1 to 'Thr", err)
  local pool <close> = Pool(1)
  _, err = pcall(function() pool:map(nil, {}) end)
  tap.ok(err:find "^tests/pool_misuse.lua:%d+: bad argument #1 to 'map'", err)
  _, err = pcall(load("local pool = ... pool:map()", "@lua/mypool.lua"), pool)
  tap.ok(err:find "^lua/mypool.lua:1: bad argument #1 to 'map'", err)
  _, err = pcall(function() pool:apply_async(f):get(0 / 0) end)
  tap.ok(err:find "^tests/pool_misuse.lua:%d+: bad argument #1 to 'get'", err)
end)

local function misuse_of(pool)
  tap.fails("bad argument #5 to 'apply_async' %(nothing may follow the options",
    pool.apply_async, pool, f, {}, f, {timeout = 1}, {timeout = 2})
  tap.fails("bad argument #4 to 'apply_async' %(nothing may follow the options",
    pool.apply_async, pool, f, {}, {timeout = 1}, f)
  for _, name in ipairs {"apply", "apply_async", "map", "map_async", "starmap",
    "starmap_async", "imap", "imap_unordered"} do
    tap.fails("bad argument #1 to '" .. name ..
      "' %(function expected, got number%)", pool[name], pool, 1, {})
    tap.fails("bad argument #1 to '" .. name ..
      "' %(function expected, got no value%)", pool[name], pool)
  end
  for _, name in ipairs {"map", "map_async", "starmap", "starmap_async"} do
    tap.fails("bad argument #2 to '" .. name .. "' %(a list expected, got nu",
      pool[name], pool, f, 5)
  end
  tap.fails("#2 to 'imap' %(a list or an iterator function expected, got boo",
    pool.imap, pool, f, true)
  tap.fails("#2 to 'apply' %(a list of arguments expected, got number%)",
    pool.apply, pool, f, 5)
  for _, name in ipairs {"map", "starmap_async", "imap"} do
    local at = "bad argument #3 to '" .. name .. "' %("
    local function fails(text, options)
      tap.fails(at .. text, pool[name], pool, f, {1}, options)
    end
    fails("chunksize must be a whole number from 1 on, got 0", 0)
    fails("chunksize must be a whole number from 1 on, got %-2", -2)
    fails("chunksize must be a whole number from 1 on, got 2.5", 2.5)
    fails("chunksize must be a whole number from 1 on, got string", "2")
    fails("unknown field 'time'", {time = 1})
    fails("timeout must be a number of seconds, got NaN", {timeout = 0 / 0})
    fails("timeout must be a number.* got string", {timeout = "1"})
    fails("progress must be a boolean, got number", {progress = 1})
    fails("chunksize must be a whole number", {chunksize = 0})
  end
  tap.fails("#3 to 'apply_async' %(function expected, got string",
    pool.apply_async, pool, f, {}, "print")
  tap.fails("#5 to 'map_async' %(function expected, got number",
    pool.map_async, pool, f, {}, nil, nil, 5)
  tap.fails("#1 to 'map' %(%a*Pool expected, got table", pool.map, {}, f, {})
  tap.fails("cannot join a pool before it is closed", pool.join, pool)
end

tap.test("calls", function()
  local pool <close> = Pool(1)
  misuse_of(pool)
  local threads <close> = ThreadPool(1)
  misuse_of(threads)
end)

tap.test("after close and after terminate", function()
  for _, make in ipairs {Pool, ThreadPool} do
    local pool = make(1)
    pool:close()
    for _, name in ipairs {"apply", "apply_async", "map", "imap"} do
      tap.fails("cannot " .. name .. ": the pool is closed", pool[name], pool,
        f, {})
    end
    pool:close()
    pool:join()
    pool:join()
    pool = make(1)
    pool:terminate()
    tap.fails("cannot map: the pool is terminated", pool.map, pool, f, {1})
    pool:terminate()
    pool:close()
    pool:join()
    tap.fails("cannot map: the pool is terminated", pool.map, pool, f, {1})
  end
end)

tap.test("AsyncResult", function()
  local pool <close> = Pool(1)
  local gate = Event()
  local result = pool:apply_async(function() gate:wait() end)
  tap.fails("cannot say whether it was successful before it is ready",
    result.successful, result)
  for _, name in ipairs {"get", "wait"} do
    tap.fails("#1 to '" .. name ..
      "' %(timeout must be a number of seconds, got NaN", result[name], result,
      0 / 0)
    tap.fails("timeout must be a number of seconds, got string", result[name],
      result, "1")
    tap.fails("#1 to '" .. name .. "' %(AsyncResult expected, got table",
      result[name], {})
  end
  gate:set()
  result:wait()
  tap.eq(result:successful(), true)
end)

tap.test("arguments and functions that cannot be sent", function()
  local pool <close> = Pool(2)
  local co = coroutine.create(f)
  tap.fails("bad argument #2 to 'apply' %(cannot send a coroutine %(at %[2%]%)",
    pool.apply, pool, f, {1, co})
  tap.fails("#2 to 'apply_async' %(cannot send a coroutine %(at %[1%]%.h%)",
    pool.apply_async, pool, f, {{h = co}})
  tap.fails("#1 to 'apply' %(cannot send a coroutine %(at upvalue 'co'%)",
    pool.apply, pool, function() return co end)
  local t = {co = co}
  tap.fails("#1 to 'apply' %(cannot send a coroutine %(at upvalue 't'%.co%)",
    pool.apply, pool, function() return t end)
  tap.fails("#1 to 'map' %(cannot send a coroutine %(at upvalue 't'%.co%)",
    pool.map, pool, function() return t end, {1})
  tap.fails("cannot send a Pool %(at %[1%]%)", pool.apply, pool, f, {pool})
  local result = pool:apply_async(f)
  tap.fails("cannot send an AsyncResult %(at %[1%]%)", pool.apply, pool, f,
    {result})
  tap.fails("cannot send a file", pool.apply, pool, f, {io.stdout})
  local queue = Queue()
  tap.fails("cannot send a Pool", queue.put, queue, pool)
  tap.eq(pool:apply(math.abs, {-3}), 3)
end)

tap.test("methods called with a dot", function()
  local pool <close> = Pool(1)
  local result = pool:apply_async(f)
  for _, name in ipairs {"get", "wait", "ready", "successful"} do
    tap.fails("bad argument #1 to '" .. name .. "' %(AsyncResult expected, " ..
      "got nil; call it with a colon", result[name])
  end
  tap.fails("Pool expected, got function; call it with a colon", pool.apply, f)
end)

tap.test("an item that cannot be sent fails alone, and says where", function()
  local pool <close> = Pool(2)
  local done = Value(0)
  local function count(x)
    done:add(1)
    return x
  end
  local list = {}
  for i = 1, 20 do list[i] = i end
  list[13] = {name = coroutine.create(f)}
  for size = 1, 20, 3 do
    done.value = 0
    tap.fails("^tests/[%w/.]+:%d+: cannot send a coroutine " ..
      "%(at %[13%]%.name%)$", pool.map, pool, count, list, size)
    tap.eq(done.value, 19)
    local seen, failed = 0, 0
    local next_item = pool:imap(count, list, size)
    while true do
      local ok, i, v = pcall(next_item)
      if not ok then
        failed = failed + 1
        tap.ok(i:find ": cannot send a coroutine %(at %[13%]%.name%)$", i)
        tap.eq(seen, 12)
      elseif i == nil then
        break
      else
        seen = seen + 1
        tap.eq(v, i)
      end
    end
    tap.eq({seen, failed}, {19, 1})
  end
end)

tap.test("a result that cannot be sent says where", function()
  local pool <close> = Pool(2)
  tap.fails("^bad result: cannot send a coroutine %(at %.handler%)$",
    pool.apply, pool, function()
      return {handler = coroutine.create(print)}
    end)
  tap.fails("^bad result: cannot send a file %(at %[2%]%)$", pool.apply, pool,
    function() return 1, io.stdout end)
  tap.fails("^bad result: cannot send a file %(at %[3%]%)$", pool.map, pool,
    function(i)
      return i == 2 and {1, 2, io.stdout} or i
    end, {1, 2, 3})
  tap.fails("^%(error object is a thread value%)$", pool.apply, pool,
    function() error(coroutine.create(print)) end)
end)

tap.test("a pool belongs to the process that made it", function()
  local pool = Pool(1)
  local result = pool:apply_async(math.abs, {-1})
  result:get()
  local child = Process {target = function()
    local texts = {}
    for i, call in ipairs {
      function() pool:apply(f) end, function() pool:close() end,
      function() pool:terminate() end, function() result:get() end
    } do
      local _, err = pcall(call)
      texts[i] = err:gsub("^.-:%d+: ", "")
    end
    do
      local p <close> = pool
      _G.unused = p
    end
    _G.unused, pool = nil, nil
    collectgarbage()
    return table.concat(texts, "\n")
  end}:start()
  tap.eq(child:result(), ([[
cannot use a Pool in another process than the one that made it
cannot use a Pool in another process than the one that made it
cannot use a Pool in another process than the one that made it
cannot use an AsyncResult in another process than the one that made it]]))
  tap.eq(pool:apply(math.abs, {-5}), 5)
  pool:close()
  pool:join()
end)
