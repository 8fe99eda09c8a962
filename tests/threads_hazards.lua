-- What could go wrong between threads of one state of a Lua that knows nothing
-- of them: each is known to be fatal or wrong without care.
local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

-- Runs each function in a thread of its own, to the end; returns the threads.
local function together(...)
  local list = {}
  for i, f in ipairs { ... } do list[i] = Thread { target = f }:start() end
  for _, t in ipairs(list) do t:join() end
  return list
end

-- A script that must end well by itself: its output.
local function script(text, status)
  local out, err, got = tap.lua(text)
  eq(err, "")
  eq(got, status or 0)
  return out
end

-- A collector that is stopped inside of a finalizer is stopped for everybody.
test("the collector works while a finalizer sleeps or waits", function()
  local lock, entered, stop = Lock(), 0, false
  local bad, counted = 0, 0
  local function watch()
    while not stop do
      if type(collectgarbage "count") ~= "number" then bad = bad + 1 end
      counted = counted + 1
    end
  end
  local watcher = Thread { target = watch }:start()
  for i = 1, 20 do
    setmetatable({}, { __gc = function()
      entered = entered + 1
      if i % 2 == 0 then sleep(0.002) end
      local done = lock:acquire(true, 0.001)
      if done then lock:release() end
      for _ = 1, 10000 do entered = entered + 0 end
    end })
    collectgarbage()
  end
  stop = true
  watcher:join()
  eq(entered, 20)
  eq(bad, 0)
  ok(counted > 0)
end)

test("a finalizer that finds a lock taken does not stop the others", function()
  script [[
    local lock, ran = Lock(), false
    lock:acquire()
    local t = Thread { target = function()
      setmetatable({}, { __gc = function()
        ran = true
        local _ <close> = lock:guard()
      end })
      collectgarbage()
    end }:start()
    while not ran do end
    lock:release()
    t:join()
    collectgarbage()
    assert(type(collectgarbage "count") == "number")
  ]]
end)

-- An error with nobody to catch it must not jump into another thread's pcall.
test("an error in a thread stays there", function()
  local out, err, status = tap.lua [[
    local function fail(how)
      if how == 1 then error "plain" end
      local function inner() error "inside" end
      if how == 2 then coroutine.wrap(inner)() end
      if how == 3 then table.sort({ 3, 1, 2 }, inner) end
      if how == 4 then error({}) end
      if how == 5 then
        local function deep() return 1 + deep() end
        deep()
      end
      local x <close> = setmetatable({}, { __close = error })
    end
    local caught = pcall(function()
      for how = 1, 6 do
        local t = Thread { target = fail, args = { how } }:start()
        assert(t:join() == true)
        assert(not pcall(t.result, t))
      end
      coroutine.wrap(function()
        local t = Thread { target = fail, args = { 1 } }:start()
        t:join()
      end)()
    end)
    print(caught, current_thread() == main_thread())
  ]]
  eq(out, "true\ttrue\n")
  eq(status, 0)
  eq(select(2, err:gsub("Exception in thread Thread%-%d+:", "")), 7)
end)

-- The state a thread begins in is no coroutine that others could resume.
local function probe(base)
  return { coroutine.status(base), pcall(coroutine.resume, base) },
    { pcall(coroutine.close, base) }
end

test("the first state of a thread is not a coroutine", function()
  local base, is_main
  local go, here = Event(), Event()
  local inside = {}
  local t = Thread { target = function()
    base, is_main = coroutine.running()
    inside.yieldable = coroutine.isyieldable()
    inside.status = coroutine.status(base)
    inside.yield = { pcall(coroutine.yield, 1) }
    inside.resume = { coroutine.resume(base) }
    inside.close = { pcall(coroutine.close, base) }
    inside.nested = coroutine.wrap(function()
      return coroutine.isyieldable() and coroutine.status(base) == "normal"
        and not select(2, coroutine.running())
    end)()
    inside.after = coroutine.running()
    here:set()
    go:wait()
    return 1, 2, 3
  end }:start()
  here:wait()
  eq(is_main, true)
  eq(inside.yieldable, false)
  eq(inside.status, "running")
  eq(inside.yield[1], false)
  ok(inside.yield[2]:find "outside a coroutine", inside.yield[2])
  eq(inside.resume, { false, "cannot resume non-suspended coroutine" })
  eq(inside.close[1], false)
  eq(inside.nested, true)
  eq(inside.after, base)
  -- From here, while it waits.
  ok(coroutine.status(base) ~= "suspended", coroutine.status(base))
  ok(coroutine.status(base) ~= "dead", coroutine.status(base))
  local resumed, closed = probe(base)
  eq(resumed[2], true)
  eq(resumed[3], false)
  ok(resumed[4]:find "cannot resume non%-suspended", resumed[4])
  eq(closed[1], false)
  ok(closed[2]:find "cannot close", closed[2])
  ok(not pcall(coroutine.wrap(function()
    return assert(coroutine.resume(base))
  end)))
  ok(type(debug.traceback(base)) == "string")
  go:set()
  t:join()
  -- And after its end.
  eq(coroutine.status(base), "dead")
  eq({ coroutine.resume(base) }, { false, "cannot resume dead coroutine" })
  eq(coroutine.close(base), true)
  eq({ t:result() }, { 1, 2, 3 })
end)

test("main's state, seen from a thread, is not a coroutine", function()
  local base, is_main = coroutine.running()
  eq(is_main, true)
  local seen, status, resumed, closed
  together(function()
    seen = coroutine.running()
    status = coroutine.status(base)
    resumed = { coroutine.resume(base) }
    closed = { pcall(coroutine.close, base) }
  end)
  ok(seen ~= base)
  ok(status ~= "suspended" and status ~= "dead", status)
  eq(resumed, { false, "cannot resume non-suspended coroutine" })
  eq(closed[1], false)
end)

test("a coroutine that runs in one thread cannot be resumed in another",
  function()
    local inside, go = Event(), Event()
    local co = coroutine.create(function(a)
      inside:set()
      go:wait()
      return coroutine.yield(a) + 1
    end)
    local t = Thread { target = function()
      return coroutine.resume(co, 5)
    end }:start()
    inside:wait()
    eq({ coroutine.resume(co) },
      { false, "cannot resume non-suspended coroutine" })
    eq(pcall(coroutine.close, co), false)
    ok(coroutine.status(co) == "running" or coroutine.status(co) == "normal",
      coroutine.status(co))
    go:set()
    eq({ t:result() }, { true, 5 })
    -- Once it has yielded, any thread may go on with it.
    eq({ coroutine.resume(co, 7) }, { true, 8 })
  end)

-- Each close inside of a close is some more of the C stack.
local CHAIN = [[
  local function chain(n)
    local co
    for _ = 1, n do
      local before = co
      co = coroutine.create(function()
        local x <close> = setmetatable({}, { __close = function()
          if before then assert(coroutine.close(before)) end
        end })
        coroutine.yield(x)
      end)
      coroutine.resume(co)
    end
    return co
  end
  local function try()
    assert(coroutine.close(chain(20)))
    for _, n in ipairs { 2000, 100000 } do
      local done, result, err = pcall(coroutine.close, chain(n))
      assert(not (done and result), "it cannot have been closed")
      assert(tostring(err or result):find "stack overflow", err or result)
    end
    collectgarbage()
    return "went on"
  end
]]

test("a chain of coroutine.close is an error, in main and in a thread",
  function()
    eq(script(CHAIN .. "print(try())"), "went on\n")
    eq(script(CHAIN .. "print(Thread { target = try }:start():result())"),
      "went on\n")
  end)

test("all that takes much of the C stack is an error in a thread", function()
  local function overflow(f)
    local done, err = pcall(f)
    eq(done, false)
    ok(tostring(err):find "overflow" or tostring(err):find "error handling",
      tostring(err))
  end
  local function callbacks() return (("x"):gsub("x", callbacks)) end
  local function sorting()
    table.sort({ 1, 2, 3 }, function() sorting() return false end)
  end
  local function coroutines()
    return assert(coroutine.resume(coroutine.create(coroutines)))
  end
  local function to_string()
    return tostring(setmetatable({}, { __tostring = to_string }))
  end
  local function formats()
    return ("%s"):format(setmetatable({}, { __tostring = formats }))
  end
  local function readers() return assert(load(readers)) and nil end
  local function handlers()
    error((select(2, xpcall(callbacks, function() callbacks() end))))
  end
  local function parser()
    return assert(load("return " .. ("{"):rep(1000) .. ("}"):rep(1000)))
  end
  local function finalizers()
    local deep = 0
    local function down()
      deep = deep + 1
      setmetatable({}, { __gc = function() pcall(callbacks) end })
      collectgarbage()
      return (("x"):gsub("x", down))
    end
    return down()
  end
  local all = { callbacks, sorting, coroutines, to_string, formats, readers,
    handlers, parser, finalizers }
  local function run()
    local done = 0
    for _, f in ipairs(all) do
      overflow(f)
      done = done + 1
    end
    return done
  end
  for _, t in ipairs(together(run, run, run)) do eq(t:result(), #all) end
end)

-- Asking a thread to stop costs a walk over its stack.
test("deep recursion at a short interval makes progress", function()
  local before = switch_interval()
  switch_interval(50e-6)
  local function down(k) return k == 0 and 0 or 1 + down(k - 1) end
  local depths = { 0, 0, 0 }
  local function recurse(i)
    for _ = 1, 3 do depths[i] = depths[i] + down(100000) end
  end
  local stop, spins = false, 0
  local spinner = Thread { target = function()
    while not stop do spins = spins + 1 end
  end }:start()
  together(function() recurse(1) end, function() recurse(2) end,
    function() recurse(3) end)
  stop = true
  spinner:join()
  switch_interval(before)
  eq(depths, { 300000, 300000, 300000 })
  ok(spins > 0)
end)

-- The collector marks only what it knows of: nothing else holds these states.
test("states that run in threads are not collected", function()
  local stop = false
  local function run()
    local sum = 0
    for i = 1, 50 do
      sum = sum + coroutine.wrap(function()
        local own = { i }
        for _ = 1, 500 do own = { own[1] } end
        return coroutine.wrap(function() return own[1] end)()
      end)()
    end
    return sum
  end
  local before = switch_interval()
  switch_interval(50e-6)
  local collector = Thread { target = function()
    while not stop do collectgarbage() end
  end }:start()
  for _, t in ipairs(together(run, run, run, run, run)) do
    eq(t:result(), 1275)
  end
  stop = true
  collector:join()
  switch_interval(before)
end)

-- A module in a file of its own, and how often it ran.
local function module_of(text)
  local base = os.tmpname()
  local name = base:match "[^/]*$" .. "_mod"
  local path = base:match "^(.*)/" .. "/?.lua"
  local file = base:match "^(.*)/" .. "/" .. name .. ".lua"
  do
    local f <close> = assert(io.open(file, "w"))
    f:write(text)
  end
  local before = package.path
  package.path = path
  return name, setmetatable({}, { __close = function()
    package.path = before
    os.remove(base)
    os.remove(file)
  end })
end

test("a module that many threads require runs once", function()
  local name, clean <close> = module_of [[
    runs = (runs or 0) + 1
    for _ = 1, 3 do sleep(0.01) end
    for _ = 1, 100000 do end
    return { runs }
  ]]
  ok(clean)
  local function load_it() return (require(name)) end
  local list = together(load_it, load_it, load_it, load_it)
  eq(rawget(_G, "runs"), 1)
  local module = list[1]:result()
  eq(module, { 1 })
  for i = 2, 4 do ok(list[i]:result() == module) end
  rawset(_G, "runs", nil)
end)

test("a module that fails fails for each that requires it", function()
  local name, clean <close> = module_of [[
    sleep(0.01)
    error "no such luck"
  ]]
  ok(clean)
  local function load_it() return pcall(require, name) end
  for _, t in ipairs(together(load_it, load_it, load_it)) do
    local done, err = t:result()
    eq(done, false)
    ok(tostring(err):find "no such luck", err)
  end
end)

-- How a program with busy threads ends.
local BUSY = [[
  local function spin() while true do local t = { {} } t[1] = nil end end
  local function recurse(k) return k == 0 and 0 or 1 + recurse(k - 1) end
  for _ = 1, 2 do Thread { target = spin, daemon = true }:start() end
  Thread { target = function()
    while true do recurse(1000) end
  end, daemon = true }:start()
  Thread { target = function()
    while true do sleep(0.001) end
  end, daemon = true }:start()
]]

test("os.exit from any thread, closing the state or not", function()
  local runs = tap.sanitizer and 3 or 25
  for how, text in ipairs {
    "os.exit(7)", "os.exit(7, true)",
    "Thread { target = function() os.exit(7) end }:start() spin()",
    "Thread { target = function() os.exit(7, true) end }:start() spin()",
  } do
    local bad = 0
    local file = os.tmpname()
    do
      local f <close> = assert(io.open(file, "w"))
      f:write(BUSY, text)
    end
    for _ = 1, runs do
      local out, err, status = tap.run("timeout 60 " .. tap.program .. " "
        .. file)
      if status ~= 7 or out ~= "" or err ~= "" then
        bad = bad + 1
        tap.eq({ how, out, err, status }, { how, "", "", 7 })
      end
    end
    os.remove(file)
    eq(bad, 0, text)
  end
end)

test("a script ends while its daemon threads are busy", function()
  for _ = 1, 5 do eq(script(BUSY .. "io.write 'end'"), "end") end
end)

-- Ctrl-C belongs to the main thread, whoever runs when it comes.
test("SIGINT comes out of the main thread", function()
  for _, text in ipairs {
    "while true do end", "sleep(1e6)", "Event():wait()", "other:join()",
    "coroutine.wrap(function() while true do end end)()",
    "table.sort({ 1, 2, 3 }, function() while true do end end)",
  } do
    local out, err, status = tap.lua([[
      local stop = false
      local other = Thread { target = function() while not stop do end end }
      other:start()
      local me = getpid()
      local killer = Thread { target = function()
        sleep(0.05)
        kill(me, "INT")
      end }:start()
      local done, err = pcall(function() ]] .. text .. [[ end)
      print(done, tostring(err):match "interrupted!", other:is_alive(),
        current_thread().name)
      stop = true
      killer:join()
      other:join()
    ]])
    eq(err, "", text)
    eq(status, 0, text)
    eq(out, "false\tinterrupted!\ttrue\tMainThread\n", text)
  end
end)

test("an uncaught SIGINT ends the program with one traceback", function()
  local pid = proc.child(function()
    local _, err, status = tap.lua(BUSY .. [[
      Thread { target = function()
        sleep(0.05)
        kill(getpid(), "INT")
      end, daemon = true }:start()
      while true do sleep(0.001) end
    ]])
    return status == 130 or err:find "interrupted!" ~= nil
  end)
  eq(proc.status(pid, 60), 0)
end)

-- A kernel timer for each thread may be more than the system allows.
local CROWD = [[
  switch_interval(1e-4)
  local here, stop = Semaphore(0), false
  local function work()
    local n = 0
    for _ = 1, 1000 do n = n + 1 end
    here:release()
    while not stop do n = n + 1 end
    return n >= 1000
  end
  local list = {}
  for i = 1, tonumber(arg[1]) do
    list[i] = Thread { target = work }:start()
  end
  for _ = 1, #list do here:acquire() end
  for _ = 1, 20 do sleep(1e-3) end
  local done = 0
  local timer = Timer(1e-3, function() done = done + 1 end)
  timer:start()
  timer:join()
  stop = true
  for _, t in ipairs(list) do done = done + (t:result() and 1 or 0) end
  print(done)
]]

-- Others go on, those that wake too, however many compute.
for _, limit in ipairs { 10000, 20, 0 } do
  local n = limit > 1000 and 300 or 30
  test(n .. " threads compute, " .. limit .. " kernel timers allowed",
    function()
      local file <close> = setmetatable({ name = os.tmpname() }, {
        __close = function(self) os.remove(self.name) end,
      })
      do
        local f <close> = assert(io.open(file.name, "w"))
        f:write(CROWD)
      end
      local out, err, status = tap.run(
        ("prlimit --sigpending=%d %s %s %d"):format(limit, tap.program,
          file.name, n))
      eq(err, "")
      eq(status, 0)
      eq(out, n + 1 .. "\n")
    end)
end

-- Lua 5.4.4 itself goes on in freed memory then. Run apart: without ours it
-- crashes.
test("a stack may shrink in a metamethod of a concatenation", function()
  local out, err, status = tap.lua [[
    local function down(n) return n == 0 and 0 or 1 + down(n - 1) end
    local function joined(f)
      down(5000)
      return "a" .. "b" .. setmetatable({}, { __concat = f })
    end
    local function collect() collectgarbage() return "c" end
    local ways = {
      collect,
      function() return collect() end,
      function() return select(2, pcall(collect)) end,
      function() return (string.gsub("d", "d", collect)) end,
      function() -- by another thread
        local t = Thread { target = collect }:start()
        return t:result()
      end,
    }
    for i = 1, #ways do
      print(joined(ways[i]), coroutine.wrap(joined)(ways[i]))
    end]]
  eq(err, "")
  eq(status, 0)
  eq(out, ("ac\tac\n"):rep(5))
end)
