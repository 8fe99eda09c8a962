-- Ctrl-\: what every thread does, and everything goes on.
local tap <close> = dofile "tests/lib/tap.lua"
local scripts = dofile "tests/lib/script.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok

local function tidy(script, text)
  return (text:gsub(script.name:gsub("%p", "%%%0"), "SCRIPT")
    :gsub("pid %d+", "pid N"):gsub("cluarun: deadlock\n(  [^\n]+\n)+", ""))
end

-- Runs a script that writes a line on stdout when it is nearly where it shall
-- be, and asks it until it says all of these (plain texts); gives what it said
-- then.
local function ask(text, ...)
  local wanted = { ... }
  local function has_all(said)
    for _, what in ipairs(wanted) do
      if not said:find(what, 1, true) then return false end
    end
    return true
  end
  local script <close> = scripts.start(
    tap.program .. " --deadlock=off", text)
  tap.eventually(30, function() return script:out():find "\n" end)
  local n, said = 0
  repeat
    n = n + 1
    kill(script.pid, "QUIT")
    local err, all = script:wait_err("%f[%a]MainThread [^\n]+\nstack", n)
    if not err then error("it wrote: " .. all) end
    said = tidy(script, err):match ".*(%f[%a]MainThread [^\n]+\nstack.*)"
  until has_all(said) or n == 1000
  ok(pcall(kill, script.pid, 0), "it lives")
  return said
end

test("a loop", function()
  eq(ask([[
    local function spin() while true do end end
    print "ready"
    io.stdout:flush()
    spin()
  ]], "SCRIPT:1"), [[
MainThread (pid N) at SCRIPT:1
stack traceback:
	SCRIPT:1: in local 'spin'
	SCRIPT:4: in main chunk
	[C]: in ?
]])
end)

test("a wait", function()
  eq(ask([[
    local q = Queue()
    print "ready"
    io.stdout:flush()
    q:get()
  ]], "waits"), [[
MainThread (pid N) at SCRIPT:4 waits for an item of Queue SCRIPT:1
stack traceback:
	[C]: in method 'get'
	SCRIPT:4: in main chunk
	[C]: in ?
]])
end)

test("waits with a time-out, and sleep", function()
  local err = ask([[
    local l, held = Lock(), Event()
    Thread { target = function() l:acquire() held:set() sleep(100) end }:start()
    held:wait()
    print "ready"
    io.stdout:flush()
    l:acquire(true, 100)
  ]], "held by Thread-1")
  ok(err:find("MainThread (pid N) at SCRIPT:6 waits for Lock SCRIPT:1, "
    .. "held by Thread-1 (pid N)\n", 1, true), err)
  ok(err:find("Thread-1 (pid N) at SCRIPT:2 sleeps\n", 1, true), err)
end)

test("who computes, who waits for it, and the main thread", function()
  local err = ask([[
    local l, held = RLock(), Event()
    local function hold()
      l:acquire()
      held:set()
      while true do end
    end
    local t = Thread { target = hold, name = "busy" }:start()
    held:wait()
    Thread { target = function() l:acquire() end, name = "next" }:start()
    print "ready"
    io.stdout:flush()
    t:join()
  ]], "busy (pid N) to end", "next (pid N) at SCRIPT:9 waits for RLock")
  ok(err:find("MainThread (pid N) at SCRIPT:12 waits for busy (pid N) to end\n",
    1, true), err)
  ok(err:find("busy (pid N) at SCRIPT:5\nstack traceback:\n"
    .. "\tSCRIPT:5: in ", 1, true), err)
  ok(err:find("next (pid N) at SCRIPT:9 waits for RLock SCRIPT:1, "
    .. "held by busy (pid N)\nstack traceback:\n\t[C]: in method 'acquire'\n"
    .. "\tSCRIPT:9: in ", 1, true), err)
  ok(err:find "MainThread.*busy.*next", "in the order of their start")
end)

for what, f in pairs {
  ["io.read"] = [[io.popen("sleep 100; echo"):read()]],
  ["os.execute"] = [[os.execute "sleep 100"]],
} do
  test("in " .. what, function()
    local err = ask([[
      Thread { target = function() sleep(100) end }:start()
      print "ready"
      io.stdout:flush()
    ]] .. f, "MainThread (pid N) at SCRIPT:4\n",
      "Thread-1 (pid N) at SCRIPT:1 sleeps\n")
    ok(err:find("MainThread (pid N) at SCRIPT:4\n", 1, true), err)
    ok(err:find("Thread-1 (pid N) at SCRIPT:1 sleeps\n", 1, true), err)
  end)
end

test("every process of a group", function()
  local script <close> = scripts.start(tap.program, [[
    local e, ready = Event(), Barrier(3)
    for _ = 1, 2 do
      Process { target = function() ready:wait() e:wait() end }:start()
    end
    ready:wait()
    print "ready"
    io.stdout:flush()
    e:wait()
  ]], "--deadlock=off")
  tap.eventually(30, function() return script:out():find "\n" end)
  kill(-script.pid, "QUIT")
  local err = script:wait_err("%f[%a]MainThread [^\n]+\nstack", 3)
  ok(err, script:err())
  err = tidy(script, err or "")
  ok(err:find("(pid N) of Process-1 at", 1, true), err)
  ok(err:find("(pid N) of Process-2 at", 1, true), err)
end)

test("a deep stack and a coroutine", function()
  local err = ask([[
    local function deep(n)
      if n == 0 then
        print "ready"
        io.stdout:flush()
        return Queue():get()
      end
      deep(n - 1)
      return n
    end
    coroutine.wrap(deep)(150)
  ]], "method 'get'")
  ok(err:find("\n\t...\t(skipping 131 levels)\n", 1, true), err)
  ok(err:find "in function <SCRIPT:1>\n$", err)
end)

test("the work goes on", function()
  local script <close> = scripts.start(tap.program, [[
    print "ready"
    io.stdout:flush()
    local n, q, r = 5000, Queue(1), Queue()
    local function give()
      for i = 1, n do q:put(i) end
    end
    local function take()
      local sum = 0
      for _ = 1, n do sum = sum + q:get() end
      r:put(sum)
    end
    local all = {
      Thread { target = give }:start(), Process { target = give }:start(),
      Thread { target = take }:start(), Process { target = take }:start(),
    }
    local co = coroutine.wrap(function()
      for i = 1, 1e6 do if i % 1000 == 0 then coroutine.yield(i) end end
      return 1e6
    end)
    for _ = 1, 1000 do co() end
    for _, p in ipairs(all) do p:result() end
    print(r:get() + r:get(), n * (n + 1))
  ]])
  tap.eventually(30, function() return script:out():find "\n" end)
  local asked = 0
  while pcall(kill, script.pid, "QUIT") do
    asked = asked + 1
    sleep(0.003)
  end
  local sum, expected = script:out():match "^ready\n(%d+)\t(%d+)\n$"
  ok(sum and sum == expected, script:err():sub(-2000))
  ok(asked > 3, "asked often")
end)
