-- Deadlocks between threads, and between threads and processes.
local tap <close> = dofile "tests/lib/tap.lua"
local scripts = dofile "tests/lib/script.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

-- The report that a script comes to, with SCRIPT for its name and N for pids.
local function report(text, options)
  local script <close> = scripts.start(tap.program, text, options)
  local err, all = script:wait_err "cluarun: deadlock\n.*\n"
  if not err then error("no report: " .. all) end
  sleep(0.5) -- should it be said again
  return (script:err():gsub(script.name:gsub("%p", "%%%0"), "SCRIPT")
    :gsub("pid %d+", "pid N"))
end

test("two threads and two locks", function()
  local err = report [[
    local a = Lock()
    local b = Lock()
    local ready = Barrier(2)
    local function hold(x, y)
      x:acquire()
      ready:wait()
      y:acquire()
    end
    local t = Thread { target = hold, args = { a, b } }:start()
    Thread { target = hold, args = { b, a } }:start()
    t:join()
  ]]
  eq(count(err, "cluarun: deadlock\n"), 1)
  -- On a very slow machine the cycle is reported before the main thread waits.
  if count(err, "\n  ") > 2 then
    ok(err:find("\n  MainThread (pid N) at SCRIPT:11 waits for "
      .. "Thread-1 (pid N) to end\n", 1, true), err)
  end
  ok(err:find("\n  Thread-1 (pid N) at SCRIPT:7 waits for Lock SCRIPT:2, "
    .. "held by Thread-2 (pid N)\n", 1, true), err)
  ok(err:find("\n  Thread-2 (pid N) at SCRIPT:7 waits for Lock SCRIPT:1, "
    .. "held by Thread-1 (pid N)\n", 1, true), err)
end)

test("a cycle while the main thread computes", function()
  local err = report [[
    local a, b = Lock(), Lock()
    local ready = Barrier(2)
    local function hold(x, y)
      x:acquire()
      ready:wait()
      y:acquire()
    end
    Thread { target = hold, args = { a, b }, name = "left" }:start()
    Thread { target = hold, args = { b, a }, name = "right" }:start()
    while true do end
  ]]
  eq(count(err, "cluarun: deadlock\n"), 1)
  eq(count(err, "\n  "), 2)
  ok(err:find("  left (pid N) at SCRIPT:6 waits for Lock SCRIPT:1, "
    .. "held by right (pid N)\n", 1, true), err)
  ok(err:find("  right (pid N) at SCRIPT:6 waits for Lock SCRIPT:1, "
    .. "held by left (pid N)\n", 1, true), err)
end)

test("threads that join each other", function()
  eq(report [[
    local go, t = Event(), {}
    for i = 1, 2 do
      t[i] = Thread { target = function() go:wait() t[3 - i]:join() end }
      t[i]:start()
    end
    go:set()
  ]], [[
cluarun: deadlock
  MainThread (pid N) waits for Thread-2 (pid N) to end
  Thread-1 (pid N) at SCRIPT:3 waits for Thread-2 (pid N) to end
  Thread-2 (pid N) at SCRIPT:3 waits for Thread-1 (pid N) to end
]])
end)

test("a process waits for a thread of another one", function()
  eq(report [[
    local l, q, held = Lock(), Queue(), Event()
    Thread { target = function() l:acquire() held:set() q:get() end }:start()
    held:wait()
    Process { target = function() l:acquire() q:put(1) end }:start():join()
  ]], [[
cluarun: deadlock
  MainThread (pid N) at SCRIPT:4 waits for Process-1 (pid N) to end
  Thread-1 (pid N) at SCRIPT:2 waits for an item of Queue SCRIPT:1
  MainThread (pid N) of Process-1 at SCRIPT:4 waits for Lock SCRIPT:1, ]]
  .. "held by Thread-1 (pid N)\n")
end)

test("in a coroutine", function()
  eq(report [[
    local l = Lock()
    coroutine.wrap(function()
      l:acquire()
      l:acquire()
    end)()
  ]], [[
cluarun: deadlock
  MainThread (pid N) at SCRIPT:4 waits for Lock SCRIPT:1, held by itself
]])
end)

test("--deadlock=raise: a hundred cycles, one error each", function()
  local rounds = tap.sanitizer and 20 or 100
  local script <close> = scripts.start(tap.program, ([[
    for round = 1, %d do
      local locks, ready, raised = { Lock(), Lock(), Lock() }, Barrier(3), 0
      local all = {}
      for i = 1, 3 do
        all[i] = Thread { target = function()
          local _ <close> = locks[i]:guard()
          ready:wait()
          local done, text = pcall(function()
            local _ <close> = locks[i %% 3 + 1]:guard()
          end)
          if not done then
            assert(text:find ":9: deadlock$", text)
            raised = raised + 1
          end
        end }:start()
      end
      for i = 1, 3 do all[i]:result() end
      assert(raised == 1, "raised " .. raised .. " times in round " .. round)
    end
    print "good"
  ]]):format(rounds), "--deadlock=raise")
  ok(script:ended())
  eq(script:out(), "good\n")
  local err = script:err()
  eq(count(err, "cluarun: deadlock\n"), rounds)
  ok(not err:find "assert", err:sub(1, 2000))
end)

test("no report: hand-overs, joins and starts of many threads", function()
  local n = tap.sanitizer and 300 or 3000
  local out, err, status = tap.lua(([[
    local n = %d
    local function pair(give, take)
      return Thread { target = give }:start(), Thread { target = take }:start()
    end
    local function start()
      for i = 1, n // 10 do
        local r = Queue()
        local t = Thread { target = function() r:put(i) end }:start()
        r:get()
        t:join()
      end
    end
    -- First: under a sanitizer a fork among threads that allocate can hang.
    local p = Process { target = start }:start()
    local q, c, turn, e = Queue(1), Condition(), 0, { [0] = Event(), Event() }
    local all = {}
    local function add(...)
      for _, t in ipairs { pair(...) } do all[#all + 1] = t end
    end
    add(function() for i = 1, n do q:put(i) end end,
      function() for _ = 1, n do q:get() end end)
    local function take_turns(me)
      return function()
        for _ = 1, n do
          local _ <close> = c:guard()
          c:wait_for(function() return turn == me end)
          turn = 1 - me
          c:notify()
        end
      end
    end
    add(take_turns(0), take_turns(1))
    local function ring(me)
      return function()
        for _ = 1, n do e[me]:wait() e[me]:clear() e[1 - me]:set() end
      end
    end
    e[0]:set()
    add(ring(0), ring(1))
    add(start, start)
    for _, t in ipairs(all) do t:result() end
    p:result()
    print "good"
  ]]):format(n))
  eq(err, "")
  eq(out, "good\n")
  eq(status, 0)
end)
