-- Messages made up at random, of tables, classes and functions that refer to
-- each other in every way: what could be put can be got, and is what was sent.
local tap <close> = dofile "tests/lib/tap.lua"
local test, ok = tap.test, tap.ok

local GRAPHS = 3000
local random = math.random
local co = coroutine.create(print) -- what cannot travel
local long = ("long"):rep(100)

local makers = {
  function(a) return function() return a end end,
  function(a, b) return function() return a, b end end,
  function(a, b, c) return function() return a, b, c end end,
}

--- A graph of tables, objects, classes and functions; the same for the same i.
local function graph(i)
  math.randomseed(i)
  local node, cell, class = {}, {}, {}
  for k = 1, random(3, 10) do
    local kind = random(4)
    node[k] = kind == 4 and makers[random(3)]() or {}
    if kind == 3 then
      class[#class + 1] = node[k]
      if random(3) > 1 then node[k].__index = node[k] end
    end
  end
  for k = 1, 3 do cell[k] = makers[1]() end
  local function value()
    if random(12) == 1 then return co end
    return random(8) == 1 and long or node[random(#node)]
  end
  for k = 1, 3 do debug.setupvalue(cell[k], 1, value()) end
  for _, v in ipairs(node) do
    for k = 1, random(0, 3) do
      if type(v) == "table" then
        v[random(2) == 1 and k or "k" .. k] = value()
      else
        -- Most functions share variables with others.
        if not debug.setupvalue(v, k, value()) then break end
        if random(3) > 1 then debug.upvaluejoin(v, k, cell[random(3)], 1) end
      end
    end
    if type(v) == "table" and #class > 0 and random(3) == 1 then
      setmetatable(v, class[random(#class)])
    end
  end
  local root = {}
  for k = 1, random(4) do root[k] = node[random(#node)] end
  return root
end

--- Calls f with each value that v is made of.
local function each_part(v, f)
  if type(v) == "table" then
    for _, part in next, v do f(part) end
    f(getmetatable(v))
  elseif type(v) == "function" then
    local k = 1
    while debug.getupvalue(v, k) do
      f(select(2, debug.getupvalue(v, k)))
      k = k + 1
    end
  end
end

--- The set of all that v leads to; not through what is in `stop`.
local function reached(v, stop)
  local set = {}
  local function visit(part)
    if part == nil or set[part] or stop[part] then return end
    set[part] = true
    each_part(part, visit)
  end
  visit(v)
  return set
end

--- The classes among them: who is a metatable or has an __index.
local function classes_of(set)
  local classes = {}
  for v in pairs(set) do
    if type(v) == "table" then
      local mt = getmetatable(v)
      if mt then classes[mt] = true end
      if rawget(v, "__index") ~= nil then classes[v] = true end
    end
  end
  return classes
end

--- Is b like a, part by part? Classes are to be the same ones.
local function alike(a, b, classes)
  local partner = {}
  local compare

  local function paired(x, y)
    local known = partner[x] or partner[y]
    if known then return partner[x] == y and partner[y] == x end
    partner[x], partner[y] = y, x
  end

  local function tables(x, y)
    for k, v in next, x do
      if not compare(v, rawget(y, k)) then return false end
    end
    for k in next, y do
      if rawget(x, k) == nil then return false end
    end
    return compare(getmetatable(x), getmetatable(y))
  end

  local function functions(x, y)
    for k = 1, 4 do
      local name, v = debug.getupvalue(x, k)
      local other, w = debug.getupvalue(y, k)
      if name ~= other then return false end
      if not name then return true end
      local id, id_of_other = debug.upvalueid(x, k), debug.upvalueid(y, k)
      if paired(id, id_of_other) == false or not compare(v, w) then
        return false
      end
    end
  end

  function compare(x, y)
    if type(x) ~= type(y) then return false end
    if type(x) ~= "table" and type(x) ~= "function" then return x == y end
    if classes[x] then return rawequal(x, y) end
    local same = paired(x, y)
    if same ~= nil then return same end
    return (type(x) == "table" and tables or functions)(x, y)
  end

  return compare(a, b)
end

local q, back = Queue(), Queue()

--- A child that gets graphs, each after its number, and compares them with what
-- `find(i)` returns: the graph, and the classes that both have.
local function receiver(find)
  local pid = fork()
  if pid > 0 then return pid end
  for i in function() return q:get() or nil end do
    local done, r = pcall(q.get, q)
    if not done then
      back:put(i .. ": " .. tostring(r))
    elseif not alike(r, find(i)) then
      back:put(i .. ": something else")
    end
  end
  back:put(false)
  os.exit(0)
end

local function no_more(pid)
  q:put(false)
  local bad = {}
  for problem in function() return back:get() or nil end do
    bad[#bad + 1] = problem
  end
  wait(pid)
  ok(#bad == 0, #bad .. ", first " .. tostring(bad[1]))
end

-- One is there before the classes are.
local stranger = receiver(function(i) return graph(i), {} end)

local made, classes, plain, sendable = {}, {}, {}, {}
for i = 1, GRAPHS do
  made[i] = graph(i)
  local all = reached(made[i], {})
  classes[i] = classes_of(all)
  if not reached(made[i], classes[i])[co] then sendable[#sendable + 1] = i end
  if not all[co] then plain[#plain + 1] = i end
end

test("who has no class gets a copy of each", function()
  for _, i in ipairs(plain) do
    q:put(i)
    q:put(made[i])
  end
  no_more(stranger)
end)

--- What is wrong with graph i in this process.
local function problem_of(i, expected)
  local done, err = pcall(q.put, q, made[i])
  if done ~= expected then return "put " .. tostring(done or err) end
  if not done then
    if not err:find "cannot send a coroutine" then return err end
    return not q:empty() and "it was put"
  end
  local got, r = pcall(q.get, q)
  if not got then return tostring(r) end
  return not alike(made[i], r, classes[i]) and "something else"
end

test("in the same process", function()
  local is_sendable, bad = {}, {}
  for _, i in ipairs(sendable) do is_sendable[i] = true end
  for i = 1, GRAPHS do
    local problem = problem_of(i, is_sendable[i] == true)
    if problem then bad[#bad + 1] = i .. ": " .. problem end
  end
  ok(#bad == 0, #bad .. ", first " .. tostring(bad[1]))
end)

test("who has the classes gets all that could be put", function()
  local pid = receiver(function(i) return made[i], classes[i] end)
  for _, i in ipairs(sendable) do
    q:put(i)
    q:put(made[i])
  end
  no_more(pid)
end)

test("some of them could not be sent, or only to who has the class", function()
  ok(#plain > 100 and #sendable > #plain + 100 and #sendable < GRAPHS - 100,
    #plain .. " " .. #sendable)
end)
