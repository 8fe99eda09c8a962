-- fork() and Process:start() in programs with threads.
local tap <close> = dofile "tests/lib/tap.lua"
local threads = dofile "tests/lib/threads.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok = tap.test, tap.eq, tap.ok
local busy = dofile "tests/lib/busy.lua"
local busily, check, run_child = busy.busily, busy.check, busy.child
local start, threads_list = threads.start, _G.threads

local rounds = tap.sanitizer and 20 or 100

test("fork in the main thread of a busy program", function()
  busily(function()
    for _ = 1, rounds do
      if not eq(proc.status(run_child(check, "MainThread"), 60), 0) then
        break
      end
    end
  end)
end)

test("fork in a thread of a busy program", function()
  busily(function()
    local t = Thread { name = "Forker", target = function()
      for _ = 1, rounds do
        if not eq(proc.status(run_child(check, "Forker"), 60), 0) then
          break
        end
      end
    end }
    t:start():result()
  end)
end)

test("a child loads a module that a thread of its parent loads", function()
  local root, loading, go = getpid(), Event(), Event()
  package.preload["tests.slow"] = function()
    if getpid() == root then
      loading:set()
      go:wait()
    end
    return { pid = getpid() }
  end
  local t = Thread { target = require, args = { "tests.slow" } }:start()
  loading:wait()
  -- Threads of the child may have the addresses of the parent's.
  local others = {}
  for i = 1, 20 do others[i] = start(go.wait, go) end
  local p <close> = Process { target = function()
    for _ = 1, 50 do
      Thread { target = sleep, args = { 60 }, daemon = true }:start()
    end
    return require "tests.slow".pid
  end }:start()
  local done, pid = pcall(p.result, p, 20)
  p:kill()
  go:set()
  eq({ done, pid }, { true, p.pid })
  eq(t:result().pid, root)
  for i = 1, #others do others[i]:join() end
  package.preload["tests.slow"], package.loaded["tests.slow"] = nil, nil
end)

test("Process:start in the main thread of a busy program", function()
  busily(function()
    for i = 1, rounds do
      local p = Process { target = function()
        local code = check "MainThread"
        return code, i
      end }:start()
      local code, same = p:result(60)
      if not (eq(code, 0) and eq(same, i) and eq(p.exitcode, 0)) then
        break
      end
    end
  end)
end)

test("Process:start in several threads of a busy program at once", function()
  busily(function()
    local list = {}
    for k = 1, 3 do
      list[k] = Thread { name = "Starter-" .. k, target = function()
        for i = 1, rounds // 2 do
          local p = Process { target = function()
            return check("Starter-" .. k), i
          end }:start()
          local code, same = p:result(60)
          if code ~= 0 or same ~= i or p.exitcode ~= 0 then
            return code, same, p.exitcode
          end
        end
        return 0
      end }:start()
    end
    for k = 1, 3 do eq(table.pack(list[k]:result()), { n = 1, 0 }) end
  end)
end)

test("fork in a coroutine of a thread", function()
  for _ = 1, 20 do
    local q = Queue()
    local code = Thread { name = "Co", target = function()
      local n = coroutine.wrap(function()
        local pid = fork()
        if pid == 0 then
          q:put(check "Co")
          coroutine.yield(5)
        end
        coroutine.yield(proc.status(pid, 60))
      end)()
      return n
    end }:start():result()
    -- The child's function has returned: its exit code is 0.
    eq(code, 0)
    eq(q:get(), 0)
  end
end)

test("the child ends when the thread's function returns", function()
  local out, err, status = tap.lua [[
    local q = Queue()
    Thread { name = "T", target = function()
      local pid = fork()
      if pid == 0 then
        q:put "child is at its end"
        return "nobody hears this"
      end
      print(select(2, wait(pid)))
      print(q:get())
    end }:start():join()
    print("main goes on", q:empty())]]
  eq(out, "exit\t0\nchild is at its end\nmain goes on\ttrue\n")
  eq(err, "")
  eq(status, 0)
end)

test("before it ends, it waits for its own threads and children", function()
  local out = tap.lua [[
    local q = Queue()
    Thread { target = function()
      local pid = fork()
      if pid == 0 then
        Thread { target = function() sleep(0.02) q:put "thread" end }:start()
        Process { target = function() sleep(0.04) q:put "child" end }:start()
        return
      end
      print(select(2, wait(pid)))
      print(q:get(false), q:get(false))
    end }:start():join()]]
  eq(out, "exit\t0\nthread\tchild\n")
end)

test("an error in the child", function()
  local out, err, status = tap.lua [[
    Thread { name = "T", target = function()
      local pid = fork()
      if pid == 0 then error "in the child" end
      print(select(2, wait(pid)))
    end }:start():join()]]
  eq(out, "exit\t1\n")
  ok(err:find "^Exception in thread T:\n[^\n]*in the child\nstack tr", err)
  local _, n = err:gsub("stack traceback", "")
  eq(n, 1, err)
  eq(status, 0)
end)

test("os.exit and signals in the child", function()
  local out, err = tap.lua [[
    Thread { target = function()
      for _, f in ipairs {
        function() os.exit(7) end, function() os.exit(8, true) end,
        function() os.exit(false) end,
        function() kill(getpid(), "KILL") end,
        function() coroutine.wrap(os.exit)(9) end,
        function() Thread { target = function() os.exit(10) end }:start()
          sleep(3600) end,
      } do
        local pid = fork()
        if pid == 0 then f() end
        print(select(2, wait(pid)))
      end
    end }:start():join()]]
  eq(out, "exit\t7\nexit\t8\nexit\t1\nsignal\t9\nexit\t9\nexit\t10\n")
  eq(err, "")
end)

test("nested: a child's thread forks, and its child's thread", function()
  local function deeper(n)
    if n == 0 then return 7 end
    local t = Thread { target = function()
      local pid = fork()
      if pid == 0 then os.exit(deeper(n - 1)) end
      return proc.status(pid, 60)
    end }:start()
    return t:result()
  end
  eq(deeper(5), 7)
end)

test("the child: who is there", function()
  local out, err = tap.lua [[
    local never = Event()
    local ended = Thread { target = function() return "result" end }:start()
    ended:join()
    local failed = Thread { target = function() error "oops" end }
    local initial = Thread { target = print }
    local other = Thread { name = "Other", target = function() never:wait()
      end }:start()
    local t = Thread { name = "T", target = function()
      local old_main = main_thread()
      local me = current_thread()
      local pid = fork()
      if pid == 0 then
        print(me == main_thread(), me == current_thread(), me.name,
          me:is_alive(), me.native_id == getpid(), #threads())
        print(tostring(other), other:is_alive(), other:join(0), other:join())
        local done, err = pcall(other.result, other)
        print(done, err == WorkerLost, err)
        print(old_main:is_alive(), old_main:join())
        done, err = pcall(old_main.result, old_main)
        print(done, err == WorkerLost)
        other:interrupt()
        print(ended:result(), initial)
        initial:start():join()
        print(wait_any({ other, old_main })[2] == old_main)
        print(pcall(me.join, me))
        os.exit(0)
      end
      wait(pid)
      print(old_main:is_alive(), other:is_alive(), me == main_thread())
      never:set()
    end }:start()
    t:join()]]
  local lines = {}
  for line in out:gmatch "[^\n]*\n" do lines[#lines + 1] = line end
  eq(lines[1], "true\ttrue\tT\ttrue\ttrue\t1\n")
  eq(lines[2], "<Thread(Other, stopped)>\tfalse\ttrue\ttrue\n")
  ok(lines[3] and lines[3]:find "^false\ttrue\t.*Other", lines[3])
  eq(lines[4], "false\ttrue\n")
  eq(lines[5], "false\ttrue\n")
  eq(lines[6], "result\t<Thread(Thread-3, initial)>\n")
  eq(lines[7], "\n")
  eq(lines[8], "true\n")
  ok(lines[9] and lines[9]:find "cannot join the current thread", lines[9])
  eq(lines[10], "true\ttrue\tfalse\n")
  eq(lines[11], nil)
  eq(err, "")
end)

test("the child of the main thread: other threads are not there", function()
  local never = Event()
  local t = threads.blocked(function() never:wait() return 1 end)
  eq(proc.run(function()
    local done, err = pcall(t.result, t)
    return t:is_alive() == false and t:join() and not done
      and err == WorkerLost and #threads_list() == 1 and t:join(0)
  end), 0)
  local p = Process { target = function()
    return t:is_alive(), tostring(t), #threads_list(), t.name
  end }:start()
  eq({ p:result() }, { false, "<Thread(" .. t.name .. ", stopped)>", 1,
    t.name })
  eq(t:is_alive(), true)
  never:set()
  eq(t:result(), 1)
end)

test("the end of a vanished Thread object does nothing", function()
  local never = Event()
  local t = threads.blocked(function() never:wait() end)
  eq(proc.run(function()
    do local _ <close> = t end
    t = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    for _ = 1, 50 do start(string.rep, "x", 3):join() end
    return true
  end), 0)
  never:set()
  t:join()
end)

test("a new Thread's number goes on, its name is its own", function()
  eq(proc.run(function()
    local t = Thread { target = print }
    return t.name:find "^Thread%-%d+$" and true
  end), 0)
end)

test("locks of the vanished: the parent's threads hold them still", function()
  local l, go = Lock(), Event()
  local t = threads.blocked(function()
    l:acquire()
    go:wait()
    l:release()
  end)
  eq(proc.run(function()
    local pid, name = l:owner()
    return l:acquire(false) == false and pid == getppid() and name == t.name
  end), 0)
  local child = proc.child(function() return l:acquire() end)
  go:set()
  eq(proc.status(child, 60), 0)
  t:join()
end)

test("locks of the one that forks stay the parent's", function()
  local l = Lock()
  local t = start(function()
    l:acquire()
    local code = proc.run(function()
      local done, message = pcall(l.release, l)
      return not done and message:find "held by" and l:acquire(false) == false
    end)
    l:release()
    return code
  end)
  eq(t:result(), 0)
end)

test("Locals", function()
  local l = Local(function(self) self.made = current_thread().name end)
  l.x = "main"
  local t = Thread { name = "T", target = function()
    l.x = "thread"
    return proc.run(function()
      local other = start(function() return l.x, l.made end)
      local x, made = other:result()
      return l.x == "thread" and l.made == "T" and x == nil
        and made == other.name
    end)
  end }
  eq(t:start():result(), 0)
  eq(l.x, "main")
end)

test("hooks in the child", function()
  local t = start(function()
    local n = 0
    debug.sethook(function() n = n + 1 end, "", 100)
    local code = proc.run(function()
      local before = n
      for _ = 1, 1e4 do end
      local f, mask, count = debug.gethook()
      local other = start(function()
        for _ = 1, 1e5 do end
        return debug.gethook()
      end):result()
      return n > before and f ~= nil and mask == "" and count == 100
        and other == nil
    end)
    debug.sethook()
    return code
  end)
  eq(t:result(), 0)
end)

test("stdio in the child", function()
  local out, err = tap.lua [[
    io.stdout:setvbuf "full"
    local stop = false
    local noise = {}
    for i = 1, 3 do
      noise[i] = Thread { target = function()
        while not stop do io.write "" io.stderr:write "" end
      end }:start()
    end
    Thread { target = function()
      for i = 1, 30 do
        io.write("parent ", i, "\n")
        local pid = fork()
        if pid == 0 then
          io.write("child ", i, "\n")
          print("print", i)
          os.exit(0)
        end
        wait(pid)
      end
    end }:start():join()
    stop = true]]
  local expected = {}
  for i = 1, 30 do
    expected[#expected + 1] = ("parent %d\nchild %d\nprint\t%d\n")
      :format(i, i, i)
  end
  eq(out, table.concat(expected))
  eq(err, "")
end)

test("an interrupt that was on its way to another thread", function()
  local never = Event()
  local t = threads.blocked(function() pcall(never.wait, never) end)
  local code = proc.run(function()
    t:interrupt() -- it is not there
    sleep(0)
    return true
  end)
  eq(code, 0)
  t:interrupt()
  eq(t:join(60), true)
end)

test("a Process whose starter has ended is still the program's child",
  function()
    local e = Event()
    local p = start(function()
      return Process { target = function() e:wait() return 5 end }:start()
    end):result()
    eq(p:is_alive(), true)
    eq(#active_children(), 1)
    e:set()
    eq(p:result(), 5)
    eq(start(function() return p:join() end):result(), true)
  end)

test("a child forked by one thread, waited for by another", function()
  local go = Event()
  local pid = start(function()
    return proc.child(function() go:wait() return 6 end)
  end):result()
  local t = threads.blocked(function() return wait(pid) end)
  go:set()
  eq({ t:result() }, { pid, "exit", 6 })
end)
