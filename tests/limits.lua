-- What the system refuses is an error that names it; nothing hangs, nothing is
-- lost, and the program works on when there is room again.
local tap <close> = dofile "tests/lib/tap.lua"
local test, skip = tap.test, tap.skip

-- Defined in every script below: show(name, f, ...) prints what pcall returns;
-- usable() says whether everything works (again).
local PRELUDE = [[
local function show(name, ...) print(name, pcall(...)) end
local function child(f) return Process { target = f }:start():result(60) end
local function thread(f) return Thread { target = f }:start():result(60) end
local function pool(f, list, make)
  local p <close> = (make or Pool)(2)
  return table.unpack(p:map(f, list, 1))
end
local function forked()
  local pid = fork()
  if pid == 0 then os.exit(4) end
  return select(3, wait(pid, 60))
end
local function queue()
  local q = Queue()
  q:put "item"
  return q:get(true, 60)
end
local function pipe()
  local a, b = Pipe()
  a:send "message"
  return b:recv()
end
local function command()
  local p <close> = assert(io.popen "echo hello")
  return p:read "l"
end
local function double(x) return 2 * x end
local function usable()
  assert(child(function() return 1 end) == 1)
  assert(thread(function() return 2 end) == 2)
  assert(select("#", pool(double, { 1, 2, 3 })) == 3)
  assert(forked() == 4 and queue() == "item" and pipe() == "message")
  assert(command() == "hello" and os.execute "true")
  return "usable"
end
]]

-- Runs a script under a limit, which is a command that ends with the program's
-- own words: "ulimit -n 20; exec %s". Returns its output, and checks that it
-- ended well.
local function limited(limit, script)
  local file = os.tmpname()
  do
    local f <close> = assert(io.open(file, "w"))
    f:write(PRELUDE, script)
  end
  os.execute("chmod a+r " .. file) -- another user may run it
  local out, err, status = tap.run(
    limit:format("timeout 100 " .. tap.program .. " " .. file))
  os.remove(file)
  tap.eq(err, "")
  tap.eq(status, 0, "status")
  return (out:gsub(file:gsub("%p", "%%%0"), "SCRIPT"))
end

-- Does the output have exactly these lines? Each is a pattern.
local function lines(out, expected)
  local n = 0
  for line in out:gmatch "[^\n]*" do
    if line ~= "" then
      n = n + 1
      tap.ok(line:find("^" .. (expected[n] or "nothing more") .. "$"),
        "line " .. n .. ": " .. line)
    end
  end
  tap.eq(n, #expected, "lines")
end

test("file descriptors", function()
  lines(limited("ulimit -n 20; exec %s", [[
    local module = os.tmpname()
    os.rename(module, module .. ".lua")
    module = module .. ".lua"
    local f <close> = io.open(module, "w")
    f:write "return 42"
    f:close()
    package.path, package.cpath = module, ""
    local held, why = {}, nil
    repeat
      held[#held + 1], why = io.open "/dev/null"
    until why
    print(why)
    show("popen", io.popen, "true")
    show("lines", io.lines, "/dev/null")
    show("tmpfile", io.tmpfile)
    show("loadfile", loadfile, "/dev/null")
    show("dofile", dofile, "/dev/null")
    print("require", (select(2, pcall(require, "wanted"))):match "[^\n]*")
    show("Process", child, getpid)
    show("Pool", function() return Pool(2) end)
    show("fork", forked)
    show("Queue", queue)
    show("Pipe", pipe)
    show("Thread", thread, function() return 8 end)
    show("ThreadPool", pool, double, { 1, 2 }, ThreadPool)
    for _, file in ipairs(held) do file:close() end
    print("require", (require "wanted"))
    os.remove(module)
    print(usable())
  ]]), {
    "/dev/null: Too many open files",
    "popen\ttrue\tnil\ttrue: Too many open files\t24",
    "lines\tfalse\t.*/dev/null.*Too many open files.*",
    "tmpfile\ttrue\tnil\tToo many open files\t24",
    "loadfile\ttrue\tnil\tcannot open /dev/null: Too many open files",
    "dofile\tfalse\tcannot open /dev/null: Too many open files",
    "require\tmodule 'wanted' not found:",
    "Process\ttrue\t%d+",
    "Pool\tfalse\tSCRIPT:%d+: cannot fork: Too many open files",
    "fork\ttrue\t4",
    "Queue\ttrue\titem",
    "Pipe\ttrue\tmessage",
    "Thread\ttrue\t8",
    "ThreadPool\ttrue\t2\t4",
    "require\t42",
    "usable",
  })
end)

-- root is never refused, and who else runs this has other processes, too: a
-- user without any then, who must be able to read the program. Returns a
-- command for `limited`, nil if there is none.
local function few_processes(n)
  local user = 50000 + getpid() % 10000 -- not that of a test beside this one
  local limit = ("setpriv --reuid %d --regid %d --clear-groups "
    .. "prlimit --nproc=%d %%s"):format(user, user, n)
  local _, _, status = tap.run(limit:format(tap.program .. " -v"))
  return status == 0 and limit or nil
end

-- Three, of which `timeout` and the program are two.
local processes = few_processes(3)
if not processes then
  skip("processes", "no way to limit them here")
elseif tap.sanitizer then
  skip("processes", "a sanitizer starts threads of its own")
else
  test("processes", function()
    local refused = "SCRIPT:%d+: cannot start a thread: "
      .. "Resource temporarily unavailable"
    -- One child takes all there is until it is told to end.
    lines(limited("exec " .. processes, [[
      local stop = Event()
      local p = Process { target = stop.wait, args = { stop, 60 } }:start()
      show("fork", fork)
      show("Process", child, getpid)
      show("Pool", function() return Pool(8) end)
      show("Thread", thread, getpid)
      show("ThreadPool", function() return ThreadPool(8) end)
      show("Timer", function() return Timer(1, print):start() end)
      show("popen", io.popen, "true")
      show("execute", os.execute, "true")
      show("Queue", queue)
      stop:set()
      print(p:join(60), #active_children(), #threads())
      print(child(function() return 1 end), forked(), os.execute "true")
    ]]), {
      "fork\tfalse\tcannot fork: Resource temporarily unavailable",
      "Process\tfalse\tSCRIPT:%d+: cannot fork: Resource temporarily "
        .. "unavailable",
      "Pool\tfalse\tSCRIPT:%d+: cannot fork: Resource temporarily unavailable",
      "Thread\tfalse\t" .. refused,
      "ThreadPool\tfalse\t" .. refused,
      "Timer\tfalse\t" .. refused,
      "popen\ttrue\tnil\ttrue: Resource temporarily unavailable\t11",
      "execute\ttrue\tnil\tResource temporarily unavailable\t11",
      "Queue\ttrue\titem",
      "true\t0\t1",
      "1\t4\ttrue\texit\t0",
    })
  end)
end

if tap.sanitizer then
  skip("address space", "a sanitizer reserves terabytes")
else
  test("address space: memory and threads", function()
    lines(limited("ulimit -v 200000; exec %s", [[
      show("table", function()
        local t = {}
        while true do t[#t + 1] = ("x"):rep(1000) .. #t end
      end)
      collectgarbage()
      show("string", string.rep, "x", 1 << 30)
      local all = {}
      show("threads", function()
        while true do
          all[#all + 1] = Thread { target = sleep, args = { 0.05 } }:start()
        end
      end)
      for _, t in ipairs(all) do t:join() end
      all = nil
      show("process", child, function() return 4 end)
      print(queue(), pipe(), forked())
    ]]), {
      "table\tfalse\tnot enough memory",
      "string\tfalse\tnot enough memory",
      "threads\tfalse\tSCRIPT:%d+: cannot start a thread: "
        .. "Resource temporarily unavailable",
      "process\ttrue\t4",
      "item\tmessage\t4",
    })
  end)

  test("address space: too little to start", function()
    for _, kilobytes in ipairs { 10000, 30000, 50000 } do
      local out, err, status = tap.run("ulimit -v " .. kilobytes .. "; exec "
        .. tap.program .. " -e 'print(1)'")
      tap.eq(out, "")
      tap.ok(err:find "^[^\n]*: cannot [%a ]+: [%a ]+\n$", err)
      tap.eq(status, 1)
    end
  end)
end

test("shared memory", function()
  lines(limited("CLUARUN_SHARED_LIMIT=8M exec %s", [[
    local large = ("x"):rep(9000000)
    local q, a = Queue(), Pipe()
    print("put", pcall(q.put, q, large))
    print("send", pcall(a.send, a, large))
    show("Array", Array, 4000000)
    show("Value", function() return Value(large) end)
    show("result", child, function() return large end)
    show("Pool result", pool, function(n) return ("x"):rep(n) end,
      { 9000000, 1 })
    show("Pool item", pool, double, { large })
    print(usable())
    local locks = {}
    show("locks", function()
      while true do locks[#locks + 1] = Lock() end
    end)
    show("Queue", Queue)
    show("Process", child, getpid)
    show("Pool", function() return Pool(2) end)
    show("fork", fork)
    locks = nil
    collectgarbage()
    collectgarbage()
    print(usable())
    local n = 0
    print(select(2, pcall(function()
      while true do q:put(("x"):rep(1000)) n = n + 1 end
    end)) == Full, q:qsize() == n)
    for _ = 1, n do assert(#q:get() == 1000) end
    print(q:empty(), usable())
  ]]), {
    "put\tfalse\tqueue is full",
    "send\tfalse\tqueue is full",
    "Array\tfalse\tshared memory exhausted",
    "Value\tfalse\tSCRIPT:%d+: shared memory exhausted",
    "result\tfalse\tSCRIPT:%d+: no room for the result: "
      .. "shared memory exhausted",
    "Pool result\tfalse\tno room for a result: shared memory exhausted",
    "Pool item\tfalse\tqueue is full",
    "usable",
    "locks\tfalse\tSCRIPT:%d+: shared memory exhausted",
    "Queue\tfalse\tshared memory exhausted",
    "Process\tfalse\tSCRIPT:%d+: shared memory exhausted",
    "Pool\tfalse\tSCRIPT:%d+: shared memory exhausted",
    "fork\tfalse\tcannot fork: Cannot allocate memory",
    "usable",
    "true\ttrue",
    "true\tusable",
  })
end)

test("a full disk: what lua does", function()
  for _, script in ipairs {
    [[print "a"]], [[io.write "a"]], [[print "a" os.exit(true)]],
    [[e(io.write "a") e(io.stdout:flush())]],
    [[e(io.write "a") e(io.stdout:close())]],
    [[io.stdout:setvbuf "no" e(io.write "a") e(io.write "b") e(print "c")]],
    [[e(io.write(("a"):rep(100000))) e(io.stdout:flush()) e "on"]],
    [[for i = 1, 20000 do print(i) end e "on"]],
    [[local f = io.open("/dev/full", "w") e(f:write "a") e(f:close())]],
    [[local f = io.open("/dev/full", "w") e(f:write "a") e(f:flush())]],
  } do
    local text = tap.quote([[
      local function e(...)
        local t = table.pack(...)
        for i = 1, t.n do
          t[i] = io.type(t[i]) or tostring(t[i])
        end
        io.stderr:write(table.concat(t, ","), "\n")
      end
    ]] .. script)
    local function run(program)
      local _, err, status = tap.run(program .. " -e " .. text .. " >/dev/full")
      return { err, status }
    end
    tap.eq(run(tap.program), run "lua5.4", script)
  end
end)

test("a full disk: a child's output", function()
  local _, err, status = tap.run(tap.program .. [[ -e '
    local p = Process { target = function() print "a" return 5 end }:start()
    io.stderr:write(p:result(60), " ", p.exitcode, "\n")
  ' >/dev/full]])
  tap.eq(err, "5 0\n")
  tap.eq(status, 0)
end)
