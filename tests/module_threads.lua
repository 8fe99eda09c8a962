-- Threads through `require "cluarun"` in a stock lua5.4.
local tap <close> = dofile "tests/lib/tap.lua"
local eq, ok = tap.eq, tap.ok

local build = tap.program:match "^(.*)/[^/]*$" or "."
if tap.sanitizer or not tap.run "command -v lua5.4":find "lua5.4" then
  tap.skip("threads of the module",
    "needs lua5.4 and a build without sanitizers")
  return
end

-- Runs a chunk that has the module as `c`, with CLUARUN_SWITCH as given.
local function stock(chunk, switch)
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write('local c = require "cluarun"\n', chunk)
  end
  local out, err, status = tap.run(string.format(
    "%s LUA_CPATH='%s/?.so' timeout 100 lua5.4 %s",
    switch and "CLUARUN_SWITCH=" .. switch or "", build, name))
  os.remove(name)
  return out, err, status
end

-- The chunk is to print `expected` on stdout, and nothing on stderr: as it is
-- and with forced switches.
local function test(name, chunk, expected)
  for _, switch in ipairs { false, "1", "100" } do
    local how = switch and ", a switch after every " .. switch or ""
    tap.test(name .. how, function()
      local out, err, status = stock(chunk, switch)
      eq(out, expected)
      eq(err, "")
      eq(status, 0)
    end)
  end
end

test("start, join, result, names", [[
  local t = c.Thread { target = function(...)
    return c.current_thread().name, select("#", ...), ...
  end, args = table.pack(1, nil) }:start()
  print(t:join(), t:result())
  print(c.current_thread(), #c.threads(), c.main_thread().name)]],
  "true\tThread-1\t2\t1\tnil\n<Thread(MainThread, started)>\t1\tMainThread\n")

test("threads that compute are stopped", [[
  local n, stop = { 0, 0, 0 }, false
  c.switch_interval(0.0005)
  local list = {}
  for i = 1, 3 do
    list[i] = c.Thread { target = function()
      while not stop do n[i] = n[i] + 1 end
    end }:start()
  end
  repeat until n[1] > 0 and n[2] > 0 and n[3] > 0
  stop = true
  for i = 1, 3 do list[i]:join() end
  print "all had their turn"]], "all had their turn\n")

test("... in coroutines, callbacks, metamethods", [[
  local stop, begun = false, c.Barrier(6)
  local function loop()
    begun:wait()
    while not stop do end
  end
  local list = {}
  for i, f in ipairs {
    function() coroutine.wrap(function() coroutine.wrap(loop)() end)() end,
    function() table.sort({ 1, 2 }, function() loop() return false end) end,
    function() ("x"):gsub("x", loop) end,
    function() return setmetatable({}, { __index = loop }).x end,
    function() pcall(loop) end,
  } do
    list[i] = c.Thread { target = f }:start()
  end
  begun:wait()
  stop = true
  for _, t in ipairs(list) do t:join() end
  print(#list)]], "5\n")

test("a lock keeps the balance", [[
  local l, balance, list = c.Lock(), 0, {}
  c.switch_interval(0.0001)
  for i = 1, 3 do
    list[i] = c.Thread { target = function()
      for _ = 1, 2000 do
        local _ <close> = l:guard()
        balance = balance + i
        balance = balance - i
      end
    end }:start()
  end
  for i = 1, 3 do list[i]:join() end
  print(balance)]], "0\n")

test("interrupts", [[
  local begun
  local function loop() begun = true while true do end end
  for i, f in ipairs {
    loop,
    function() coroutine.wrap(loop)() end,
    function() table.sort({ 1, 2 }, loop) end,
    function() begun = true c.sleep(3600) end,
    function() begun = true c.Queue():get() end,
  } do
    begun = false
    local t = c.Thread { target = pcall, args = { f } }:start()
    repeat c.sleep(0) until begun
    t:interrupt(i)
    print(t:result())
  end
  local main = c.current_thread()
  c.Thread { target = function() main:interrupt "main" end }:start()
  print(pcall(function() while true do end end))]],
  "false\t1\nfalse\t2\nfalse\t3\nfalse\t4\nfalse\t5\nfalse\tmain\n")

test("coroutines are as ever", [[
  local function all()
    local co = coroutine.create(function(a)
      local b = coroutine.yield(a + 1)
      error { b }
    end)
    assert(select(2, coroutine.resume(co, 1)) == 2)
    local good, err = coroutine.resume(co, 5)
    assert(not good and err[1] == 5 and coroutine.status(co) == "dead")
    assert(coroutine.isyieldable(co) == false or true)
    local closed
    co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function()
        closed = true end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert(coroutine.close(co) and closed)
    local n = 0
    for i in coroutine.wrap(function()
      for i = 1, 10 do coroutine.yield(i) end
    end) do n = n + i end
    assert(n == 55)
    assert(select(2, pcall(coroutine.wrap(function() error "x" end)))
      :find "x$")
    return select(2, coroutine.running())
  end
  local list = {}
  for i = 1, 3 do list[i] = c.Thread { target = function()
    for _ = 1, 50 do all() end
    return all()
  end }:start() end
  print(all())
  for i = 1, 3 do print(list[i]:result()) end]],
  "true\ntrue\ntrue\ntrue\n")

test("debug.sethook", [[
  local stop
  local other = c.Thread { target = function() while not stop do end end }
    :start()
  c.switch_interval(0.0005)
  local n = 0
  local function hook() n = n + 1 end
  debug.sethook(hook, "", 10000)
  for _ = 1, 200000 do end
  print(debug.gethook() == hook, select(3, debug.gethook()), n)
  debug.sethook()
  print(debug.gethook())
  local lines = 0
  local co = coroutine.create(function()
    local x = 1
    x = x + 1
    coroutine.yield(x)
  end)
  debug.sethook(co, function() lines = lines + 1 end, "l")
  print(coroutine.resume(co))
  print(lines, debug.gethook(), debug.gethook(co) ~= nil)
  stop = true
  other:join()]],
  "true\t10000\t20\nnil\ntrue\t2\n3\tnil\ttrue\n")

test("Local, Timer", [[
  local l = c.Local(function(self) self.name = c.current_thread().name end)
  local t = c.Thread { target = function() return l.name end, name = "T" }
  print(l.name, t:start():result())
  print(c.Timer(0, function(x) return x end, { 5 }):start():result())]],
  "MainThread\tT\n5\n")

test("fork in a thread", [[
  local t = c.Thread { name = "T", target = function()
    local p = c.Process { target = function()
      local n = #c.threads()
      local u = c.Thread { target = function() return 5 end }:start()
      return c.current_thread().name, n, u:result()
    end }:start()
    return p:result()
  end }:start()
  print(t:result())]], "T\t1\t5\n")

tap.test("an error in a thread", function()
  local out, err, status = stock [[
    local t = c.Thread { target = function() error "oops" end }:start()
    print(pcall(t.result, t))]]
  ok(out:find "^false\t[^\n]*:2: oops\n$", out)
  ok(err:find "^Exception in thread Thread%-1:\n[^\n]*:2: oops\nstack", err)
  eq(status, 0)
end)

-- The state is closed at the end of the script. Threads that are there are
-- dropped; what the state owned is freed in order.
for what, body in pairs {
  computes = "while true do end", sleeps = "c.sleep(3600)",
  waits = "c.Queue():get()",
  ["resumes coroutines"] =
    "while true do coroutine.wrap(function() return {} end)() end",
  allocates = "local t = {} while true do t[#t % 99 + 1] = { t } end",
} do
  test("lua_close while a daemon thread " .. what, [[
    local begun = c.Event()
    c.Thread { daemon = true, target = function()
      begun:set()
      ]] .. body .. [[
    end }:start()
    begun:wait()
    kept = setmetatable({}, { __gc = function() print "finalizer" end })
    print "end"]], "end\nfinalizer\n")
end

test("os.exit with and without closing the state", [[
  for _, close in ipairs { false, true } do
    for _, thread in ipairs { false, true } do
      local pid = c.fork()
      if pid == 0 then
        c.Thread { target = function() while true do end end }:start()
        if not thread then os.exit(3, close) end
        c.Thread { target = function() os.exit(3, close) end }:start()
        c.sleep(3600)
      end
      print(select(2, c.wait(pid)))
    end
  end]], "exit\t3\nexit\t3\nexit\t3\nexit\t3\n")

tap.test("os.exit in the first process", function()
  for _, close in ipairs { "", ", true" } do
    local out, err, status = stock([[
      c.Thread { daemon = true, target = function() while true do end end }
        :start()
      c.Thread { target = function() os.exit(3]] .. close .. [[) end }:start()
      c.sleep(3600)]])
    eq(out, "")
    eq(err, "")
    eq(status, 3)
  end
end)

tap.test("the module is required once by threads, too", function()
  local out, err = stock [[
    local list = {}
    for i = 1, 5 do
      list[i] = c.Thread { target = require, args = { "cluarun" } }:start()
    end
    for i = 1, 5 do io.write(tostring(list[i]:result() == c), " ") end]]
  eq(out, "true true true true true ")
  eq(err, "")
end)

tap.test("required in a coroutine", function()
  local out, err, status = tap.run(string.format(
    "LUA_CPATH='%s/?.so' timeout 60 lua5.4 -e %s", build, tap.quote [[
    local c = coroutine.wrap(function() return require "cluarun" end)()
    local stop
    local t = c.Thread { target = function() while not stop do end end }:start()
    for _ = 1, 1e6 do end
    stop = true
    print(t:join())]]))
  eq(out, "true\n")
  eq(err, "")
  eq(status, 0)
end)
