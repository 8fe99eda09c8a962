-- Pipe: both directions, one way, poll, the end of the pipe, death of a peer.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local function start(f, ...)
  return Process { target = f, args = table.pack(...) }:start()
end

test("duplex: both ends send and receive", function()
  local a, b = Pipe()
  a:send "to b"
  b:send "to a"
  eq(b:recv(), "to b")
  eq(a:recv(), "to a")
end)

test("one way: a receives, b sends", function()
  local a, b = Pipe(false)
  b:send { 1, 2 }
  eq(a:recv(), { 1, 2 })
  fails("receiving end", a.send, a, 1)
  fails("sending end", b.recv, b)
  fails("sending end", b.poll, b)
end)

test("poll", function()
  local a, b = Pipe()
  eq(a:poll(), false)
  eq(a:poll(0.01), false)
  b:send(nil)
  eq(a:poll(), true)
  eq(a:poll(10), true)
  eq(a:recv(), nil)
  fails("NaN", a.poll, a, 0 / 0)
end)

test("drained and closed: EOFError", function()
  local a, b = Pipe()
  b:send "last words"
  eq(b.closed, false)
  b:close()
  eq(b.closed, true)
  b:close()
  eq(a:poll(), true)
  eq(a:recv(), "last words")
  fails(EOFError, a.recv, a)
  fails(EOFError, a.send, a, 1)
  eq(a:poll(), true)
end)

test("a closed end is misuse", function()
  local a = Pipe()
  a:close()
  fails("closed", a.send, a, 1)
  fails("closed", a.recv, a)
  fails("closed", a.poll, a)
  eq(tostring(a), "<Pipe closed>")
end)

test("between processes", function()
  local a, b = Pipe()
  local p = start(function()
    a:close()
    while true do
      local done, v = pcall(b.recv, b)
      if not done then return v == EOFError end
      b:send(v * 2)
    end
  end)
  b:close()
  for i = 1, 1000 do
    a:send(i)
    eq(a:recv(), 2 * i)
  end
  a:close()
  eq(p:result(10), true)
end)

test("an inherited copy elsewhere keeps an end open", function()
  local a, b = Pipe()
  local go = Queue()
  local p = start(function()
    go:get()
    b:send "still open"
  end)
  b:close()
  eq(a:poll(), false)
  go:put(1)
  eq(a:recv(), "still open")
  p:join()
  fails(EOFError, a.recv, a)
end)

test("the death of the peer ends a waiting recv", function()
  for _ = 1, 20 do
    local a, b = Pipe()
    local ready = Queue()
    local p = start(function()
      a:close()
      ready:put(getpid())
      Queue():get()
    end)
    b:close()
    kill(ready:get(), "KILL")
    fails(EOFError, a.recv, a)
    fails(EOFError, a.send, a, 1)
    p:join()
  end
end)

test("the death of a sibling is noticed while the parent computes", function()
  local a, b = Pipe()
  local ready, told = Queue(), Queue()
  local victim = start(function()
    a:close()
    ready:put(getpid())
    Queue():get()
  end)
  local waiter = start(function()
    b:close()
    ready:put(0)
    told:put(select(2, pcall(a.recv, a)) == EOFError)
  end)
  a:close()
  b:close()
  local pid = ready:get()
  if pid == 0 then pid = ready:get() else ready:get() end
  kill(pid, "KILL")
  local deadline = monotonic() + 10
  while told:empty() and monotonic() < deadline do end
  eq(told:get_nowait(), true)
  victim:join()
  waiter:join()
end)

test("ends travel", function()
  local q = Queue()
  local a, b = Pipe()
  q:put(b)
  local p = start(function()
    local e = q:get()
    e:send("through " .. tostring(e):match "%a+")
  end)
  b:close()
  eq(a:recv(), "through Pipe")
  p:join()
  fails(EOFError, a.recv, a)
end)

test("large messages", function()
  local a, b = Pipe()
  local p = start(function() return #b:recv() end)
  a:send(("x"):rep(5000000))
  eq(p:result(), 5000000)
end)

test("tostring", function()
  local a, b = Pipe(false)
  ok(tostring(a):match "^<Pipe 0x%x+ receives>$", tostring(a))
  ok(tostring(b):match "^<Pipe 0x%x+ sends>$")
end)

test("close by a block's end", function()
  local a, b = Pipe()
  do
    local e <close> = b
    e:send(1)
  end
  eq(b.closed, true)
  eq(a:recv(), 1)
  fails(EOFError, a.recv, a)
end)
