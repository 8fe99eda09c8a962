--- Metamethods of every kind, also those that yield, fail and allocate.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local OPERATORS = {
  __add = function(a, b) return a + b end,
  __sub = function(a, b) return a - b end,
  __mul = function(a, b) return a * b end,
  __div = function(a, b) return a / b end,
  __mod = function(a, b) return a % b end,
  __pow = function(a, b) return a ^ b end,
  __idiv = function(a, b) return a // b end,
  __band = function(a, b) return a & b end,
  __bor = function(a, b) return a | b end,
  __bxor = function(a, b) return a ~ b end,
  __shl = function(a, b) return a << b end,
  __shr = function(a, b) return a >> b end,
  __concat = function(a, b) return a .. b end,
}

-- An object whose operators tell which one was called, through `tell`.
local function teller(tell)
  local meta = {}
  for name in pairs(OPERATORS) do
    meta[name] = function(a, b)
      return tell(name .. ":" .. (type(a) == "table" and "o" or tostring(a))
        .. ":" .. (type(b) == "table" and "o" or tostring(b)))
    end
  end
  return setmetatable({}, meta)
end

local function binary(n)
  local o = teller(function(s) return s end)
  for _ = 1, n do
    for name, f in pairs(OPERATORS) do
      eq(f(o, 3), name .. ":o:3")
      eq(f(4, o), name .. ":4:o")
      eq(f(o, o), name .. ":o:o")
      eq(f(o, "s"), name .. ":o:s")
    end
  end
  eq("a" .. "b" .. o, "a__concat:b:o")
  fails("attempt to perform arithmetic on a table value", function()
    return {} + 1
  end)
  fails("attempt to concatenate a table value %(local 't'%)", function()
    local t = {}
    return "x" .. t
  end)
  local Vector = {}
  Vector.__index = Vector
  local function vector(x, y) return setmetatable({ x = x, y = y }, Vector) end
  function Vector.__add(a, b) return vector(a.x + b.x, a.y + b.y) end
  function Vector.__unm(a) return vector(-a.x, -a.y) end
  function Vector.__eq(a, b) return a.x == b.x and a.y == b.y end
  function Vector.__len(a) return math.abs(a.x) + math.abs(a.y) end
  function Vector.__bnot(a) return vector(a.y, a.x) end
  function Vector:scale(k) return vector(self.x * k, self.y * k) end
  local v = vector(0, 0)
  for i = 1, 30 * n do v = v + vector(i, -i):scale(2) + vector(-i, i) end
  local s = 15 * n * (30 * n + 1)
  eq(v == vector(s, -s), true)
  eq(v ~= vector(s, s), true)
  eq(-v == ~v, true)
  eq(#v, 2 * s)
  eq(rawequal(v, vector(s, -s)), false)
  eq(rawlen(v), 0)
end

local function comparing()
  local calls = {}
  local meta = {
    __lt = function(a, b)
      calls[#calls + 1] = "lt"
      return (a.v or a) < (b.v or b)
    end,
    __le = function() calls[#calls + 1] = "le" return 1 end,
    __eq = function() calls[#calls + 1] = "eq" return nil end,
  }
  meta.__lt = function(a, b)
    calls[#calls + 1] = "lt"
    local x = type(a) == "table" and a.v or a
    local y = type(b) == "table" and b.v or b
    return x < y
  end
  local a, b = setmetatable({ v = 1 }, meta), setmetatable({ v = 2 }, meta)
  eq(a < b, true)
  eq(a > b, false)
  eq(a < 5, true)
  eq(0 < a, true)
  eq(a <= b, true)
  eq(a >= b, true)
  eq(a == b, false)
  eq(a == a, true)
  eq(a == 1, false)
  eq(table.concat(calls, ","), "lt,lt,lt,lt,le,le,eq")
  fails("attempt to compare two table values", function()
    return setmetatable({}, {}) <= {}
  end)
end

local function indexing(n)
  local log = {}
  local base = { greet = function(self) return "I am " .. self.name end }
  local mid = setmetatable({}, { __index = base })
  local o = setmetatable({ name = "o" }, {
    __index = mid,
    __newindex = function(t, k, v)
      log[#log + 1] = k
      rawset(t, k, v)
    end,
  })
  eq(o:greet(), "I am o")
  o.a = 1
  o.b = 2
  o.a = 3
  eq(table.concat(log, ","), "a,b")
  eq(o.a, 3)
  eq(rawget(o, "greet"), nil)
  local target = {}
  local proxy = setmetatable({}, { __index = target, __newindex = target })
  for i = 1, 20 * n do proxy[i], proxy["k" .. i] = i, -i end
  eq(rawlen(proxy), 0)
  eq(#target, 20 * n)
  eq(proxy["k" .. 20 * n], -20 * n)
  local memo = setmetatable({}, { __index = function(t, k)
    local v = k < 2 and k or t[k - 1] + t[k - 2]
    rawset(t, k, v)
    return v
  end })
  eq(memo[40], 102334155)
  local loop = {}
  setmetatable(loop, { __index = loop })
  fails("'__index' chain too long; possibl[ey]", function()
    return loop.x
  end)
  setmetatable(loop, { __newindex = loop })
  fails("'__newindex' chain too long; possibl[ey]", function()
    loop.x = 1
  end)
  fails("cannot change a protected metatable", setmetatable,
    setmetatable({}, { __metatable = "locked" }), {})
  eq(getmetatable(setmetatable({}, { __metatable = "locked" })), "locked")
  eq(getmetatable "".__index, string)
  eq(("x").rep, string.rep)
end

local function calling(n)
  local callable = setmetatable({ k = 10 }, {
    __call = function(self, ...) return self.k, ... end,
  })
  list({ callable(1, 2) }, 10, 1, 2)
  list({ pcall(callable, "p") }, true, 10, "p")
  local twice = setmetatable({}, { __call = callable })
  eq(select(2, twice(5)), twice)
  local function tail(...) return callable(...) end
  list({ tail(7) }, 10, 7)
  local acc = setmetatable({ sum = 0 }, {
    __call = function(self, v)
      self.sum = self.sum + v
      return self
    end,
  })
  for i = 1, 20 * n do acc(i)(i) end
  eq(acc.sum, 20 * n * (20 * n + 1))
  fails("attempt to call a table value", function() return ({})() end)
  fails("attempt to call a nil value %(method 'nope'%)", function()
    return ("x"):nope()
  end)
  local named = setmetatable({}, { __name = "Thing" })
  eq(tostring(named):find "^Thing: ", 1)
  local t = setmetatable({}, { __tostring = function() return "T!" end })
  eq(tostring(t), "T!")
  local iterated = 0
  for v in callable, nil do
    iterated = iterated + v
    callable.k = callable.k > 8 and callable.k - 1 or nil
  end
  eq(iterated, 10 + 9 + 8)
end

-- Each operator yields from its metamethod and goes on with what it is sent.
local function yielding(n)
  local o = teller(coroutine.yield)
  local meta = getmetatable(o)
  meta.__index = function(_, k) return coroutine.yield("index:" .. k) end
  meta.__newindex = function(_, k) coroutine.yield("newindex:" .. k) end
  meta.__len = function() return coroutine.yield "len" end
  meta.__unm = function() return coroutine.yield "unm" end
  meta.__lt = function() return coroutine.yield "lt" end
  meta.__le = function() return coroutine.yield "le" end
  meta.__eq = function() return coroutine.yield "eq" end
  meta.__call = function(_, v) return coroutine.yield("call:" .. v) end
  local function body()
    local r = {}
    for _, name in ipairs { "__add", "__concat", "__shl" } do
      r[#r + 1] = OPERATORS[name](o, 1)
    end
    r[#r + 1] = o.field
    o.other = 1
    r[#r + 1] = #o
    r[#r + 1] = -o
    r[#r + 1] = o < 1 and "less" or "not less"
    r[#r + 1] = o <= 1 and "le" or "not le"
    r[#r + 1] = o == setmetatable({}, meta) and "same" or "other"
    r[#r + 1] = o(9)
    r[#r + 1] = "p" .. "q" .. o
    return table.concat(r, " ")
  end
  for _ = 1, n do
    local co = coroutine.create(body)
    local asked, value = {}, nil
    local sent = 0
    repeat
      local done, got = coroutine.resume(co, value)
      eq(done, true)
      sent = sent + 1
      value = sent
      if got == "lt" then value = false end
      asked[#asked + 1] = got
    until coroutine.status(co) == "dead"
    eq(table.concat(asked, " "), "__add:o:1 __concat:o:1 __shl:o:1 "
      .. "index:field newindex:other len unm lt le eq call:9 __concat:q:o "
      .. "1 2 3 4 6 7 not less le same 11 p12")
  end
end

local function failing(n)
  local o = setmetatable({}, {
    __add = function() error { code = 7 } end,
    __index = function(_, k) error("no field " .. k, 2) end,
    __eq = function() error "not comparable" end,
    __gc = true,
  })
  for _ = 1, 3 * n do
    local done, err = pcall(function() return o + 1 end)
    eq(done, false)
    eq(err.code, 7)
    fails("metamethods.lua:%d+: no field x", function()
      return o.x
    end)
    fails("not comparable", function()
      return o == setmetatable({}, getmetatable(o))
    end)
  end
  local deep = setmetatable({}, {})
  getmetatable(deep).__index = function(t, k)
    return k == 0 and "bottom" or t[k - 1]
  end
  eq(deep[50], "bottom")
  fails("stack overflow", function() return deep[1e9] end)
end

return {
  { "operators", binary }, { "comparison metamethods", comparing },
  { "__index and __newindex", indexing }, { "__call", calling },
  { "yields in metamethods", yielding }, { "errors in metamethods", failing },
}
