-- t:interrupt(), and Ctrl-C with threads.
local tap <close> = dofile "tests/lib/tap.lua"
local threads = dofile "tests/lib/threads.lua"
local proc = dofile "tests/lib/proc.lua"
local ctrl_c = assert(loadfile "tests/lib/ctrlc.lua")(tap)
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails
local start, blocked = threads.start, threads.blocked

-- ---- out of what computes ----

-- Each is told to run until the interrupt comes; it calls `loop`, which says
-- that it has begun.
local begun
local function loop() begun = true while true do end end

local computing = {
  loop = loop,
  ["loop of calls"] = function()
    local function f() begun = true end
    while true do f() end
  end,
  ["for loop"] = function()
    begun = true
    for _ = 1, math.maxinteger do end
  end,
  ["goto"] = function()
    begun = true
    ::again::
    goto again
  end,
  recursion = function()
    local function f(n)
      begun = true
      if n > 0 then f(n - 1) end
      return n
    end
    while true do f(50) end
  end,
  allocation = function()
    begun = true
    local t
    while true do t = { t and 1, {} } end
  end,
  ["coroutine"] = function() coroutine.wrap(loop)() end,
  ["coroutine in a coroutine"] = function()
    coroutine.wrap(function() coroutine.wrap(loop)() end)()
  end,
  ["loop of resumes"] = function()
    local co = coroutine.wrap(function()
      begun = true
      while true do coroutine.yield() end
    end)
    while true do co() end
  end,
  ["coroutine.close"] = function()
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = loop })
      coroutine.yield()
    end)
    coroutine.resume(co)
    local done, err = coroutine.close(co)
    if not done then error(err, 0) end
  end,
  ["sort comparator"] = function()
    table.sort({ 1, 2, 3 }, loop)
  end,
  ["gsub callback"] = function() ("x"):gsub("x", loop) end,
  ["__index"] = function()
    return setmetatable({}, { __index = loop }).x
  end,
  ["__add"] = function() return setmetatable({}, { __add = loop }) + 1 end,
  ["__eq"] = function()
    local m = { __eq = loop }
    return setmetatable({}, m) == setmetatable({}, m)
  end,
  ["__tostring"] = function()
    return tostring(setmetatable({}, { __tostring = loop }))
  end,
  ["__close"] = function()
    local _ <close> = setmetatable({}, { __close = loop })
  end,
  ["iterator"] = function()
    for _ in function() begun = true return 1 end do end
  end,
  ["load's reader"] = function() assert(load(loop)) end,
  ["dofile"] = function() assert(load "local f = ... f()")(loop) end,
}

local names = {}
for name in pairs(computing) do names[#names + 1] = name end
table.sort(names)

-- Interrupts f with err; returns what pcall(f) gave.
local function interrupted(f, ...)
  begun = false
  local t = start(pcall, f)
  repeat sleep(0) until begun
  t:interrupt(...)
  return t:result()
end

for _, name in ipairs(names) do
  test("out of: " .. name, function()
    local mark = {}
    local done, err = interrupted(computing[name], mark)
    eq(done, false)
    -- A reader's error comes as text.
    if name ~= "load's reader" then eq(err == mark, true) end
    done, err = interrupted(computing[name])
    eq(done, false)
    ok(tostring(err):find "interrupted!", err)
  end)
end

test("out of a message handler", function()
  local t = start(function()
    return xpcall(error, function(err)
      if err == "stop" then return "stopped" end
      loop()
    end, "first")
  end)
  begun = false
  repeat sleep(0) until begun
  t:interrupt "stop"
  local done, err = t:result()
  eq(done, false)
  eq(err, "stopped")
end)

test("a loop of pcalls catches each, and ends when it wants to", function()
  local seen = {}
  begun = false
  local t = start(function()
    for _ = 1, 5 do seen[#seen + 1] = select(2, pcall(loop)) end
    return "ended"
  end)
  for i = 1, 5 do
    repeat sleep(0) until begun
    begun = false
    t:interrupt(i)
  end
  eq(t:result(), "ended")
  eq(seen, { 1, 2, 3, 4, 5 })
end)

test("no hook is left, and what follows runs to its end", function()
  local t = start(function()
    pcall(loop)
    local n = 0
    for _ = 1, 1e5 do n = n + 1 end
    return n, debug.gethook()
  end)
  begun = false
  repeat sleep(0) until begun
  t:interrupt()
  local r = table.pack(t:result())
  eq(r[1], 100000)
  eq(r[2], nil)
end)

-- ---- the error ----

test("the error: the usual, or anything", function()
  local _, err = interrupted(loop)
  ok(err:find "^tests/thread_interrupt.lua:%d+: interrupted!$", err)
  _, err = interrupted(loop, nil)
  ok(err:find "interrupted!$", err)
  for _, e in ipairs { "text", 42, false, TimeoutError, print, loop } do
    eq(select(2, interrupted(loop, e)), e)
  end
  local t = setmetatable({}, { __tostring = function() return "object" end })
  eq(select(2, interrupted(loop, t)) == t, true)
  eq(rawequal(select(2, interrupted(loop, ShutDown)), ShutDown), true)
end)

test("uncaught it is reported like any error of a thread", function()
  local out, err, status = tap.lua [[
    local function wait(t)
      t:interrupt()
      print(pcall(t.result, t))
    end
    wait(Thread { target = sleep, args = { 3600 }, name = "S" }:start())
    wait(Thread { target = function() while true do end end, name = "L" }
      :start())
    local t = Thread { target = sleep, args = { 3600 } }:start()
    t:interrupt { 1 }
    print(select(2, pcall(t.result, t))[1])]]
  ok(out:find "^false\t[^\n]*interrupted!\nfalse\t[^\n]*interrupted!\n1\n$",
    out)
  ok(err:find "^Exception in thread S:\n[^\n]*interrupted!\nstack tr", err)
  ok(err:find "Exception in thread L:\n[^\n]*:6: interrupted!\nstack tr", err)
  ok(err:find "Exception in thread Thread%-1:\n%(error object is a table", err)
  eq(status, 0)
end)

-- ---- out of what blocks ----

-- Each blocks until it is interrupted; what it returns stands for an end in
-- order.
local function held(l)
  l:acquire()
  return l
end

local full = Queue(1)
full:put(1)
local undone = Queue()
undone:put(1)
local never = Event()
local process = Process { target = function() never:wait() end }:start()
local child = proc.child(function() never:wait() end)
local sleeper = start(function() never:wait() end)
local _, receiver = Pipe()
local locks = { held(Lock()), held(RLock()), held(Condition()), Lock() }

local blocking = {
  sleep = function() sleep(3600) end,
  ["sleep for ever"] = function() sleep(math.huge) end,
  ["Queue:get"] = function() Queue():get() end,
  ["Queue:get with a time-out"] = function() Queue():get(true, 3600) end,
  ["Queue:iter"] = function() for _ in Queue():iter() do end end,
  ["LifoQueue:get"] = function() LifoQueue():get() end,
  ["PriorityQueue:get"] = function() PriorityQueue():get() end,
  ["Queue:put"] = function() full:put(2) end,
  ["Queue:join"] = function() undone:join() end,
  ["Pipe:recv"] = function() receiver:recv() end,
  ["Pipe:poll"] = function() receiver:poll(3600) end,
  ["Lock:acquire"] = function() locks[1]:acquire() end,
  ["Lock:guard"] = function() local _ <close> = locks[1]:guard() end,
  ["RLock:acquire"] = function() locks[2]:acquire() end,
  ["Condition:acquire"] = function() locks[3]:acquire() end,
  ["Lock:acquire of its own"] = function()
    local l = held(Lock())
    l:acquire()
  end,
  ["Semaphore:acquire"] = function() Semaphore(0):acquire() end,
  ["Event:wait"] = function() Event():wait() end,
  ["Barrier:wait"] = function() Barrier(2):wait() end,
  ["Condition:wait"] = function()
    local c = held(Condition())
    c:wait()
  end,
  ["Condition:wait_for"] = function()
    local c = held(Condition())
    c:wait_for(function() return false end)
  end,
  ["Thread:join"] = function() sleeper:join() end,
  ["Thread:result"] = function() sleeper:result() end,
  ["Thread:join with a time-out"] = function() sleeper:join(3600) end,
  ["Thread closed"] = function() local _ <close> = sleeper end,
  ["Process:join"] = function() process:join() end,
  ["Process:result"] = function() process:result() end,
  ["wait(pid)"] = function() wait(child) end,
  ["wait()"] = function() wait() end,
  ["wait_any"] = function() wait_any { Queue(), Event(), sleeper } end,
  ["main thread joined"] = function() main_thread():join() end,
  ["in a coroutine"] = function()
    coroutine.wrap(function() Queue():get() end)()
  end,
  ["in a sort comparator"] = function()
    table.sort({ 1, 2, 3 }, function() sleep(3600) end)
  end,
  Timer = function() Timer(3600, print):start():join() end,
}

names = {}
for name in pairs(blocking) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  test("out of: " .. name, function()
    local mark = {}
    local t = blocked(pcall, blocking[name])
    t:interrupt(mark)
    local done, err = t:result()
    eq(done, false)
    eq(err == mark, true)
    t = blocked(pcall, blocking[name])
    t:interrupt()
    done, err = t:result()
    eq(done, false)
    ok(tostring(err):find "interrupted!$", err)
  end)
end

for _, t in ipairs(_G.threads()) do
  if tostring(t):find "^<Timer" then t:cancel() end
end

test("a thread that is interrupted before it has run", function()
  for _ = 1, 50 do
    local t = start(pcall, loop)
    t:interrupt "early"
    local r = table.pack(pcall(t.result, t))
    ok(r[1] == true and r[2] == false and r[3] == "early" or
      r[1] == false and r[2] == "early")
  end
end)

test("Lock: whoever is interrupted does not have it", function()
  local l = held(Lock())
  local t = blocked(pcall, l.acquire, l)
  t:interrupt()
  eq(t:result(), false)
  l:release()
  eq(l:locked(), false)
  eq(l:acquire(false), true)
  eq(select(2, l:owner()), "MainThread")
  l:release()
end)

test("Lock: an interrupt that comes with the release loses nothing", function()
  local l, got = Lock(), 0
  for _ = 1, 200 do
    l:acquire()
    begun = false
    local t = start(pcall, function()
      begun = true
      l:acquire()
      got = got + 1
      l:release()
    end)
    repeat sleep(0) until begun
    l:release()
    t:interrupt "now"
    t:join()
    -- It may have come between acquire and release.
    local mine, died = l:acquire(true, 60)
    if not ok(mine and (died == nil or died == OwnerDied)) then break end
    l:release()
  end
  ok(got <= 200)
end)

test("Condition: the lock is held again", function()
  for _, lock in ipairs { Lock(), RLock() } do
    local c, twice = Condition(lock), tostring(lock):find "RLock"
    local t = start(function()
      c:acquire()
      if twice then c:acquire() end
      local done = pcall(c.wait, c)
      local pid, name = lock:owner()
      c:release()
      if twice then c:release() end
      return done, pid, name == current_thread().name, lock:locked()
    end)
    while not tostring(c):find "waiting=1" do sleep(0) end
    c:acquire()
    t:interrupt()
    eq(t:join(0.01), false, "it waits for the lock")
    c:release()
    eq({ t:result() }, { false, getpid(), true, false })
    eq(tostring(c):match "waiting=(%d)", "0")
  end
end)

test("Condition: a note is not lost with the interrupted", function()
  local c, woken = Condition(), 0
  local list = {}
  for i = 1, 2 do
    list[i] = start(function()
      c:acquire()
      local done = pcall(c.wait, c)
      if done then woken = woken + 1 end
      c:release()
    end)
    while not tostring(c):find("waiting=" .. i) do sleep(0) end
  end
  list[1]:interrupt()
  list[1]:join()
  c:acquire()
  c:notify()
  c:release()
  eq(list[2]:join(60), true)
  eq(woken, 1)
end)

test("Barrier: it breaks for all", function()
  local b = Barrier(4)
  local list = {}
  for i = 1, 3 do
    list[i] = start(function() return select(2, pcall(b.wait, b)) end)
  end
  while b.n_waiting < 3 do sleep(0) end
  list[2]:interrupt "mine"
  eq(list[2]:result(), "mine")
  eq(list[1]:result() == BrokenBarrierError, true)
  eq(list[3]:result() == BrokenBarrierError, true)
  eq(b.broken, true)
end)

test("Barrier: interrupted in its action", function()
  local b = Barrier(2, loop)
  begun = false
  local a = start(function() return select(2, pcall(b.wait, b)) end)
  while b.n_waiting < 1 do sleep(0) end
  local last = start(function() return select(2, pcall(b.wait, b)) end)
  repeat sleep(0) until begun
  last:interrupt "mine"
  eq(last:result(), "mine")
  eq(a:result() == BrokenBarrierError, true)
end)

test("Queue: an interrupt that comes with the message", function()
  local q, got, left = Queue(), 0, 0
  for _ = 1, 200 do
    begun = false
    local t = start(pcall, function()
      begun = true
      local v = q:get()
      got = got + v
    end)
    repeat sleep(0) until begun
    q:put(1)
    t:interrupt "now"
    t:join()
    if not q:empty() then left = left + q:get() end
    eq(q:empty(), true)
  end
  -- What it had taken when the interrupt came is gone with it.
  ok(got + left <= 200)
end)

-- ---- whom ----

test("an ended thread: nothing; one not started: misuse", function()
  local t = Thread { target = print }
  fails("cannot interrupt a thread before it is started", function()
    t:interrupt()
  end)
  t = start(function() return 5 end)
  t:join()
  eq(select("#", t:interrupt()), 0)
  t:interrupt "x"
  eq(t:result(), 5)
  fails("Thread expected", t.interrupt, {})
end)

test("itself", function()
  local done, err = pcall(function()
    current_thread():interrupt "me"
    while true do end
  end)
  eq(done, false)
  eq(err, "me")
  done, err = pcall(function()
    current_thread():interrupt()
    sleep(3600)
  end)
  eq(done, false)
  ok(err:find "interrupted!$", err)
  done, err = start(pcall, function()
    current_thread():interrupt "me"
    Queue():get()
  end):result()
  eq(done, false)
  eq(err, "me")
  done, err = start(pcall, coroutine.wrap(function()
    current_thread():interrupt "me"
    while true do end
  end)):result()
  eq(done, false)
  eq(err, "me")
end)

test("the main thread by another", function()
  local main = current_thread()
  for _, f in ipairs { loop, function() sleep(3600) end,
    function() Queue():get() end } do
    local t = start(function() sleep(0.01) main:interrupt "from below" end)
    local done, err = pcall(f)
    eq(done, false)
    eq(err, "from below")
    t:join()
  end
  local out, err, status = tap.lua [[
    local main = current_thread()
    Thread { target = function() main:interrupt() end }:start()
    sleep(3600)]]
  eq(out, "")
  ok(err:find ":3: interrupted!\nstack traceback:\n.*in main chunk", err)
  eq(status, 1)
end)

test("threads interrupt each other", function()
  local list = {}
  for i = 1, 10 do
    list[i] = blocked(function()
      local _, err = pcall(sleep, 3600)
      if i < 10 then list[i + 1]:interrupt(err + 1) end
      return err
    end)
  end
  list[1]:interrupt(1)
  eq(list[10]:result(), 10)
end)

test("twice: the last one counts, or both came", function()
  local t = blocked(function()
    local seen = {}
    while seen[#seen] ~= "b" do
      seen[#seen + 1] = select(2, pcall(sleep, 3600))
    end
    return seen
  end)
  t:interrupt "a"
  t:interrupt "b"
  local seen = t:result()
  ok(#seen == 1 or #seen == 2 and seen[1] == "a")
end)

test("a storm of interrupts harms nobody else", function()
  local n = 0
  local worker = start(function()
    for _ = 1, 1e6 do n = n + 1 end
  end)
  for i = 1, 200 do
    begun = false
    local t = start(pcall, function()
      local l <const> = Lock()
      while true do
        l:acquire()
        table.sort({ 3, 1, 2 }, function(a, b) return a < b end)
        l:release()
        sleep(0)
        coroutine.wrap(function() return { tostring(l) } end)()
        begun = true
      end
    end)
    repeat sleep(0) until begun
    t:interrupt(i)
    local done, err = t:result()
    if not (eq(done, false) and eq(err, i)) then break end
  end
  worker:result()
  eq(n, 1000000)
end)

-- ---- Ctrl-C ----

-- The threads of these scripts; "ready" is printed when all have begun.
local function with_threads(main)
  return (([[
    local e, q, l, begun = Event(), Queue(), Lock(), Barrier(6)
    local function thread(f)
      return Thread { target = function() begun:wait() f() end }:start()
    end
    l:acquire()
    local t = thread(function() while true do end end)
    thread(function() sleep(3600) end)
    thread(function() q:get() end)
    thread(function() l:acquire() end)
    thread(function() coroutine.wrap(function() t:join() end)() end)
    begun:wait()
    print "ready"
    MAIN]]):gsub("MAIN", main))
end

for what, main in pairs {
  computes = "while true do end",
  sleeps = "sleep(3600)",
  waits = "e:wait()",
  ["joins a thread"] = "t:join()",
  ["joins at the end of the script"] = "",
} do
  test("Ctrl-C ends the process with all its threads; main " .. what,
    function()
      local out, err, status = ctrl_c(with_threads(main))
      eq(out, "")
      local _, n = err:gsub("interrupted!", "")
      eq(n, 1, "messages: " .. err)
      _, n = err:gsub("stack traceback", "")
      eq(n, 1, "tracebacks")
      eq(status, 1)
      if main ~= "" then ok(err:find "in main chunk", err) end
    end)
end

test("Ctrl-C comes to the main thread only, and can be caught", function()
  local out, err, status = ctrl_c [[
    local e, n = Event(), 0
    local t = Thread { target = function()
      print(pcall(e.wait, e))
      for _ = 1, 1e5 do n = n + 1 end
      return "thread ended"
    end }:start()
    local u = Thread { target = function()
      while not e:is_set() do n = n + 1 end
      return "other ended"
    end }:start()
    local done, err = pcall(function() print "ready" sleep(3600) end)
    print(done, err:match "interrupted!$")
    e:set()
    print(t:result(), u:result())]]
  eq(out, "false\tinterrupted!\ntrue\ttrue\nthread ended\tother ended\n")
  eq(err, "")
  eq(status, 0)
end)

test("Ctrl-C: daemon threads are dropped", function()
  local out, err, status = ctrl_c [[
    Thread { daemon = true, target = function()
      while true do pcall(sleep, 3600) end
    end }:start()
    Thread { daemon = true, target = function() while true do
      pcall(function() while true do end end)
    end end }:start()
    print "ready"
    sleep(3600)]]
  eq(out, "")
  local _, n = err:gsub("interrupted!", "")
  eq(n, 1, err)
  eq(status, 1)
end)

test("Ctrl-C: what a thread does at its end is done", function()
  local out, err, status = ctrl_c [[
    local begun = Event()
    Thread { target = function()
      local _ <close> = setmetatable({}, { __close = function()
        print "closed" end })
      begun:set()
      sleep(3600)
    end }:start()
    begun:wait()
    print "ready"
    while true do end]]
  eq(out, "closed\n")
  local _, n = err:gsub("interrupted!", "")
  eq(n, 1, err)
  eq(status, 1)
end)

test("Ctrl-C: an error of a thread on its way out is told", function()
  local _, err, status = ctrl_c [[
    local begun = Event()
    Thread { name = "Failing", target = function()
      begun:set()
      pcall(sleep, 3600)
      error "cleaning up failed"
    end }:start()
    begun:wait()
    print "ready"
    sleep(3600)]]
  ok(err:find "Exception in thread Failing:\n[^\n]*cleaning up failed", err)
  eq(status, 1)
end)

test("a second Ctrl-C ends a process whose threads do not end", function()
  local _, err, status = ctrl_c([[
    local begun = Event()
    Thread { target = function()
      begun:set()
      while true do pcall(sleep, 3600) end
    end }:start()
    begun:wait()
    print "ready"
    sleep(3600)]], "$p", [[
      while kill -INT $p 2>/dev/null &&
        ! grep -q "^State:.Z" /proc/$p/status; do sleep 0.01; done]])
  ok(status == 1 or status == 130, status)
  ok(status == 130 or err:find "interrupted!", err) -- or it came too soon
end)

test("Ctrl-C while threads start, end and print", function()
  local _, err, status = ctrl_c [[
    local function nothing() io.write "" end
    local function starter()
      while true do Thread { target = nothing }:start():join() end
    end
    for _ = 1, 3 do Thread { target = starter }:start() end
    print "ready"
    starter()]]
  local _, n = err:gsub("interrupted!", "")
  eq(n, 1, err)
  eq(status, 1)
end)

test("a tree of processes with threads prints one traceback", function()
  local out, err, status = ctrl_c([[
    local q = Queue()
    local function child()
      Thread { target = function() while true do end end }:start()
      Thread { target = function() sleep(3600) end }:start()
      q:put(1)
      sleep(3600)
    end
    for _ = 1, 3 do Process { target = child }:start() end
    Thread { target = function()
      Process { target = child }:start():join()
    end }:start()
    for _ = 1, 4 do q:get() end
    print "ready"
    sleep(3600)]], "-$p")
  eq(out, "")
  local _, n = err:gsub("stack traceback", "")
  eq(n, 1, err)
  eq(status, 1)
end)

never:set()
process:join()
proc.status(child)

-- The module is there from the second time on.
local function slow_module(get)
  return tap.lua(([[
    local inside = Event()
    package.preload.slow = function()
      if not inside:is_set() then
        inside:set()
        sleep(60)
      end
      return { f = print }
    end
    local function make()
      package.loaded.slow = { f = function() end }
      return package.loaded.slow.f
    end
    local get
    %s
    local t = Thread { target = function()
      local good, err = pcall(get)
      return good, tostring(err):match "interrupted!$", get()
    end }:start()
    inside:wait()
    t:interrupt()
    local good, err, f = t:result()
    print(good, err, f == print)]]):format(get))
end

test("what a get was rebuilding when it was interrupted is not lost", function()
  eq({ slow_module [[
    local q, sent = Queue(), Event()
    Process { target = function()
      q:put(make())
      sent:set()
    end }:start()
    sent:wait()
    get = function() return q:get(false) end]] },
    { "false\tinterrupted!\ttrue\n", "", 0 })
end)

test("nor what a result was rebuilding", function()
  eq({ slow_module [[
    local p = Process { target = make }:start()
    p:join()
    get = function() return p:result() end]] },
    { "false\tinterrupted!\ttrue\n", "", 0 })
end)
