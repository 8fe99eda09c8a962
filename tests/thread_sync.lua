-- Every object of synchronisation between the threads of one process.
local tap <close> = dofile "tests/lib/tap.lua"
local threads = dofile "tests/lib/threads.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails
local start, blocked = threads.start, threads.blocked

local function joined(list)
  for _, t in ipairs(list) do t:result() end
end

local function several(n, f)
  local list = {}
  for i = 1, n do list[i] = start(f, i) end
  return list
end

-- ---- Lock ----

test("Lock: one at a time", function()
  local l, balance = Lock(), 0
  switch_interval(0.0001)
  joined(several(4, function(n)
    for _ = 1, 5000 do
      l:acquire()
      balance = balance + n
      balance = balance - n
      l:release()
    end
  end))
  switch_interval(0.005)
  eq(balance, 0)
end)

test("Lock: the tutorial's balance stays 0, by guards", function()
  local l, balance, inside, most = Lock(), 0, 0, 0
  switch_interval(0.0001)
  joined(several(2, function(n)
    for _ = 1, 5000 do
      local _ <close> = l:guard()
      inside = inside + 1
      if inside > most then most = inside end
      balance = balance + n
      balance = balance - n
      inside = inside - 1
    end
  end))
  switch_interval(0.005)
  eq(balance, 0)
  eq(most, 1)
end)

test("Lock: owner and tostring show the thread", function()
  local l, go = Lock(), Event()
  local t = Thread { name = "Holder", target = function()
    l:acquire()
    go:wait()
    l:release()
  end }
  threads.until_asleep(t:start())
  local pid, name = l:owner()
  eq(pid, getpid())
  eq(name, "Holder")
  eq(tostring(l), "<Lock locked by Holder (pid " .. getpid() .. ")>")
  t.name = "Other"
  eq(select(2, l:owner()), "Other")
  eq(l:acquire(false), false)
  eq(l:acquire(true, 0.01), false)
  go:set()
  t:result()
  eq(l:owner(), nil)
end)

test("Lock: release by another thread names the holder", function()
  local l = Lock()
  l:acquire()
  local message = start(function() return select(2, pcall(l.release, l)) end)
    :result()
  eq(message, "cannot release a Lock held by MainThread (pid " .. getpid()
    .. "); use Semaphore(1) to hand over between threads")
  eq(l:locked(), true)
  l:release()
  fails("cannot release an unlocked Lock", l.release, l)
end)

test("Lock: of a thread that ended with it", function()
  for _, wait in ipairs { {}, { true, 10 }, { false } } do
    local l = Lock()
    start(function() l:acquire() end):join()
    eq(l:locked(), false)
    eq(l:owner(), nil)
    local got, died = l:acquire(table.unpack(wait))
    eq(got, true)
    eq(died == OwnerDied, true)
    l:release()
    eq(select("#", l:acquire()), 1)
    l:release()
  end
end)

test("Lock: the end of the holder wakes a waiter", function()
  local l, held, go = Lock(), Event(), Event()
  local holder = start(function()
    l:acquire()
    held:set()
    go:wait()
  end)
  held:wait()
  local waiter = blocked(function()
    local got, died = l:acquire()
    l:release()
    return got, died
  end)
  go:set()
  local got, died = waiter:result()
  eq(got, true)
  eq(died == OwnerDied, true)
  holder:join()
end)

test("Lock: guard says OwnerDied, too", function()
  local l = Lock()
  start(function() l:acquire() end):join()
  local g, died = l:guard()
  eq(died == OwnerDied, true)
  getmetatable(g).__close(g)
end)

test("Lock: a guard closed in another thread does nothing", function()
  local l = Lock()
  local g = l:guard()
  local close = getmetatable(g).__close
  start(close, g):result()
  start(function() local _ <close> = g end):result()
  eq(l:locked(), true)
  close(g)
  eq(l:locked(), false)
  close(g)
end)

test("Lock: what a guard of an ended thread leaves", function()
  local l, g = Lock(), nil
  start(function() g = l:guard() end):join()
  getmetatable(g).__close(g)
  eq(select(2, l:acquire()) == OwnerDied, true)
  getmetatable(g).__close(g)
  eq(l:locked(), true)
  l:release()
end)

test("Lock: a slot that is used again is not taken for the holder", function()
  local l = Lock()
  start(function() l:acquire() end):join()
  for _ = 1, 20 do
    eq(start(function() return pcall(l.release, l) end):result(), false)
  end
  eq(select(2, l:acquire()) == OwnerDied, true)
  l:release()
end)

test("Lock: every waiter has its turn", function()
  local l, n = Lock(), 0
  l:acquire()
  local list = several(30, function()
    local _ <close> = l:guard()
    n = n + 1
  end)
  l:release()
  joined(list)
  eq(n, 30)
end)

-- ---- RLock ----

test("RLock: recursive for its thread only", function()
  local l, go = RLock(), Event()
  local t = blocked(function()
    for _ = 1, 3 do l:acquire() end
    go:wait()
    for _ = 1, 3 do l:release() end
  end)
  eq(l:acquire(false), false)
  local message = fails("cannot release an RLock held by Thread%-%d+ %(pid",
    l.release, l)
  ok(not message:find "Semaphore", message)
  go:set()
  t:result()
  eq(l:acquire(false), true)
  eq(l:acquire(), true)
  eq(start(l.acquire, l, false):result(), false)
  l:release()
  eq(start(l.acquire, l, false):result(), false)
  l:release()
  eq(l:locked(), false)
end)

test("RLock: of a thread that ended with it", function()
  local l = RLock()
  start(function() for _ = 1, 3 do l:acquire() end end):join()
  local got, died = l:acquire()
  eq(got, true)
  eq(died == OwnerDied, true)
  l:release()
  eq(l:locked(), false)
end)

-- ---- Semaphore ----

test("Semaphore: no more than its value at once", function()
  local s, inside, most, l = Semaphore(3), 0, 0, Lock()
  joined(several(10, function()
    for _ = 1, 20 do
      local _ <close> = s:guard()
      do
        local _ <close> = l:guard()
        inside = inside + 1
        if inside > most then most = inside end
      end
      sleep(0)
      local _ <close> = l:guard()
      inside = inside - 1
    end
  end))
  ok(most <= 3 and most >= 1)
  eq(s.value, 3)
end)

test("Semaphore: released by any thread, handed over", function()
  local s = Semaphore(1)
  s:acquire()
  local t = blocked(function() return s:acquire() end)
  start(s.release, s):result()
  eq(t:result(), true)
  eq(s.value, 0)
  local list = several(5, function() return s:acquire() end)
  s:release(5)
  joined(list)
  eq(s.value, 0)
  eq(start(s.acquire, s, true, 0.01):result(), false)
end)

test("BoundedSemaphore", function()
  local s = BoundedSemaphore(2)
  s:acquire()
  start(s.release, s):result()
  fails("BoundedSemaphore released too many times", s.release, s)
  eq(start(pcall, s.release, s):result(), false)
  eq(s.value, 2)
end)

test("Semaphore: what an ended thread took stays taken", function()
  local s = Semaphore(1)
  start(s.acquire, s):join()
  eq(s.value, 0)
  start(s.release, s):join()
  eq(s:acquire(false), true)
end)

-- ---- Event ----

test("Event", function()
  local e = Event()
  local list = several(10, function() return e:wait() end)
  eq(start(e.wait, e, 0.01):result(), false)
  start(e.set, e):result()
  for i = 1, 10 do eq(list[i]:result(), true) end
  eq(start(e.wait, e, 0):result(), true)
  e:clear()
  eq(start(e.is_set, e):result(), false)
end)

test("Event: set and cleared at once wakes those who wait", function()
  local e = Event()
  local t = blocked(e.wait, e)
  e:set()
  e:clear()
  eq(t:join(30), true)
end)

-- ---- Condition ----

local function waiting(c)
  return tonumber(tostring(c):match "waiting=(%d+)")
end

-- Threads that wait, each entered before the next; they note who was woken.
local function waiters(c, n, woken, how)
  local list = {}
  for i = 1, n do
    list[i] = start(function()
      c:acquire()
      if how then how(i) else c:wait() end
      woken[#woken + 1] = i
      c:release()
    end)
    while waiting(c) < i do sleep(0) end
  end
  return list
end

test("Condition: first come, first notified", function()
  for _, l in ipairs { Lock(), RLock() } do
    local c, woken = Condition(l), {}
    local list = waiters(c, 5, woken)
    for i = 1, 3 do
      c:acquire()
      c:notify()
      c:release()
      list[i]:join()
    end
    eq(woken, { 1, 2, 3 })
    c:acquire()
    c:notify(9)
    eq(waiting(c), 0)
    c:release()
    joined(list)
    eq(#woken, 5)
  end
end)

test("Condition: notify_all, and nobody hears what was said before", function()
  local c, woken = Condition(), {}
  c:acquire()
  c:notify_all()
  eq(c:wait(0.01), false)
  c:release()
  local list = waiters(c, 8, woken)
  c:acquire()
  c:notify_all()
  eq(#woken, 0)
  c:release()
  joined(list)
  eq(#woken, 8)
end)

test("Condition: wait_for", function()
  local c, n = Condition(), 0
  local t = start(function()
    local _ <close> = c:guard()
    return c:wait_for(function() return n >= 3 and "enough" end)
  end)
  for _ = 1, 3 do
    local _ <close> = c:guard()
    n = n + 1
    c:notify()
  end
  eq(t:result(), "enough")
  t = start(function()
    local _ <close> = c:guard()
    return c:wait_for(function() return false end, 0.01)
  end)
  eq(t:result(), false)
  t = start(function()
    local _ <close> = c:guard()
    return pcall(c.wait_for, c, function() error("oops", 0) end), c:notify()
  end)
  eq(t:result(), false)
  eq(c:acquire(false), true)
  c:release()
end)

test("Condition: an RLock held twice is free while one waits", function()
  local c, woken = Condition(), {}
  local list = waiters(c, 1, woken, function()
    c:acquire()
    c:wait()
    eq(c:acquire(false), true)
    c:release()
    c:release()
  end)
  eq(c:acquire(false), true)
  c:notify()
  c:release()
  joined(list)
  eq(woken, { 1 })
  eq(c:acquire(false), true)
  c:release()
end)

test("Condition: misuse by a thread that has not the lock", function()
  local c = Condition()
  c:acquire()
  for _, f in ipairs { c.wait, c.notify, c.notify_all } do
    local done, message = start(pcall, f, c):result()
    eq(done, false)
    ok(message:find "whose lock is not held by the caller", message)
  end
  c:release()
end)

test("Condition: an ended thread holds nothing", function()
  local c = Condition()
  start(c.acquire, c):join()
  local got, died = c:acquire()
  eq(got, true)
  eq(died == OwnerDied, true)
  c:release()
end)

-- ---- Barrier ----

test("Barrier: rounds, each index once, the action once a round", function()
  local rounds, sum, l = 0, 0, Lock()
  local b = Barrier(4, function()
    rounds = rounds + 1
    eq(sum % 10, 0)
  end)
  joined(several(4, function()
    for _ = 1, 30 do
      local index = b:wait()
      local _ <close> = l:guard()
      sum = sum + index
    end
  end))
  eq(rounds, 30)
  eq(sum, 300)
end)

test("Barrier: the action runs before anybody goes on", function()
  local order = {}
  local b = Barrier(3, function() order[#order + 1] = "action" end)
  joined(several(3, function()
    b:wait()
    order[#order + 1] = "on"
  end))
  eq(order, { "action", "on", "on", "on" })
end)

local function breaks(f, ...)
  local done, err = pcall(f, ...)
  return not done and err == BrokenBarrierError
end

test("Barrier: time-out, abort, reset, an action that fails", function()
  local b = Barrier(3)
  local list = several(2, function() return breaks(b.wait, b) end)
  while b.n_waiting < 2 do sleep(0) end
  b:abort()
  for i = 1, 2 do eq(list[i]:result(), true) end
  eq(b.broken, true)
  b:reset()
  list = several(2, function() return breaks(b.wait, b) end)
  while b.n_waiting < 2 do sleep(0) end
  b:reset()
  for i = 1, 2 do eq(list[i]:result(), true) end
  eq(b.broken, false)
  eq(start(breaks, b.wait, b, 0.01):result(), true)
  eq(b.broken, true)
  b = Barrier(2, function() error("oops", 0) end)
  local t = start(breaks, b.wait, b)
  while b.n_waiting < 1 do sleep(0) end
  fails("^oops$", b.wait, b)
  eq(t:result(), true)
end)

-- ---- Queue and its kin ----

for name, class in pairs { Queue = Queue, LifoQueue = LifoQueue,
  PriorityQueue = PriorityQueue } do
  for _, size in ipairs { 0, 1, 7 } do
    test(name .. " of " .. size .. ": nothing lost, nothing twice", function()
      local q, taken = class(size), {}
      local getters = several(3, function(me)
        local n = 0
        for v in q:iter() do
          taken[v] = (taken[v] or 0) + 1
          n = n + 1
        end
        return n, me
      end)
      local putters = several(3, function(me)
        for i = 1, 200 do q:put(me * 1000 + i) end
      end)
      joined(putters)
      q:shutdown()
      local sum = 0
      for _, t in ipairs(getters) do sum = sum + t:result() end
      eq(sum, 600)
      for me = 1, 3 do
        for i = 1, 200 do
          if taken[me * 1000 + i] ~= 1 then eq(taken[me * 1000 + i], 1) end
        end
      end
    end)
  end
end

test("Queue: first in, first out, per producer", function()
  local q, last = Queue(3), { 0, 0 }
  local list = several(2, function(me)
    for i = 1, 300 do q:put { me, i } end
  end)
  for _ = 1, 600 do
    local me, i = table.unpack(q:get())
    if last[me] + 1 ~= i then eq(i, last[me] + 1) end
    last[me] = i
  end
  joined(list)
end)

test("Queue: a message is a copy, between threads too", function()
  local q, t = Queue(), { 1, { 2 } }
  q:put(t)
  local got = start(q.get, q):result()
  eq(got, t)
  eq(got ~= t and got[2] ~= t[2], true)
end)

test("Queue: Full, Empty, time-outs, shutdown while others wait", function()
  local q = Queue(1)
  fails(Empty, q.get, q, false)
  eq(select(2, start(pcall, q.get, q, true, 0.01):result()) == Empty, true)
  q:put(1)
  eq(select(2, start(pcall, q.put, q, 2, true, 0.01):result()) == Full, true)
  local putter = blocked(pcall, q.put, q, 2)
  q:shutdown()
  local done, err = putter:result()
  eq(done, false)
  eq(err == ShutDown, true)
  eq(q:get(), 1)
  q = Queue()
  local list = several(4, function() return select(2, pcall(q.get, q)) end)
  q:shutdown(true)
  for i = 1, 4 do eq(list[i]:result() == ShutDown, true) end
end)

test("Queue: join and task_done", function()
  local q, n = Queue(), 0
  local t = Thread { daemon = true, target = function()
    return select(2, pcall(function()
      while true do
        n = n + q:get()
        q:task_done()
      end
    end))
  end }:start()
  for i = 1, 50 do q:put(i) end
  q:join()
  eq(n, 1275)
  fails("more often than items were put", q.task_done, q)
  t:interrupt(ShutDown)
  eq(t:result(), ShutDown)
end)

-- ---- Pipe ----

test("Pipe between threads", function()
  local a, b = Pipe()
  local t = start(function()
    while true do
      local v = b:recv()
      if v == "end" then return "ended" end
      b:send(v * 2)
    end
  end)
  for i = 1, 200 do
    a:send(i)
    if a:recv() ~= 2 * i then ok(false) end
  end
  a:send "end"
  eq(t:result(), "ended")
  eq(b:poll(), false)
  t = blocked(function() return b:poll(30) end)
  a:send(1)
  eq(t:result(), true)
end)

test("Pipe: a big message waits for its reader, the others go on", function()
  local a, b = Pipe()
  local text = ("x"):rep(1 << 22)
  local t = start(function()
    for _ = 1, 5 do a:send(text) end
  end)
  for _ = 1, 5 do eq(#b:recv(), 1 << 22) end
  t:result()
end)

test("Pipe: its other end closed by another thread", function()
  local a, b = Pipe()
  local t = blocked(pcall, a.recv, a)
  start(b.close, b):join()
  local done, err = t:result()
  eq(done, false)
  eq(err == EOFError, true)
  fails("closed", b.send, b, 1)
end)

test("Pipe: closed by another thread while one receives from it", function()
  local a, b = Pipe()
  local t = blocked(pcall, a.recv, a)
  b:send "for whoever still looks"
  start(pcall, a.close, a):join()
  eq(t:join(30), true)
end)

-- ---- Value and Array ----

test("Value: add is one step", function()
  local v = Value(0)
  switch_interval(0.0001)
  joined(several(4, function() for _ = 1, 5000 do v:add(1) end end))
  eq(v.value, 20000)
  v.value = 0
  joined(several(4, function()
    for _ = 1, 1000 do
      local _ <close> = v:lock():guard()
      v.value = v.value + 1
    end
  end))
  switch_interval(0.005)
  eq(v.value, 4000)
  start(function() v.value = "text" end):join()
  eq(v.value, "text")
end)

test("Array", function()
  local a = Array(4)
  joined(several(4, function(i) for n = 1, 1000 do a[i] = n end end))
  for i = 1, 4 do eq(a[i], 1000) end
end)

-- ---- a blocked thread never stops the others ----

-- Each: what blocks, what lets it go on.
local cases = {}

do
  local l = Lock()
  l:acquire()
  cases["Lock:acquire"] = { function() l:acquire() l:release() end,
    function() l:release() end }
  local g = Lock()
  g:acquire()
  cases["Lock:guard"] = { function() local _ <close> = g:guard() end,
    function() g:release() end }
  local lt = Lock()
  lt:acquire()
  cases["Lock:acquire with a time-out"] = { function()
    lt:acquire(true, 3600)
    lt:release()
  end, function() lt:release() end }
  local r = RLock()
  r:acquire()
  cases["RLock:acquire"] = { function() r:acquire() r:release() end,
    function() r:release() end }
  local s = Semaphore(0)
  cases["Semaphore:acquire"] = { function() s:acquire() end,
    function() s:release() end }
  local sg = BoundedSemaphore(1)
  sg:acquire()
  cases["BoundedSemaphore:guard"] = { function()
    local _ <close> = sg:guard()
  end, function() sg:release() end }
  local e = Event()
  cases["Event:wait"] = { function() e:wait() end, function() e:set() end }
  local et = Event()
  cases["Event:wait with a time-out"] = { function() et:wait(3600) end,
    function() et:set() end }
  local c = Condition()
  cases["Condition:wait"] = { function()
    local _ <close> = c:guard()
    c:wait()
  end, function()
    local _ <close> = c:guard()
    c:notify()
  end }
  local cf, ready = Condition(Lock()), false
  cases["Condition:wait_for"] = { function()
    local _ <close> = cf:guard()
    cf:wait_for(function() return ready end)
  end, function()
    local _ <close> = cf:guard()
    ready = true
    cf:notify_all()
  end }
  local ca = Condition()
  ca:acquire()
  cases["Condition:acquire"] = { function() ca:acquire() ca:release() end,
    function() ca:release() end }
  local b = Barrier(2)
  cases["Barrier:wait"] = { function() b:wait() end, function() b:wait() end }
  local q = Queue()
  cases["Queue:get"] = { function() q:get() end, function() q:put(1) end }
  local lq = LifoQueue()
  cases["LifoQueue:get"] = { function() lq:get() end,
    function() lq:put(1) end }
  local pq = PriorityQueue()
  cases["PriorityQueue:get"] = { function() pq:get(true, 3600) end,
    function() pq:put(1) end }
  local qi = Queue()
  cases["Queue:iter"] = { function() for _ in qi:iter() do end end,
    function() qi:shutdown() end }
  local full = Queue(1)
  full:put(1)
  cases["Queue:put"] = { function() full:put(2) end,
    function() full:get() end }
  local fp = PriorityQueue(1)
  fp:put(1)
  cases["PriorityQueue:put"] = { function() fp:put(2) end,
    function() fp:get() end }
  local qj = Queue()
  qj:put(1)
  cases["Queue:join"] = { function() qj:join() end,
    function() qj:task_done() end }
  local a1, b1 = Pipe()
  cases["Pipe:recv"] = { function() b1:recv() end, function() a1:send(1) end }
  local a2, b2 = Pipe()
  cases["Pipe:poll"] = { function() b2:poll(3600) end,
    function() a2:send(1) end }
  local wq, we = Queue(), Event()
  cases["wait_any"] = { function() wait_any { wq, we } end,
    function() we:set() end }
  local te = Event()
  local t1 = start(function() te:wait() return 1 end)
  cases["Thread:join"] = { function() t1:join() end, function() te:set() end }
  local re = Event()
  local t2 = start(function() re:wait() return 1 end)
  cases["Thread:result"] = { function() t2:result() end,
    function() re:set() end }
  local ce = Event()
  local t3 = start(function() ce:wait() end)
  cases["Thread closed"] = { function() local _ <close> = t3 end,
    function() ce:set() end }
  local pe, pf, pg = Event(), Event(), Event()
  local p1 = Process { target = function() pe:wait() end }:start()
  cases["Process:join"] = { function() p1:join() end,
    function() pe:set() end }
  local p2 = Process { target = function() pf:wait() end }:start()
  cases["Process:result"] = { function() p2:result() end,
    function() pf:set() end }
  local pid = proc.child(function() pg:wait() end)
  cases["wait"] = { function() wait(pid) end, function() pg:set() end }
  local v = Value(1)
  v:lock():acquire()
  cases["Value:lock"] = { function() v:lock():acquire() v:lock():release() end,
    function() v:lock():release() end }
  cases.sleep = { function() pcall(sleep, 3600) end,
    function(t) t:interrupt() end }
  local timer = Timer(3600, print)
  cases["Timer"] = { function() timer:start():join() end,
    function() timer:cancel() end }
end

-- In the order of their names; what is forked above is not to be blamed on one.
local names = {}
for name in pairs(cases) do names[#names + 1] = name end
table.sort(names)

for _, name in ipairs(names) do
  test(name .. " lets the others run", function()
    local block, let_go = table.unpack(cases[name])
    local t = blocked(function()
      block()
      return "done"
    end)
    local n = 0
    local counter = start(function() for _ = 1, 1e5 do n = n + 1 end end)
    counter:join()
    eq(n, 100000)
    eq(t:is_alive(), true)
    let_go(t)
    eq(t:join(60), true)
    eq(t:result(), "done")
  end)
end
