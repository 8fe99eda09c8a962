--- Threads that keep a state busy while something else is tested in it. Each
-- works in rounds of one kind until it is told to stop, and checks its results.
--
--   local crowd = background.start { "sort", "collect", "errors" }
--   ...
--   local problems = crowd:stop()
local check = dofile "tests/lib/language/check.lua"
local eq, fails = check.eq, check.fails

local M = {}

--- Counts the times that a stack was about to be used up on purpose, and that
-- it was over: odd meanwhile. A finalizer that is called there fails.
M.brink = 0

-- The kinds: a round each, some thousand instructions, numbered from 1.
local kinds = {}
M.kinds = kinds

function kinds.allocate(i)
  local kept = {}
  for k = 1, 50 do
    kept[k] = { k, tostring(k * i), name = { ("x"):rep(k) } }
    local other = kept[(k * 7) % k + 1]
    eq(other[2], tostring(other[1] * i))
    eq(#other.name[1], other[1])
  end
end

function kinds.strings(i)
  local s = ""
  for k = 1, 20 do s = s .. k * i .. "," end
  local sum = 0
  for number in s:gmatch "%d+" do sum = sum + tonumber(number) end
  eq(sum, 210 * i)
  eq(("<i8 s4"):unpack(("<i8 s4"):pack(i, s)), i)
  eq(#s:rep(100), 100 * #s)
end

function kinds.collect(i)
  local weak = setmetatable({}, { __mode = "v" })
  local kept = {}
  for k = 1, 20 do
    weak[k] = { k }
    if k % 2 == 0 then kept[k] = weak[k] end
  end
  collectgarbage(i % 4 == 0 and "collect" or "step")
  for k = 2, 20, 2 do eq(weak[k], kept[k]) end
end

function kinds.modes(i)
  collectgarbage(i % 2 == 0 and "generational" or "incremental")
  kinds.allocate(i)
end

function kinds.errors(i)
  local object = { i }
  for _ = 1, 10 do
    local done, err = pcall(error, object)
    eq(done, false)
    eq(err, object)
    fails("number " .. i, function() error("number " .. i) end)
    eq(select(2, xpcall(function() return object + 1 end, function(e)
      return e:find "arithmetic" and "handled"
    end)), "handled")
  end
end

local function down(k) return k == 0 and 0 or 1 + down(k - 1) end

function kinds.recursion(i)
  eq(down(300), 300)
  if i % 50 == 0 then eq(down(20000), 20000) end
  local function through(k)
    return k == 0 and "end" or (("x"):gsub("x", function()
      return through(k - 1)
    end))
  end
  eq(through(20), "end")
end

local function endless(...) return 1 + endless(...) end

function kinds.overflow(i)
  local many = {}
  for k = 1, 100 do many[k] = k end
  if i % 20 == 1 then
    fails("stack overflow", endless, table.unpack(many, 1, 2000))
  end
  local function again() return (("x"):gsub("x", again)) end
  fails("C stack overflow", again)
end

function kinds.coroutines(i)
  local function upto(n)
    return coroutine.wrap(function()
      for k = 1, n do coroutine.yield(k) end
    end)
  end
  local sum = 0
  for k in upto(20) do
    for l in upto(3) do sum = sum + k * l end
  end
  eq(sum, 1260)
  local list = {}
  for k = 1, 20 do
    list[k] = coroutine.create(function(a)
      local x <close> = setmetatable({}, { __close = function()
        sum = sum + 1
      end })
      coroutine.yield(x and a + i)
      error "unwound"
    end)
    eq(select(2, coroutine.resume(list[k], k)), k + i)
  end
  for k = 1, 20 do
    if k % 2 == 0 then eq(coroutine.resume(list[k]), false) end
    eq(coroutine.close(list[k]), k % 2 ~= 0)
  end
  eq(sum, 1280)
end

function kinds.sort(i)
  local random = check.random(i)
  local t = {}
  for k = 1, 60 do t[k] = random(1000) end
  table.sort(t, function(a, b) return a > b end)
  for k = 2, 60 do eq(t[k - 1] >= t[k], true) end
  fails("comparator", table.sort, t, function(a, b)
    if a == t[30] then error "comparator" end
    return a < b
  end)
end

function kinds.gsub(i)
  local made = ("a1b2c3"):rep(10):gsub("%d", function(d)
    return (d:gsub(".", function(c) return tonumber(c) + i .. ";" end))
  end)
  eq(made, (("a%d;b%d;c%d;"):format(i + 1, i + 2, i + 3):rep(10)))
end

function kinds.finalizers(i)
  local count, brink = 0, M.brink
  for k = 1, 10 do
    setmetatable({}, { __gc = function()
      local co = coroutine.wrap(function()
        local t = { tostring(k) }
        coroutine.yield(#t)
        error "lost in a finalizer"
      end)
      count = count + co()
      if k % 3 == 0 then co() end
    end })
  end
  if i % 10 == 0 then
    collectgarbage()
    if brink % 2 == 0 and M.brink == brink then eq(count, 10) end
  end
end

function kinds.metamethods(i)
  local meta = {
    __index = function(_, k) return k * i end,
    __add = function(a, b) return (a.v or 0) + (b.v or 0) end,
    __lt = function(a, b) return a.v < b.v end,
    __concat = function(a, b) return tostring(a) .. tostring(b) end,
    __tostring = function(o) return "<" .. rawget(o, "v") .. ">" end,
    __close = function(o) o.v = 0 end,
  }
  local a, b = setmetatable({ v = 1 }, meta), setmetatable({ v = 2 }, meta)
  for k = 1, 20 do
    eq(a[k], k * i)
    eq(a + b, 3)
    eq(a < b, true)
    eq(a .. b, "<1><2>")
  end
  do
    local c <close> = setmetatable({ v = 5 }, meta)
    b = c
  end
  eq(b.v, 0)
end

function kinds.load(i)
  local f = load("local a = ... return a + " .. i, "=load")
  eq(f(1), i + 1)
  eq(load(string.dump(f))(2), i + 2)
  eq(load("return (", "=load"), nil)
end

function kinds.hooks(i)
  local lines = 0
  local co = coroutine.create(function()
    for _ = 1, 10 do
      lines = lines + 0
    end
    return lines
  end)
  debug.sethook(co, function() lines = lines + 1 end, "l")
  assert(coroutine.resume(co))
  eq(lines, 22)
  local count = 0
  debug.sethook(function() count = count + 1 end, "", 10)
  for _ = 1, 100 do count = count + 0 end
  debug.sethook()
  eq(count > 5, true)
  eq(i > 0, true)
end

function kinds.tables(i)
  local t = {}
  for k = 1, 100 do t[k], t["k" .. k], t[-k] = k, k, k end
  for k = 1, 100, 3 do t[k], t["k" .. k] = nil, nil end
  local sum = 0
  for _, v in pairs(t) do sum = sum + v end
  eq(sum, 3 * 5050 - 2 * 1717)
  eq(table.concat(table.move({ 1, 2, 3 }, 1, 3, 2), i), 1 .. i .. 1 .. i .. 2
    .. i .. 3)
end

function kinds.sleep(i)
  sleep(1e-4)
  eq(i > 0, true)
end

-- What the threads of this kind share.
local shared = { lock = Lock(), queue = Queue(), balance = 0 }

function kinds.locks(i)
  for _ = 1, 10 do
    local guard <close> = shared.lock:guard()
    local balance = shared.balance
    shared.balance = balance + i
    shared.balance = shared.balance - i
    eq(shared.balance, balance)
    eq(guard ~= nil, true)
  end
  shared.queue:put { i }
  eq(type(shared.queue:get()[1]), "number")
end

-- All names, in an order of their own.
function M.names()
  local list = {}
  for name in pairs(kinds) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local Crowd = {}
Crowd.__index = Crowd

local function work(crowd, worker)
  local round = kinds[worker.kind]
  local first = true
  repeat
    local done, err = xpcall(round, debug.traceback, worker.rounds + 1)
    if not done then
      worker.problem = ("%s, round %d: %s"):format(worker.kind,
        worker.rounds + 1, err)
    end
    worker.rounds = worker.rounds + 1
    if first then crowd.ready:release() end
    first = false
  until crowd.stopped or worker.problem
end

--- Starts a thread of each kind; returns when each has done a round.
function M.start(names)
  local crowd = setmetatable({ ready = Semaphore(0) }, Crowd)
  for i, kind in ipairs(names) do
    assert(kinds[kind], "no such kind: " .. kind)
    local worker = { kind = kind, rounds = 0 }
    worker.thread = Thread { target = work, args = { crowd, worker } }
    crowd[i] = worker
  end
  for _, worker in ipairs(crowd) do worker.thread:start() end
  for _ = 1, #crowd do crowd.ready:acquire() end
  for _, worker in ipairs(crowd) do worker.begun = worker.rounds end
  return crowd
end

--- The kind of a thread that has done no more round since the start, or nil.
function Crowd:idle()
  for _, worker in ipairs(self) do
    if worker.rounds == worker.begun then return worker.kind end
  end
end

--- Ends them; returns what went wrong in them, a line each.
function Crowd:stop()
  local problems = {}
  self.stopped = true
  for _, worker in ipairs(self) do
    worker.thread:join()
    problems[#problems + 1] = worker.problem
  end
  return problems
end

return M
