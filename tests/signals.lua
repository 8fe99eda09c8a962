-- kill(), and Ctrl-C in a tree of processes.
local tap <close> = dofile "tests/lib/tap.lua"

local function child()
  local pid = fork()
  if pid == 0 then
    while true do sleep(60) end
  end
  return pid
end

tap.test("signals by name and number", function()
  for signal, number in pairs { TERM = 15, SIGTERM = 15, KILL = 9, USR1 = 10,
    SIGHUP = 1, [9] = 9, [15.0] = 15 } do
    local pid = child()
    kill(pid, signal)
    tap.eq({ wait(pid) }, { pid, "signal", number })
  end
  local pid = child()
  kill(pid)
  tap.eq({ wait(pid) }, { pid, "signal", 15 }, "TERM if left out")
end)

tap.test("0 only asks", function()
  local pid = child()
  kill(pid, 0)
  kill(pid, "KILL")
  wait(pid)
  tap.fails("No such process", kill, pid, 0)
  tap.fails("No such process", kill, pid)
end)

tap.test("a stopped child is not an ended one", function()
  local pid = child()
  kill(pid, "STOP")
  tap.eq(wait(pid, 0.05), nil)
  kill(pid, "CONT")
  kill(pid, "KILL")
  tap.eq({ wait(pid) }, { pid, "signal", 9 })
end)

tap.test("misuse", function()
  tap.fails("unknown signal 'FOO'", kill, getpid(), "FOO")
  tap.fails("unknown signal 'SIG'", kill, getpid(), "SIG")
  tap.fails("no such signal", kill, getpid(), 1000)
  tap.fails("no such signal", kill, getpid(), -1)
  tap.fails("integer", kill, 1.5)
  tap.fails("number expected", kill)
  tap.fails("bad argument #1", kill, 0, 0)
  tap.fails("bad argument #1", kill, -1, 0)
  tap.fails("bad argument #2", kill, getpid(), {})
end)

-- Runs a script in a process group of its own and sends SIGINT to the whole
-- group once the script has written a line on stdout. Returns what it wrote on
-- stderr, and its status.
local function interrupted(text)
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(text)
  f:close()
  local out, err = tap.run(([[
    mkfifo %s.fifo
    setsid %s %s >%s.fifo &
    read line <%s.fifo
    kill -INT -$!
    wait $!
    echo $?
    rm -f %s.fifo
  ]]):gsub("%%s", { }):format(name, tap.program, name, name, name, name))
  os.remove(name)
  return err, math.tointeger(tonumber(out))
end

tap.test("one traceback for a tree", function()
  local err, status = interrupted [[
    local ready = Semaphore(0)
    for _ = 1, 3 do
      Process { target = function()
        Process { target = function() ready:release() sleep(100) end }:start()
        ready:release()
        sleep(100)
      end }:start()
    end
    Process { target = function() ready:release() while true do end end }
      :start()
    for _ = 1, 7 do ready:acquire() end
    print "ready"
    sleep(100)
  ]]
  tap.eq(status, 1)
  tap.eq(select(2, err:gsub("interrupted!", "")), 1)
  tap.eq(select(2, err:gsub("stack traceback", "")), 1)
end)

for name, wait_text in pairs {
  join = "p:join()", result = "p:result()", wait = "fork_child() wait()",
  close = "do local _ <close> = p end",
} do
  tap.test("Ctrl-C comes out of " .. name, function()
    local err, status = interrupted([[
      local ready = Event()
      local p = Process { target = function()
        ready:set()
        pcall(sleep, 100)
      end }:start()
      ready:wait()
      local function fork_child()
        if fork() == 0 then pcall(sleep, 100) os.exit(0) end
      end
      print "ready"
      ]] .. wait_text .. [[

      sleep(100)
    ]])
    tap.eq(status, 1)
    tap.eq(select(2, err:gsub("interrupted!", "")), 1)
  end)
end

tap.test("Ctrl-C of a script that waits for its end", function()
  local err, status = interrupted [[
    Process { target = function() pcall(sleep, 100) end }:start()
    Process { target = function() print "ready" pcall(sleep, 100) end }:start()
  ]]
  tap.eq(status, 1)
  tap.ok(err:find "interrupted!", err)
end)
