--- Control flow and functions: goto, closures, varargs, calls.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function jumps(n)
  local i, odd = 0, 0
  ::top::
  i = i + 1
  if i % 2 == 0 then goto continue end
  odd = odd + 1
  ::continue::
  if i < 10 * n then goto top end
  eq(odd, 5 * n)
  local found
  for a = 1, 10 do
    for b = 1, 10 do
      if a * b == 42 then
        found = a .. "x" .. b
        goto out
      end
    end
  end
  ::out::
  eq(found, "6x7")
  -- A jump back makes a new variable each time round.
  local fs, k = {}, 0
  do
    ::again::
    local x = k
    fs[#fs + 1] = function() x = x + 10 return x end
    k = k + 1
    if k < 3 then goto again end
  end
  list({ fs[1](), fs[2](), fs[3](), fs[1]() }, 10, 11, 12, 20)
  eq(load "goto nowhere", nil)
  eq(load "do goto l; local a; ::l:: print(a) end", nil)
  eq(load "::a:: ::a::", nil)
  eq(load "break", nil)
  local r = 0
  repeat
    local done = r >= 5
    r = r + 1
  until done
  eq(r, 6)
  while true do
    r = r - 1
    if r == 2 then break end
  end
  eq(r, 2)
end

local function logic()
  eq(nil and 1, nil)
  eq(false or nil, nil)
  eq(0 and "yes" or "no", "yes")
  eq(not nil == true, true)
  eq(1 < 2 == true, true)
  eq(2 ^ 3 ^ 2, 512.0)
  eq(-2 ^ 2, -4.0)
  eq(not 1 == 2, false)
  eq(1 .. 2 == "12", true)
  eq("a" .. "b" .. "c" == "abc" and 5 // 2 * 2 + 1, 5)
  local a, b, c = (function() return 1, 2, 3 end)()
  list({ a, b, c }, 1, 2, 3)
  a, b = b, a
  list({ a, b }, 2, 1)
  local t = { 1, 2 }
  local i = 1
  i, t[i] = i + 1, 20
  list({ i, t[1], t[2] }, 2, 20, 2)
  local limit <const> = 5
  eq(limit, 5)
  eq(load "local x <const> = 1; x = 2", nil)
end

local function closures(n)
  local function counter()
    local count = 0
    return function() count = count + 1 return count end,
      function() return count end
  end
  local up, get = counter()
  local up2, get2 = counter()
  for _ = 1, 10 * n do up() end
  up2()
  eq(get(), 10 * n)
  eq(get2(), 1)
  -- Variables that a coroutine and its maker share.
  local shared, log = 0, {}
  local co = coroutine.wrap(function()
    local own = 100
    log[1] = function() own = own + 1 return own end
    while true do
      shared = shared + 1
      coroutine.yield(own)
    end
  end)
  for i = 1, 5 do
    eq(co(), 99 + i)
    eq(shared, i)
    shared = shared + 1 - 1
    eq(log[1](), 100 + i)
  end
  local fs = {}
  for i = 1, 20 * n do
    local j = i * 2
    fs[i] = { function() return i + j end, function(v) j = v end }
  end
  for i = 1, 20 * n, 3 do
    eq(fs[i][1](), 3 * i)
    fs[i][2](i)
    eq(fs[i][1](), 2 * i)
  end
  local function fib(k) return k < 2 and k or fib(k - 1) + fib(k - 2) end
  eq(fib(8 + n % 10), ({ 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597 })
    [n % 10 + 1])
end

local function varargs(n)
  local function count(...) return select("#", ...) end
  eq(count(), 0)
  eq(count(nil, nil), 2)
  eq(select(-1, 1, 2, 3), 3)
  list({ select(2, "a", "b", "c") }, "b", "c")
  fails("index out of range", select, 0)
  local function second(...)
    local _, b = ...
    return b
  end
  eq(second(1, 2, 3), 2)
  local function pass(...) return ... end
  list({ pass(1, nil, 3), pass() }, 1)
  list({ (pass(1, 2)) }, 1)
  list({ pass(pass(1, 2), pass(3, 4)) }, 1, 3, 4)
  list(table.pack(pass(nil, nil)), nil, nil)
  local function sum(...)
    local s = 0
    for i = 1, select("#", ...) do s = s + (select(i, ...)) end
    return s
  end
  local t = {}
  for i = 1, 30 do t[i] = i end
  eq(sum(table.unpack(t)), 465)
  local many = {}
  for i = 1, 200 * n do many[i] = i end
  eq(count(table.unpack(many)), 200 * n)
  eq(#{ table.unpack(many) }, 200 * n)
  local function tail(i, ...)
    if i == 0 then return ... end
    return tail(i - 1, i, ...)
  end
  list({ tail(5) }, 1, 2, 3, 4, 5)
  local function loop(i) if i > 0 then return loop(i - 1) end return "end" end
  eq(loop(100 * n), "end")
end

local function depth(n)
  local function down(k) if k == 0 then return 0 end return 1 + down(k - 1) end
  eq(down(150 * n), 150 * n)
  local function even(k, odd) return k == 0 or odd(k - 1, even) end
  local function odd(k, f) return k ~= 0 and f(k - 1, odd) end
  eq(even(20 * n, odd), true)
  local function wide(k, ...)
    if k == 0 then return select("#", ...) end
    return (wide(k - 1, k, ...))
  end
  eq(wide(50), 50)
  -- Through C: a pcall, a sort, a gsub for each level.
  local function through(k)
    if k == 0 then return 0 end
    local _, r = pcall(through, k - 1)
    table.sort({ 2, 1 }, function(a, b) return a < b end)
    return r + 1
  end
  eq(through(40), 40)
end

return {
  { "goto", jumps }, { "logic", logic }, { "closures", closures },
  { "varargs", varargs }, { "recursion", depth },
}
