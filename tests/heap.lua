-- The allocator: contents survive growing, shrinking and moving; memory that is
-- not there is an error, not a crash.
local tap <close> = dofile "tests/lib/tap.lua"

tap.test("blocks of every size keep their contents", function()
  local kept = {}
  for round = 1, 3 do
    for n = 0, 20000, 37 do
      kept[n] = string.char(65 + (n + round) % 26):rep(n)
      if n % 2 == 0 then kept[n - 74] = nil end
    end
    collectgarbage()
    for n, s in pairs(kept) do
      if #s ~= n or s ~= s:sub(1, 1):rep(n) then
        tap.ok(false, "damaged: " .. n)
      end
    end
  end
  tap.eq(#kept[19980], 19980)
end)

tap.test("tables grow from nothing to millions and shrink again", function()
  local t = {}
  for i = 1, 3000000 do t[i] = i end
  local sum = 0
  for i = 1, #t do sum = sum + t[i] end
  tap.eq(sum, 3000000 * 3000001 // 2)
  for i = #t, 11, -1 do t[i] = nil end
  t.x = 1
  collectgarbage()
  tap.eq(#t, 10)
end)

tap.test("tables with string keys", function()
  local t = {}
  for i = 1, 200000 do t["k" .. i] = { i } end
  for i = 1, 200000, 2 do t["k" .. i] = nil end
  collectgarbage()
  local n = 0
  for k, v in pairs(t) do
    if k ~= "k" .. v[1] then tap.ok(false, k) end
    n = n + 1
  end
  tap.eq(n, 100000)
end)

tap.test("big strings and buffers", function()
  local s = ("0123456789abcdef"):rep(1 << 20)
  tap.eq(#s, 1 << 24)
  tap.eq(s:sub(-16), "0123456789abcdef")
  local parts = {}
  for i = 1, 300 do parts[i] = s:sub(1, i * 1000) end
  tap.eq(#table.concat(parts), 300 * 301 // 2 * 1000)
end)

-- A test of how much memory is used, which sanitizers change.
local function test_size(name, f)
  if tap.sanitizer then tap.skip(name, "sanitizer") else tap.test(name, f) end
end

test_size("memory that was freed is used again for other sizes", function()
  local out = tap.lua [[
    local function fill(size)
      local t = {}
      for i = 1, 1e7 // size do t[i] = ("x"):rep(size - 20) .. i end
    end
    local function rss()
      for line in io.lines "/proc/self/status" do
        local n = line:match "VmRSS:%s*(%d+)"
        if n then return tonumber(n) end
      end
    end
    fill(48) collectgarbage()
    local first = rss()
    for size = 56, 1000, 50 do fill(size) collectgarbage() end
    print(rss() < 3 * first)]]
  tap.eq(out, "true\n")
end)

test_size("big blocks that were freed are given back", function()
  local out = tap.lua [[
    local function rss()
      for line in io.lines "/proc/self/status" do
        local n = line:match "VmRSS:%s*(%d+)"
        if n then return tonumber(n) end
      end
    end
    local first = rss()
    local t = {}
    for i = 1, 100 do t[i] = ("x"):rep(1000000 + i * 1000) end
    print(rss() - first > 90000)
    t = nil
    collectgarbage()
    print(rss() - first < 25000)]]
  tap.eq(out, "true\ntrue\n")
end)

tap.test("big blocks that are used again are each process's own", function()
  local out = tap.lua [[
    local function sum(byte)
      local t = {}
      for i = 1, 8 do t[i] = byte:rep(1000000 + i) end
      for i = 1, 8 do
        if t[i]:find("[^" .. byte .. "]") or #t[i] ~= 1000000 + i then
          return "damaged"
        end
      end
      return "right"
    end
    print(sum "a")
    collectgarbage()
    local pid = fork()
    print(sum(pid == 0 and "b" or "c"))
    collectgarbage()
    print(sum(pid == 0 and "d" or "e"))
    if pid == 0 then os.exit(0) end
    print(select(2, wait()))]]
  local _, right = out:gsub("right\n", "")
  tap.eq(right, 5)
  tap.eq(out:match "exit\t0", "exit\t0")
end)

test_size("not enough memory is an error that can be caught", function()
  local out, err, status = tap.run(string.format("ulimit -v 400000; %s -e %s",
    tap.program, tap.quote [[
      local function endless(f)
        local t = {}
        for i = 1, math.huge do t[i] = f(i) end
      end
      print(pcall(endless, function(i) return { i } end))
      collectgarbage()
      print(pcall(endless, function(i) return ("x"):rep(100000) .. i end))
      collectgarbage()
      print(pcall(string.rep, "x", 1 << 30))
      local t = {} for i = 1, 1e5 do t[i] = { i } end
      print(#t)]]))
  tap.eq(out, ("false\tnot enough memory\n"):rep(3) .. "100000\n")
  tap.eq(err, "")
  tap.eq(status, 0)
end)

tap.test("a heap in a child is its own", function()
  local out = tap.lua [[
    local t = {}
    for i = 1, 1e5 do t[i] = { i } end
    local children = 3
    for c = 1, children do
      if fork() == 0 then
        for i = 1, 1e5 do t[i][1] = t[i][1] + c end
        collectgarbage()
        local sum = 0
        for i = 1, 1e5 do sum = sum + t[i][1] end
        os.exit(sum == 1e5 * (1e5 + 1) // 2 + c * 1e5 and 0 or 1)
      end
    end
    for i = 1, children do print(select(2, wait())) end]]
  tap.eq(out, ("exit\t0\n"):rep(3))
end)

-- Shared memory. A program that has 16 MB of it, and whose collector does not
-- run by itself.
local function limited(text)
  text = "collectgarbage 'stop' " .. text
  return tap.run("CLUARUN_SHARED_LIMIT=16M " .. tap.program .. " -e "
    .. tap.quote(text))
end

for name, loop in pairs {
  Array = "300 do local a = Array(100000)",
  Queue = "50000 do local q = Queue()",
  PriorityQueue = "50000 do local q = PriorityQueue()",
  Pipe = "20000 do local a, b = Pipe()",
  Lock = "200000 do local l = Lock()",
  Condition = "100000 do local c = Condition()",
  Semaphore = "100000 do local s = Semaphore()",
  Event = "200000 do local e = Event()",
  Barrier = "50000 do local b = Barrier(2, function() return i end)",
  ["what is in a Value"] = "300 do local v = Value(s)",
  ["what is set in a Value"] = "300 do local v = Value(0) v.value = s",
  ["what is in a Queue"] = "300 do local q = Queue() q:put(s)",
  ["what is in a PriorityQueue"] = "300 do PriorityQueue():put(s)",
  ["what is in a Pipe"] = "300 do local a, b = Pipe() a:send(s)",
} do
  tap.test("shared memory that garbage holds: " .. name, function()
    local out, err = limited(
      'local s = ("x"):rep(1000000) for i = 1, ' .. loop
      .. ' end print "done"')
    tap.eq({ out, err }, { "done\n", "" })
  end)
end

tap.test("shared memory that garbage holds: in a pool", function()
  local out, err = limited [[
    local s, sum = ("x"):rep(3000000), 0
    local pool <close> = Pool(1)
    for i = 1, 20 do
      Queue():put(s)
      sum = sum + pool:apply(function(x) return #x end, { s })
    end
    print(sum)]]
  tap.eq({ out, err }, { "60000000\n", "" })
end)

tap.test("shared memory that garbage holds: in a pool's worker", function()
  local out, err = limited [[
    local pool <close> = Pool(1)
    print(#pool:apply(function()
      for _ = 1, 17 do Array(100000) end
      return ("x"):rep(6000000)
    end))]]
  tap.eq({ out, err }, { "6000000\n", "" })
end)

tap.test("shared memory: finalizers may use it while it is collected",
  function()
    local out, err = limited [[
      local s, log, n = ("x"):rep(1000000), Queue(), 0
      local function make()
        local q = Queue()
        setmetatable({ q }, { __gc = function(o)
          n = n + 1
          o[1]:put(n)
          if n % 10 == 0 then log:put { n, Event() } end
        end })
        q:put(s)
      end
      for i = 1, 300 do make() end
      collectgarbage()
      print(n, log:qsize(), log:get()[1])]]
    tap.eq({ out, err }, { "300\t30\t10\n", "" })
  end)

tap.test("shared memory that is in use is exhausted", function()
  local out, err = limited [[
    local kept, s, q = {}, ("x"):rep(1000000), Queue()
    print(pcall(function()
      for i = 1, 300 do kept[i] = Array(100000) end
    end))
    print(select(2, pcall(function() while true do q:put(s) end end)))
    kept = {}
    collectgarbage()
    q:put(s)]]
  tap.eq({ out, err }, {
    "false\t(command line):3: shared memory exhausted\nqueue is full\n", "" })
end)

-- Counts collections in `n`.
local COUNT = [[
  local n = 0
  local function arm()
    setmetatable({}, { __gc = function() n = n + 1 arm() end })
  end
  arm()
  local function full(q, ...)
    local _, err = pcall(q.put, q, ...)
    return err == Full
  end
]]

tap.test("a queue that is full by its maxsize has nothing collected",
  function()
    local out, err = limited(COUNT .. [[
      local q = Queue(1)
      q:put(1)
      for i = 1, 1000 do assert(full(q, i, false)) end
      print(n)]])
    tap.eq({ out, err }, { "0\n", "" })
  end)

tap.test("garbage is not collected in vain again and again", function()
  local out, err = limited(COUNT .. [[
    local data, s, q = {}, ("x"):rep(1000000), Queue()
    for i = 1, 100000 do data[i] = { i } end
    while not full(q, s) do end
    n = 0
    for i = 1, 1000 do assert(full(q, s)) end
    print(n < 100 or n)]])
  tap.eq({ out, err }, { "true\n", "" })
end)
