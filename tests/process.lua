-- The class Process: making, joining, results, errors, names.
local tap <close> = dofile "tests/lib/tap.lua"

local function start(target, ...)
  return Process { target = target, args = table.pack(...) }:start()
end

local function result_of(target, ...)
  return start(target, ...):result()
end

tap.test("runs the function in a child of this process", function()
  local pid, parent = result_of(function() return getpid(), getppid() end)
  tap.ok(pid ~= getpid())
  tap.eq(parent, getpid())
end)

tap.test("arguments, nils too", function()
  tap.eq(table.pack(result_of(function(...) return select("#", ...), ... end,
    nil, "a", nil)), table.pack(3, nil, "a", nil))
  local p = Process { target = function(...) return ... end, args = { 1, 2 } }
  tap.eq({ p:start():result() }, { 1, 2 })
end)

tap.test("closures need no transfer", function()
  local co = coroutine.wrap(function() coroutine.yield "from a coroutine" end)
  tap.eq(result_of(function() return co() end), "from a coroutine")
end)

tap.test("a callable target", function()
  local t = setmetatable({}, { __call = function(_, x) return x + 1 end })
  tap.eq(result_of(t, 1), 2)
end)

tap.test("life of a process", function()
  local gate = Event()
  local p = Process { target = function() gate:wait() os.exit(3) end }
  tap.eq(p.pid, nil)
  tap.eq(p.exitcode, nil)
  tap.eq(p.daemon, false)
  tap.ok(tostring(p):find "^<Process%(Process%-%d+, initial%)>$", tostring(p))
  tap.eq(p:start(), p)
  tap.eq(math.type(p.pid), "integer")
  tap.eq(p.exitcode, nil)
  tap.eq(p:is_alive(), true)
  tap.eq(tostring(p), ("<Process(%s, pid %d, started)>"):format(p.name, p.pid))
  tap.eq(p:join(0), false)
  tap.eq(p:join(0.02), false)
  tap.eq(p:join(-1), false)
  tap.eq(active_children(), { p })
  gate:set()
  tap.eq(p:join(), true)
  tap.eq(p:join(), true)
  tap.eq(p:join(0), true)
  tap.eq(p.exitcode, 3)
  tap.eq(p:is_alive(), false)
  tap.eq(tostring(p), ("<Process(%s, pid %d, exitcode 3)>")
    :format(p.name, p.pid))
  tap.eq(active_children(), {})
  for _, f in ipairs { "interrupt", "terminate", "kill" } do p[f](p) end
  p:close()
  p:close()
  tap.ok(tostring(p):find "closed")
end)

tap.test("exit codes", function()
  local function code(f, ...)
    local p = start(f, ...)
    p:join()
    return p.exitcode
  end
  tap.eq(code(function() end), 0)
  tap.eq(code(os.exit), 0)
  tap.eq(code(os.exit, true), 0)
  tap.eq(code(os.exit, false), 1)
  tap.eq(code(os.exit, 200), 200)
  tap.eq(code(os.exit, 4, true), 4)
  tap.eq(code(kill, 0), 1, "an error") -- prints its traceback
  tap.eq(code(function() kill(getpid(), "KILL") end), -9)
  tap.eq(code(function() kill(getpid(), "TERM") sleep(60) end), -15)
end)

tap.test("results", function()
  tap.eq(select("#", result_of(function() end)), 0)
  tap.eq(table.pack(result_of(function() return nil, 1, nil end)),
    table.pack(nil, 1, nil))
  local p = start(function() return { 1, { 2 } }, "x" end)
  tap.eq({ p:result() }, { { 1, { 2 } }, "x" })
  tap.eq({ p:result(0) }, { { 1, { 2 } }, "x" })
  local big = result_of(function() return ("x"):rep(3000000) end)
  tap.eq(#big, 3000000)
  local q = result_of(function()
    local q = Queue()
    q:put "inside"
    return q
  end)
  tap.eq(q:get(), "inside")
end)

tap.test("result waits no longer than asked", function()
  local gate = Event()
  local p = start(function() gate:wait() return 1 end)
  tap.fails(TimeoutError, p.result, p, 0)
  tap.fails(TimeoutError, p.result, p, 0.02)
  gate:set()
  tap.eq(p:result(60), 1)
end)

-- What a script with an error in a child prints on stderr.
local function stderr_of(text)
  local _, err = tap.lua(text)
  return err
end

tap.test("a string error and its traceback", function()
  local err = stderr_of [[
    local function inner() error "boom" end
    local p = Process { target = function() inner() end, name = "w" }
    local function parents_frame() p:start() p:join() end
    parents_frame()
    print(p.exitcode)
    io.stderr:write("RESULT ", select(2, pcall(p.result, p)), "\n")
    io.stderr:write("AGAIN ", select(2, pcall(p.result, p)), "\n")
  ]]
  local print_out, result, again =
    err:match "^(.*)RESULT (.*)AGAIN (.*)$"
  tap.ok(print_out:find "^Process w %(pid %d+%):\n[^\n]+:1: boom\nstack trac")
  tap.ok(print_out:find "in upvalue 'inner'", print_out)
  tap.ok(not print_out:find "parents_frame", "only the child's frames")
  tap.ok(not print_out:find "start", "only the child's frames")
  tap.ok(result:find "^[^\n]+:1: boom\nin Process w %(pid %d+%), stack trac")
  tap.eq(again, result)
end)

tap.test("error values are raised as they are", function()
  local function raise(e)
    return stderr_of(([[
      local p = Process { target = function() error(%s) end }
      p:start():join()
      io.stderr:write("EXIT ", p.exitcode, "\n")
      local _, e = pcall(p.result, p)
      io.stderr:write(tostring(e == Empty), " ",
        type(e) == "table" and e.code or tostring(e))
    ]]):format(e))
  end
  tap.ok(raise("Empty"):find "EXIT 1\ntrue ")
  tap.ok(raise("{ code = 42 }"):find "table value.*EXIT 1\nfalse 42")
  tap.ok(raise("setmetatable({ code = 43 }, { __tostring = function() "
    .. "return 'pretty' end })"):find "\npretty\nstack.*EXIT 1\nfalse 43")
  tap.ok(raise("nil"):find "nil value.*EXIT 1\nfalse nil")
  tap.ok(raise("44"):find "\n44\nstack.*EXIT 1\nfalse 44$")
  tap.ok(raise("coroutine.create(print)"):find "EXIT 1\nfalse .*thread value")
end)

tap.test("a deep stack and an error in error handling", function()
  tap.ok(stderr_of [[
    local function f() return 1 + f() end
    Process { target = f }:start():join()
  ]]:find "stack overflow")
  tap.ok(stderr_of [[
    local e = setmetatable({}, { __tostring = function() error "no" end })
    local p = Process { target = error, args = { e } }:start()
    p:join()
    io.stderr:write("EXIT ", p.exitcode)
  ]]:find "EXIT 1")
end)

tap.test("what cannot be sent is an error of result()", function()
  local p = start(function() return 1, coroutine.create(print) end)
  tap.fails("cannot send a coroutine", p.result, p)
  tap.fails("cannot send a coroutine", p.result, p)
  tap.eq(p.exitcode, 0)
  p = start(function() return p end)
  tap.fails("cannot send a Process", p.result, p)
end)

tap.test("a lost process", function()
  local p = start(function() kill(getpid(), "KILL") end)
  local e = tap.fails(WorkerLost, p.result, p)
  tap.ok(tostring(e):find("pid " .. p.pid, 1, true), tostring(e))
  tap.ok(tostring(e):find "signal 9", tostring(e))
  p = start(os.exit, 3)
  e = tap.fails(WorkerLost, p.result, p)
  tap.ok(tostring(e):find "exit%(3%)", tostring(e))
end)

tap.test("names", function()
  local out = tap.lua [[
    local function f() end
    print(Process { target = f }.name, Process { target = f }.name)
    print(current_process().name, current_process().pid == getpid())
    print(parent_process())
    Process { target = function()
      print(current_process().name, parent_process().name)
      print(parent_process().pid == getppid(),
        current_process().pid == getpid())
      print(Process { target = f }.name,
        Process { target = f, name = "n" }.name)
      local p = Process { target = function()
        print(current_process().name, Process { target = f }.name)
      end }:start()
      p:join()
    end }:start():join()
    local p = Process { target = function()
      current_process().name = "z"
      print(current_process().name)
    end, name = "x" }
    p.name = "y"
    p:start():join()
    print(p.name)
    print(current_process() == current_process())
  ]]
  tap.eq(out, [[
Process-1	Process-2
MainProcess	true
nil
Process-3	MainProcess
true	true
Process-3:1	n
Process-3:3	Process-3:3:1
z
y
true
]])
end)

tap.test("current_process is the Process itself", function()
  local p
  p = Process { target = function()
    return current_process() == p, p.pid == getpid(), p:is_alive(),
      parent_process():is_alive()
  end }
  tap.eq({ p:start():result() }, { true, true, true, true })
end)

tap.test("in a child made by fork", function()
  local out = tap.lua [[
    current_process()
    local parent = getpid()
    if fork() == 0 then
      print(current_process().name, current_process().pid == getpid())
      print(parent_process().name, parent_process().pid == parent)
      print(#active_children())
      os.exit(0)
    end
    wait()
  ]]
  tap.eq(out, "MainProcess\ttrue\nMainProcess\ttrue\n0\n")
end)

tap.test("misuse of the constructor", function()
  tap.fails("table expected", Process)
  tap.fails("table expected", Process, print)
  tap.fails("unknown field 'targte'", Process, { targte = print })
  tap.fails("target must be a function, got nil", Process, {})
  tap.fails("target must be a function, got string", Process, { target = "x" })
  tap.fails("args must be a table, got number", Process,
    { target = print, args = 1 })
  tap.fails("name must be a string", Process, { target = print, name = 1 })
  tap.fails("daemon must be a boolean", Process, { target = print, daemon = 1 })
end)

tap.test("numbers of arguments that cannot be", function()
  for _, n in ipairs { -1, 1 << 40, math.mininteger, 1.5, "2", {} } do
    tap.fails("args.n must be a number of arguments, got", Process,
      { target = print, args = { n = n } })
  end
  local p = Process { target = print, args = { n = 1000000 } }
  tap.fails("too many arguments", p.start, p)
end)

tap.test("misuse before the start", function()
  local p = Process { target = print }
  for _, f in ipairs { "join", "result", "is_alive", "interrupt", "terminate",
    "kill", "close" } do
    tap.fails("before it is started", p[f], p)
  end
  tap.fails("cannot join a process before it is started", p.join, p)
  do local _ <close> = p end
  p:start():join()
  p:close()
  p:close()
  tap.fails("cannot start a closed process", p.start, p)
  tap.fails("closed", function() return p.pid end)
end)

tap.test("misuse after the start", function()
  local gate = Event()
  local p <close> = start(function() gate:wait() end)
  tap.fails("cannot start a process twice", p.start, p)
  tap.fails("still running", p.close, p)
  tap.fails("daemon", function() p.daemon = true end)
  tap.fails("cannot set field 'pid'", function() p.pid = 1 end)
  tap.fails("cannot set field 'exitcode'", function() p.exitcode = 1 end)
  tap.fails("cannot set field 'foo'", function() p.foo = 1 end)
  tap.fails("name must be a string, got table", function() p.name = {} end)
  tap.fails("number", p.join, p, "soon")
  tap.fails("bad argument", p.join, p, 0 / 0)
  tap.fails("Process expected", p.join, {})
  gate:set()
end)

tap.test("a process that is not a child of this one", function()
  local gate = Event()
  local p <close> = start(function() gate:wait() end)
  local unborn = Process { target = print }
  local q = start(function()
    local list = {}
    for _, f in ipairs { "join", "result", "terminate", "close" } do
      list[#list + 1] = select(2, pcall(p[f], p))
    end
    list[#list + 1] = select(2, pcall(unborn.start, unborn))
    list[#list + 1] = select(2, pcall(current_process().join,
      current_process()))
    return p:is_alive(), p.exitcode, list
  end)
  local done, alive, code, list = pcall(q.result, q)
  gate:set()
  if not done then error(alive, 0) end
  tap.eq(alive, true)
  tap.eq(code, nil)
  tap.ok(list[1]:find "cannot join a process that is not a child", list[1])
  tap.ok(list[2]:find "not a child", list[2])
  tap.ok(list[3]:find "not a child", list[3])
  tap.ok(list[4]:find "still running", list[4])
  tap.ok(list[5]:find "cannot start", list[5])
  tap.ok(list[6]:find "not a child", list[6])
end)

tap.test("__close joins; not in a child", function()
  local p
  do
    local gate = Event()
    local q <close> = start(function() gate:wait() end)
    p = q
    local r = start(function()
      local _ <close> = q             -- must not wait for its sibling
      return "done"
    end)
    tap.eq(r:result(60), "done")
    gate:set()
  end
  tap.eq(p.exitcode, 0)
end)

tap.test("unreferenced processes are joined at the end", function()
  local out, err, status = tap.lua [[
    local gate = Event()
    for i = 1, 3 do
      Process { target = function() gate:wait() io.write(i, "\n") end }:start()
    end
    collectgarbage()
    collectgarbage()
    print(#active_children())
    gate:set()
  ]]
  tap.eq(err, "")
  tap.eq(status, 0)
  local lines = tap.lines(out)
  tap.eq(lines[1], "3")
  table.sort(lines)
  tap.eq(lines, { "1", "2", "3", "3" })
end)

tap.test("a child joins its own children before it ends", function()
  local out = tap.lua [[
    local p = Process { target = function()
      local gate = Event()
      Process { target = function()
        gate:wait()
        print "grandchild"
      end }:start()
      Process { target = function() gate:set() end }:start()
    end }:start()
    p:join()
    print "joined"
  ]]
  tap.eq(out, "grandchild\njoined\n")
end)

tap.test("children flush, and run none of the parent's finalizers", function()
  local name = os.tmpname()
  local out = tap.lua([[
    local f = io.open(arg[1], "a")
    f:setvbuf "full"
    kept = setmetatable({}, { __gc = function() f:write "finalizer\n" end })
    local x <close> = setmetatable({}, { __close = function() print "x" end })
    Process { target = function() f:write "end\n" end }:start():join()
    Process { target = function() f:write "exit\n" os.exit(0) end }
      :start():join()
    f:write "parent\n"
  ]], name)
  tap.eq(out, "x\n")
  local f <close> = io.open(name)
  os.remove(name)
  tap.eq(f:read "a", "end\nexit\nparent\nfinalizer\n")
end)

tap.test("finalizers that come after a Process's own find it closed", function()
  local out, err, status = tap.lua [[
    local function ask(o)
      print(pcall(o.process.join, o.process))
      print(o.process, pcall(o.process.result, o.process))
    end
    AtEnd = setmetatable({}, {__gc = ask})
    AtEnd.process = Process {target = print, args = {"work"}}:start()
    AtEnd.process:join()
    local o = setmetatable({}, {__gc = ask})
    o.process = Process {target = math.abs, args = {-1}}:start()
    o.process:join()
    o = nil
    collectgarbage()
  ]]
  tap.eq(err, "")
  tap.eq(status, 0)
  tap.eq(out, "work\n" .. ([[
false	cannot join a closed process
<Process(Process-2, closed)>	false	cannot get the result of a closed process
]] .. [[
false	cannot join a closed process
<Process(Process-1, closed)>	false	cannot get the result of a closed process
]]))
end)

tap.test("finalizers at the end may end pools and the program", function()
  local out, err, status = tap.lua [[
    local function finally(make, how)
      local o = setmetatable({}, {__gc = function(self)
        self.pool[how](self.pool)
        self.pool:join()
        print(how)
      end})
      o.pool = make(1)
      return o
    end
    A, B = finally(Pool, "terminate"), finally(ThreadPool, "close")
    C = setmetatable({}, {__gc = function() os.exit(4, true) end})
    D = finally(Pool, "close")
  ]]
  tap.eq({out, err, status}, {"close\nclose\nterminate\n", "", 4})
end)

tap.test("a child forked in a child reports with a traceback", function()
  local out, err = tap.lua [[
    Process {target = function()
      local pid = fork()
      if pid == 0 then error "inner" end
      print(select(3, wait(pid)))
    end}:start():join()
  ]]
  tap.eq(out, "1\n")
  tap.ok(err:find ":3: inner\nstack traceback:\n.*:3: in function", err)
end)

tap.test("no zombies, no leaks", function()
  for _ = 1, 300 do Process { target = function() return {} end }:start() end
  local last = start(function() end)
  last:join()
  tap.eventually(30, function() return #active_children() == 0 end)
  local f = io.popen("ps --ppid " .. getpid() .. " -o stat= | grep -c Z")
  tap.eq(f:read "n", 0)
  f:close()
end)

tap.test("Processes in wait_any", function()
  local gate = Event()
  local a, b = start(function() gate:wait() end), start(function() end)
  tap.eq(wait_any({ a, b }, 60), { b })
  tap.eq(wait_any({ a }, 0), {})
  gate:set()
  tap.eq(wait_any { a }, { a })
  tap.fails("before it is started", wait_any, { Process { target = print } })
end)

tap.test("in a worker of a Pool: interrupt can be caught", function()
  local pool <close> = Pool(1)
  tap.eq({pool:apply(function()
    local begun = Event()
    local p = Process { target = function()
      return (pcall(function()
        begun:set()
        sleep(100)
      end))
    end }:start()
    begun:wait()
    p:interrupt()
    return p:result(30)
  end)}, {false})
end)
