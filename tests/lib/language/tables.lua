--- Tables: growing, holes, traversal, sort and the other functions.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function access(n)
  local t = { 1, 2, nil, 4, x = 1, ["y z"] = 2 }
  t[2.0] = 2
  eq(t[2], 2)
  eq(t[4], 4)
  eq(t["y z"] + t.x, 3)
  t[3.0] = 3
  eq(#t, 4)
  t[1 << 53] = "big"
  eq(t[2.0 ^ 53], "big")
  fails("index is nil", function() t[nil] = 1 end)
  fails("index is NaN", function() t[0 / 0] = 1 end)
  eq(t[nil], nil)
  fails("attempt to index a nil value %(field 'q'%)", function()
    return t.q.z
  end)
  -- From the array part to the hash part and back, and growing in both.
  local grown = {}
  for i = 1, 50 * n do
    grown[i], grown[-i], grown["k" .. i] = i, -i, i * 2
  end
  eq(#grown, 50 * n)
  for i = 1, 50 * n, 7 do
    eq(grown[i] + grown[-i] + grown["k" .. i], 2 * i)
  end
  for i = 1, 50 * n do
    if i % 3 ~= 0 then grown["k" .. i], grown[-i] = nil, nil end
  end
  local count, sum = 0, 0
  for k, v in pairs(grown) do
    if type(k) == "string" then count, sum = count + 1, sum + v end
  end
  eq(count, 50 * n // 3)
  local third = 50 * n // 3
  eq(sum, 3 * third * (third + 1))
  local back = {}
  for i = 60 * n, 1, -1 do back[i] = i end
  eq(#back, 60 * n)
end

local function big(n)
  local t = {}
  for i = 1, 500 * n do t[i] = { i } end
  for i = 1, 500 * n, 50 do eq(t[i][1], i) end
  local keys = {}
  for i = 1, 100 * n do keys[t[i]] = i end
  for i = 1, 100 * n, 9 do eq(keys[t[i]], i) end
  eq(select("#", table.unpack(t, 1, 200)), 200)
  fails("too many results to unpack", table.unpack, {}, 1, 1e8)
  local floats = {}
  for i = 1, 50 * n do floats[i + 0.5] = i end
  for i = 1, 50 * n, 5 do eq(floats[i + 0.5], i) end
end

local function traversal(n)
  local seen = 0
  local t = {}
  for i = 1, 30 * n do t[i], t["k" .. i] = true, true end
  for k in pairs(t) do -- clearing while traversing is allowed
    t[k] = nil
    seen = seen + 1
  end
  eq(seen, 60 * n)
  eq(next(t), nil)
  eq(next {}, nil)
  list({ next { 10 } }, 1, 10)
  fails("invalid key to 'next'", next, { 1, 2 }, "no")
  local order = {}
  for i, v in ipairs { 1, 2, nil, 4 } do order[i] = v end
  list(order, 1, 2)
  local proxy = setmetatable({}, {
    __pairs = function(self)
      return function(_, k)
        if k < 3 then return k + 1, "v" end
      end, self, 0
    end,
    __index = function(_, k) if k <= 4 then return k * k end end,
  })
  local sum = 0
  for k, v in pairs(proxy) do sum = sum + k + #v end
  eq(sum, 9)
  sum = 0
  for _, v in ipairs(proxy) do sum = sum + v end
  eq(sum, 30)
  -- A traversal goes on over a table that a collection clears around it.
  local kept, marked = {}, 0
  for i = 1, 10 * n do kept[i] = { i } end
  for i, v in pairs(kept) do
    if i % 50 == 0 then collectgarbage "step" end
    marked = marked + v[1]
  end
  eq(marked, 5 * n * (10 * n + 1))
end

local function is_sorted(t, less)
  for i = 2, #t do
    if less(t[i], t[i - 1]) then return false end
  end
  return true
end

local function sorting(n)
  local random = check.random(4711)
  local function up(a, b) return a < b end
  local function down(a, b) return a > b end
  for _, less in ipairs { up, down } do
    local t, sum = {}, 0
    for i = 1, 40 * n do
      t[i] = random(1000)
      sum = sum + t[i]
    end
    table.sort(t, less)
    eq(is_sorted(t, less), true)
    for i = 1, #t do sum = sum - t[i] end
    eq(sum, 0)
  end
  local words = {}
  local text = "the quick brown fox jumps over the lazy dog"
  for w in text:gmatch "%a+" do
    words[#words + 1] = w
  end
  table.sort(words)
  eq(table.concat(words, " "), "brown dog fox jumps lazy over quick the the")
  table.sort(words, function(a, b) return #a < #b or #a == #b and a < b end)
  eq(table.concat(words, " "), "dog fox the the lazy over brown jumps quick")
  local calls = 0
  fails("in comparator", table.sort, { 3, 1, 2, 5, 4 }, function(a, b)
    calls = calls + 1
    if calls == 3 then error "in comparator" end
    return a < b
  end)
  fails("attempt to compare", table.sort, { 1, "x", 2 })
  fails("invalid order function", table.sort, { 1, 2, 3, 4, 5, 6 },
    function() return true end)
  fails("attempt to yield across a C%-call boundary", coroutine.wrap(
    function() table.sort({ 2, 1 }, coroutine.yield) end))
  local object = { __lt = function(a, b) return a.v < b.v end }
  local objects = {}
  for i = 1, 10 * n do
    objects[i] = setmetatable({ v = random(100) }, object)
  end
  table.sort(objects)
  eq(is_sorted(objects, function(a, b) return a.v < b.v end), true)
end

local function functions(n)
  local t = {}
  table.insert(t, "b")
  table.insert(t, 1, "a")
  table.insert(t, #t + 1, "c")
  list(t, "a", "b", "c")
  eq(table.remove(t, 1), "a")
  eq(table.remove(t), "c")
  eq(table.remove(t), "b")
  eq(table.remove(t), nil)
  eq(table.remove({}, 0), nil)
  fails("position out of bounds", table.insert, { 1 }, 5, 1)
  fails("wrong number of arguments to 'insert'", table.insert, {}, 1, 2, 3)
  list(table.move({ 1, 2, 3 }, 1, 3, 2), 1, 1, 2, 3)
  list(table.move({ 1, 2, 3 }, 2, 3, 1), 2, 3, 3)
  list(table.move({ 1, 2 }, 1, 2, 1, { 9, 9, 9 }), 1, 2, 9)
  eq(table.concat({ 1, 2.5, "x" }, ", "), "1, 2.5, x")
  eq(table.concat({}, "x"), "")
  eq(table.concat({ "a", "b", "c" }, "-", 2, 3), "b-c")
  fails("invalid value .*at index 2.*'concat'",
    table.concat, { 1, {}, 3 })
  eq(table.pack(nil, nil).n, 2)
  list(table.pack(table.unpack({ 1, nil, 3 }, 1, 3)), 1, nil, 3)
  list({ table.unpack({ 1, 2, 3 }, -1, 1) }, nil, nil, 1)
  local queue = {}
  for i = 1, 20 * n do table.insert(queue, i) end
  for i = 1, 10 * n do eq(table.remove(queue, 1), i) end
  eq(#queue, 10 * n)
  -- The functions respect metamethods.
  local log = {}
  local shadow = setmetatable({}, {
    __index = function(_, k) return log[k] end,
    __newindex = function(_, k, v) log[k] = v end,
    __len = function() return #log end,
  })
  for i = 1, 5 do table.insert(shadow, i) end
  table.sort(shadow, function(a, b) return a > b end)
  eq(table.concat(shadow, ""), "54321")
  list({ table.unpack(shadow) }, 5, 4, 3, 2, 1)
end

return {
  { "table access", access }, { "big tables", big },
  { "traversal", traversal }, { "sort", sorting },
  { "table functions", functions },
}
