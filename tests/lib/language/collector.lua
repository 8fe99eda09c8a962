--- The collector: modes, weak tables, finalizers. Other threads may allocate
-- and collect meanwhile: what is checked holds whenever they do.
local check = dofile "tests/lib/language/check.lua"
local eq, fails = check.eq, check.fails

-- Something to mark and to free: a tree and what was in it.
local function tree(depth)
  if depth == 0 then return { name = ("leaf"):rep(2) } end
  return { tree(depth - 1), tree(depth - 1), depth = depth }
end

local function leaves(t)
  if not t.depth then return #t.name // 8 end
  return leaves(t[1]) + leaves(t[2])
end

local function churn(n)
  local kept = tree(5)
  for i = 1, 5 * n do
    local new = tree(3)
    kept[1][1] = i % 2 == 0 and new or kept[1][1]
    local function f() return new end
    eq(leaves(f()), 8)
  end
  eq(leaves(kept), 32)
end

local function modes(n)
  for _, mode in ipairs { "generational", "incremental", "generational",
    "incremental" } do
    local before = collectgarbage(mode)
    eq(before == "generational" or before == "incremental", true)
    local kept = tree(4)
    for i = 1, 2 * n do
      collectgarbage "step"
      eq(leaves(tree(3)), 8)
      kept[1] = i % 2 == 0 and kept[1] or tree(3)
      eq(leaves(kept), 16)
      if i % 5 == 0 then collectgarbage "collect" end
    end
    eq(collectgarbage(), 0)
    eq(leaves(kept), 16)
  end
  eq(collectgarbage "count" > 10, true)
  eq(math.type(collectgarbage "count"), "float")
  eq(type(collectgarbage("step", 0)), "boolean")
  fails("invalid option", collectgarbage, "nonsense")
end

-- Parameters and switching off are for the whole state: put back at once.
local function settings()
  local pause = collectgarbage("setpause", 150)
  local step = collectgarbage("setstepmul", 300)
  eq(math.type(pause), "integer")
  eq(math.type(step), "integer")
  local t = {}
  for i = 1, 50 do t[i] = { {} } end
  eq(#t, 50)
  collectgarbage("setpause", pause)
  collectgarbage("setstepmul", step)
  eq(type(collectgarbage "isrunning"), "boolean")
end

local function weak(n)
  local keys = setmetatable({}, { __mode = "k" })
  local values = setmetatable({}, { __mode = "v" })
  local both = setmetatable({}, { __mode = "kv" })
  local kept = {}
  for i = 1, 20 * n do
    local o = { i }
    if i % 4 == 0 then kept[#kept + 1] = o end
    keys[o], values[i], both[o] = i, o, o
    values["s" .. i] = "strings are values"
  end
  collectgarbage()
  local count = 0
  for k, v in pairs(keys) do
    eq(k[1], v)
    eq(v % 4, 0)
    count = count + 1
  end
  eq(count, 5 * n)
  count = 0
  for k, v in pairs(values) do
    if type(v) == "table" then
      eq(v[1], k)
      count = count + 1
    end
  end
  eq(count, 5 * n)
  for i, o in ipairs(kept) do
    eq(values[4 * i], o)
    eq(keys[o], 4 * i)
    eq(both[o], o)
  end
  eq(values.s1, "strings are values")
  kept = nil
  collectgarbage()
  eq(kept, nil)
  eq(next(keys), nil)
  eq(next(both), nil)
  for k, v in pairs(values) do
    eq(type(k), "string")
    eq(v, "strings are values")
  end
end

-- Values that hold their own keys, in chains from table to table.
local function ephemerons(n)
  local a = setmetatable({}, { __mode = "k" })
  local b = setmetatable({}, { __mode = "k" })
  local first = {}
  local key = first
  for i = 1, 10 * n do
    local middle, last = { i }, { i }
    a[key], b[middle] = middle, last
    key = last
    a[{}] = {}
    local loop = {}
    a[loop] = { loop }
  end
  collectgarbage()
  local at, length = first, 0
  while a[at] do
    at = b[a[at]]
    length = length + 1
  end
  eq(length, 10 * n)
  local entries = 0
  for _ in pairs(a) do entries = entries + 1 end
  eq(entries, 10 * n)
  first, key, at = nil, nil, nil
  collectgarbage()
  eq(first or key or at, nil)
  eq(next(a), nil)
  eq(next(b), nil)
end

local function finalizers(n)
  local log = {}
  local held = {}
  for i = 1, 20 * n do
    held[i] = setmetatable({ i }, { __gc = function(o)
      log[#log + 1] = o[1]
    end })
  end
  collectgarbage()
  eq(#log + #held, 20 * n)
  held = nil
  collectgarbage()
  eq(held, nil)
  eq(#log, 20 * n)
  for i = 1, 20 * n do eq(log[i], 20 * n + 1 - i) end
  -- A field set later than the metatable is too late.
  local meta = {}
  do
    local o = setmetatable({}, meta)
    meta.__gc = function() log[1] = "called" end
    eq(getmetatable(o), meta)
  end
  collectgarbage()
  eq(log[1], 20 * n)
end

-- Finalizers that fail, allocate, resurrect, mark anew, run coroutines.
local function busy_finalizers(n)
  local count, revived = 0, {}
  local weak_values = setmetatable({}, { __mode = "v" })
  local again = {}
  again.__gc = function(o)
    o.lives = o.lives - 1
    count = count + 1
    if o.lives > 0 then setmetatable(o, again) end
  end
  for i = 1, 4 * n do
    setmetatable({}, { __gc = function() count = count + 1 error "lost" end })
    setmetatable({ lives = 2 }, again)
    local o = setmetatable({ i }, { __gc = function(self)
      revived[#revived + 1] = self
      count = count + 1
    end })
    weak_values[i] = o
    setmetatable({}, { __gc = function()
      local co = coroutine.wrap(function()
        for k = 1, 3 do coroutine.yield(k) end
      end)
      count = count + co() + co() + co() - 5
      local t = {}
      for k = 1, 20 do t[k] = { k, tostring(k) } end
      pcall(error, t)
    end })
  end
  -- One that lives again was in the hands of the thread whose collection it
  -- was: where that was interrupted an old copy may hold it for a while.
  local rounds = 0
  repeat
    rounds = rounds + 1
    collectgarbage()
  until rounds >= 4 and count == 4 * n * 5 or rounds > 1000
  eq(count, 4 * n * 5)
  eq(#revived, 4 * n)
  eq(next(weak_values), nil)
  local seen = {}
  for _, o in ipairs(revived) do seen[o[1]] = true end
  eq(#seen, 4 * n)
  revived = nil
  collectgarbage()
  eq(revived, nil)
  eq(count, 4 * n * 5)
end

-- What only a suspended coroutine or an open upvalue holds is held.
local function stacks(n)
  local alive = setmetatable({}, { __mode = "k" })
  local cos = {}
  for i = 1, 10 * n do
    cos[i] = coroutine.create(function()
      local o = { i }
      alive[o] = true
      local function get() return o end
      coroutine.yield(get)
      return o[1]
    end)
    coroutine.resume(cos[i])
  end
  collectgarbage()
  local count = 0
  for o in pairs(alive) do count = count + (o[1] > 0 and 1 or 0) end
  eq(count, 10 * n)
  for i = 1, 10 * n, 2 do eq(select(2, coroutine.resume(cos[i])), i) end
  for i = 1, 10 * n, 2 do cos[i] = nil end
  collectgarbage()
  count = 0
  for o in pairs(alive) do
    eq(o[1] % 2, 0)
    count = count + 1
  end
  eq(count, 5 * n)
  cos = nil
  collectgarbage()
  eq(cos, nil)
  eq(next(alive), nil)
end

return {
  { "churn", churn }, { "collector modes", modes },
  { "collector settings", settings }, { "weak tables", weak },
  { "ephemerons", ephemerons }, { "finalizers", finalizers },
  { "busy finalizers", busy_finalizers }, { "stacks", stacks },
}
