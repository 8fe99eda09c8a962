-- What the system refuses is an error that says what failed; nothing hangs, and
-- the program works on when there is room again.
local tap <close> = dofile "tests/lib/tap.lua"
local eq, ok = tap.eq, tap.ok

-- Runs the script with limits of prlimit's, and returns its lines, as a table
-- by the word that each begins with.
local function limited(limits, script, program)
  local file = os.tmpname()
  local f = assert(io.open(file, "w"))
  f:write(script)
  f:close()
  os.execute("chmod a+r " .. file)
  local out, err, status = tap.run(("timeout 60 %s prlimit %s %s %s"):format(
    program or "", limits, tap.program, file))
  os.remove(file)
  eq(status, 0, err)
  local lines = {}
  for word, rest in out:gmatch "(%S+)\t([^\n]*)" do lines[word] = rest end
  return lines
end

tap.test("no file descriptors", function()
  local lines = limited("--nofile=20", [[
    local files = {}
    repeat
      local f, err = io.open "/dev/null"
      files[#files + 1] = f
    until not f
    local function double(x) return 2 * x end
    print("popen", io.popen "true")
    print("Process", pcall(function()
      return Process { target = double, args = { 2 } }:start():result()
    end))
    print("Thread", Thread { target = double, args = { 3 } }:start():result())
    print("Pool", pcall(Pool, 2))
    local q = Queue()
    q:put "text"
    print("Queue", q:get())
    while #files > 0 do table.remove(files):close() end
    print("after", Pool(2):map(double, { 1, 2, 3 })[3], os.execute "true")]])
  ok(lines.popen and lines.popen:find "Too many open files", lines.popen)
  -- A Process needs none, but may.
  ok(lines.Process == "true\t4" or lines.Process:find "Too many open files",
    lines.Process)
  eq(lines.Thread, "6")
  ok(lines.Pool:find "^false\t.*cannot fork: Too many open files"
    or lines.Pool:find "^true", lines.Pool)
  eq(lines.Queue, "text")
  eq(lines.after, "6\ttrue\texit\t0")
end)

-- The limit is on a user's processes; root has none.
local other = "setpriv --reuid 65534 --clear-groups"
local function no_processes()
  local lines = limited("--nproc=12", [[
    local never, list = Event(), {}
    local function start()
      list[#list + 1] =
        Process { target = function() never:wait() end }:start()
    end
    local done, err
    repeat done, err = pcall(start) until not done
    print("Process", err)
    print("fork", pcall(fork))
    print("Thread", pcall(function() Thread { target = print }:start() end))
    local pool, why = pcall(Pool, 2)
    print("Pool", pool, why)
    print("popen", io.popen "true")
    print("execute", os.execute "true")
    never:set()
    for _, p in ipairs(list) do p:join() end
    print("after", Pool(2):map(math.abs, { -1, -2 })[2], os.execute "true")]],
    other)
  local refused = "Resource temporarily unavailable"
  ok(lines.Process:find(":%d+: cannot fork: " .. refused), lines.Process)
  eq(lines.fork, "false\tcannot fork: " .. refused)
  ok(lines.Thread:find("cannot start a thread: " .. refused), lines.Thread)
  ok(lines.Pool:find "^false\t", lines.Pool)
  ok(not lines.Pool:find "poolcrew", lines.Pool)
  ok(lines.Pool:find("cannot fork: " .. refused), lines.Pool)
  ok(lines.popen:find(refused), lines.popen)
  ok(lines.execute:find(refused), lines.execute)
  eq(lines.after, "2\ttrue\texit\t0")
end
local _, _, runs = tap.run(other .. " " .. tap.program .. " -v")
if tap.sanitizer or runs ~= 0 then
  tap.skip("no processes", "needs root and a folder that all may read")
else
  tap.test("no processes", no_processes)
end

local function no_memory()
  local lines = limited("--as=400000000", [[
    local done, err = pcall(function()
      local t = {}
      while true do t[#t + 1] = ("x"):rep(1000000) .. #t end
    end)
    print("table", err)
    collectgarbage()
    local never, list = Event(), {}
    repeat
      local done, err = pcall(function()
        list[#list + 1] =
          Thread { target = function() never:wait() end }:start()
      end)
    until not done
    print("Thread", #list > 0, err)
    never:set()
    for _, t in ipairs(list) do t:join() end
    local q = Queue()
    q:put(("y"):rep(100000))
    print("Queue", #q:get())
    print("after", Thread { target = math.abs, args = { -1 } }:start():result(),
      Process { target = math.abs, args = { -2 } }:start():result())]])
  eq(lines.table, "not enough memory")
  ok(lines.Thread:find "^true\t", lines.Thread)
  eq(lines.Queue, "100000")
  eq(lines.after, "1\t2")
end

local function too_little_memory()
  local out, err, status = tap.run("timeout 60 prlimit --as=20000000 "
    .. tap.program .. " -e 'print(1)'")
  eq(out, "")
  ok(err:find "^[^\n]*cannot map shared memory: Cannot allocate memory\n$", err)
  eq(status, 1)
end

if tap.sanitizer then
  tap.skip("no memory", "sanitizers need all address space")
else
  tap.test("no memory", no_memory)
  tap.test("too little memory to begin", too_little_memory)
end

tap.test("no shared memory", function()
  local lines = limited("", [[
    local q, n = Queue(), 0
    local done, err
    repeat
      done, err = pcall(q.put, q, ("x"):rep(10000), false)
      n = n + 1
    until not done
    print("put", err == Full, n > 100)
    local good = 0
    while not q:empty() do good = good + (#q:get() == 10000 and 1 or 0) end
    print("got", good == n - 1)
    print("Array", pcall(Array, 10000000))
    local pool = Pool(2)
    print("map", pcall(pool.map, pool, function() return ("r"):rep(3000000) end,
      { 1, 2, 3 }))
    print("after", pool:map(math.abs, { -1, -2 })[2])]],
    "env CLUARUN_SHARED_LIMIT=4M")
  eq(lines.put, "true\ttrue")
  eq(lines.got, "true")
  ok(lines.Array:find "^false\t.*shared memory exhausted", lines.Array)
  ok(lines.map:find "^false\tno room for a result", lines.map)
  eq(lines.after, "2")
end)

tap.test("a full disk", function()
  local lines = limited("", [[
    local f = assert(io.open("/dev/full", "w"))
    print("write", f:write(("x"):rep(100000)))
    f:close()
    f = assert(io.open("/dev/full", "w"))
    f:write "x"
    print("flush", f:flush())
    f:setvbuf "no"
    print("at", f:write "x")]])
  for _, word in ipairs { "write", "flush", "at" } do
    ok(lines[word]:find "^nil\t.*No space left on device", word)
  end
end)
