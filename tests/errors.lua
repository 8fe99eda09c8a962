-- The error values: their text, equality and way through a queue.
local tap <close> = dofile "tests/lib/tap.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local all = { Full = Full, Empty = Empty, ShutDown = ShutDown,
  TimeoutError = TimeoutError, EOFError = EOFError,
  BrokenBarrierError = BrokenBarrierError, WorkerLost = WorkerLost,
  OwnerDied = OwnerDied }

local q = Queue()
local function sent(v)
  q:put(v)
  return q:get()
end

test("they are values of their own", function()
  for name, value in pairs(all) do
    ok(value ~= nil, name)
    ok(_G[name] == value)
    for other, v in pairs(all) do
      ok((v == value) == (name == other), name .. " and " .. other)
    end
    ok(value ~= name and value ~= tostring(value))
  end
end)

test("their text is a sentence", function()
  eq(tostring(Full), "queue is full")
  eq(tostring(Empty), "queue is empty")
  eq(tostring(ShutDown), "queue is shut down")
  eq(tostring(TimeoutError), "timed out")
  eq(tostring(EOFError), "end of file: the other end of the pipe is closed")
  eq(tostring(BrokenBarrierError), "barrier is broken")
  eq(tostring(WorkerLost), "worker lost")
  eq(tostring(OwnerDied), "the previous owner of the lock died")
  eq("error: " .. Full .. "!", "error: queue is full!")
end)

test("they are immutable", function()
  for _, value in pairs(all) do
    fails("attempt to index", function() value.x = 1 end)
    fails("attempt to index", function() return value.x end)
  end
end)

test("they keep their identity", function()
  for name, value in pairs(all) do
    ok(sent(value) == value, name)
    ok(rawequal(sent { value }[1], value), name)
  end
end)

test("between processes too", function()
  local back = Queue()
  local pid = fork()
  if pid == 0 then
    local good = true
    for name, value in pairs(q:get()) do
      good = good and _G[name] == value
    end
    back:put { good, all }
    os.exit(0)
  end
  q:put(all)
  wait(pid)
  local r = back:get()
  ok(r[1])
  for name, value in pairs(all) do ok(r[2][name] == value) end
end)

test("a raised one is what pcall gives", function()
  local done, err = pcall(q.get, q, false)
  ok(not done and err == Empty)
end)

test("an uncaught one is shown", function()
  local _, err, status = tap.lua "\nQueue():get(false)"
  ok(err:find "queue is empty\nstack traceback:\n.*:2: in main chunk", err)
  eq(status, 1)
end)

local function lose()
  local p = Process { target = function() kill(getpid(), "KILL") end }
  p:start()
  local done, err = pcall(p.result, p)
  ok(not done)
  return err, p.pid
end

test("a lost worker's text names pid and signal", function()
  local err, pid = lose()
  ok(err == WorkerLost and WorkerLost == err)
  ok(tostring(err):find(tostring(pid), 1, true), tostring(err))
  ok(err ~= Full and Full ~= err)
  local r = sent(err)
  ok(r == WorkerLost and WorkerLost == r and r == err)
  eq(tostring(r), tostring(err))
  eq(tostring(WorkerLost), "worker lost")
end)

test("metamethods called by hand on what they are not for", function()
  local a, b = Pipe()
  local objects = { Queue(), LifoQueue(), PriorityQueue(), a, b, Lock(),
    RLock(), Semaphore(1), Event(), Condition(), Barrier(2), Value(1), Array(3),
    Process { target = print }, Thread { target = print }, Timer(1, print),
    Local() }
  for _, o in ipairs(objects) do
    for name, f in pairs(debug.getmetatable(o)) do
      if type(f) == "function" and name ~= "__newindex" then
        pcall(f)
        pcall(f, {}, 1)
        pcall(f, io.stdout, "x")
        pcall(f, Lock(), 1)
      end
    end
  end
  ok(io.stdout:write "# still there\n")
end)

local function raising(how)
  return tap.lua(([[
    local e = setmetatable({}, { __tostring = function() error "x" end })
    local p = %s { target = function() error(e) end }:start()
    p:join()
    local good, raised = pcall(p.result, p)
    print(good, rawequal(raised, e) or type(raised))]]):format(how))
end

test("an error in a thread whose __tostring raises", function()
  local out, err = raising "Thread"
  eq(out, "false\ttrue\n")
  ok(err:find("Exception in thread Thread-1:\n"
    .. "(error object is a table value)", 1, true) == 1, err)
end)

test("an error in a process whose __tostring raises", function()
  local out, err = raising "Process"
  ok(err:find("^Process Process%-1 %(pid %d+%):\n"
    .. "%(error object is a table value%)"), err)
  eq(out, "false\ttable\n")
end)

test("a process killed by a signal without a name", function()
  local p = Process { target = function() kill(getpid(), 40) end }:start()
  local good, err = pcall(p.result, p)
  eq(good, false)
  eq(tostring(err), ("process %s (pid %d) was killed by signal 40")
    :format(p.name, p.pid))
end)
