-- debug.sethook: the script's hooks go on working while threads are stopped by
-- hooks of ours, and are as Lua's own.
local tap <close> = dofile "tests/lib/tap.lua"
local threads = dofile "tests/lib/threads.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails
local start = threads.start

-- With forced switches each instruction may take some microseconds.
local forced = os.getenv "CLUARUN_SWITCH"
local many = not forced and 100000 or forced == "1" and 2000 or 20000

-- Calls f while another thread computes, at a short interval: what f runs is
-- stopped all the time.
local function preempted(f, ...)
  local stop = false
  switch_interval(0.0001)
  local t = start(function() while not stop do end end)
  local r = table.pack(pcall(f, ...))
  stop = true
  t:join()
  switch_interval(0.005)
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

-- Each test: alone in the process, beside others, in a thread beside others.
local function both(name, f)
  test(name .. "; alone", f)
  test(name .. "; beside others", preempted, f)
  test(name .. "; in a thread", preempted, function() start(f):result() end)
end

both("none at first", function()
  eq(debug.gethook(), nil)
  for _ = 1, many do end
  eq(debug.gethook(), nil)
  debug.sethook()
  eq(debug.gethook(), nil)
end)

both("gethook gives what was set", function()
  local function f() end
  for _, mask in ipairs { "c", "r", "l", "cr", "crl", "rl" } do
    debug.sethook(f, mask)
    eq({ debug.gethook() }, { f, mask, 0 })
    debug.sethook(f, mask, 1000000)
    eq({ debug.gethook() }, { f, mask, 1000000 })
  end
  debug.sethook(f, "", 7)
  for _ = 1, 1e4 do end
  eq({ debug.gethook() }, { f, "", 7 })
  debug.sethook(f, "")
  eq(debug.gethook(), nil)
  debug.sethook(nil, "crl")
  eq(debug.gethook(), nil)
end)

both("lines", function()
  local lines = {}
  debug.sethook(function(event, line)
    lines[#lines + 1] = line
    if event ~= "line" then error(event) end
  end, "l")
  local a = 1 -- line 1
  a = a + 1
  a = a * 2
  debug.sethook()
  local first = debug.getinfo(1, "l").currentline - 5
  eq(a, 4)
  eq(lines, { first + 1, first + 2, first + 3, first + 4 })
end)

both("each round of a loop is a line", function()
  local n = 0
  debug.sethook(function() n = n + 1 end, "l")
  for _ = 1, many // 10 do
    local _ = 1
  end
  debug.sethook()
  -- The for line, each round's body, the for line again; the last call.
  ok(n >= many // 5 and n <= many // 5 + 3, n)
end)

both("calls and returns", function()
  local events = {}
  local function g() return 1 end
  local function f() local x = g() return x end
  local function tail() return g() end
  debug.sethook(function(event) events[#events + 1] = event end, "cr")
  f()
  tail()
  debug.sethook()
  eq(table.concat(events, " "), "return call call return return call "
    .. "tail call return call")
end)

both("every call is seen", function()
  local n = 0
  local function f() end
  debug.sethook(function() n = n + 1 end, "c")
  for _ = 1, many // 10 do f() end
  debug.sethook()
  eq(n, many // 10 + 1)
end)

both("a count of 1", function()
  local n = 0
  debug.sethook(function() n = n + 1 end, "", 1)
  for _ = 1, 1000 do end
  debug.sethook()
  ok(n > 1000 and n < 1020, n)
end)

-- How often a hook is called for so many rounds, each of one instruction. Lua
-- counts the four of this hook, too; with forced switches they are not seen.
local HOOK = 4

local function calls(rounds, count)
  local n = 0
  debug.sethook(function() n = n + 1 end, "", count)
  for _ = 1, rounds do end
  debug.sethook()
  return n
end

both("counts are exact, whatever they are", function()
  for _, count in ipairs { 7, 100, 999, 1000, 1001, 2500, 12345 } do
    local n, each = calls(many, count), count - HOOK
    if not ok(n <= (many + 20) // each
      and n >= many // (forced and count or each), count .. ": " .. n) then
      break
    end
  end
end)

both("a great count fires", function()
  eq(calls(50 * many, 10 * many), 5)
end)

both("an error in a hook comes out", function()
  local done, message = pcall(function()
    debug.sethook(function() error("from the hook", 0) end, "", 1000)
    while true do end
  end)
  debug.sethook()
  eq(done, false)
  eq(message, "from the hook")
  local n = 0
  for _ = 1, many do n = n + 1 end
  eq(n, many)
end)

both("a hook that removes itself, or sets another", function()
  local n, m = 0, 0
  debug.sethook(function()
    n = n + 1
    debug.sethook(function()
      m = m + 1
      if m == 5 then debug.sethook() end
    end, "", 10)
  end, "", 100)
  for _ = 1, many do end
  eq(n, 1)
  eq(m, 5)
  eq(debug.gethook(), nil)
end)

both("a hook per coroutine", function()
  local n, m = 0, 0
  local co = coroutine.create(function()
    for _ = 1, 10 do
      for _ = 1, 960 do end
      coroutine.yield()
    end
  end)
  local function hook() n = n + 1 end
  debug.sethook(co, hook, "", 100)
  eq({ debug.gethook(co) }, { hook, "", 100 })
  eq(debug.gethook(), nil)
  debug.sethook(function() m = m + 1 end, "", 500)
  for _ = 1, 10 do coroutine.resume(co) end
  debug.sethook()
  eq({ debug.gethook(co) }, { hook, "", 100 })
  ok(n >= 96 and n <= 102, n)
  ok(m <= 2, "the coroutine's instructions are its own: " .. m)
  debug.sethook(co)
  eq(debug.gethook(co), nil)
  local before = n
  coroutine.resume(co)
  eq(n, before)
end)

-- Lua gives a new coroutine its maker's mask and count, but keeps the functions
-- by coroutine: there is none to call.
both("a new coroutine is hooked like its maker, without a function", function()
  local n = 0
  debug.sethook(function() n = n + 1 end, "", 100)
  local co = coroutine.create(function() for _ = 1, 10000 do end end)
  debug.sethook()
  eq(table.pack(debug.gethook(co)), { n = 3, nil, "", 100 })
  n = 0
  coroutine.resume(co)
  eq(n, 0)
  co = coroutine.create(print)
  eq(debug.gethook(co), nil)
end)

both("in a hook of a coroutine the level and locals are those of what runs",
  function()
    local seen
    local co = coroutine.create(function()
      local here = "local of the coroutine" -- luacheck: ignore
      while not seen do end
    end)
    debug.sethook(co, function()
      seen = select(2, debug.getlocal(2, 1))
    end, "", 50)
    coroutine.resume(co)
    eq(seen, "local of the coroutine")
  end)

both("a hook that yields control to others: it may call anything", function()
  local q, n = Queue(), 0
  debug.sethook(function()
    q:put(1)
    sleep(0)
    n = n + q:get()
  end, "", 5000)
  for _ = 1, many do end
  debug.sethook()
  ok(n >= many // 5000 and n <= many // 4900 + 1, n)
end)

both("of a coroutine that ended nothing is left", function()
  for _ = 1, 2000 do
    local co = coroutine.create(function() end)
    debug.sethook(co, print, "l", 1000)
  end
  collectgarbage()
  for _ = 1, 2000 do
    local co = coroutine.create(function() end)
    if debug.gethook(co) ~= nil then
      ok(false, "a new coroutine has the hook of one that is gone")
      break
    end
  end
  ok(true)
end)

test("a thread's hook is not the other's", function()
  local n = 0
  local function hook() n = n + 1 end
  debug.sethook(hook, "", 1000)
  local f = start(function()
    for _ = 1, many do end
    return debug.gethook()
  end):result()
  eq(f, nil)
  eq(debug.gethook() == hook, true)
  debug.sethook()
  start(function() debug.sethook(hook, "", 100) end):join()
  eq(debug.gethook(), nil)
  n = 0
  start(function() for _ = 1, many do end end):join()
  eq(n, 0, "the next thread in the same place")
end)

test("sethook from another thread", function()
  local go, set = Event(), Event()
  local n = 0
  local co = coroutine.create(function()
    coroutine.yield()
    for _ = 1, many do end
  end)
  coroutine.resume(co)
  start(function()
    debug.sethook(co, function() n = n + 1 end, "", 1000)
  end):join()
  coroutine.resume(co)
  ok(n >= many // 1000 and n <= many // 990 + 1, n)
  -- Of a coroutine that runs in another thread just then.
  n = 0
  local stop = false
  co = coroutine.create(function()
    go:set()
    while not stop do end
    return debug.gethook()
  end)
  local t = start(coroutine.resume, co)
  go:wait()
  debug.sethook(co, function()
    n = n + 1
    set:set()
  end, "", 1000)
  set:wait()
  debug.sethook(co)
  local before = n
  stop = true
  local _, hook = t:result()
  eq(hook, nil)
  eq(n, before)
  -- Of one that sleeps.
  n = 0
  co = coroutine.create(function()
    go:wait()
    for _ = 1, many do end
  end)
  go:clear()
  t = threads.blocked(coroutine.resume, co)
  debug.sethook(co, function() n = n + 1 end, "", 1000)
  go:set()
  t:result()
  ok(n >= many // 1000 and n <= many // 990 + 1, n)
end)

test("the main state's hook, set by a thread", function()
  local main = coroutine.running()
  local n = 0
  start(function()
    debug.sethook(main, function() n = n + 1 end, "", 1000)
  end):join()
  for _ = 1, many do end
  debug.sethook()
  ok(n >= many // 1000 and n <= many // 990 + 1, n)
end)

test("an interrupt of a thread with a hook leaves it there", function()
  for _, set in ipairs { { "l" }, { "c" }, { "", 1000 }, { "", 1 },
    { "", 100000000 } } do
    local begun = false
    local t = start(function()
      local function hook() end
      debug.sethook(hook, table.unpack(set))
      local done, err = pcall(function()
        begun = true
        while true do end
      end)
      local f = debug.gethook()
      return done, err, f == hook
    end)
    repeat sleep(0) until begun
    t:interrupt "stop"
    eq({ t:result() }, { false, "stop", true })
  end
end)

test("an interrupt while the hook itself waits", function()
  local begun = false
  local t = start(function()
    debug.sethook(function()
      begun = true
      sleep(3600)
    end, "", 100)
    local done, err = pcall(function() while true do end end)
    debug.sethook()
    return done, err
  end)
  repeat sleep(0) until begun
  t:interrupt "stop"
  eq({ t:result() }, { false, "stop" })
end)

test("misuse", function()
  fails("bad argument #2 to 'sethook'", function()
    debug.sethook(print)
  end)
  fails("bad argument #1 to 'sethook'", function()
    debug.sethook(1, "l")
  end)
  eq(debug.gethook(), nil)
end)

-- The whole file again with forced switches.
if not forced then
  for _, n in ipairs { 1, 7, 100 } do
    test("all of this with a switch after every " .. n, function()
      local out, err, status = tap.run("CLUARUN_SWITCH=" .. n .. " "
        .. tap.program .. " tests/hooks.lua")
      for line in out:gmatch "[^\n]*\n" do
        if line:find "^not ok" or line:find "^#" then ok(false, line) end
      end
      eq(err, "")
      eq(status, 0)
    end)
  end
end
