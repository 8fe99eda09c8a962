-- What the system refuses: each is an error that names what failed, nothing
-- hangs, nothing is lost, and the program works on when there is room again.
local tap <close> = dofile "tests/lib/tap.lua"
local run, quote = tap.run, tap.quote

-- What every script here begins with. `show` prints what a protected call gave,
-- without the place of an error; `works` uses a bit of everything.
local HEAD = [[
  local function show(name, f, ...)
    local r = table.pack(pcall(f, ...))
    for i = 1, r.n do r[i] = tostring(r[i]):gsub("^[^\n]-:%d+: ", "") end
    print(name, table.concat(r, " ", 1, r.n))
  end
  local function target() return 7 end
  local function piped()
    local f <close> = assert(io.popen "echo hello")
    return f:read()
  end
  local function none_left()
    local deadline = monotonic() + 20
    while #threads() > 1 or #active_children() > 0 do
      if monotonic() > deadline then
        return #threads() - 1, #active_children()
      end
      sleep(0.005)
    end
    return "none"
  end
  local function works()
    local pool <close> = Pool(2)
    local crew <close> = ThreadPool(2)
    local a, b = Pipe()
    a:send(pool:apply(target))
    return b:recv(), crew:apply(target), piped(),
      Process { target = target }:start():result(20),
      Thread { target = target }:start():result(20)
  end
]]
local WORKS = "works\ttrue 7 7 hello 7 7\n"

-- Runs the text after HEAD, `how` before the program's name.
local function limited(how, text)
  return run(("%s timeout -k 5 60 %s -e %s"):format(how, tap.program,
    quote(HEAD .. text)))
end

tap.test("file descriptors", function()
  local out, err, status = limited("ulimit -n 40;", [[
    local held, why = {}, nil
    repeat
      held[#held + 1], why = io.open "/dev/null"
    until why
    print(why)
    show("popen", io.popen, "echo hello")
    show("tmpfile", io.tmpfile)
    show("Pipe", function()
      local a, b = Pipe()
      a:send(5)
      return b:recv()
    end)
    show("Process", function()
      return Process { target = target }:start():result(20)
    end)
    show("daemon", function()
      Process { target = target, daemon = true }:start()
    end)
    show("Pool", Pool, 2)
    show("Thread", function()
      return Thread { target = target }:start():result(20)
    end)
    show("left", none_left)
    for _, f in ipairs(held) do f:close() end
    show("works", works)]])
  tap.eq(out, [[
/dev/null: Too many open files
popen	true nil echo hello: Too many open files 24
tmpfile	true nil Too many open files 24
Pipe	true 5
Process	true 7
daemon	false cannot fork: Too many open files
Pool	false cannot fork: Too many open files
Thread	true 7
left	true none
]] .. WORKS)
  tap.eq({ err, status }, { "", 0 })
end)

-- Root is never refused: another user, who has no processes but these.
local OTHER = ("setpriv --reuid %d --clear-groups prlimit --nproc="):format(
  1000000 + getpid())

local function test_processes(name, n, text, expected)
  local _, _, status = run(OTHER .. "20 " .. tap.program .. " -v")
  if status ~= 0 or not run "id -u":find "^0\n" then
    return tap.skip(name, "takes root, setpriv and prlimit")
  end
  tap.test(name, function()
    local out, err, code = limited(OTHER .. n, text)
    tap.eq(out, expected)
    tap.eq({ err, code }, { "", 0 })
  end)
end

test_processes("processes", 12, [[
  local gate, list, why = Event(), {}, nil
  repeat
    local ok, p = pcall(function()
      return Process { target = function()
        gate:wait()
        return 4
      end }:start()
    end)
    if ok then list[#list + 1] = p else why = p end
  until why
  print(why:match "cannot.*", #list > 4)
  show("fork", fork)
  show("Thread", function() Thread { target = target }:start() end)
  show("Timer", function() Timer(0, target):start() end)
  show("Pool", Pool, 2)
  show("ThreadPool", ThreadPool, 2)
  show("popen", io.popen, "echo hello")
  show("execute", os.execute, "true")
  gate:set()
  local sum = 0
  for _, p in ipairs(list) do sum = sum + p:result(20) end
  print(sum == 4 * #list)
  show("left", none_left)
  show("works", works)]], [[
cannot fork: Resource temporarily unavailable	true
fork	false cannot fork: Resource temporarily unavailable
Thread	false cannot start a thread: Resource temporarily unavailable
Timer	false cannot start a thread: Resource temporarily unavailable
Pool	false cannot fork: Resource temporarily unavailable
ThreadPool	false cannot start a thread: Resource temporarily unavailable
popen	true nil echo hello: Resource temporarily unavailable 11
execute	true nil Resource temporarily unavailable 11
true
left	true none
]] .. WORKS)

-- Some of the workers can start: they must not stay. (The OS threads of some
-- wait a second for other use, and count as processes meanwhile.)
for _, kind in ipairs { "Pool", "ThreadPool" } do
  test_processes("a " .. kind .. " that cannot be made whole leaves nothing",
    30, "show('made', " .. kind .. [[, 50)
    show("left", none_left)
    show("works", works)]], "made\tfalse cannot " ..
    (kind == "Pool" and "fork" or "start a thread") ..
    ": Resource temporarily unavailable\nleft\ttrue none\n" .. WORKS)
end

-- Room for the workers but not for the thread that looks after them.
test_processes("a Pool without its keeper leaves nothing", 12, [[
  local hold, gate = {}, Event()
  local ok
  repeat
    ok = pcall(function()
      hold[#hold + 1] = Process { target = gate.wait, args = { gate } }:start()
    end)
  until not ok
  for _ = 1, 2 do
    hold[#hold]:kill()
    hold[#hold]:join()
    hold[#hold] = nil
  end
  show("Pool", Pool, 2)
  gate:set()
  for _, p in ipairs(hold) do p:join() end
  show("left", none_left)
  show("works", works)]],
  "Pool\tfalse cannot start a thread: Resource temporarily unavailable\n" ..
  "left\ttrue none\n" .. WORKS)

if tap.sanitizer then
  tap.skip("address space", "sanitizers reserve more")
else
  tap.test("address space", function()
    local out, err, status = limited("ulimit -v 400000;", [[
      local big = ("x"):rep(1 << 20)
      local q, n, why = Queue(), 0, nil
      repeat
        local ok, e = pcall(q.put, q, big)
        if ok then n = n + 1 else why = e end
      until why
      print(why == Full, n > 0, q:qsize() == n)
      for _ = 1, n do assert(q:get() == big) end
      show("rep", string.rep, "x", 1 << 30)
      show("Process", function()
        return Process { target = function()
          return (pcall(string.rep, "x", 1 << 30))
        end }:start():result(20)
      end)
      show("works", works)
      local gate, list, done = Event(), {}, 0
      why = nil
      repeat
        local ok, t = pcall(function()
          return Thread { target = function()
            gate:wait()
            done = done + 1
          end }:start()
        end)
        if ok then list[#list + 1] = t else why = t end
      until why
      print(why:match "cannot.*", #list > 0)
      gate:set()
      for _, t in ipairs(list) do t:join() end
      print(done == #list)
      show("Thread", function()
        return Thread { target = target }:start():result(20)
      end)]])
    tap.eq(out, "true\ttrue\ttrue\nrep\tfalse not enough memory\n" ..
      "Process\ttrue false\n" .. WORKS ..
      "cannot start a thread: Resource temporarily unavailable\ttrue\n" ..
      "true\nThread\ttrue 7\n")
    tap.eq({ err, status }, { "", 0 })
  end)
end

tap.test("the size of files", function()
  local out, err = run("ulimit -f 1000; " .. tap.program .. " -e " .. quote [[
    local q = Queue()
    q:put(("x"):rep(5000000))
    print(#q:get(), Process {target = getpid}:start():result() > 1)
  ]])
  tap.eq({out, err}, {"5000000\ttrue\n", ""})
end)

tap.test("shared memory", function()
  local out, err, status = limited("CLUARUN_SHARED_LIMIT=1M", [[
    local list, why = {}, nil
    repeat
      local ok, e = pcall(function() list[#list + 1] = Queue() end)
      if not ok then why = e end
    until why
    print(why:match "shared.*", #list > 0)
    for _, name in ipairs { "Queue", "PriorityQueue", "Pipe", "Lock", "RLock",
      "Event", "Condition" } do
      while pcall(function() list[#list + 1] = _G[name]() end) do end
      show(name, _G[name])
    end
    show("Pool", Pool, 2)
    show("Thread", function()
      return Thread { target = target }:start():result(20)
    end)
    local full = 0
    for _, q in ipairs(list) do
      if tostring(q):find "^<Queue" then
        local ok, e = pcall(q.put, q, ("x"):rep(1 << 16))
        assert(ok or e == Full, e)
        if not ok then full = full + 1 end
      end
    end
    print("Full", full > 0)
    list = nil
    collectgarbage()
    show("left", none_left)
    show("works", works)]])
  local expected = { "shared memory exhausted\ttrue\n" }
  for _, name in ipairs { "Queue", "PriorityQueue", "Pipe", "Lock", "RLock",
    "Event", "Condition", "Pool" } do
    expected[#expected + 1] = name .. "\tfalse shared memory exhausted\n"
  end
  tap.eq(out, table.concat(expected) .. "Thread\ttrue 7\nFull\ttrue\n" ..
    "left\ttrue none\n" .. WORKS)
  tap.eq({ err, status }, { "", 0 })
end)

tap.test("a full disk", function()
  local out, err, status = run(("%s -e %s >/dev/full"):format(tap.program,
    quote(HEAD .. [[
    io.stdout:setvbuf "no"
    io.stderr:write(table.concat({ select(2, io.write "lost") }, " "), "\n")
    local p = Process { target = function()
      return select(2, io.write "lost")
    end }:start()
    io.stderr:write(p:result(20), " ", p.exitcode, "\n")
    io.stdout:close()
    io.stderr:write(select("#", works()), "\n")]])))
  tap.eq(out, "")
  tap.eq(err, "No space left on device 28\nNo space left on device 0\n5\n")
  tap.eq(status, 0)
end)
