-- What a value is after its way through a queue: itself, exactly.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local q = Queue()
local function sent(v)
  q:put(v)
  return q:get()
end

test("integers", function()
  for _, n in ipairs { 0, 1, -1, 127, 128, -128, -129, 2 ^ 31 | 0,
    -(2 ^ 31) | 0, 2 ^ 31 - 1 | 0, math.maxinteger, math.mininteger } do
    eq(sent(n), n)
    eq(sent { n }[1], n)
  end
end)

test("floats", function()
  for _, n in ipairs { 0.0, 1.0, -1.5, 2.0 ^ 53, 1e308, 5e-324, 1 / 0, -1 / 0,
    0.1 } do
    eq(sent(n), n)
  end
  eq(1 / sent(-0.0), -1 / 0)
  eq(1 / sent { -0.0 }[1], -1 / 0)
  local nan = sent(0 / 0)
  ok(nan ~= nan)
end)

test("nil and booleans", function()
  eq(sent(nil), nil)
  eq(sent(true), true)
  eq(sent(false), false)
end)

test("strings of any bytes and length", function()
  local all = {}
  for i = 0, 255 do all[#all + 1] = string.char(i) end
  local bytes = table.concat(all)
  eq(sent(bytes), bytes)
  for _, n in ipairs { 0, 1, 40, 41, 255, 256, 257, 15990, 16000, 16010,
    65535, 65536, 1000000 } do
    local s = ("x"):rep(n)
    ok(sent(s) == s, "string of " .. n)
    ok(sent({ s })[1] == s, "string of " .. n .. " in a table")
  end
end)

test("a very long string", function()
  local s = ("0123456789"):rep(20000000)
  ok(sent(s) == s)
end)

test("tables", function()
  eq(sent {}, {})
  eq(sent { 1, 2, 3 }, { 1, 2, 3 })
  eq(sent { id = 1, name = "abc", list = { 1, 2, 3 } },
    { id = 1, name = "abc", list = { 1, 2, 3 } })
  eq(sent { { { { 1 } } } }, { { { { 1 } } } })
  eq(sent { [1.5] = 1, [true] = 2, [false] = 3, [-1] = 4, [2 ^ 62 | 0] = 5 },
    { [1.5] = 1, [true] = 2, [false] = 3, [-1] = 4, [2 ^ 62 | 0] = 5 })
end)

test("holes", function()
  local t = { 1, nil, 3, nil, nil, 6 }
  eq(sent(t), t)
  t = table.pack(nil, nil, 3, nil)
  eq(sent(t), t)
  t = { [1] = 1, [1000] = 2 }
  eq(sent(t), t)
end)

test("lists that were built backwards", function()
  local t = {}
  for i = 100, 1, -1 do t[i] = i end
  local r = sent(t)
  eq(#r, 100)
  eq(r, t)
end)

test("tables as keys", function()
  local k = { 1 }
  local r = sent { [k] = "v", k = k }
  eq(r[r.k], "v")
  eq(r.k, { 1 })
end)

test("shared parts stay shared", function()
  local part = { 5 }
  local r = sent { part, { part }, p = part }
  ok(r[1] == r.p and r[2][1] == r.p)
  eq(r.p, { 5 })
end)

test("cycles", function()
  local t = {}
  t.self, t.list = t, { t, { t } }
  t[t] = t
  local r = sent(t)
  ok(r.self == r and r.list[1] == r and r.list[2][1] == r and r[r] == r)
end)

test("a message is a copy", function()
  local t = { { 1 } }
  local r = sent(t)
  ok(r ~= t and r[1] ~= t[1])
end)

test("a long string that comes often is sent once", function()
  local s = ("long"):rep(250000)
  local t = {}
  for i = 1, 1000 do t[i] = s end
  local r = sent(t)
  eq(#r, 1000)
  ok(r[1000] == s and r[1] == s)
end)

test("deep nesting", function()
  local t, depth = {}, 100000
  for _ = 1, depth do t = { t } end
  local r = sent(t)
  local n = 0
  while r[1] do r, n = r[1], n + 1 end
  eq(n, depth)
  t = {}
  for _ = 1, depth do t = { next = t } end
  r, n = sent(t), 0
  while r.next do r, n = r.next, n + 1 end
  eq(n, depth)
end)

test("nesting beyond all bounds is an error", function()
  local t = {}
  for _ = 1, 1000000 do t = { x = t } end
  fails("cannot send a value nested too deeply %(at %.x", function()
    q:put(t)
  end)
  ok(q:empty())
end)

test("deeply nested objects", function()
  local class = { __index = {} }
  local t
  for i = 1, 50000 do t = setmetatable({ next = t, n = i }, class) end
  local r, n = sent(t), 0
  while r do
    if getmetatable(r) ~= class then break end
    r, n = r.next, n + 1
  end
  eq(n, 50000)
end)

test("large tables", function()
  local t = {}
  for i = 1, 1000000 do t[i] = i end
  local r = sent(t)
  eq(#r, 1000000)
  eq(r[1000000], 1000000)
  t = {}
  for i = 1, 100000 do t["k" .. i] = { i } end
  r = sent(t)
  eq(r.k1[1] + r.k99999[1], 100000)
end)

test("tables from varied code paths keep every pair", function()
  math.randomseed(42)
  for _ = 1, 300 do
    local t = {}
    for _ = 1, math.random(0, 60) do
      local k = math.random(3) == 1 and "s" .. math.random(20)
        or math.random(-5, 40)
      t[k] = math.random(4) > 1 and math.random(1000) or nil
    end
    eq(sent(t), t)
  end
end)

-- Functions

test("functions", function()
  local x, y = 10, { 20 }
  local f = sent(function(a, ...) return a + x + y[1], select("#", ...) end)
  eq({ f(1, nil, nil) }, { 31, 2 })
  y[1], x = 0, 0
  eq(f(1), 31)
end)

test("functions have the receiver's globals", function()
  marshal_test = 5 -- luacheck: ignore
  local f = sent(function() return marshal_test, _ENV end) -- luacheck: ignore
  local value, env = f()
  eq(value, 5)
  ok(env == _G)
  marshal_test = nil -- luacheck: ignore
end)

test("chunks", function()
  local f = sent(load "local a = ... ; return a, print, x")
  local a, p, x = f(7)
  eq(a, 7)
  ok(p == print)
  eq(x, nil)
  f = sent(load("return y", "=c", "t", { y = 3 }))
  eq(f(), 3)
end)

test("recursive functions", function()
  local function fact(n) return n < 2 and 1 or n * fact(n - 1) end
  eq(sent(fact)(10), 3628800)
  local even, odd
  function even(n) return n == 0 or odd(n - 1) end
  function odd(n) return n ~= 0 and even(n - 1) end
  local r = sent { even, odd }
  ok(r[1](10) and r[2](7))
end)

test("shared upvalues stay shared", function()
  local n = 0
  local r = sent {
    inc = function() n = n + 1 end,
    get = function() return n end,
    nested = { get = function() return n end },
  }
  r.inc()
  r.inc()
  eq(r.get(), 2)
  eq(r.nested.get(), 2)
  eq(n, 0)
end)

test("upvalues of one function that are one variable", function()
  local a, b = 1, 2
  local function f(v) a = v return a end
  local function g() return a + b end
  local r = sent { f, g, f, g }
  ok(r[1] == r[3] and r[2] == r[4])
  r[1](10)
  eq(r[2](), 12)
end)

test("debug information travels", function()
  local f = sent(function() error "here" end)
  local _, err = pcall(f)
  ok(err:find "marshal.lua:%d+: here", err)
  local stripped = load(string.dump(function() return print end, true))
  ok(sent(stripped)() == print)
end)

test("the same function again and again", function()
  local n = 1
  local function f() return n end
  for i = 1, 50 do
    n = i
    eq(sent(f)(), i)
  end
end)

test("library functions and modules travel by name", function()
  for _, v in pairs { print, string.format, table, math, _G, io.open,
    math.sin, Queue, require, os, Full } do
    ok(sent(v) == v)
    ok(sent { v }[1] == v)
  end
  local t = { print, print, string = string }
  local r = sent(t)
  ok(r[1] == print and r[2] == print and r.string == string)
  local format = string.format
  ok(sent(function() return format end)() == format)
end)

test("modules and their functions", function()
  package.preload.marshal_a = function()
    return { f = function() return 1 end, sub = { g = function() end },
      data = { 1 } }
  end
  local a = require "marshal_a"
  local r = sent { a, a.f, a.sub.g, data = a.data }
  ok(r[1] == a and r[2] == a.f and r[3] == a.sub.g)
  ok(r.data ~= a.data, "data of a module is copied")
  -- A name that no longer holds is not used.
  local old = a.f
  a.f = function() return 2 end
  local f = sent(old)
  ok(f ~= a.f and f() == 1)
  ok(sent(a.f) == a.f)
  package.loaded.marshal_a = nil
  ok(sent(a) ~= a, "a module that was unloaded is a mere table")
end)

test("a module that is not loaded is required", function()
  local first = true
  package.preload.marshal_b = function()
    local again = not first
    first = false
    return { f = function() return again end }
  end
  q:put(require "marshal_b".f)
  package.loaded.marshal_b = nil
  eq(q:get()(), true)
  q:put(require "marshal_b".f)
  package.loaded.marshal_b = nil
  package.preload.marshal_b = nil
  fails("module 'marshal_b' not found", q.get, q)
end)

test("a module that receives while it is required for a message", function()
  local other = Queue()
  package.preload.marshal_c = function()
    local x = other:get()
    return { f = function() return x end }
  end
  other:put(1)
  local f = require "marshal_c".f
  q:put { f, "tail", { 5 } }
  package.loaded.marshal_c = nil
  other:put(("other"):rep(100))
  local r = q:get()
  eq({ r[2], r[3] }, { "tail", { 5 } })
  eq(r[1](), ("other"):rep(100))
  package.loaded.marshal_c, package.preload.marshal_c = nil, nil
end)

test("globals of Lua functions are sent by value", function()
  marshal_f = function() return 1 end -- luacheck: ignore
  ok(sent(marshal_f) ~= marshal_f) -- luacheck: ignore
  marshal_f = nil -- luacheck: ignore
end)

-- Objects

test("synchronisation objects", function()
  local p = Queue(3)
  ok(sent(p) == p)
  local r = sent { p, { p }, q = q }
  ok(r[1] == p and r[2][1] == p and r.q == q)
  local a = Pipe()
  ok(sent(a) == a)
  for _, o in ipairs { LifoQueue(), PriorityQueue(), Lock(), RLock(),
    Semaphore(), BoundedSemaphore(), Event(), Condition(), Barrier(2),
    Value(1), Array(3) } do
    ok(rawequal(sent(o), o), tostring(o))
  end
end)

test("many objects in one message", function()
  local n, t = 20000, {}
  for i = 1, n do t[i] = Value(i) end
  for i = 1, n do t[n + i] = t[i] end
  local r, good = sent(t), true
  for i = 1, 2 * n do good = good and rawequal(r[i], t[i]) end
  ok(good)
  -- Written twice, as a table turns out to be a metatable: noted once.
  local mt = { t[3] }
  r = sent { mt, t[1], setmetatable({ t[2] }, mt), t[1] }
  ok(r[2] == t[1] and r[3][1] == t[2] and r[4] == t[1] and r[1] == mt)
  ok(r[1][1] == t[3])
end)

test("a new object arrives with its type", function()
  local makers = { Queue, LifoQueue, PriorityQueue, Lock, RLock, Semaphore,
    BoundedSemaphore, Event, Condition, function() return Barrier(2) end,
    function() return Value(1) end, function() return Array(3) end, Pipe }
  local pid = fork()
  if pid == 0 then
    for _, make in ipairs(makers) do q:put((make())) end
    os.exit(0)
  end
  wait(pid)
  for _, make in ipairs(makers) do
    local mine, got = make(), q:get()
    ok(getmetatable(mine) == getmetatable(got), tostring(got))
  end
end)

test("an object lives as long as the message that holds it", function()
  local p = Queue()
  p:put "inside"
  q:put { p }
  p = nil -- luacheck: ignore
  collectgarbage()
  collectgarbage()
  eq(q:get()[1]:get(), "inside")
end)

test("a child sends an object it made", function()
  local pid = fork()
  if pid == 0 then
    local p = Queue(5)
    p:put "from the child"
    q:put { p, p }
    os.exit(0)
  end
  wait(pid)
  local r = q:get()
  ok(r[1] == r[2])
  eq(r[1].maxsize, 5)
  eq(r[1]:get(), "from the child")
end)

-- Methods of the primitives, of Processes, Threads and files.
local function methods()
  local list = {}
  for _, o in ipairs { Lock(), RLock(), Semaphore(), BoundedSemaphore(),
    Event(), Condition(), Barrier(1), Queue(), Queue(3), LifoQueue(),
    PriorityQueue(), (Pipe()), Value(1), Process { target = print },
    Thread { target = print }, Timer(1, print), io.stdout } do
    local before = #list
    for _, name in ipairs { "acquire", "release", "guard", "set", "wait",
      "notify", "put", "get", "send", "close", "add", "start", "join",
      "cancel", "write", "read" } do
      local known, f = pcall(function() return o[name] end)
      if known and type(f) == "function" then list[#list + 1] = f end
    end
    ok(#list > before, tostring(o))
  end
  return list
end

test("methods travel by name", function()
  local list = methods()
  for i, f in ipairs(list) do ok(sent(f) == f, i) end
  eq(sent(list), list)
  local both = sent { q.put, q.get, print, q.put }
  eq(both, { q.put, q.get, print, q.put })
  local put = q.put
  local other = Queue()
  sent(function() put(other, "by an upvalue") end)()
  eq(other:get(), "by an upvalue")
end)

test("methods travel between processes that parted before and after", function()
  local list, to, from = methods(), Queue(), Queue()
  local function echo()
    for f in to:iter() do from:put { f, f == list[to:get()] } end
  end
  local early = Process { target = echo, daemon = true }
  early:start()
  for i, f in ipairs(list) do
    to:put(f)
    to:put(i)
    eq(from:get(), { f, true })
  end
  to:put(list)
  to:put(1)
  eq(from:get(), { list, false })
  to:shutdown()
  early:join()
  local late = Process { target = function(f, e) f(e) end,
    args = { Event().set, Event() } }
  late:start()
  late:join()
  eq(late.exitcode, 0)
  local pool <close> = Pool(1)
  pool:apply(from.put, { from, "by a pool" })
  eq(from:get(), "by a pool")
end)

test("a method that is not there any more has no name", function()
  local field = debug.getmetatable(Event()).__index
  local set = field.set
  eq(sent(set), set)
  field.set = nil
  fails("cannot send a C function without a name", function() q:put(set) end)
  field.set = set
  eq(sent(set), set)
end)

-- What cannot travel

test("what cannot travel", function()
  local co = coroutine.create(print)
  local closed = Pipe()
  closed:close()
  local function bad(expected, v)
    local err = fails(expected, function() q:put(v) end)
    ok(not err:find "%(at", err)
    ok(q:empty())
  end
  bad("cannot send a coroutine", co)
  bad("cannot send a file", io.stdout)
  bad("cannot send a C function without a name", string.gmatch("a", "a"))
  bad("cannot send a closed Pipe", closed)
end)

test("the error says where", function()
  local co = coroutine.create(print)
  local function at(where, v)
    local err = fails("cannot send a coroutine", function() q:put(v) end)
    local found = err:match "%(at (.*)%)%)$"
    eq(found, where)
    ok(q:empty())
  end
  at("[2].handler", { 1, { handler = co } })
  at('["a b"][2.5]', { ["a b"] = { [2.5] = co } })
  at("[true].x_1", { [true] = { x_1 = co } })
  at('["1st"]', { ["1st"] = co })
  at("a key", { [co] = 1 })
  at(".t, a key", { t = { [{}] = 1, [co] = 1 } })
  at("upvalue 'co'", function() return co end)
  at(".f, upvalue 'co'", { f = function() return co end })
  local t = {}
  for _ = 1, 1000 do t = { t, n = co } end
  local err = fails("cannot send a coroutine", function() q:put(t) end)
  ok(#err < 400, err)
  at('["\\0001\\0132"]', { ["\0001\r2"] = co })
end)

test("the error says where a long way ends", function()
  local function nested(n, key)
    local t = coroutine.create(print)
    for i = n, 1, -1 do t = { [key:format(i)] = t } end
    return fails("cannot send a coroutine", function() q:put(t) end)
  end
  for name, key in pairs { words = "a key of some length, number %03d!",
    bytes = ("\1"):rep(40) .. "%d" } do
    local err = nested(30, key)
    local shown = key:format(30):sub(1, 40):gsub("\1", "\\001")
    if #key:format(30) > 40 then shown = shown .. "..." end
    ok(err:find('["' .. shown .. '"]))', 1, true), name .. ": " .. err)
    ok(err:find(" ... ", 1, true) and #err < 600, name .. ": " .. err)
  end
  local err = nested(24, "k%d")
  ok(err:find(".k1.k2.k3.k4.k5.k6.k7.k8.k9.k10.k11.k12.k13.k14", 1, true), err)
  ok(err:find("(at .k1.", 1, true) and err:find(".k24))", 1, true), err)
  err = nested(25, "k%d")
  ok(err:find(".k12 ... .k14.", 1, true), err)
end)

test("a stack without room for a message", function()
  local put, last = 0, nil
  local function deeper()
    local done, err = pcall(q.put, q, {})
    if not done then last = err return end
    put = put + 1
    q:get()
    deeper()
    return true
  end
  fails("stack overflow", function()
    deeper()
    error(last)
  end)
  ok(put > 1000 and q:empty())
end)

test("a list with holes keeps its length", function()
  for _, t in ipairs {
    { 1, nil, 3 }, { 1, nil, nil, 4 }, { nil, 2 }, { nil, nil, 3, n = 5 },
    { 1, 2, 3, nil }, { nil, nil, {}, a = 1, [10] = 3 }, { {}, nil, {} },
  } do
    eq(#sent(t), #t)
  end
end)

test("a length that is far from the number of fields", function()
  local t = {
    [0x1] = 1, [0x2] = 1, [0x4] = 1, [0x8] = 1, [0x10] = 1, [0x20] = 1,
    [0x40] = 1, [0x80] = 1, [0x100] = 1, [0x200] = 1, [0x400] = 1, [0x800] = 1,
    [0x1000] = 1, [0x2000] = 1, [0x4000] = 1, [0x8000] = 1, [0x10000] = 1,
    [0x20000] = 1, [0x40000] = 1, [0x80000] = 1, [0x100000] = 1,
    [0x200000] = 1, [0x400000] = 1, [0x800000] = 1, [0x1000000] = 1,
  }
  local small = Queue()
  local before = tap.run("grep VmRSS /proc/" .. getpid() .. "/status")
  small:put(t)
  eq(small:get(), t)
  local after = tap.run("grep VmRSS /proc/" .. getpid() .. "/status")
  ok(after:match "%d+" - before:match "%d+" < 16384, after)
end)

test("after an error the next message is whole", function()
  local part = {}
  pcall(q.put, q, { part, part, coroutine.create(print) })
  local r = sent { part, part }
  ok(r[1] == r[2])
end)

test("types that must stay say so in their metatable", function()
  local Handle = { __name = "Handle", __transfer = false }
  Handle.__index = Handle
  fails("cannot send a Handle %(at %.h%)", function()
    q:put { h = setmetatable({}, Handle) }
  end)
  ok(sent(Handle) == Handle)
end)

-- Order of a PriorityQueue

test("what has an order", function()
  local p = PriorityQueue()
  local items = { 3, 1.5, -2, 1 / 0, -1 / 0, math.mininteger, 2 ^ 53 }
  for _, v in ipairs(items) do p:put(v) end
  table.sort(items)
  for _, v in ipairs(items) do eq(p:get(), v) end
  for _, v in ipairs { { 1, "b" }, { 1 }, {}, { 1, "a", 5 }, { 0, {} } } do
    p:put(v)
  end
  for _, v in ipairs { {}, { 0, {} }, { 1 }, { 1, "a", 5 }, { 1, "b" } } do
    eq(p:get(), v)
  end
  for _, v in ipairs { "b", "", "a\0b", "a" } do p:put(v) end
  for _, v in ipairs { "", "a", "a\0b", "b" } do eq(p:get(), v) end
end)

test("what has no order", function()
  local p = PriorityQueue()
  local loop = { 1 }
  loop[2] = loop
  for expected, v in pairs {
    ["a boolean"] = true, ["NaN"] = 0 / 0, ["a function"] = print,
    ["a userdata"] = q, ["a table with other keys"] = { x = 1 },
    ["a list that holds itself"] = loop,
  } do
    fails("cannot order " .. expected, function() p:put(v) end)
  end
  fails("cannot order nil", function() p:put(nil) end)
  fails("cannot order NaN", function() p:put { 1, { 0 / 0 } } end)
  ok(p:empty())
  p:put { 1, print }
  p:put { 2, { x = 1 } }
  eq(p:get()[2], print)
  eq(p:get(), { 2, { x = 1 } })
end)

test("a module that is required after others were sent goes by name", function()
  local out, err = tap.lua [[
    local q = Queue()
    q:put { { 1 } }
    q:get()
    package.preload.late = function() return { a = 1 } end
    local late = require "late"
    q:put(late)
    print(rawequal(q:get(), late))
    q:put { late, print }
    print(rawequal(q:get()[1], late))
    package.preload.later = function() return { f = function() end } end
    local f = require "later".f
    q:put(f)
    print(rawequal(q:get(), f))]]
  eq({ out, err }, { "true\ntrue\ntrue\n", "" })
end)
