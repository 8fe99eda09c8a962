-- Queue: order, limits, time-outs, task_done, shutdown, iteration, between
-- processes; memory limit; large and many messages.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

--- Starts a process that runs f.
local function start(f, ...)
  return Process { target = f, args = table.pack(...) }:start()
end

test("first in, first out", function()
  local q = Queue()
  for i = 1, 1000 do q:put(i) end
  eq(q:qsize(), 1000)
  for i = 1, 1000 do eq(q:get(), i) end
  ok(q:empty())
end)

test("nil and false are items", function()
  local q = Queue()
  q:put(nil)
  q:put(false)
  eq(q:qsize(), 2)
  eq(select("#", q:get()), 1)
  eq(q:get(), false)
end)

test("put needs a value", function()
  fails("bad argument #1 to 'put'", function() Queue():put() end)
end)

test("a bounded queue is full", function()
  local q = Queue(2)
  eq(q.maxsize, 2)
  q:put(1)
  ok(not q:full())
  q:put(2)
  ok(q:full())
  fails(Full, q.put, q, 3, false)
  fails(Full, q.put_nowait, q, 3)
  fails(Full, q.put, q, 3, true, 0.01)
  eq(q:qsize(), 2)
  eq(q:get(), 1)
  q:put(3)
  eq({ q:get(), q:get() }, { 2, 3 })
end)

test("an empty queue", function()
  local q = Queue()
  eq(q.maxsize, 0)
  fails(Empty, q.get, q, false)
  fails(Empty, q.get_nowait, q)
  local t = monotonic()
  fails(Empty, q.get, q, true, 0.05)
  ok(monotonic() - t >= 0.05, "waited as long as asked")
  fails(Empty, q.get, q, true, -1)
  local done, err = pcall(q.get, q, false)
  eq(done, false)
  ok(err == Empty)
end)

test("bad arguments", function()
  fails("maxsize", Queue, -1)
  fails("bad argument #1 to 'Queue'", function() Queue "many" end)
  fails("maxsize", Queue, 1.5)
  local q = Queue()
  fails("NaN", q.get, q, true, 0 / 0)
  fails("number", q.get, q, true, {})
  fails("Queue", q.get)
  fails("Queue", q.get, io.stdout)
  fails("Queue", q.get, Lock())
  fails("cannot send a coroutine", q.put, q, coroutine.create(print))
  fails("at %[2%].handler", q.put, q,
    { 1, { handler = coroutine.create(print) } })
  eq(q:qsize(), 0)
end)

test("tostring", function()
  local q = Queue(10)
  q:put(1)
  q:put(2)
  ok(tostring(q):match "^<Queue 0x%x+ size=2/10>$", tostring(q))
  ok(tostring(Queue()):match "^<Queue 0x%x+ size=0>$")
  ok(tostring(LifoQueue(3)):match "^<LifoQueue .* size=0/3>$")
end)

test("every message size around the limits", function()
  local q = Queue()
  local sizes = {}
  for _, n in ipairs { 0, 1, 7, 8, 9, 100, 15990, 15999, 16000, 16001, 20000,
    65535, 65536, 65537, 200000 } do
    for d = -3, 3 do
      if n + d >= 0 then sizes[#sizes + 1] = n + d end
    end
  end
  for _, n in ipairs(sizes) do q:put(("x"):rep(n) .. n) end
  for _, n in ipairs(sizes) do
    local s = q:get()
    ok(s == ("x"):rep(n) .. n, "size " .. n)
  end
end)

test("a million small messages wait in it", function()
  local q = Queue()
  for i = 1, 1000000 do q:put(i) end
  eq(q:qsize(), 1000000)
  local sum = 0
  for _ = 1, 1000000 do sum = sum + q:get() end
  eq(sum, 1000000 * 1000001 // 2)
  ok(q:empty())
end)

test("one message of 200 MB", function()
  local q = Queue()
  local p = start(function()
    local s = q:get()
    return #s, s:sub(1, 3), s:sub(-3)
  end)
  q:put("abc" .. ("x"):rep(200 << 20) .. "xyz")
  eq({ p:result() }, { (200 << 20) + 6, "abc", "xyz" })
end)

test("between processes, in order per producer", function()
  local q, n = Queue(100), 5000
  local producers = {}
  for k = 1, 3 do
    producers[k] = start(function()
      for i = 1, n do q:put { k, i } end
    end)
  end
  local last = { 0, 0, 0 }
  for _ = 1, 3 * n do
    local k, i = table.unpack(q:get())
    eq(i, last[k] + 1)
    last[k] = i
  end
  for _, p in ipairs(producers) do eq(p:join(), true) end
  ok(q:empty())
end)

test("several consumers get each item once", function()
  local q, results, n = Queue(), Queue(), 3000
  local consumers = {}
  for k = 1, 3 do
    consumers[k] = start(function()
      local sum, count = 0, 0
      for v in q:iter() do
        sum = sum + v
        count = count + 1
      end
      results:put { sum, count }
    end)
  end
  for i = 1, n do q:put(i) end
  q:shutdown()
  local sum, count = 0, 0
  for _ = 1, 3 do
    local r = results:get()
    sum = sum + r[1]
    count = count + r[2]
  end
  eq({ sum, count }, { n * (n + 1) // 2, n })
  for _, p in ipairs(consumers) do p:join() end
end)

test("a put wakes a getter, a get wakes a putter", function()
  local q, back = Queue(1), Queue()
  local p = start(function()
    for _ = 1, 200 do back:put(q:get()) end
  end)
  for i = 1, 200 do
    q:put(i)
    eq(back:get(), i)
  end
  ok(p:join(10))
end)

test("queues travel through queues", function()
  local q, inner = Queue(), Queue(7)
  inner:put "hello"
  q:put { inner, again = inner }
  local t = q:get()
  ok(t[1] == inner, "the same object again")
  ok(t.again == inner)
  eq(t[1]:get(), "hello")
  local p = start(function()
    local mine = Queue(3)
    mine:put "made by the child"
    q:put(mine)
  end)
  local got = q:get()
  p:join()
  eq(got.maxsize, 3)
  eq(got:get(), "made by the child")
end)

test("task_done and join", function()
  local q = Queue()
  fails("task_done", q.task_done, q)
  q:join()
  local p = start(function()
    for _ = 1, 10 do
      q:get()
      q:task_done()
    end
  end)
  for i = 1, 10 do q:put(i) end
  q:join()
  ok(q:empty())
  p:join()
  fails("task_done", q.task_done, q)
end)

test("shutdown lets the rest be got", function()
  local q = Queue()
  q:put(1)
  q:shutdown()
  fails(ShutDown, q.put, q, 2)
  eq(q:get(), 1)
  fails(ShutDown, q.get, q)
  fails(ShutDown, q.get, q, false)
  local got = {}
  for v in q:iter() do got[#got + 1] = v end
  eq(got, {})
end)

test("immediate shutdown throws the rest away", function()
  local q = Queue()
  q:put(1)
  q:put(2)
  q:shutdown(true)
  fails(ShutDown, q.get, q)
  eq(q:qsize(), 0)
  q:join()
end)

test("shutdown wakes all who wait", function()
  local q, full, ready = Queue(), Queue(1), Queue()
  full:put(0)
  local ps = {}
  for i = 1, 3 do
    ps[i] = start(function()
      ready:put(true)
      return select(2, pcall(q.get, q)) == ShutDown
    end)
    ps[i + 3] = start(function()
      ready:put(true)
      return select(2, pcall(full.put, full, 1)) == ShutDown
    end)
  end
  for _ = 1, 6 do ready:get() end
  q:shutdown()
  full:shutdown()
  for _, p in ipairs(ps) do eq(p:result(10), true) end
end)

test("iteration refuses a nil item", function()
  local q = Queue()
  q:put(nil)
  fails("nil", function() for _ in q:iter() do end end)
end)

test("LifoQueue", function()
  local q = LifoQueue()
  for i = 1, 100 do q:put(i) end
  eq(q:qsize(), 100)
  for i = 100, 1, -1 do eq(q:get(), i) end
  fails(Empty, q.get, q, false)
  local bounded = LifoQueue(1)
  bounded:put(1)
  fails(Full, bounded.put, bounded, 2, false)
end)

test("PriorityQueue: smallest first", function()
  local q = PriorityQueue()
  local items = { 5, 3, 9, 1, 7, 3.5, -2, 0, 2 ^ 53, (1 << 53) + 1, -0.5,
    math.huge, -math.huge, math.mininteger, math.maxinteger }
  for _, v in ipairs(items) do q:put(v) end
  table.sort(items)
  for _, v in ipairs(items) do eq(q:get(), v) end
end)

test("PriorityQueue: strings and lists", function()
  local q = PriorityQueue()
  for _, v in ipairs { "b", "abc", "", "ab", "b\0", "\xff" } do q:put(v) end
  for _, v in ipairs { "", "ab", "abc", "b", "b\0", "\xff" } do
    eq(q:get(), v)
  end
  for _, v in ipairs { { 2, "x" }, { 1, "z" }, { 1 }, { 1, "a", 3 }, {} } do
    q:put(v)
  end
  for _, v in ipairs { {}, { 1 }, { 1, "a", 3 }, { 1, "z" }, { 2, "x" } } do
    eq(q:get(), v)
  end
end)

test("PriorityQueue: equal ones in order of arrival", function()
  local q = PriorityQueue()
  for i = 1, 50 do
    q:put { i % 3 }
    q:put { i % 3 }
  end
  local last = -1
  for _ = 1, 100 do
    local v = q:get()[1]
    ok(v >= last)
    last = v
  end
  for i = 1, 20 do q:put(i % 2 == 0 and 1 or 1.0) end
  for i = 1, 20 do
    eq(math.type(q:get()), i % 2 == 0 and "integer" or "float")
  end
end)

test("PriorityQueue: what cannot be compared is misuse", function()
  local q = PriorityQueue()
  fails("NaN", q.put, q, 0 / 0)
  fails("boolean", q.put, q, true)
  fails("nil", q.put, q, nil)
  fails("function", q.put, q, print)
  q:put(1)
  fails("compared", q.put, q, "one")
  eq(q:qsize(), 1)
  eq(q:get(), 1)
end)

test("a killed consumer takes at most what it had taken", function()
  local q, took = Queue(), Queue()
  for i = 1, 100 do q:put(i) end
  local p = start(function()
    took:put(q:get())
    Queue():get()
  end)
  eq(took:get(), 1)
  p:kill()
  p:join()
  eq(q:qsize(), 99)
  eq(q:get(), 2)
end)

test("a consumer killed while it waits harms nobody", function()
  local q, ready = Queue(), Queue()
  for i = 1, 20 do
    local p = start(function()
      ready:put(1)
      q:get()
    end)
    ready:get()
    p:kill()
    p:join()
    q:put(i)
    eq(q:get(true, 10), i)
  end
end)

test("a waiting consumer costs no CPU", function()
  local q = Queue()
  local p = start(function()
    local c = os.clock()
    q:get()
    return os.clock() - c
  end)
  sleep(0.5)
  q:put(1)
  ok(p:result() < 0.1)
end)

test("past the memory limit: Full, and nothing is lost", function()
  local out, err, status = tap.run(
    "CLUARUN_SHARED_LIMIT=16M " .. tap.program .. [[ -e '
    local q, n, big = Queue(), 0, ("x"):rep(1 << 20)
    while true do
      local ok, err = pcall(q.put, q, big)
      if not ok then assert(err == Full, err) break end
      n = n + 1
    end
    assert(n >= 8 and n <= 16, n)
    assert(q:qsize() == n)
    for i = 1, n do assert(#q:get() == 1 << 20) end
    q:put(big)
    assert(#q:get() == 1 << 20)
    print "whole"']])
  eq({ out, err, status }, { "whole\n", "", 0 })
end)

test("a memory limit that is no size is ignored with a warning", function()
  for _, bad in ipairs { "abc", "", "-1", "5X", "nan", "1e30" } do
    local out, err, status = tap.run("CLUARUN_SHARED_LIMIT=" .. bad .. " "
      .. tap.program .. " -e 'print(Queue():qsize())'")
    eq({ out, status }, { "0\n", 0 }, bad)
    ok(err:find("CLUARUN_SHARED_LIMIT is ignored", 1, true), bad)
  end
  local _, err = tap.run("CLUARUN_SHARED_LIMIT=1.5g " .. tap.program .. " -v")
  eq(err, "")
end)

test("Ctrl-C ends a waiting get", function()
  local ready = Queue()
  local p = start(function()
    ready:put(getpid())
    Queue():get()
  end)
  local pid = ready:get()
  kill(pid, "INT")
  ok(p:join(10))
  eq(p.exitcode, -2)
end)

test("PriorityQueue: how large a list may be", function()
  local q = PriorityQueue()
  local list, doubled = {}, { 1 }
  for i = 1, 100000 do list[i] = i end
  q:put(list)
  q:put { 0, ("x"):rep(100000) }
  for _ = 1, 27 do doubled = { doubled, doubled } end
  fails("cannot order a list whose parts make more than 16 MiB", q.put, q,
    doubled)
  eq(q:get()[1], 0)
  eq(#q:get(), 100000)
end)

test("immediate shutdown leaves to be done what was got", function()
  for _, make in ipairs {Queue, LifoQueue, PriorityQueue} do
    local q = make()
    q:put(1)
    q:put(2)
    q:put(3)
    q:get()
    q:shutdown(true)
    local p <close> = start(function() q:join() end)
    eq(p:join(0.1), false)
    q:task_done()
    eq(p:join(10), true)
    fails("task_done", q.task_done, q)
  end
end)

test("immediate shutdown after more was done than got", function()
  local q = Queue()
  for i = 1, 3 do q:put(i) end
  q:task_done()
  q:shutdown(true)
  q:join()
  fails("task_done", q.task_done, q)
end)

test("an iterator of a queue is a function by itself", function()
  local q = Queue()
  for i = 1, 3 do q:put(i) end
  q:shutdown()
  local next_item = q:iter()
  eq({next_item(), next_item(), next_item()}, {1, 2, 3})
  eq(next_item(), nil)
end)

test("misuse under pcall names the method", function()
  local q = Queue(2)
  fails("argument #2 to 'put' %(cannot send a coroutine%)", q.put, q,
    coroutine.create(print))
  fails("argument #2 to 'put' %(value expected", q.put, q)
  fails("argument #2 to 'get' %(block must be a boolean, got number", q.get, q,
    1)
  fails("argument #2 to 'shutdown' %(immediate must be a boolean", q.shutdown,
    q, "now")
  fails("cannot set field 'maxsize' of a Queue", function() q.maxsize = 3 end)
  fails("cannot set field 'set' of an Event", function() Event().set = 1 end)
end)
