--- Arithmetic: integers, floats, conversions, comparisons, numeric loops.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local MIN, MAX = math.mininteger, math.maxinteger
local INF, NAN = 1 / 0, 0 / 0

local function integers(n)
  eq(MAX + 1, MIN)
  eq(MIN - 1, MAX)
  eq(-MIN, MIN)
  eq(MAX * 2, -2)
  eq(MIN // -1, MIN)
  eq(MIN % -1, 0)
  for _, c in ipairs {
    { 7, 3, 2, 1 }, { -7, 3, -3, 2 }, { 7, -3, -3, -2 }, { -7, -3, 2, -1 },
    { 0, 5, 0, 0 }, { 6, 3, 2, 0 },
  } do
    local a, b, quotient, rest = table.unpack(c)
    eq(a // b, quotient)
    eq(a % b, rest)
    eq(a // b * b + a % b, a)
    eq((a + 0.0) // b, quotient + 0.0)
    eq((a + 0.0) % b, rest + 0.0)
  end
  fails("divide by zero", function() return 1 // 0 end)
  fails("'n%%+0'", function() return 1 % 0 end)
  local random = check.random(17)
  for _ = 1, 20 * n do
    local a, b = random(1 << 22) - (1 << 21), random(1 << 20)
    eq(a // b * b + a % b, a)
    eq((a << 5) >> 5, a & (-1 >> 5))
    eq(a ~ b ~ b, a)
    eq(~a, -a - 1)
    eq((a | b) + (a & b), a + b)
  end
end

local function floats()
  eq(1 / 2, 0.5)
  eq(4 / 2, 2.0)
  eq(2 ^ 10, 1024.0)
  eq(7.5 // 2, 3.0)
  eq(-7.5 % 2, 0.5)
  eq(5.3 % INF, 5.3)
  eq(-5.3 % INF, INF)
  eq(1 // 0.0, INF)
  eq(-1 / 0.0, -INF)
  eq(1 % 0.0, NAN)
  eq(1 / (-0.0), -INF)
  eq(3 | 0, 3)
  eq(2.0 | 1, 3)
  eq(2 ^ 53 == 2 ^ 53 + 1, true)
  eq((1 << 53) == (1 << 53) + 1, false)
  eq(0.1 + 0.2 == 0.3, false)
  eq(10 // 3.0, 3.0)
  fails("no integer representation", function() return 1.5 | 1 end)
  fails("no integer representation", function() return 2 ^ 63 | 1 end)
end

local function shifts()
  eq(1 << 63, MIN)
  eq(1 << 64, 0)
  eq(1 << -1, 0)
  eq(-1 >> 60, 15)
  eq(-1 >> 64, 0)
  eq(MIN >> 63, 1)
  eq(3 << 62 >> 62, 3)
  eq("10" + 5, 15)
  eq("0x10" * 1, 16)
  eq("1.5" + 1, 2.5)
  eq(10 .. 20, "1020")
  fails("attempt to perform bitwise operation on a string",
    function() return "3" | 1 end)
  fails("attempt to perform arithmetic on a nil value %(global 'undefined'%)",
    load "return undefined + 1")
end

local function comparisons()
  eq(1 == 1.0, true)
  eq(math.type(1), "integer")
  eq(math.type(1.0), "float")
  eq(math.type "1", nil)
  eq(MAX < MAX + 0.0, true)
  eq(MAX + 0.0 == 2 ^ 63, true)
  eq(MIN <= -(2 ^ 63), true)
  eq(MAX < INF, true)
  eq(MIN > -INF, true)
  for _, v in ipairs { 0, 1, -1, 0.5, INF, -INF, MAX, MIN } do
    eq(NAN == v or NAN < v or NAN <= v or NAN > v or NAN >= v, false)
  end
  eq("a" < "b", true)
  eq("a" < "B", false)
  eq("" < "\0", true)
  eq("a\0b" < "a\0c", true)
  eq("10" < "9", true)
  fails("attempt to compare number with string", function() return 1 < "2" end)
  fails("attempt to compare two table values", function() return {} < {} end)
end

local function conversions(n)
  eq(tonumber "  0x1p4  ", 16.0)
  eq(tonumber "1e1", 10.0)
  eq(tonumber "0x", nil)
  eq(tonumber "1 2", nil)
  eq(tonumber "", nil)
  eq(tonumber("zz", 36), 35 * 36 + 35)
  eq(tonumber("-ff", 16), -255)
  eq(tonumber("8", 8), nil)
  eq(tonumber "9223372036854775807", MAX)
  eq(tonumber "9223372036854775808", 2.0 ^ 63)
  eq(tonumber "0xffffffffffffffff", -1)
  eq(tostring(1e15), "1e+15")
  eq(tostring(-0.0), "-0.0")
  eq(tostring(3.0), "3.0")
  eq(tostring(MIN), "-9223372036854775808")
  eq(math.tointeger(3.0), 3)
  eq(math.tointeger(3.5), nil)
  eq(math.tointeger(2.0 ^ 63), nil)
  for i = 1, 20 * n do
    local v = i * 7919 - 80000
    eq(tonumber(tostring(v)), v)
    eq(tonumber(("%x"):format(i), 16), i)
    eq(tonumber(("%.17g"):format(v / 3)) + 0.0, v / 3)
    eq(tonumber(("%a"):format(v / 7)) + 0.0, v / 7)
    end
end

local function library()
  eq(math.floor(-3.5), -4)
  eq(math.ceil(-3.5), -3)
  eq(math.floor(2 ^ 70), 2 ^ 70)
  eq(math.fmod(-7, 3), -1)
  eq(math.fmod(-7.5, 3), -1.5)
  fails("zero", math.fmod, 1, 0)
  list(table.pack(math.modf(-3.25)), -3, -0.25)
  list(table.pack(math.modf(INF)), INF, 0.0)
  eq(math.max(1, 2.5, -1), 2.5)
  eq(math.min(3, 1, 2), 1)
  eq(math.abs(MIN), MIN)
  eq(math.ult(1, -1), true)
  eq(math.sqrt(16), 4.0)
  eq(math.log(8, 2), 3.0)
  eq(math.log(1000, 10), 3.0)
  eq(math.exp(0), 1.0)
  eq(math.huge, INF)
  eq(math.pi - math.pi % 0.01 > 3.13, true)
  for _ = 1, 20 do
    local r = math.random(3, 5)
    eq(r >= 3 and r <= 5 and math.type(r) == "integer", true)
    r = math.random()
    eq(r >= 0 and r < 1, true)
  end
  fails("interval is empty", math.random, 2, 1)
  fails("number expected, got no value", math.floor)
end

local function run(first, last, step)
  local t = {}
  for i = first, last, step do t[#t + 1] = i end
  return t
end

local function loops(n)
  list(run(1, 3, 1), 1, 2, 3)
  list(run(3, 1, -1), 3, 2, 1)
  list(run(1, 0, 1))
  list(run(1, 2, 0.5), 1.0, 1.5, 2.0)
  list(run(1.0, 3, 1), 1.0, 2.0, 3.0)
  list(run(1, 3.9, 1), 1, 2, 3)
  list(run(MAX - 1, MAX, 1), MAX - 1, MAX)
  list(run(MIN + 1, MIN, -1), MIN + 1, MIN)
  list(run(MAX - 1, INF, 1), MAX - 1, MAX)
  list(run(MIN, MAX, MAX), MIN, -1, MAX - 1)
  list(run(1, -INF, 1))
  fails("'for' step is zero", run, 1, 2, 0)
  fails("'for' initial value", run, {}, 2, 1)
  fails("'for' limit", run, 1, {}, 1)
  local sum = 0
  for i = 1, 100 * n do
    local j = i
    i = i * 2
    sum = sum + i - j
  end
  eq(sum, 50 * n * (100 * n + 1))
  local closures = {}
  for i = 1, 5 do closures[i] = function() i = i + 1 return i end end
  eq(closures[1](), 2)
  eq(closures[1](), 3)
  eq(closures[5](), 6)
end

return {
  { "integers", integers }, { "floats", floats }, { "shifts", shifts },
  { "comparisons", comparisons }, { "conversions", conversions },
  { "math", library }, { "numeric for", loops },
}
