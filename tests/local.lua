-- Local: fields of its own for each thread.
local tap <close> = dofile "tests/lib/tap.lua"
local threads = dofile "tests/lib/threads.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails
local start = threads.start

local function sorted_keys(l)
  local keys = {}
  for k in pairs(l) do keys[#keys + 1] = tostring(k) end
  table.sort(keys)
  return table.concat(keys, " ")
end

test("fields of any kind", function()
  local l, t = Local(), {}
  eq(l.x, nil)
  l.x, l[1], l[t], l[true], l[1.5] = 1, "one", t, false, nil
  eq(l.x, 1)
  eq(l[1], "one")
  eq(l[1.0], "one")
  eq(l[t] == t, true)
  eq(l[true], false)
  l.x = nil
  eq(l.x, nil)
  eq(l[nil], nil)
  ok(tostring(l):find "^<Local 0x%x+>$", tostring(l))
end)

test("each thread sees its own", function()
  local l = Local()
  l.x = "main"
  local list, all = {}, Barrier(10)
  for i = 1, 10 do
    list[i] = start(function()
      local before = l.x
      l.x = i
      all:wait()
      return before, l.x
    end)
  end
  for i = 1, 10 do
    eq(table.pack(list[i]:result()), { n = 2, nil, i })
  end
  eq(l.x, "main")
end)

test("each Local has its own, too", function()
  local a, b = Local(), Local()
  a.x, b.x = 1, 2
  eq(a.x, 1)
  eq(b.x, 2)
  eq({ start(function() a.x = 3 return a.x, b.x == nil end):result() },
    { 3, true })
end)

test("coroutines share those of the thread that runs them", function()
  local l = Local()
  l.x = "main"
  eq(coroutine.wrap(function() return l.x end)(), "main")
  local co = coroutine.wrap(function()
    while true do coroutine.yield(l.x) end
  end)
  eq(co(), "main")
  eq(start(function() l.x = "thread" return co() end):result(), "thread")
  eq(co(), "main")
end)

test("init runs once a thread, at its first use", function()
  local l, log = nil, {}
  l = Local(function(self)
    log[#log + 1] = current_thread().name
    eq(self == l, true)
    self.made = current_thread().name
    self.list = {}
  end)
  eq(#log, 0)
  eq(l.made, "MainThread")
  l.x = 1
  eq(#log, 1)
  local t = Thread { name = "T", target = function()
    l.x = 2 -- the first use
    return l.made, l.x, l.list
  end }:start()
  local made, x, list = t:result()
  eq(made, "T")
  eq(x, 2)
  ok(list ~= l.list)
  eq(log, { "MainThread", "T" })
  start(function() end):join()
  eq(#log, 2)
  eq(Thread { name = "P", target = function() return sorted_keys(l) end }
    :start():result(), "list made")
end)

test("an init that fails", function()
  local n, fail = 0, true
  local l = Local(function(self)
    n = n + 1
    self.half = true
    if fail then error("no init", 0) end
  end)
  fails("^no init$", function() return l.x end)
  fails("^no init$", function() l.x = 1 end)
  eq(n, 2)
  fail = false
  eq(l.half, true)
  eq(l.x, nil)
  eq(n, 3)
  local mark = {}
  l = Local(function() error(mark) end)
  fails(mark, function() return l.x end)
end)

test("an init that waits", function()
  local q = Queue()
  local l = Local(function(self) self.x = q:get() end)
  local list = {}
  for i = 1, 3 do list[i] = threads.blocked(function() return l.x end) end
  for i = 1, 3 do q:put(i) end
  local sum = 0
  for i = 1, 3 do sum = sum + list[i]:result() end
  eq(sum, 6)
end)

test("pairs does not mind what next is now", function()
  local l, keys, old = Local(), {}, next
  l.a = 1
  next = nil -- luacheck: ignore
  for k in pairs(l) do keys[#keys + 1] = k end
  next = old -- luacheck: ignore
  eq(keys, {"a"})
end)

test("pairs lists the calling thread's", function()
  local l = Local()
  l.a, l.b = 1, 2
  eq(sorted_keys(l), "a b")
  eq(start(function() l.c = 3 return sorted_keys(l) end):result(), "c")
  eq(start(function() return sorted_keys(l) end):result(), "")
  eq(sorted_keys(l), "a b")
end)

test("a thread's fields go when it ends", function()
  local l = Local()
  local seen = setmetatable({}, { __mode = "v" })
  local closed = 0
  for i = 1, 20 do
    start(function()
      l.big = setmetatable({}, { __gc = function() closed = closed + 1 end })
      seen[i] = l.big
    end):join()
  end
  collectgarbage()
  collectgarbage()
  eq(next(seen), nil)
  eq(closed, 20)
  for _ = 1, 100 do
    if not eq(start(function() return l.big end):result(), nil) then break end
  end
end)

test("a Local that is lost takes its fields along", function()
  local seen = setmetatable({}, { __mode = "v" })
  for i = 1, 20 do
    local l = Local()
    l.big = {}
    seen[i] = l.big
  end
  collectgarbage()
  collectgarbage()
  eq(next(seen), nil)
end)

test("misuse", function()
  fails("bad argument #1 to '.*Local' %(init must be a function", Local, 5)
  fails("init must be a function", Local, {})
  local l = Local(nil)
  fails("field name is nil", function() l[nil] = 1 end)
  fails("NaN", function() l[0 / 0] = 1 end)
  local meta = getmetatable(l)
  fails("Local expected", meta.__index, {}, "x")
  fails("Local expected", meta.__newindex, io.stdout, "x", 1)
  fails("Local expected", meta.__pairs, 1)
  fails("cannot send a Local", function() Queue():put(l) end)
end)

test("a callable table is an init", function()
  local l = Local(setmetatable({}, { __call = function(_, self)
    self.x = "called"
  end }))
  eq(l.x, "called")
end)

test("many Locals in many threads", function()
  local locals, list = {}, {}
  for i = 1, 50 do locals[i] = Local(function(self) self.n = 0 end) end
  switch_interval(0.0001)
  for k = 1, 5 do
    list[k] = start(function()
      for round = 1, 40 do
        for i = 1, 50 do
          local l = locals[i]
          if l.n ~= round - 1 then return l.n end
          l.n = l.n + 1
        end
      end
      return "good"
    end)
  end
  for k = 1, 5 do eq(list[k]:result(), "good") end
  switch_interval(0.005)
  eq(locals[1].n, 0)
end)
