-- Thread and Timer: what they are given, what they give, what they say.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local function nothing() end

local function start(f, ...)
  return Thread { target = f, args = table.pack(...) }:start()
end

test("start, join, result", function()
  local ran = false
  local t = Thread { target = function() ran = true end }
  eq(ran, false)
  eq(t:start() == t, true, "start returns the thread")
  eq(t:join(), true)
  eq(ran, true)
  eq(select("#", t:result()), 0)
  eq(t:join(), true, "again")
  eq(t:join(0), true)
end)

test("it sees the same globals and upvalues", function()
  local list, up = {}, 1
  _G.from_thread = nil
  start(function()
    list[1], up, _G.from_thread = up, up + 1, list
  end):join()
  eq(list[1], 1)
  eq(up, 2)
  eq(_G.from_thread == list, true)
  _G.from_thread = nil
end)

test("arguments and results, nil among them", function()
  local function give(...) return select("#", ...), ... end
  local r = table.pack(start(give, nil, 1, nil, "x", nil):result())
  eq(r, { n = 6, 5, nil, 1, nil, "x", nil })
  r = table.pack(Thread { target = give, args = { 1, 2, 3 } }:start():result())
  eq(r, { n = 4, 3, 1, 2, 3 })
  r = table.pack(Thread { target = give, args = { n = 0, 1, 2 } }:start()
    :result())
  eq(r, { n = 1, 0 })
  r = table.pack(Thread { target = give, args = { n = 2 } }:start():result())
  eq(r, { n = 3, 2, nil, nil })
  eq(table.pack(Thread { target = give }:start():result()), { n = 1, 0 })
  r = table.pack(start(function() return nil, nil end):result())
  eq(r, { n = 2 })
end)

test("a result is the thing itself, as often as it is asked for", function()
  local mark = setmetatable({}, {})
  local t = start(function() return mark, coroutine.create(nothing), io.stdout
  end)
  for _ = 1, 2 do
    local a, b, c = t:result()
    eq(a == mark, true)
    eq(type(b), "thread")
    eq(c == io.stdout, true)
  end
end)

test("many arguments and results", function()
  local list = {}
  for i = 1, 5000 do list[i] = i end
  local r = table.pack(Thread { target = function(...) return ... end,
    args = list }:start():result())
  eq(r.n, 5000)
  eq(r[5000], 5000)
end)

test("a callable table is a target", function()
  local f = setmetatable({}, { __call = function(self, x) return self, x end })
  local a, b = start(f, 7):result()
  eq(a == f, true)
  eq(b, 7)
  eq(start(string.rep, "ab", 2):result(), "abab", "a C function")
  eq(start(coroutine.wrap(function(x) return x end), 3):result(), 3)
end)

test("names", function()
  local out = tap.lua [[
    local function nothing() end
    print(Thread { target = nothing }.name)
    local named = Thread { target = nothing, name = "Reader" }
    print(named.name)
    print(Thread { target = nothing }.name)
    print(Timer(1, nothing).name, main_thread().name)
    named.name = "Writer"
    print(named.name, tostring(named))
    Thread { target = function() print(current_thread().name) end }:start()
      :join()
    local t = Thread { target = function()
      current_thread().name = "renamed"
      local l = Lock()
      l:acquire()
      return l, select(2, l:owner())
    end, name = "before" }
    print(select(2, t:start():result()), t.name)
    main_thread().name = "Chief"
    local l = Lock()
    l:acquire()
    print(select(2, l:owner()), current_thread().name, current_thread())
  ]]
  eq(out, [[
Thread-1
Reader
Thread-2
Thread-3	MainThread
Writer	<Thread(Writer, initial)>
Thread-4
renamed	renamed
Chief	Chief	<Thread(Chief, started)>
]])
  eq(Thread { target = nothing, name = "" }.name, "")
  local long = ("x"):rep(1000)
  local t = Thread { target = nothing, name = long }:start()
  t:join()
  eq(t.name, long)
end)

test("tostring", function()
  local go = Event()
  local t = Thread { target = function() go:wait() end, name = "T" }
  eq(tostring(t), "<Thread(T, initial)>")
  t:start()
  eq(tostring(t), "<Thread(T, started)>")
  go:set()
  t:join()
  eq(tostring(t), "<Thread(T, stopped)>")
  t = Thread { target = nothing, name = "D", daemon = true }
  eq(tostring(t), "<Thread(D, initial, daemon)>")
  eq(tostring(main_thread()), "<Thread(MainThread, started)>")
end)

test("daemon", function()
  local t = Thread { target = nothing }
  eq(t.daemon, false)
  t.daemon = true
  eq(t.daemon, true)
  t:start()
  fails("cannot set daemon once a thread is started", function()
    t.daemon = false
  end)
  t:join()
  eq(t.daemon, true)
  eq(Thread { target = nothing, daemon = true }.daemon, true)
  eq(Thread { target = nothing, daemon = false }.daemon, false)
  eq(main_thread().daemon, false)
  fails("daemon must be a boolean, got number", function()
    Thread { target = nothing }.daemon = 1
  end)
end)

test("a thread that a daemon makes is one, as long as nothing else is said",
  function()
    local t = Thread { daemon = true, target = function()
      return Thread { target = nothing }.daemon,
        Thread { target = nothing, daemon = false }.daemon,
        Timer(1, nothing).daemon
    end }:start()
    eq(table.pack(t:result()), { n = 3, true, false, true })
  end)

test("ident and native_id", function()
  local go = Event()
  local function id() go:wait() return current_thread().ident end
  local a, b = Thread { target = id }, Thread { target = id }
  eq(a.ident, nil)
  eq(a.native_id, nil)
  a:start()
  b:start()
  eq(math.type(a.ident), "integer")
  ok(a.ident ~= b.ident and a.ident ~= main_thread().ident)
  ok(a.native_id ~= b.native_id and a.native_id ~= getpid())
  eq(main_thread().native_id, getpid())
  local f <close> = io.open("/proc/self/task/" .. a.native_id .. "/stat")
  ok(f, "it is a thread of this process")
  go:set()
  eq(a:result(), a.ident, "the same inside and afterwards")
  eq(b:result(), b.ident)
  eq(math.type(a.native_id), "integer")
  local seen = {}
  for _ = 1, 200 do
    local t = start(nothing)
    t:join()
    if not ok(not seen[t.ident], "an ident that was there before") then
      break
    end
    seen[t.ident] = true
  end
end)

test("is_alive", function()
  local go = Event()
  local t = start(function() go:wait() return current_thread():is_alive() end)
  eq(t:is_alive(), true)
  go:set()
  eq(t:result(), true)
  eq(t:is_alive(), false)
  eq(main_thread():is_alive(), true)
end)

test("join and result with a time-out", function()
  local go = Event()
  local t = start(function() go:wait() return "done" end)
  eq(t:join(0), false)
  eq(t:join(-1), false)
  local before = monotonic()
  eq(t:join(0.03), false)
  ok(monotonic() - before >= 0.03)
  fails(TimeoutError, t.result, t, 0)
  fails(TimeoutError, t.result, t, 0.01)
  go:set()
  eq(t:join(30), true)
  eq(t:result(0), "done")
end)

test("several threads join one", function()
  local go, joined = Event(), {}
  local t = start(function() go:wait() return 5 end)
  for i = 1, 10 do
    joined[i] = start(function() return t:join(), t:result() end)
  end
  go:set()
  for i = 1, 10 do eq({ joined[i]:result() }, { true, 5 }) end
end)

test("misuse", function()
  local t = Thread { target = nothing }
  for what, method in pairs {
    join = "join", ["get the result of"] = "result",
    interrupt = "interrupt", ["ask about"] = "is_alive",
  } do
    local message = fails("cannot " .. what .. " a thread before it is started",
      function() t[method](t) end)
    ok(message:find "^tests/thread.lua:%d+: ", message)
  end
  fails("cannot wait for a thread before it is started", wait_any, { t })
  t:start()
  fails("cannot start a thread twice", t.start, t)
  t:join()
  fails("cannot start a thread twice", t.start, t)
  fails("cannot join the current thread", function()
    current_thread():join()
  end)
  fails("cannot get the result of the current thread", function()
    current_thread():result(0)
  end)
  fails("cannot start a thread twice", function() main_thread():start() end)
  ok(start(function() return pcall(function() current_thread():join() end) end)
    :result() == false)
  fails("NaN", t.join, t, 0 / 0)
  fails("timeout must be a number, got string", t.join, t, "1")
  fails("timeout must be a number, got table", t.result, t, {})
  fails("Thread expected, got table", t.join, {})
  fails("Thread expected, got Queue", t.start, Queue())
  fails("Thread expected, got no value", t.is_alive)
end)

test("bad options", function()
  fails("table expected", Thread)
  fails("table expected, got function", Thread, nothing)
  fails("target must be a function, got nil", Thread, {})
  fails("target must be a function, got number", Thread, { target = 1 })
  fails("args must be a table, got number", Thread,
    { target = nothing, args = 1 })
  fails("name must be a string, got number", Thread,
    { target = nothing, name = 1 })
  fails("daemon must be a boolean, got string", Thread,
    { target = nothing, daemon = "yes" })
  fails("unknown field 'traget'", Thread, { traget = nothing })
  fails("unknown field %[1%]", Thread, { nothing })
end)

test("fields", function()
  local t = Thread { target = nothing }
  eq(t.nothing, nil)
  eq(t[1], nil)
  fails("cannot set field 'ident' of a Thread", function() t.ident = 1 end)
  fails("cannot set field 'other' of a Thread", function() t.other = 1 end)
  fails("cannot set field '1' of a Thread", function() t[1] = 1 end)
  fails("name must be a string, got nil", function() t.name = nil end)
end)

test("numbers of arguments that cannot be", function()
  for _, n in ipairs { -1, 1e9, 0.5, "2" } do
    fails("args.n must be a number of arguments, got", Thread,
      { target = print, args = { n = n } })
  end
end)

test("to be closed", function()
  local ended = false
  do
    local _ <close> = start(function()
      sleep(0.02)
      ended = true
    end)
  end
  eq(ended, true)
  do
    local _ <close> = Thread { target = nothing } -- never started
  end
  fails("^oops$", function()
    local _ <close> = start(nothing)
    error("oops", 0)
  end)
end)

test("errors in a thread", function()
  local out, err, status = tap.lua [[
    local function inner() error "oops" end
    local t = Thread { target = function() inner() end, name = "Worker" }
    t:start()
    print(t:join(), t:is_alive())
    print(pcall(t.result, t))
    print(pcall(t.result, t))
    local mark = {}
    t = Thread { target = function() error(mark) end }:start()
    t:join()
    print(select(2, pcall(t.result, t)) == mark)
    t = Thread { target = function() error(setmetatable({}, {
      __tostring = function() return "an object" end })) end }:start()
    t:join()
    t = Thread { target = function() error() end }:start()
    print(pcall(t.result, t))
    t = Thread { target = function() error("plain", 0) end }:start()
    print(pcall(t.result, t))
    print "the others go on"
  ]]
  ok(out:find("^true\tfalse\nfalse\t[^\n]*:1: oops\nfalse\t[^\n]*:1: oops\n"
    .. "true\nfalse\tnil\nfalse\tplain\nthe others go on\n$"), out)
  ok(err:find("^Exception in thread Worker:\n[^\n]*:1: oops\n"
    .. "stack traceback:\n\t[^\n]*in function 'error'\n[^\n]*in %a+ 'inner'\n"
    .. "\t[^\n]*:2: in function <[^\n]*:2>\nException in thread"), err)
  ok(err:find("\nException in thread Thread%-1:\n"
    .. "%(error object is a table value%)\nstack traceback:\n"), err)
  ok(err:find("\nException in thread Thread%-2:\nan object\n"), err)
  ok(err:find("\nException in thread Thread%-3:\n[^\n]*nil[^\n]*\n"), err)
  ok(err:find("\nException in thread Thread%-4:\nplain\nstack tr"), err)
  eq(status, 0, "exit status")
end)

test("stack overflow, and errors in an error's __tostring", function()
  local out, err, status = tap.lua [[
    local function deep() return 1 + deep() end
    local t = Thread { target = deep }:start()
    print(pcall(t.result, t))
    t = Thread { target = function()
      return (("x"):gsub(".", function() return ("x"):gsub(".", deep) end))
    end }:start()
    print((pcall(t.result, t)))
    t = Thread { target = function() error(setmetatable({}, {
      __tostring = function() error "within" end })) end }:start()
    t:join()
    print((pcall(t.result, t)))
  ]]
  ok(out:find "^false\t[^\n]*stack overflow", out)
  ok(out:find "\nfalse\nfalse\n$", out)
  ok(err:find "Exception in thread Thread%-1:\n[^\n]*stack overflow", err)
  eq(status, 0)
end)

test("current_thread and main_thread", function()
  local main = current_thread()
  eq(main == main_thread(), true)
  eq(main.name, "MainThread")
  local t = Thread { target = function()
    local co = coroutine.wrap(function()
      return coroutine.wrap(function()
        return current_thread(), main_thread()
      end)()
    end)
    return current_thread(), main_thread(), co()
  end }
  local a, b, c, d = t:start():result()
  eq(a == t and c == t, true)
  eq(b == main and d == main, true)
  eq(coroutine.wrap(current_thread)() == main, true)
end)

test("a coroutine that several threads resume is each time in the resumer",
  function()
    local co = coroutine.wrap(function()
      while true do coroutine.yield(current_thread()) end
    end)
    for _ = 1, 3 do
      local t = Thread { target = co }:start()
      eq(t:result() == t, true)
    end
    eq(co() == main_thread(), true)
  end)

test("a thread's first level is no coroutine", function()
  local r = table.pack(start(function()
    local _, main = coroutine.running()
    local ok1, message = pcall(coroutine.yield)
    return main, coroutine.isyieldable(), ok1, message
  end):result())
  eq(r[1], true)
  eq(r[3], false)
  eq(r[4], "attempt to yield from outside a coroutine")
  eq(r[2], false, "isyieldable")
end)

test("threads()", function()
  local function names()
    local list = {}
    for i, t in ipairs(threads()) do list[i] = t.name end
    return table.concat(list, " ")
  end
  eq(names(), "MainThread")
  local go = Event()
  local function wait() go:wait() return names() end
  local a = Thread { target = wait, name = "a" }
  local b = Thread { target = wait, name = "b" }
  eq(names(), "MainThread")
  a:start()
  b:start()
  eq(names(), "MainThread a b")
  eq(threads()[2] == a, true)
  go:set()
  ok(a:result():find "^MainThread a")
  b:join()
  eq(names(), "MainThread")
  eq(#threads(), 1)
end)

test("a Thread that nobody holds runs to its end", function()
  local q = Queue()
  for i = 1, 20 do
    Thread { target = function()
      sleep(0.001)
      q:put(i)
    end }:start()
    collectgarbage()
  end
  local sum = 0
  for _ = 1, 20 do sum = sum + q:get(true, 30) end
  eq(sum, 210)
end)

test("a thread starts threads that start threads", function()
  local function tree(n)
    if n == 0 then return 1 end
    local a, b = start(tree, n - 1), start(tree, n - 1)
    return a:result() + b:result()
  end
  eq(start(tree, 5):result(), 32)
end)

test("wait_any on threads", function()
  local go, other = Event(), Event()
  local a = start(function() go:wait() end)
  local b = start(function() other:wait() end)
  eq(wait_any({ a, b }, 0), {})
  eq(wait_any({ a, b }, 0.01), {})
  other:set()
  local ready = wait_any { a, b }
  eq(#ready, 1)
  eq(ready[1] == b, true)
  local q = Queue()
  ready = wait_any { a, q, b }
  eq(#ready == 1 and ready[1] == b, true)
  go:set()
  a:join()
  q:put(1)
  ready = wait_any { q, b, a }
  eq(#ready == 3 and ready[1] == q and ready[2] == b and ready[3] == a, true)
end)

test("wait_any in several threads at once", function()
  local e, list = Event(), {}
  for i = 1, 10 do
    list[i] = start(function() return #wait_any { e, Queue() } end)
  end
  local done = wait_any({ list[1], list[2] }, 0.01)
  eq(done, {})
  e:set()
  for i = 1, 10 do eq(list[i]:result(), 1) end
end)

test("switch_interval", function()
  eq(switch_interval(), 0.005)
  eq(math.type(switch_interval()), "float")
  eq(select("#", switch_interval(0.001)), 0)
  eq(switch_interval(), 0.001)
  switch_interval(1)
  eq(switch_interval(), 1.0)
  switch_interval(1e-9)
  eq(switch_interval(), 1e-9)
  switch_interval(0.005)
  for _, bad in ipairs { 0, -1, 0 / 0, 1 / 0, -1 / 0, 1e300, "x", {}, false } do
    fails("bad argument #1 to 'switch_interval'", function()
      switch_interval(bad)
    end)
  end
  eq(switch_interval(nil), 0.005)
  eq(switch_interval(), 0.005)
end)

test("threads that compute run by turns, whatever the interval", function()
  for _, interval in ipairs { 0.00005, 0.001, 0.005 } do
    switch_interval(interval)
    local n, stop = { 0, 0, 0 }, false
    local list = {}
    for i = 1, 3 do
      list[i] = start(function()
        while not stop do n[i] = n[i] + 1 end
      end)
    end
    repeat until n[1] > 0 and n[2] > 0 and n[3] > 0
    stop = true
    for i = 1, 3 do list[i]:join() end
    ok(true)
  end
  switch_interval(0.005)
end)

-- Lua may overlook a hook that a signal sets just then; in a loop without calls
-- of Lua functions it looks no more by itself.
test("a request to stop that got lost comes again", function()
  local turns, last, stop = 0, nil, false
  local function compute(me)
    local t = {}
    while not stop do
      t[#t % 100 + 1] = { t, tostring(#t) }
      if last ~= me then last, turns = me, turns + 1 end
    end
  end
  switch_interval(1e-6)
  local list = { start(compute, 1), start(compute, 2), start(compute, 3) }
  while turns < 3000 do sleep(0.001) end
  stop = true
  for i = 1, 3 do eq(list[i]:join(), true) end
  switch_interval(0.005)
end)

test("Timer checks the number of arguments", function()
  fails("bad argument #3 to 'Timer' %(args.n must be a number of arguments",
    Timer, 1, print, { n = -1 })
end)

test("Timer", function()
  local before = monotonic()
  local t = Timer(0.03, function(...) return monotonic(), ... end,
    table.pack(1, nil, 3))
  eq(tostring(t):match "^<Timer%(", "<Timer(")
  t:start()
  eq(t:is_alive(), true)
  local r = table.pack(t:result())
  ok(r[1] - before >= 0.03)
  eq({ r.n, r[2], r[3], r[4] }, { 4, 1, nil, 3 })
  eq(t:join(), true)
  eq(t.daemon, false)
  t = Timer(1, nothing)
  t.daemon, t.name = true, "Alarm"
  eq(tostring(t), "<Timer(Alarm, initial, daemon)>")
end)

test("Timer: zero and negative intervals", function()
  for _, interval in ipairs { 0, -1, -1e300, -1 / 0, -0.0 } do
    eq(Timer(interval, function() return "ran" end):start():result(), "ran")
  end
end)

test("Timer: cancel", function()
  local ran = false
  local function run() ran = true end
  local t = Timer(3600, run)
  t:start()
  eq(t:join(0.01), false)
  eq(select("#", t:cancel()), 0)
  t:join()
  eq(select("#", t:result()), 0)
  t:cancel() -- an ended one
  t = Timer(0, run)
  t:cancel() -- before it starts
  t:start():join()
  eq(ran, false)
  t = Timer(1 / 0, run):start() -- never, unless it is cancelled
  t:cancel()
  t:join()
  local u
  u = Timer(0, function() u:cancel() return "too late" end)
  eq(u:start():result(), "too late")
end)

test("Timer: cancelled by another thread, and interrupted", function()
  local t = Timer(3600, nothing):start()
  start(function() t:cancel() end):join()
  eq(t:join(), true)
  local _, err = tap.lua [[
    local t = Timer(3600, print):start()
    t:interrupt "enough"
    print(pcall(t.result, t))]]
  ok(err:find "^Exception in thread Thread%-1:\nenough\n", err)
end)

test("Timer: misuse", function()
  fails("bad argument #1 to 'Timer'", function() Timer() end)
  fails("bad argument #1 to 'Timer'", function() Timer({}, nothing) end)
  fails("NaN", Timer, 0 / 0, nothing)
  fails("bad argument #2 to 'Timer' %(f must be a function, got no value",
    function() Timer(1) end)
  fails("bad argument #2 to 'Timer'", function() Timer(1, {}) end)
  fails("bad argument #3 to 'Timer'", function() Timer(1, nothing, 5) end)
  local t = Thread { target = nothing }
  eq(t.cancel, nil)
  fails("Timer expected", Timer(1, nothing).cancel, t)
  local out, err, status = tap.lua [[
    Timer(0, function(x) error(x) end, { "late" }):start():join()]]
  eq(out, "")
  ok(err:find "^Exception in thread Thread%-1:\n[^\n]*late\nstack", err)
  eq(status, 0)
end)

test("a Thread is not sent, and is no key of the wrong kind", function()
  local q = Queue()
  fails("cannot send a Thread", q.put, q, main_thread())
  fails("cannot send a Timer %(at %.t%)", q.put, q,
    { t = Timer(1, nothing) })
  eq(q:qsize(), 0)
  local t = { [main_thread()] = 1 }
  eq(t[current_thread()], 1)
end)

test("require runs a module once, whoever asks", function()
  local name = os.tmpname()
  local f = io.open(name, "w")
  f:write "loads = (loads or 0) + 1 sleep(0.05) return { loads }"
  f:close()
  local out = tap.lua(string.format([[
    package.path = %q
    local list = {}
    for i = 1, 4 do
      list[i] = Thread { target = require, args = { "x" } }:start()
    end
    local first = require "x"
    for i = 1, 4 do print((list[i]:result()) == first) end
    print(loads)]], name))
  os.remove(name)
  eq(out, "true\ntrue\ntrue\ntrue\n1\n")
end)
