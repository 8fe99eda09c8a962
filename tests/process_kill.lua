-- Ending processes: terminate, kill, interrupt, daemons, the end of a script.
local tap <close> = dofile "tests/lib/tap.lua"

local function for_ever()
  while true do sleep(60) end
end

local function start(target)
  return Process { target = target }:start()
end

tap.test("terminate, kill, interrupt", function()
  for name, signal in pairs { terminate = 15, kill = 9, interrupt = 2 } do
    local p = start(for_ever)
    p[name](p)
    tap.eq(p:join(60), true, name)
    tap.eq(p.exitcode, -signal, name)
    local e = tap.fails(WorkerLost, p.result, p)
    tap.ok(tostring(e):find("signal " .. signal), tostring(e))
  end
end)

tap.test("interrupt can be caught", function()
  local ready = Event()
  local p = start(function()
    local done, err = pcall(function()
      ready:set()
      for_ever()
    end)
    return done, err
  end)
  ready:wait()
  p:interrupt()
  local done, err = p:result(60)
  tap.eq(done, false)
  tap.ok(err:find "interrupted!", err)
end)

tap.test("interrupt of a loop, nothing printed", function()
  local out, err = tap.lua [[
    local ready = Event()
    local p = Process { target = function() ready:set() while true do end end }
    p:start()
    ready:wait()
    p:interrupt()
    p:join()
    print(p.exitcode)
  ]]
  tap.eq(out, "-2\n")
  tap.eq(err, "")
end)

tap.test("a killed process holds nothing up", function()
  local lock, ready = Lock(), Event()
  local p = start(function()
    lock:acquire()
    ready:set()
    for_ever()
  end)
  ready:wait()
  p:kill()
  local done, why = lock:acquire(true, 60)
  tap.eq(done, true)
  tap.eq(why, OwnerDied)
  lock:release()
  p:join()
end)

tap.test("daemons are terminated at the end of the script", function()
  local out, err, status = tap.lua [[
    local ready = Event()
    local d = Process { target = function() ready:set() sleep(100) end,
      daemon = true }
    d:start()
    print(d.daemon, tostring(d):find "daemon" ~= nil)
    Process { target = function()
      d:is_alive()
      print "the other one is joined"
    end }:start()
    ready:wait()
  ]]
  tap.eq(out, "true\ttrue\nthe other one is joined\n")
  tap.eq(err, "")
  tap.eq(status, 0)
end)

tap.test("a daemon that does not react is killed", function()
  local before = os.time()
  local _, err, status = tap.lua [[
    local ready = Event()
    local d = Process { target = function() ready:set() sleep(100) end,
      daemon = true }:start()
    ready:wait()
    kill(d.pid, "STOP")
  ]]
  tap.eq(err, "")
  tap.eq(status, 0)
  tap.ok(os.time() - before < 60)
end)

tap.test("daemons end also when the script fails", function()
  local out, err, status = tap.lua [[
    local d = Process { target = function() sleep(100) end, daemon = true }
    d:start()
    Process { target = function() print "joined" end }:start()
    error "script"
  ]]
  tap.eq(out, "joined\n")
  tap.ok(err:find "script")
  tap.eq(status, 1)
end)

tap.test("os.exit ends daemons and leaves the others alone", function()
  local out, err, status = tap.lua([[
    local ready, gate, parent = Event(), Event(), getpid()
    local d = Process { target = function() ready:set() sleep(100) end,
      daemon = true }:start()
    Process { target = function()
      gate:wait()
      while getppid() == parent do sleep(0.01) end
      print "the other one goes on"
    end }:start()
    ready:wait()
    io.write(d.pid, "\n")
    gate:set()
    os.exit(7)
  ]], "2>&1 | cat; true")
  tap.eq(err, "")
  tap.eq(status, 0)
  local pid, rest = out:match "^(%d+)\n(.*)$"
  tap.eq(rest, "the other one goes on\n")
  tap.fails("No such process", function()
    kill(pid // 1, 0)
    local f <close> = assert(io.open("/proc/" .. pid .. "/stat"))
    if f:read "a":find "%) Z " then error "No such process" end
  end)
end)

tap.test("a signal between the end of target and of the process", function()
  local p = start(function()
    Process { target = for_ever, name = "grandchild" }:start()
    return "returned"
  end)
  local grandchild
  tap.eventually(30, function()
    local f = io.popen("ps --ppid " .. p.pid .. " -o pid=")
    grandchild = f:read "n"
    f:close()
    return grandchild
  end)
  tap.eq(p:join(0), false)
  kill(grandchild, "KILL")
  tap.eq(p:result(60), "returned")
end)

tap.test("storm: killed at any time", function()
  local q = Queue()
  for i = 1, 200 do
    local p = start(function()
      q:put(i)
      return i
    end)
    if i % 2 == 0 then p:kill() end
    p:join()
    local done, v = pcall(p.result, p)
    if done then tap.eq(v, i) else tap.eq(v, WorkerLost) end
    p:close()
  end
end)
