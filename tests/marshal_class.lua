-- Metatables and class tables: the receiver's own where it has them, else one
-- copy for each process.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local q, back = Queue(), Queue()
local function sent(v)
  q:put(v)
  return q:get()
end

--- Runs f in a child: its results, which come through `back`, and whether it
-- ended well.
local function in_child(f, ...)
  local pid = fork()
  if pid == 0 then
    local done, err = pcall(f, ...)
    if not done then back:put("error: " .. tostring(err)) end
    os.exit(done)
  end
  return pid
end

-- A class that only a local variable knows, from before every fork.
local Account = {}
Account.__index = Account
function Account.new(n) return setmetatable({ n = n }, Account) end
function Account:get() return self.n end
function Account:twin() return Account.new(self.n) end

test("in the same process", function()
  local r = sent(Account.new(5))
  ok(getmetatable(r) == Account)
  eq(r:get(), 5)
  ok(sent(Account) == Account)
  r = sent { Account, Account.new(1), Account.new(2) }
  ok(r[1] == Account and getmetatable(r[3]) == Account)
end)

test("to a child and back", function()
  local pid = in_child(function()
    local a = q:get()
    back:put { getmetatable(a) == Account, a:get(), Account.new(7) }
  end)
  q:put(Account.new(6))
  local r = back:get()
  eq(r[1], true)
  eq(r[2], 6)
  ok(getmetatable(r[3]) == Account)
  wait(pid)
end)

test("the first message comes from the child", function()
  local Fresh = {}
  Fresh.__index = Fresh
  local pid = in_child(function()
    back:put(setmetatable({}, Fresh))
    back:put(setmetatable({}, Fresh))
  end)
  ok(getmetatable(back:get()) == Fresh)
  collectgarbage()
  ok(getmetatable(back:get()) == Fresh)
  wait(pid)
end)

test("between two children", function()
  local Shared = {}
  Shared.__index = Shared
  local one = in_child(function() q:put(setmetatable({}, Shared)) end)
  local two = in_child(function()
    back:put(getmetatable(q:get()) == Shared)
  end)
  eq(back:get(), true)
  wait(one)
  wait(two)
end)

test("wherever the receiver keeps its class", function()
  local places = {
    upvalue = function(c) return function() return c end end,
    nested = function(c) return { { { c } } } end,
    metatable = function(c) return setmetatable({}, c) end,
    key = function(c) return { [c] = true } end,
    coroutine = function(c)
      local co = coroutine.wrap(function()
        local keep = c
        coroutine.yield()
        return keep
      end)
      co()
      return co
    end,
    vararg = function(c)
      local co = coroutine.create(function(...)
        coroutine.yield()
        return ...
      end)
      coroutine.resume(co, c)
      return co
    end,
    unstarted = function(c)
      return coroutine.create(function() return c end)
    end,
  }
  for name, keep in pairs(places) do
    local kept, pid
    do
      local class = { __index = {} }
      kept = keep(class)
      pid = in_child(function() back:put(setmetatable({}, class)) end)
    end
    local address = getmetatable(back:get())
    ok(address ~= nil)
    -- Found again only if it was the one that `kept` leads to.
    local found
    if name == "upvalue" then found = kept()
    elseif name == "nested" then found = kept[1][1][1]
    elseif name == "metatable" then found = getmetatable(kept)
    elseif name == "key" then found = next(kept)
    elseif name == "coroutine" then found = kept()
    elseif name == "vararg" then found = select(2, coroutine.resume(kept))
    else found = select(2, coroutine.resume(kept)) end
    ok(found == address, name)
    wait(pid)
  end
end)

test("a class made after the fork is copied once", function()
  local pid = in_child(function()
    local New = { greeting = "hello" }
    New.__index = New
    function New:greet() return New.greeting .. " " .. self.name end
    function New.same(_, o) return getmetatable(o) == New end
    for i = 1, 3 do
      back:put(setmetatable({ name = "n" .. i }, New))
      if i == 2 then q:get() end
    end
  end)
  local a, b = back:get(), back:get()
  eq(a:greet(), "hello n1")
  ok(getmetatable(a) == getmetatable(b))
  ok(a:same(b))
  collectgarbage()
  q:put(1)
  ok(getmetatable(back:get()) == getmetatable(a))
  wait(pid)
end)

test("what was copied goes home as itself", function()
  local pid = in_child(function()
    local New = { __name = "New" }
    New.__index = New
    back:put(setmetatable({}, New))
    local o = q:get()
    back:put { getmetatable(o) == New }
  end)
  local o = back:get()
  q:put(o)
  eq(back:get()[1], true)
  wait(pid)
end)

test("inheritance", function()
  local pid = in_child(function()
    local Base = {}
    Base.__index = Base
    function Base:kind() return "base " .. self.n end
    local Derived = setmetatable({}, { __index = Base })
    Derived.__index = Derived
    function Derived:more() return self:kind() .. "!" end
    back:put { setmetatable({ n = 1 }, Derived), setmetatable({ n = 2 }, Base),
      Base }
  end)
  local r = back:get()
  eq(r[1]:more(), "base 1!")
  eq(r[2]:kind(), "base 2")
  ok(getmetatable(r[2]) == r[3])
  ok(getmetatable(getmetatable(r[1])).__index == r[3])
  wait(pid)
end)

test("a new subclass of an old class", function()
  local pid = in_child(function()
    local Savings = setmetatable({}, { __index = Account })
    Savings.__index = Savings
    function Savings:interest() return self:get() / 10 end
    back:put(setmetatable({ n = 50 }, Savings))
  end)
  local s = back:get()
  eq(s:interest(), 5.0)
  ok(getmetatable(getmetatable(s)).__index == Account)
  wait(pid)
end)

test("by the name of a global", function()
  local pid = in_child(function()
    marshal_Point = { side = "child" } -- luacheck: ignore
    marshal_Point.__index = marshal_Point -- luacheck: ignore
    back:put(setmetatable({}, marshal_Point)) -- luacheck: ignore
    marshal_ns = { Point = { __index = {} } } -- luacheck: ignore
    back:put(setmetatable({}, marshal_ns.Point)) -- luacheck: ignore
  end)
  wait(pid)
  marshal_Point = { side = "parent" } -- luacheck: ignore
  marshal_Point.__index = marshal_Point -- luacheck: ignore
  marshal_ns = { Point = {} } -- luacheck: ignore
  eq(back:get().side, "parent")
  ok(getmetatable(back:get()) == marshal_ns.Point) -- luacheck: ignore
  marshal_Point, marshal_ns = nil, nil -- luacheck: ignore
end)

test("by the name of a module that is loaded when it comes", function()
  package.preload.marshal_shape = function()
    local Shape = {}
    Shape.__index = Shape
    function Shape:area() return self.w * self.h end
    return Shape
  end
  local pid = in_child(function()
    local Shape = require "marshal_shape"
    back:put(setmetatable({ w = 2, h = 3 }, Shape))
  end)
  wait(pid)
  eq(package.loaded.marshal_shape, nil)
  local s = back:get()
  eq(s:area(), 6)
  ok(getmetatable(s) == package.loaded.marshal_shape)
  package.loaded.marshal_shape = nil
  package.preload.marshal_shape = nil
end)

test("metatables come with their objects", function()
  local mt = { __add = function(a, b) return a.v + b.v end,
    __len = function() return 42 end }
  local r = sent { setmetatable({ v = 1 }, mt), setmetatable({ v = 2 }, mt) }
  eq(r[1] + r[2], 3)
  eq(#r[1], 42)
  ok(getmetatable(r[1]) == mt)
end)

test("a metatable that came as a mere table first", function()
  local pid = in_child(function()
    local mt = { __len = function() return 7 end }
    back:put { mt, setmetatable({}, mt), mt }
    back:put { mt, mt }
  end)
  local r = back:get()
  ok(getmetatable(r[2]) == r[1] and r[1] == r[3])
  eq(#r[2], 7)
  wait(pid)
  back:get()
end)

test("thousands of metatables that came as mere tables first", function()
  local n, class, object = 20000, {}, {}
  for i = 1, n do
    class[i] = { i }
    object[i] = setmetatable({ -i }, class[i])
  end
  local function all_there(r)
    for i = 1, n do
      local c, o = r[1][i], r[2][i]
      if c[1] ~= i or o[1] ~= -i or getmetatable(o) ~= c then return false end
    end
    return true
  end
  local r = sent { class, object }
  ok(all_there(r) and r[1][n] == class[n])
  local pid = in_child(function()
    local other = {}
    for i = 1, n do
      class[i] = { i }
      other[i] = setmetatable({ -i }, class[i])
    end
    back:put { class, other }
  end)
  ok(all_there(back:get()))
  wait(pid)
end)

test("a metatable that came as a mere table first, with what cannot travel",
  function()
    local mt = { file = io.stdout, __call = print }
    local r = sent { mt, setmetatable({}, mt) }
    ok(r[1] == mt and getmetatable(r[2]) == mt)
    r = sent { function() return mt end, setmetatable({}, mt) }
    ok(r[1]() == mt)
    fails("cannot send a file %(at %[1%]%.file%)", q.put, q, { mt, {} })
    ok(q:empty())
  end)

test("finalizers work at the receiver", function()
  local pid = in_child(function()
    local mt = {}
    mt.self = setmetatable({}, mt)
    mt.__gc = function() marshal_gc = (marshal_gc or 0) + 1 end -- luacheck: ignore
    mt.__index = mt
    back:put { setmetatable({}, mt), setmetatable({}, mt), mt.self }
  end)
  wait(pid)
  back:get()
  collectgarbage()
  collectgarbage()
  ok(marshal_gc and marshal_gc >= 2) -- luacheck: ignore
  marshal_gc = nil -- luacheck: ignore
end)

test("weak tables and shared parts of a class", function()
  local pid = in_child(function()
    local C = { default = { 1 } }
    C.__index = C
    back:put { setmetatable({}, C), C.default }
    back:put { setmetatable({}, C), C.default }
  end)
  local r, again = back:get(), back:get()
  ok(r[1].default == r[2])
  -- The class is known now; what lies in its skipped copy is read all the same.
  eq(again[2], { 1 })
  ok(getmetatable(again[1]) == getmetatable(r[1]))
  wait(pid)
end)

--- The parts of a class that every receiver skips, referred to in that order.
local function sent_parts(part, all)
  local C = { part = part }
  C.__index = C
  local r = sent { setmetatable({}, C), all }
  ok(getmetatable(r[1]) == C)
  return r[2]
end

test("a long chain in a class that is skipped, from its inner end", function()
  local n, last, all = 100000, nil, {}
  for i = 1, n do
    last = { before = last, text = "entry " .. i }
    all[i] = last
  end
  local r = sent_parts(last, all)
  eq(#r, n)
  for i = n, 1, -1 do
    if r[i].before ~= r[i - 1] or r[i].text ~= "entry " .. i then
      return ok(false, i)
    end
  end
end)

test("parts of a skipped class that lead to what is around them", function()
  local n = 10000
  for _, keys in ipairs { { 1, 2 }, { 2, 1 } } do
    local before, after = table.unpack(keys)
    local last, all = nil, {}
    for i = 1, n do
      local t = { false, false }
      t[before] = last or false
      if last then last[after] = t end
      last, all[i] = t, t
    end
    local r, good = sent_parts(last, all), true
    for i = 1, n do
      good = good and r[i][before] == (r[i - 1] or false)
        and r[i][after] == (r[i + 1] or false)
    end
    ok(good, "chain")
  end
  local leaf = {}
  local top = { leaf }
  for i = 1, n do
    leaf[i] = top
    top = { top }
  end
  local r, good = sent_parts(top, leaf), true
  for i = 2, n do good = good and r[i][1] == r[i - 1] end
  ok(good and r[1][1] == r, "every table around it")
end)

test("functions in each other's upvalues, in a class that is skipped",
  function()
    local n, last, all = 3000, nil, {}
    for i = 1, n do
      local before = last
      last = function() return before, i end
      all[i] = last
    end
    local r = sent_parts(last, all)
    for i = 1, n do
      local before, k = r[i]()
      if before ~= r[i - 1] or k ~= i then return ok(false, i) end
    end
  end)

test("upvalues shared with the methods of a class that is skipped", function()
  local n = 0
  local C = {}
  C.__index = C
  function C.inc() n = n + 1 return n end
  local r = sent { setmetatable({}, C), function() return n, C end }
  ok(getmetatable(r[1]) == C)
  local count, class = r[2]()
  eq(count, 0)
  ok(class == C)
end)

test("a class that holds what cannot travel", function()
  local C = { file = io.stdout, co = coroutine.create(print) }
  C.__index = C
  local r = sent(setmetatable({ 1 }, C))
  ok(getmetatable(r) == C)
  local pid = in_child(function()
    local D = { list = { io.stdout } }
    D.__index = D
    back:put(setmetatable({ 1 }, D))
    local done = pcall(back.put, back, { setmetatable({}, D), D.list })
    back:put(done)
  end)
  wait(pid)
  fails("cannot receive a copy of a class: cannot send a file "
    .. "%(at metatable%.list%[1%]%)", back.get, back)
  eq(back:get(), false)
  ok(back:empty())
end)

--- What cannot be read without the class is not sent: put says so.
local function refused(where, v)
  local err = fails("cannot send a coroutine", q.put, q, v)
  eq(err:match "%(at (.*)%)%)$", where)
  ok(q:empty())
end

test("variables of a class's methods that hold what cannot travel", function()
  local co, n = coroutine.create(print), 1
  local C = {}
  C.__index = C
  function C.method() return co, n end
  refused("[2], upvalue 'co'",
    { setmetatable({}, C), function() return co end })
  -- The method cannot be read, but what else it knows can be sent.
  local r = sent { setmetatable({}, C), function() return n end,
    function(v) n = v end }
  r[3](5)
  eq(r[2](), 5)
end)

test("circles in a class that lead to what cannot travel", function()
  local C, a, b, alone = {}, {}, {}, {}
  C.__index = C
  a[1], a[2], b[1], b[2] = b, coroutine.create(print), a, alone
  C.a = a
  refused("[2][1][2]", { setmetatable({}, C), b })
  refused("[2][2]", { setmetatable({}, C), a })
  eq(#sent { setmetatable({}, C), alone }, 2)
  -- Also when a class lies in between.
  local D = { back = a }
  D.__index = D
  a[1], a[3] = setmetatable({ b }, D), nil
  refused("[2][1][2]", { setmetatable({}, C), b })
  local r = sent { setmetatable({}, C), D }
  ok(r[2] == D)
end)

test("a class with a long circle that leads to what cannot travel", function()
  local C, n = {}, 20000
  C.__index = C
  local first = {}
  local last = first
  for _ = 1, n do last = { last } end
  first[1], first[2] = last, coroutine.create(print)
  C.last = last
  fails("cannot send a coroutine", q.put, q, { setmetatable({}, C), first })
  ok(q:empty())
end)

test("metatables made by the thousand are told apart", function()
  local pid = in_child(function()
    for i = 1, 2000 do
      back:put(setmetatable({}, { __index = { n = i } }))
      if i % 100 == 0 then collectgarbage() end
    end
  end)
  local good = true
  for i = 1, 2000 do good = back:get().n == i and good end
  ok(good)
  wait(pid)
end)

test("a table that is its own metatable", function()
  local t = { 1 }
  t.__index = t
  setmetatable(t, t)
  ok(sent(t) == t)
  local pid = in_child(function()
    local u = { 2 }
    setmetatable(u, u)
    back:put(u)
  end)
  local u = back:get()
  ok(getmetatable(u) == u)
  eq(u[1], 2)
  wait(pid)
end)

test("an environment that falls back on the globals", function()
  local pid = in_child(function()
    local env = setmetatable({ y = 3 }, { __index = _G })
    back:put(load("return y, print, tostring(y)", "=c", "t", env))
  end)
  local y, p, s = back:get()()
  eq(y, 3)
  ok(p == print)
  eq(s, "3")
  wait(pid)
end)

-- A class whose every use may be the last: the sender keeps none of them.
local function put_classes(to, n)
  for i = 1, n do to:put(setmetatable({}, {__index = {id = i}})) end
  collectgarbage()
  collectgarbage()
end

-- Other tables, which may come to lie where the classes were.
local function others(n)
  local list = {}
  for i = 1, n do list[i] = {__index = {id = "not " .. i}} end
  return list
end

local function got_classes(from, n)
  for i = 1, n do eq(from:get().id, i) end
end

test("a class that died here is copied, not mistaken for another", function()
  local classes = Queue()
  put_classes(classes, 200)
  local keep = others(1000)
  got_classes(classes, 200)
  eq(#keep, 1000)
end)

test("the same for a child that is forked after it died", function()
  local classes = Queue()
  put_classes(classes, 200)
  local keep = others(1000)
  local p <close> = Process {target = function()
    local wrong = 0
    for i = 1, 200 do
      if classes:get().id ~= i then wrong = wrong + 1 end
    end
    return wrong
  end}:start()
  eq(p:result(), 0)
  eq(#keep, 1000)
end)
