-- Deadlocks between processes are reported; what can go on is not.
local tap <close> = dofile "tests/lib/tap.lua"
local scripts = dofile "tests/lib/script.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

local function start(text, options)
  return scripts.start(tap.program, text, options)
end

-- The lines of the report that a script comes to, without the first one. The
-- name of the script is written as SCRIPT.
local function report(text, options)
  local script <close> = start(text, options)
  local err, all = script:wait_err "cluarun: deadlock\n.*\n"
  if not err then error("no report: " .. all) end
  sleep(0.5) -- should it be said again
  err = script:err():gsub(script.name:gsub("%p", "%%%0"), "SCRIPT")
  eq(count(err, "cluarun: deadlock\n"), 1, "reports")
  eq(err:find "cluarun: deadlock\n", 1)
  local lines = {}
  for line in err:gmatch "\n([^\n]+)" do lines[#lines + 1] = line end
  return lines
end

-- The report of a cycle begins with whoever closed it.
local function sorted(lines)
  table.sort(lines, function(a, b)
    return a:match "of .*" < b:match "of .*"
  end)
  return lines
end

-- Compares lines with patterns in which N stands for a pid.
local function like(lines, patterns)
  eq(#lines, #patterns, "lines of the report")
  for i, pattern in ipairs(patterns) do
    pattern = pattern:gsub("[%-%(%).]", "%%%0"):gsub("%%%(pid N%%%)",
      "%%(pid %%d+%%)")
    ok((lines[i] or ""):find("^  " .. pattern .. "$"),
      "not like " .. pattern .. ": " .. tostring(lines[i]))
  end
end

-- A script that comes to its end, without a report.
local function quiet(text)
  local out, err, status = tap.lua(text)
  eq(err, "", "stderr")
  eq(status, 0)
  return out
end

test("a second acquire by the holder", function()
  like(report [[
    local l = Lock()
    l:acquire()
    l:acquire()
  ]], {
    "MainThread (pid N) at SCRIPT:3 waits for Lock SCRIPT:1, held by itself",
  })
end)

test("two processes and two locks", function()
  like(report [[
    local a = Lock()
    local b = Lock()
    local ready = Barrier(2)
    local p = Process { target = function()
      a:acquire()
      ready:wait()
      b:acquire()
    end }:start()
    b:acquire()
    ready:wait()
    a:acquire()
  ]], {
    "MainThread (pid N) at SCRIPT:11 waits for Lock SCRIPT:1, "
      .. "held by MainThread (pid N) of Process-1",
    "MainThread (pid N) of Process-1 at SCRIPT:7 waits for Lock SCRIPT:2, "
      .. "held by MainThread (pid N)",
  })
end)

test("a cycle while another process runs", function()
  like(sorted(report [[
    local a, b = RLock(), RLock()
    local ready = Barrier(2)
    local function hold(x, y)
      local _ <close> = x:guard()
      ready:wait()
      local _ <close> = y:guard()
    end
    Process { target = hold, args = { a, b }, name = "left" }:start()
    Process { target = hold, args = { b, a }, name = "right" }:start()
    while true do sleep(0.01) end
  ]]), {
    "MainThread (pid N) of left at SCRIPT:6 waits for RLock SCRIPT:1, "
      .. "held by MainThread (pid N) of right",
    "MainThread (pid N) of right at SCRIPT:6 waits for RLock SCRIPT:1, "
      .. "held by MainThread (pid N) of left",
  })
end)

test("every kind of wait", function()
  like(report [[
    local q, full, lifo = Queue(), Queue(1), LifoQueue()
    full:put(1)
    local c, s, b = Condition(), BoundedSemaphore(1), Barrier(5)
    local one, other = Pipe()
    local v = Value(0)
    v:lock():acquire()
    local e = Event()
    local function run(f) Process { target = f }:start() end
    run(function() full:put(2) end)
    run(function() for _ in q:iter() do end end)
    run(function() c:acquire() c:wait_for(function() end) end)
    run(function() s:acquire() s:acquire() end)
    run(function() b:wait() end)
    run(function() one:recv() end)
    run(function() full:join() end)
    run(function() wait_any { q, one } end)
    run(function() e:wait() end)
    run(function() v:lock():acquire() end)
    run(function() other:poll(nil) end)
    lifo:get()
  ]], {
    "MainThread (pid N) at SCRIPT:20 waits for an item of LifoQueue SCRIPT:1",
    "MainThread (pid N) of Process-1 at SCRIPT:9 waits for "
      .. "room in Queue SCRIPT:1",
    "MainThread (pid N) of Process-2 at SCRIPT:10 waits for "
      .. "an item of Queue SCRIPT:1",
    "MainThread (pid N) of Process-3 at SCRIPT:11 waits for Condition SCRIPT:3",
    "MainThread (pid N) of Process-4 at SCRIPT:12 waits for Semaphore SCRIPT:3",
    "MainThread (pid N) of Process-5 at SCRIPT:13 waits for "
      .. "Barrier SCRIPT:3 of 5 parties",
    "MainThread (pid N) of Process-6 at SCRIPT:14 waits for "
      .. "a message of Pipe SCRIPT:4",
    "MainThread (pid N) of Process-7 at SCRIPT:15 waits for "
      .. "the last task_done of Queue SCRIPT:1",
    "MainThread (pid N) of Process-8 at SCRIPT:16 waits for any of 2 objects",
    "MainThread (pid N) of Process-9 at SCRIPT:17 waits for Event SCRIPT:7",
    "MainThread (pid N) of Process-10 at SCRIPT:18 waits for Lock SCRIPT:5, "
      .. "held by MainThread (pid N)",
    "MainThread (pid N) of Process-11 at SCRIPT:19 waits for "
      .. "a message of Pipe SCRIPT:4",
  })
end)

for how, last in pairs {
  ["p:join()"] = "at SCRIPT:2 waits for Process-1 (pid N) to end",
  ["p:result()"] = "at SCRIPT:2 waits for Process-1 (pid N) to end",
  ["do local _ <close> = p end"] =
    "at SCRIPT:2 waits for Process-1 (pid N) to end",
  ["wait_any { p }"] = "at SCRIPT:2 waits for any of 1 objects",
  [""] = "waits for Process-1 (pid N) to end",
} do
  test("a child waits and its parent for it: " .. how, function()
    like(report(([[
      local p = Process { target = function() Queue():get() end }:start()
      %s
    ]]):format(how)), {
      "MainThread (pid N) " .. last,
      "MainThread (pid N) of Process-1 at SCRIPT:1 waits for "
        .. "an item of Queue SCRIPT:1",
    })
  end)
end

for how, more in pairs { ["wait()"] = 1, ["wait(pid)"] = 1,
  ["fork_another() wait()"] = 2 } do
  test("a forked child waits and its parent for it: " .. how, function()
    local lines = report(([[
      local e = Event()
      local pid = fork()
      if pid == 0 then e:wait() end
      local function fork_another()
        if fork() == 0 then e:wait() end
      end
      %s
    ]]):format(how))
    eq(#lines, 1 + more)
    ok(lines[1]:find("SCRIPT:7 waits for "
      .. (more > 1 and "one of 2 to end" or "process %d+ to end")), lines[1])
  end)
end

test("a pool whose task waits for ever", function()
  like(report [[
    local q = Queue()
    local pool = Pool(2)
    local function task()
      return q:get()
    end
    pool:apply(task)
  ]], {
    "MainThread (pid N) at SCRIPT:6 waits for results of its pool",
    "MainThread (pid N) of PoolWorker-1 at SCRIPT:4 waits for an item of "
      .. "Queue SCRIPT:1",
    "MainThread (pid N) of PoolWorker-2 at SCRIPT:2 waits for work from its "
      .. "pool",
    "PoolKeeper (pid N) at %[cluarun%]/poolbase.lua:%d+ waits for work from "
      .. "its pool",
  })
end)

test("the one that all wait for ends", function()
  local lines = report [[
    local q, seen = Queue(), Event()
    Process { target = function() seen:wait() sleep(0.6) end }:start()
    seen:set()
    q:get()
  ]]
  like(lines, { "MainThread (pid N) at SCRIPT:4 waits for "
    .. "an item of Queue SCRIPT:1" })
end)

test("within a second", function()
  local script <close> = start [[
    local l = Lock()
    l:acquire()
    print(monotonic())
    io.stdout:flush()
    l:acquire()
  ]]
  ok(script:wait_err "deadlock")
  local took = monotonic() - tonumber(script:out())
  ok(took < 5, "took " .. took)
end)

test("a deadlock that is broken, and the next one", function()
  local script <close> = start [[
    local l = Lock()
    l:acquire()
    print(pcall(l.acquire, l))
    io.stdout:flush()
    l:release()
    Event():wait()
  ]]
  ok(script:wait_err "Lock")
  kill(script.pid, "INT")
  local err = script:wait_err "Event"
  ok(err, script:err())
  eq(count(err or "", "cluarun: deadlock\n"), 2)
  eq(script:out(), "false\tinterrupted!\n")
end)

-- What can go on.

test("waits with a time-out, and sleep", function()
  quiet [[
    local q, l, e = Queue(), Lock(), Event()
    l:acquire()
    local p = Process { target = function() e:wait() end }:start()
    pcall(q.get, q, true, 0.3)
    l:acquire(true, 0.3)
    sleep(0.3)
    p:join(0.3)
    e:set()
  ]]
end)

test("a sleep without end, and a child's", function()
  quiet [[
    local e = Event()
    local p = Process { target = function() sleep(math.huge) end }:start()
    local r = Process { target = function() e:wait() end }:start()
    local s = Process { target = function()
      sleep(0.5)
      kill(p.pid, "KILL")
      e:set()
    end }:start()
    r:join()
    p:join()
    s:join()
  ]]
end)

test("a child that reads", function()
  local out, err = tap.run("(sleep 0.6; echo line) | " .. tap.program .. [[ -e '
    Process { target = function() print(io.read()) end }:start():join()']])
  eq(out, "line\n")
  eq(err, "")
end)

test("a child that runs a program", function()
  quiet [[
    local p = Process { target = function() os.execute "sleep 0.5" end }
    p:start():join()
    Process { target = function()
      local f = io.popen "sleep 0.4; echo x"
      f:read "a"
      f:close()
    end }:start():join()
  ]]
end)

test("a stopped child, until it goes on", function()
  local script <close> = start [[
    local q = Queue()
    local p = Process { target = function()
      print(getpid())
      io.stdout:flush()
      kill(getpid(), "STOP")
      q:get()
    end }:start()
    q:get()
  ]]
  local pid
  tap.eventually(20, function()
    pid = math.tointeger(tonumber(script:out()))
    local f <close> = pid and io.open("/proc/" .. pid .. "/stat")
    return f and f:read "a":find "%) T "
  end)
  sleep(0.7)
  eq(script:err(), "")
  kill(pid, "CONT")
  ok(script:wait_err "cluarun: deadlock")
end)

test("a hundred thousand hand-overs between five processes", function()
  local n = tap.sanitizer and 10000 or 100000
  local out = quiet(([[
    local queues, p = {}, {}
    for i = 1, 5 do queues[i] = Queue(i %% 2) end
    local l, s, sum = Lock(), Semaphore(1), Value(0)
    local function work(i)
      local from, to, x = queues[i], queues[i %% 5 + 1], i
      while true do
        local n = from:get()
        x = (x * 1103515245 + 12345) %% 2147483648
        if x %% 7 == 0 then l:acquire() sum:add(1) l:release() end
        if x %% 11 == 0 then s:acquire() sum:add(1) s:release() end
        to:put(n < 0 and n or n - 1)
        if n <= 0 then return end
      end
    end
    for i = 1, 5 do
      p[i] = Process { target = work, args = { i } }:start()
    end
    queues[1]:put(%d)
    for i = 1, 5 do p[i]:result() end
    print "done"
  ]]):format(n))
  eq(out, "done\n")
end)

-- Options.

test("--deadlock=off, and the environment", function()
  local self = [[
    local l = Lock()
    l:acquire()
    print(pcall(l.acquire, l, true, nil))
  ]]
  local off = "env CLUARUN_DEADLOCK=off " .. tap.program
  local script <close> = start(self, "--deadlock=off")
  local other <close> = scripts.start(off, self)
  sleep(1)
  eq(script:err() .. other:err(), "")
  local raise = "CLUARUN_DEADLOCK=raise " .. tap.program
  local out, err = tap.run(raise
    .. " -e 'local l = Lock() l:acquire() print(pcall(l.acquire, l))'")
  eq(out, "false\tdeadlock\n")
  eq(count(err, "cluarun: deadlock\n"), 1)
  out, err = tap.run("CLUARUN_DEADLOCK=perhaps " .. tap.program
    .. " -e 'print(1)'")
  eq(out, "1\n")
  ok(err:find("CLUARUN_DEADLOCK is ignored: .*'perhaps'"), err)
end)

test("a bad mode", function()
  local _, err, status = tap.run(tap.program .. " --deadlock=perhaps x.lua")
  eq(status, 1)
  ok(err:find("'%-%-deadlock=perhaps': off, report or raise expected"), err)
  _, err, status = tap.run(tap.program .. " --deadlock x.lua")
  eq(status, 1)
  ok(err:find "unrecognized option", err)
end)

test("--deadlock=raise: the error has a position", function()
  local out, err = tap.run(tap.program .. " --deadlock=raise -e '"
    .. "local l = Lock() "
    .. "l:acquire() "
    .. "print(pcall(function() l:acquire() end)) "
    .. "print(pcall(function() local g <close> = l:guard() end)) "
    .. "l:release() print(l:acquire())'")
  eq(out, ("false\t(command line):1: deadlock\n"):rep(2) .. "true\n")
  eq(count(err, "cluarun: deadlock\n"), 2)
end)

test("--deadlock=raise: a hundred rings of three processes", function()
  local rounds = tap.sanitizer and 20 or 100
  local script <close> = start(([[
    for round = 1, %d do
      local locks, ready, raised = { Lock(), Lock(), Lock() }, Barrier(3), {}
      local all = {}
      for i = 1, 3 do
        all[i] = Process { target = function()
          local mine, next_one = locks[i], locks[i %% 3 + 1]
          mine:acquire()
          ready:wait()
          local done, text = pcall(next_one.acquire, next_one)
          if done then next_one:release() end
          mine:release()
          return done or text
        end }:start()
      end
      local n = 0
      for i = 1, 3 do
        local result = all[i]:result()
        if result ~= true then n = n + 1 assert(result == "deadlock") end
      end
      assert(n == 1, "raised " .. n .. " times in round " .. round)
    end
    print "good"
  ]]):format(rounds), "--deadlock=raise")
  ok(script:ended())
  eq(script:out(), "good\n")
  local err = script:err()
  eq(count(err, "cluarun: deadlock\n"), rounds)
  ok(count(err, "\n  ") >= 3 * rounds, "lines")
  ok(not err:find "assert", err:sub(1, 2000))
end)
