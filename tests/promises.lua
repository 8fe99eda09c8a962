-- The section "What happens when" of README.md, sentence by sentence: each test
-- is named by the words that it proves, and together they are all the words.
local tap <close> = dofile "tests/lib/tap.lua"
local scripts = dofile "tests/lib/script.lua"
local ctrlc = assert(loadfile "tests/lib/ctrlc.lua")(tap)
local eq, ok = tap.eq, tap.ok

-- The bullets by their bold headings: what follows the heading, in one line.
local function bullets()
  local list, name, inside = {}, nil, false
  for line in io.lines "README.md" do
    if line:find "^## " then inside = line == "## What happens when" end
    if inside then
      local heading, rest = line:match "^%- %*%*(.-)%*%*(.*)$"
      if heading then
        name = heading
        list[name] = rest
      elseif name and line:find "^  " then
        list[name] = list[name] .. " " .. line:match "^ *(.*)$"
      end
    end
  end
  return list
end

local promised, proved = bullets(), {}

-- Takes the words out of what has still to be proved.
local function proves(heading, words)
  local text = promised[heading]
  local from, to = (text or ""):find(words, 1, true)
  if not from then
    error(("README.md does not say of %q: %s"):format(heading, words), 0)
  end
  proved[heading] = true
  promised[heading] = text:sub(1, from - 1) .. "\n" .. text:sub(to + 1)
end

local function promise(heading, words, f)
  tap.test(heading .. ": " .. words, function()
    proves(heading, words)
    f()
  end)
end

-- The same for what cannot be seen under a sanitizer.
local function promise_plain(heading, words, f)
  if not tap.sanitizer then return promise(heading, words, f) end
  proves(heading, words)
  tap.skip(heading .. ": " .. words, "not under a sanitizer")
end

-- Runs a script; `before` comes before the program in the shell's line.
-- FILE stands for the script's name in what it says.
local function run(text, before, options)
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write(text)
  end
  local out, err, status = tap.run(("%s timeout 60 %s %s %s"):format(
    before or "", tap.program, options or "", name))
  os.remove(name)
  return out, (err:gsub(name:gsub("%p", "%%%0"), "FILE")), status
end

-- A script that ends well, says nothing on stderr and prints these lines.
local function prints(expected, text, before)
  local out, err, status = run(text, before)
  eq(out, expected)
  eq(err, "")
  eq(status, 0)
end

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

local heading = "a process is killed"

promise(heading,
  "(`kill -9`): its locks are free again (`acquire` returns `true, OwnerDied`)",
  function()
    prints("true\ttrue\n", [[
      local lock, held = Lock(), Event()
      local p = Process { target = function()
        lock:acquire() held:set() sleep(100)
      end }:start()
      held:wait()
      p:kill()
      local got, what = lock:acquire()
      print(got, what == OwnerDied)]])
  end)

promise(heading, "what it held of a semaphore is given back", function()
  prints("true\n", [[
    local s, held = Semaphore(1), Event()
    local p = Process { target = function()
      local _ <close> = s:guard()
      held:set()
      sleep(100)
    end }:start()
    held:wait()
    p:kill()
    print(s:acquire())]])
end)

promise(heading, "a barrier in which it waited is broken", function()
  prints("true\ttrue\n", [[
    local b = Barrier(3)
    local function wait() b:wait() end
    local p = Process { target = wait }:start()
    local t = Thread { target = function() return pcall(wait) end }:start()
    while b.n_waiting < 2 do sleep(0.001) end
    p:kill()
    local _, err = t:result()
    print(err == BrokenBarrierError, b.broken)]])
end)

promise(heading, "the other end of its pipe sees `EOFError`", function()
  prints("last words\ttrue\n", [[
    local a, b = Pipe()
    local p = Process { target = function() b:send "last words" sleep(100) end }
    p:start()
    b:close()
    local words = a:recv()
    p:kill()
    local _, err = pcall(a.recv, a)
    print(words, err == EOFError)]])
end)

promise(heading, "queues stay whole", function()
  prints("whole\n", [[
    local q = Queue()
    local p = Process { target = function()
      for i = 1, math.huge do q:put { i, -i } end
    end }:start()
    local n = 0
    local function take()
      local v = q:get(false)
      n = n + 1
      assert(v[1] == n and v[2] == -n)
    end
    while n < 1000 do pcall(take) end
    p:kill()
    p:join()
    while not q:empty() do take() end
    q:put "whole"
    print(q:get())]])
end)

promise(heading, "Lost is at most what it had itself taken or had not finished"
  .. " putting", function()
  prints("true\n", [[
    local q, last = Queue(), Value(0)
    for i = 1, 100000 do q:put(i) end
    local p = Process { target = function()
      while true do last.value = q:get() end
    end }:start()
    while last.value < 500 do sleep(0.001) end
    p:kill()
    p:join()
    local first, n = last.value + 1, 0
    while not q:empty() do
      local v = q:get()
      if n == 0 and v == first + 1 then first = v end -- taken, not told
      assert(v == first + n)
      n = n + 1
    end
    print(first + n == 100001)]])
end)

-- A pipe whose one end only a process and its relatives hold tells their end.
promise(heading, "Its daemon children end with it", function()
  prints("alive\ntrue\n", [[
    local a, b = Pipe()
    local p = Process { target = function()
      Process { daemon = true, target = function()
        b:send "alive" sleep(100)
      end }:start()
      sleep(100)
    end }:start()
    b:close()
    print(a:recv())
    p:kill()
    local _, err = pcall(a.recv, a)
    print(err == EOFError)]])
end)

heading = "a worker of a `Pool` dies"

promise(heading, "(killed, crashed, `os.exit` in a task): another one takes its"
  .. " place", function()
  prints(("true\ttrue\n"):rep(3), [[
    for _, die in ipairs {
      function() kill(getpid(), "KILL") sleep(100) end,
      function() kill(getpid(), "ABRT") sleep(100) end,
      function() os.exit(3) end,
    } do
      local p <close> = Pool(1)
      local before = p:apply(getpid)
      local _, err = pcall(p.apply, p, die)
      print(err == WorkerLost, p:apply(getpid) ~= before)
    end]], "ulimit -c 0;")
end)

-- One chunk of five items; the third one kills its worker.
local dying = [[
  local done, pids = Array(5), Array(5)
  local p <close> = Pool(2)
  local function work(i)
    pids[i] = getpid()
    if i == 3 then kill(getpid(), "KILL") sleep(100) end
    done[i] = done[i] + 1
    return i
  end
  local got, lost = {}, nil
  local next = p:imap(work, { 1, 2, 3, 4, 5 }, 5)
  while true do
    local well, i, v = pcall(next)
    if not well then lost = i goto continue end
    if i == nil then break end
    got[#got + 1] = v
    ::continue::
  end]]

promise(heading,
  "The item that it was doing, and only that, raises `WorkerLost`"
    .. " with pid and signal",
  function()
  prints("1 2 4 5\ttrue\ttrue\ttrue\n", dying .. [[
    local text = tostring(lost)
    print(table.concat(got, " "), lost == WorkerLost,
      text:find("%f[%d]" .. math.tointeger(pids[3]) .. "%f[%D]") ~= nil,
      text:find "KILL" ~= nil or text:find "signal 9" ~= nil)]])
end)

promise(heading, "what it had done before counts", function()
  prints("1\t1\ttrue\n", dying .. [[
    print(done[1] // 1 | 0, done[2] // 1 | 0, pids[2] == pids[3])]])
end)

promise(heading, "what it had not begun goes to others", function()
  prints("true\ttrue\n", dying .. [[
    print(pids[4] ~= pids[3] and pids[4] ~= 0,
      pids[5] ~= pids[3] and pids[5] ~= 0)]])
end)

promise(heading, "A result that cannot be sent", function()
  prints("false\ttrue\n6\n", [[
    local p <close> = Pool(1)
    local done, err = pcall(p.apply, p, function() return io.stdout end)
    print(done, tostring(err):find "cannot send a file" ~= nil)
    print(p:apply(math.max, { 5, 6 }))]])
end)

promise(heading, "an error in a callback", function()
  local out, err, status = run [[
    local p <close> = Pool(1)
    local r = p:apply_async(math.max, { 1, 2 }, function() error "oops" end)
    print(r:get(), p:apply(math.max, { 5, 6 }))]]
  eq(out, "2\t6\n")
  ok(err:find "FILE:2: oops\nstack traceback:", err)
  eq(status, 0)
end)

promise(heading, "an initializer that fails: an error in its place, and nothing"
  .. " hangs", function()
  local out, _, status = run [[
    local done, err = pcall(function()
      local p <close> = Pool { processes = 2,
        initializer = function() error "no data base" end }
      return p:map(print, { 1, 2, 3 })
    end)
    print(done, tostring(err):find "no data base" ~= nil)]]
  eq(out, "false\ttrue\n")
  eq(status, 0)
end)

heading = "a pool is terminated"

promise(heading, "whoever waits in `get` or `map` gets `WorkerLost`", function()
  prints("true\ttrue\n", [[
    local p, begun = Pool(2), Semaphore(0)
    local function work() begun:release() sleep(100) end
    local r = p:apply_async(work)
    local function waits(f, ...) return Thread { target = function(...)
      return select(2, pcall(f, ...)) == WorkerLost
    end, args = { ... } }:start() end
    local get, map = waits(r.get, r), waits(p.map, p, work, { 1 })
    for _ = 1, 2 do begun:acquire() end
    p:terminate()
    print(get:result(), map:result())]])
end)

-- Caught, since a script that ends by it interrupts its threads, too. It is
-- ready when the task of `map` has begun: before, nothing would catch it.
promise(heading, ", also by Ctrl-C", function()
  local out, err, status = ctrlc([[
    local p <close> = Pool(2)
    local begun = Semaphore(0)
    local function work() begun:release() sleep(100) end
    local r = p:apply_async(work)
    local t = Thread { target = function()
      return select(2, pcall(r.get, r)) == WorkerLost
    end }:start()
    Thread { target = function()
      for _ = 1, 2 do begun:acquire() end
      print "ready" io.stdout:flush()
    end }:start()
    local done, err = pcall(p.map, p, work, { 1 })
    print(done, err:match "interrupted!$", t:result())]], "-$p")
  eq(out, "false\tinterrupted!\ttrue\n")
  eq(err, "")
  eq(status, 0)
end)

heading = "the parent is killed"

-- In the parent, each pipe is made after the processes that shall not hold it.
promise(heading,
  "daemon processes and the workers of its pools end at once, the"
    .. " others go on",
  function()
  prints("true\ttrue\tstill here\n", [[
    local ends, ask, answer = Queue(), Queue(), Queue()
    local parent = Process { target = function()
      Process { target = function() answer:put(ask:get()) end }:start()
      local a, b = Pipe()
      local pool = Pool(1)
      pool:apply_async(function() b:send "worker" sleep(100) end)
      Process { daemon = true, target = function()
        b:send "daemon" sleep(100)
      end }:start()
      ends:put(a)
      sleep(100)
    end }:start()
    local a = ends:get()
    local seen = { [a:recv()] = true, [a:recv()] = true }
    parent:kill()
    local _, err = pcall(a.recv, a)
    ask:put "still here"
    print(seen.worker and seen.daemon, err == EOFError, answer:get())]])
end)

heading = "a thread errs"

local erring = [[
  local lock = Lock()
  local other = Thread { target = function() lock:acquire() end }
  local t = Thread { target = function()
    lock:acquire()
    error "oops"
  end }:start()
  t:join()
]]

promise(heading, "the error and its traceback are printed", function()
  local _, err, status = run(erring)
  ok(err:find "^Exception in thread Thread%-2:\nFILE:5: oops\nstack trace", err)
  eq(status, 0)
end)

promise(heading, "`t:result()` raises it", function()
  eq((run(erring .. "print(select(2, pcall(t.result, t)):match 'oops')")),
    "oops\n")
end)

promise(heading, "the others go on", function()
  eq((run(erring .. "other:start() print(other:join())")), "true\n")
end)

promise(heading, "What it held is free again", function()
  eq((run(erring .. "print(select(2, lock:acquire()) == OwnerDied)")), "true\n")
end)

heading = "a thread waits"

promise(heading, "(for a lock, a queue, a file, a command): the others of its"
  .. " process run", function()
  local fifo = os.tmpname()
  os.remove(fifo)
  prints("lock\nqueue\nfile\ncommand\n", ([[
    local lock, q, fifo = Lock(), Queue(), %q
    local function meanwhile(wait, go_on)
      local t = Thread { target = wait }:start()
      for _ = 1, 1e5 do end
      go_on()
      t:join()
    end
    lock:acquire()
    meanwhile(function() lock:acquire() print "lock" end,
      function() lock:release() end)
    meanwhile(function() print(q:get()) end, function() q:put "queue" end)
    local function write(fifo, text)
      local f <close> = io.open(fifo, "w")
      f:write(text, "\n")
    end
    meanwhile(function() print(io.read()) end,
      function() write(fifo, "file") end)
    meanwhile(function() os.execute("cat " .. fifo .. 2) end,
      function() write(fifo .. 2, "command") end)]]):format(fifo),
    ("mkfifo %s %s2; cat %s |"):format(fifo, fifo, fifo))
  os.remove(fifo)
  os.remove(fifo .. 2)
end)

-- The benchmark says how soon. Without the promise each turn would come after
-- the switch interval, all of them after 200 seconds.
promise(heading,
  "One that wakes gets its turn within a fraction of a millisecond,"
    .. " also next to one that computes",
  function()
  eq(run [[
    switch_interval(2)
    local stop, start = false, monotonic()
    local t = Thread { target = function() repeat until stop end }:start()
    for _ = 1, 100 do sleep(0.001) end
    stop = true
    t:join()
    print(monotonic() - start < 60)]], "true\n")
end)

heading = "a process with threads forks"

-- A sanitizer allows no fork among threads that allocate: these only count.
local forks = [[
  local stop = false
  local busy = {}
  for i = 1, 3 do
    busy[i] = Thread { target = function() repeat until stop end }:start()
  end
  local function child()
    local pid = fork()
    if pid ~= 0 then return select(3, wait(pid)) end
    local q, n = Queue(), 0
    q:put(#threads())
    for i = 1, 1000 do n = n + i end
    os.exit(q:get() == 1 and current_thread() == main_thread() and n == 500500
      and 42 or 1)
  end
]]

promise(heading,
  ", from any of them: the child has that one thread, which is its"
    .. " main thread and works",
  function()
  prints("42\t42\n", forks .. [[
    local t = Thread { target = child }:start()
    local from_thread, from_main = t:result(), child()
    stop = true
    print(from_thread, from_main)]])
end)

promise("Ctrl-C", "hits a whole tree of processes: the main script prints one"
  .. " traceback, its children end silently", function()
  local out, err, status = ctrlc([[
    local ready = Semaphore(0)
    local function work() ready:release() while true do end end
    for _ = 1, 3 do Process { target = work }:start() end
    local p <close> = Pool(2)
    for _ = 1, 2 do p:apply_async(work) end
    for _ = 1, 5 do ready:acquire() end
    print "ready" io.stdout:flush()
    sleep(100)]], "-$p")
  eq(out, "")
  eq(count(err, "interrupted!"), 1, err)
  eq(count(err, "stack traceback"), 1, err)
  eq(status, 1)
end)

-- Who waits is seen to wait when the answer says so: asked until then.
promise("Ctrl-\\",
  "makes every process of the tree print what each of its threads"
    .. " does, what it waits for and who holds that; all goes on",
  function()
  local script <close> = scripts.start(tap.program, [[
    local lock, ready = Lock(), Event()
    lock:acquire()
    local p = Process { name = "child", target = function()
      local t = Thread { target = function() lock:acquire() end, name = "T" }
      t:start()
      ready:set()
      t:join()
    end }:start()
    ready:wait()
    local pool = Pool(1)
    local task = pool:apply_async(function() sleep(0.1) return "done" end)
    print "ready" io.stdout:flush()
    local go = arg[0] .. ".go"
    repeat sleep(0.001) local f = io.open(go) until f
    os.remove(go)
    lock:release()
    print(p:join(), p.exitcode, task:get())
  ]])
  tap.eventually(30, function() return script:out():find "ready" end)
  tap.eventually(30, function()
    kill(-script.pid, "QUIT")
    local said = script:err()
    return said:find("T %(pid %d+%) of child at [^\n]+ waits for Lock "
      .. "[^\n]+, held by MainThread %(pid " .. script.pid .. "%)")
      and said:find "MainThread %(pid %d+%) of PoolWorker%-1 at" ~= nil
  end)
  assert(io.open(script.name .. ".go", "w")):close()
  ok(script:ended())
  eq(script:out(), "ready\ntrue\t0\tdone\n")
  ok(script:err():find "MainThread %(pid %d+%) at [^\n]*:%d+ sleeps",
    script:err())
end)

heading = "nothing can go on"

-- Starts a script, in any program, and gives what it says of the deadlock.
local function deadlock(program, text)
  local script <close> = scripts.start(program, text)
  local err, all = script:wait_err "cluarun: deadlock\n.*:%d+.*\n"
  return ok(err, all) and err:gsub(script.name:gsub("%p", "%%%0"), "FILE")
end

local all_wait = "local q = Queue()\nq:get()"
local cycle = [[
  local a, b, both = Lock(), Lock(), Barrier(2)
  local function take(x, y) x:acquire() both:wait() y:acquire() end
  local function try(...) print(pcall(take, ...)) os.exit() end
  Thread { target = try, args = { a, b } }:start()
  Thread { target = try, args = { b, a } }:start()
  while true do sleep(10) end]]

promise(heading, ", since all threads of all processes wait for each other",
  function()
    ok(deadlock(tap.program, all_wait):find "FILE:2 waits for an item of Queue")
  end)

promise(heading,
  "or a cycle of locks has closed: a report says so on stderr, with"
    .. " the lines",
  function()
  ok(deadlock(tap.program, cycle):find "FILE:2 waits for Lock FILE:1, held by")
end)

promise(heading, "`--deadlock=raise` also raises the error `deadlock` in the"
  .. " `acquire` that closed the cycle", function()
  local out, err = run(cycle, nil, "--deadlock=raise")
  ok(out:find "^false\t.*deadlock", out)
  ok(err:find "^cluarun: deadlock\n", err)
end)

-- The silent one starts first: it had the time to say it.
promise(heading, "`--deadlock=off` silences it", function()
  local silent <close> = scripts.start(tap.program .. " --deadlock=off",
    "print 'ready' io.stdout:flush()\n" .. all_wait)
  tap.eventually(30, function() return silent:out() == "ready\n" end)
  deadlock(tap.program, all_wait)
  deadlock(tap.program, all_wait)
  eq(silent:err(), "")
end)

local stock = [[
  package.cpath = "]] .. tap.program:gsub("[^/]*$", "") .. [[?.so"
  local cluarun = require "cluarun"
  local q = cluarun.Queue()
  q:get()]]

promise_plain(heading,
  "A program that embeds cluarun, or a stock `lua5.4`, reports when"
    .. " the environment says `CLUARUN_DEADLOCK=report` (or `raise`)",
  function()
    for _, value in ipairs { "report", "raise" } do
      ok(deadlock("env CLUARUN_DEADLOCK=" .. value .. " lua5.4", stock)
        :find "FILE:4 waits for an item of Queue")
    end
  end)

heading = "shared memory runs out"

promise(heading,
  "(three quarters of the machine's, or"
    .. " `CLUARUN_SHARED_LIMIT=500M`): `put` raises `Full`, nothing is"
    .. " lost",
  function()
  prints("true\ttrue\t1\n", [[
    local q, n, got, err = Queue(), 0, nil, nil
    repeat
      got, err = pcall(q.put, q, ("x"):rep(1 << 20))
      if got then n = n + 1 end
    until not got
    for _ = 1, n do assert(#q:get(false) == 1 << 20) end
    local empty = q:empty()
    q:put(1)
    print(err == Full and n > 10, empty, q:get())]],
    "CLUARUN_SHARED_LIMIT=32M")
end)

heading = "ordinary memory runs out"

-- 100 MB and more at a time, until there is no more.
local hungry = [[
  local function eat()
    local t = {}
    for i = 1, math.huge do t[i] = ("x"):rep(1e8) .. i end
  end
]]

local function short_of_memory(expected, text)
  local out, _, status = run(hungry .. text, "ulimit -v 1000000;")
  eq(out, expected)
  eq(status, 0)
end

promise_plain(heading, "the error `not enough memory`, which can be caught",
  function()
    short_of_memory("false\tnot enough memory\n5\n", [[
      print(pcall(eat))
      print(5)]])
  end)

promise_plain(heading,
  ", in the thread, process or worker that asked for more; the"
    .. " others go on",
  function()
  short_of_memory(("not enough memory\n"):rep(3) .. "1 2 3\n", [[
    local function say(f, ...)
      print(select(2, pcall(f, ...)):match "not enough memory")
    end
    local t = Thread { target = eat }:start()
    say(t.result, t)
    local p = Process { target = eat }:start()
    say(p.result, p)
    local pool <close> = Pool(2)
    say(pool.apply, pool, eat)
    print(table.concat(pool:map(math.abs, { 1, -2, 3 }), " "))]])
end)

promise_plain(heading, "Uncaught, it ends the program with that message",
  function()
    local out, err, status = run(hungry .. "print 'runs'\neat()\nprint 'no'",
      "ulimit -v 1000000;")
    eq(out, "runs\n")
    ok(err:find "^[^\n]*: not enough memory\n$", err)
    eq(status, 1)
  end)

promise("something cannot be sent",
  "the error says what and where, `cannot send a coroutine (at"
    .. " [2].handler)`, and nothing was queued",
  function()
  local out = run [[
    local q = Queue()
    local _, err = pcall(function()
      q:put { 1, { handler = coroutine.create(print) } }
    end)
    print(err, q:empty())]]
  ok(out:find("cannot send a coroutine (at [2].handler)", 1, true), out)
  ok(out:find "\ttrue\n$", out)
end)

heading = "a script has a mistake"

promise(heading, "a syntax error is told before anything runs", function()
  local out, err, status = run "print 'runs'\nfor i = 1 3 do end"
  eq(out, "")
  ok(err:find "FILE:2: [^\n]+ near '3'\n$", err)
  eq(status, 1)
end)

promise(heading,
  "a wrong name (`q:putt(1)`) with its line and a traceback; the"
    .. " exit status is 1",
  function()
  local out, err, status = run "print 'runs'\nlocal q = Queue()\nq:putt(1)"
  eq(out, "runs\n")
  ok(err:find "FILE:3: attempt to call a nil value %(method 'putt'%)\nstack",
    err)
  eq(status, 1)
end)

heading = "nobody reads the output any more"

promise(heading,
  "(`cluarun x.lua | head -1`): who prints next, script or child,"
    .. " ends silently by SIGPIPE, as other programs do",
  function()
  local out, err = tap.run(([[(timeout 60 %s -e '
    local p = Process { target = function() while true do print "line" end end }
    p:start()
    p:join()
    io.stderr:write(p.exitcode, "\n")
    while true do print "line" end'; echo $? >&2) | head -1]])
    :format(tap.program))
  eq(out, "line\n")
  eq(err, "-13\n141\n")
end)

heading = "`os.exit` is called"

promise(heading,
  "its process ends at once, whatever its threads do, and what it"
    .. " printed comes out",
  function()
  local out, err, status = run [[
    Thread { target = function() while true do end end }:start()
    io.write "printed"
    os.exit(7)]]
  eq(out, "printed")
  eq(err, "")
  eq(status, 7)
end)

promise(heading, "Daemon children end, the others go on", function()
  prints("7\ttrue\tstill here\n", [[
    local ends, ask, answer = Queue(), Queue(), Queue()
    local parent = Process { target = function()
      Process { target = function() answer:put(ask:get()) end }:start()
      local a, b = Pipe()
      Process { daemon = true, target = function()
        b:send "begun" sleep(100)
      end }:start()
      a:recv()
      ends:put(a)
      os.exit(7)
    end }:start()
    local a = ends:get()
    parent:join()
    local _, err = pcall(a.recv, a)
    ask:put "still here"
    print(parent.exitcode, err == EOFError, answer:get())]])
end)

tap.test("every word of the section has its test", function()
  ok(next(promised), "bullets in README.md")
  for name, rest in pairs(promised) do
    ok(proved[name] and not rest:find "%w", name .. ": without a test:" .. rest)
  end
end)
