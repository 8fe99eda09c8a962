-- wait_any, sleep, time, monotonic.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local function start(f, ...)
  return Process { target = f, args = table.pack(...) }:start()
end

test("what is ready is returned in the order given", function()
  local q, e = Queue(), Event()
  local a, b = Pipe()
  eq(wait_any({ q, e, a }, 0), {})
  q:put(1)
  b:send(1)
  local r = wait_any { a, e, q }
  eq(#r, 2)
  ok(r[1] == a and r[2] == q)
  e:set()
  eq(#wait_any { a, e, q }, 3)
end)

test("time-out gives an empty list", function()
  local t = monotonic()
  eq(wait_any({ Queue(), Event() }, 0.05), {})
  ok(monotonic() - t >= 0.05)
  eq(wait_any({ Queue() }, -1), {})
end)

test("it wakes for each kind", function()
  for _, kind in ipairs { "queue", "pipe", "event", "process" } do
    local go, q, e = Queue(), Queue(), Event()
    local a, b = Pipe()
    local p = start(function()
      go:get()
      if kind == "queue" then q:put(1) end
      if kind == "pipe" then b:send(1) end
      if kind == "event" then e:set() end
    end)
    local list = { queue = q, pipe = a, event = e, process = p }
    go:put(1)
    local r = wait_any({ list[kind] }, 10)
    ok(r[1] == list[kind], kind)
    p:join()
  end
end)

test("a shut down queue and a pipe at its end are ready", function()
  local q = Queue()
  q:shutdown()
  local a, b = Pipe()
  b:close()
  eq(#wait_any({ q, a }, 0), 2)
end)

test("the death of a pipe's peer", function()
  local a, b = Pipe()
  local ready = Queue()
  local p = start(function()
    a:close()
    ready:put(1)
    Queue():get()
  end)
  b:close()
  ready:get()
  p:kill()
  ok(wait_any({ a }, 10)[1] == a)
  p:join()
end)

test("two watchers and a consumer of one queue", function()
  local q, ready = Queue(), Queue()
  local ps = {}
  for i = 1, 2 do
    ps[i] = start(function()
      ready:put(1)
      return #wait_any({ q }, 10)
    end)
  end
  for _ = 1, 2 do ready:get() end
  q:put(1)
  q:put(2)
  for i = 1, 2 do eq(ps[i]:result(), 1) end
  eq(q:qsize(), 2)
end)

test("bad arguments", function()
  fails("empty", wait_any, {})
  fails("table", wait_any)
  fails("cannot wait for a number %(at %[1%]%)", wait_any, { 1 })
  local a = Pipe()
  a:close()
  fails("cannot wait for a closed Pipe %(at %[1%]%)", wait_any, { a })
  for _, unborn in ipairs { Process { target = print },
    Thread { target = print } } do
    fails("^tests/wait_any.lua:%d+: cannot wait for a %l+ before it is started",
      function() wait_any({ unborn }, 0) end)
  end
  fails("cannot wait for a <Lock unlocked> %(at %[2%]%)", wait_any,
    { Queue(), Lock() })
  local _, b = Pipe(false)
  fails("sending end of a pipe %(at %[1%]%)", wait_any, { b })
  fails("NaN", wait_any, { Queue() }, 0 / 0)
end)

test("sleep", function()
  local t = monotonic()
  sleep(0.05)
  ok(monotonic() - t >= 0.05)
  sleep(0)
  sleep(-1)
  fails("number expected", sleep)
  fails("number expected", sleep, "soon")
  fails("NaN", sleep, 0 / 0)
end)

test("time and monotonic", function()
  eq(math.type(time()), "float")
  eq(math.type(monotonic()), "float")
  ok(math.abs(time() - os.time()) <= 2)
  local t = monotonic()
  ok(monotonic() >= t)
end)
