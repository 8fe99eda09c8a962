-- wait([pid [, timeout]]): only for children made by fork.
local tap <close> = dofile "tests/lib/tap.lua"

local function child(f)
  local pid = fork()
  if pid == 0 then os.exit(f()) end
  return pid
end

-- A child that ends with that status as soon as its gate opens.
local function waiting(gate, status)
  return child(function()
    gate:wait()
    return status
  end)
end

tap.test("status of a child that exits", function()
  local pid = child(function() return 3 end)
  tap.eq({ wait(pid) }, { pid, "exit", 3 })
end)

tap.test("status of a child that is killed", function()
  local pid = child(function() sleep(100) end)
  kill(pid, "KILL")
  tap.eq({ wait(pid) }, { pid, "signal", 9 })
end)

tap.test("any child, in the order they end", function()
  local gates, pids = { Event(), Event(), Event() }, {}
  for i = 1, 3 do pids[i] = waiting(gates[i], i) end
  for _, i in ipairs { 2, 3, 1 } do
    gates[i]:set()
    tap.eq({ wait() }, { pids[i], "exit", i })
  end
end)

tap.test("a certain child while another has ended", function()
  local gate = Event()
  local first, second = child(function() return 1 end), waiting(gate, 2)
  gate:set()
  tap.eq({ wait(second) }, { second, "exit", 2 })
  tap.eq({ wait() }, { first, "exit", 1 })
end)

tap.test("time-out", function()
  local gate = Event()
  local pid = waiting(gate, 4)
  tap.eq(select("#", wait(pid, 0)), 1)
  tap.eq(wait(pid, 0), nil)
  tap.eq(wait(nil, -1), nil)
  local before = monotonic()
  tap.eq(wait(pid, 0.05), nil)
  tap.ok(monotonic() - before >= 0.05)
  gate:set()
  tap.eq({ wait(pid, 60) }, { pid, "exit", 4 })
end)

tap.test("misuse", function()
  tap.fails("no child made by fork", wait)
  tap.fails("bad argument #1 to '[%w.]*wait'", wait, getppid())
  tap.fails("number expected", wait, "x")
  tap.fails("bad argument #2", wait, nil, 0 / 0)
  local pid = child(function() return 0 end)
  wait(pid)
  tap.fails("not the pid of a child", wait, pid)
end)

tap.test("never takes the status of a Process, nor the other way", function()
  local p = Process { target = os.exit, args = { 5 } }:start()
  tap.fails("not the pid of a child", wait, p.pid)
  tap.fails("no child made by fork", wait)
  local pid = child(function() return 6 end)
  active_children()
  tap.eq({ wait() }, { pid, "exit", 6 })
  p:join()
  tap.eq(p.exitcode, 5)
end)

tap.test("a child has no children yet", function()
  local gate = Event()
  local pid = waiting(gate, 0)
  local p = Process { target = function()
    return (pcall(wait, pid)), (pcall(wait))
  end }:start()
  tap.eq({ p:result() }, { false, false })
  gate:set()
  wait(pid)
end)

tap.test("many at once", function()
  local sum, n = 0, 100
  for i = 1, n do child(function() return i end) end
  for _ = 1, n do sum = sum + select(3, wait()) end
  tap.eq(sum, n * (n + 1) // 2)
  tap.fails("no child", wait)
end)

tap.test("a host that ignores SIGCHLD", function()
  local out = tap.run("trap '' CHLD; exec " .. tap.program
    .. " -e 'if fork() == 0 then os.exit(3) end print(select(2, wait()))'")
  tap.eq(out, "exit\t3\n")
end)
