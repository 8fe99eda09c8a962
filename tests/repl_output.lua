-- Output of others while a line is typed, children at the prompt, terminals
-- that are none or dumb, help.
local tap <close> = dofile "tests/lib/tap.lua"
local session = dofile "tests/lib/session.lua"
local test = session.tests(tap)
local proc = dofile "tests/lib/proc.lua"

local CTRL_C, CTRL_D, LEFT = "\3", "\4", "\27[D"

-- What prints the words that it gets from the queue q.
local printers = {
  ["a thread"] = "Thread{target = f, args = {print}, daemon = true}:start()",
  ["a child"] = "Process{target = f, args = {print}, daemon = true}:start()",
  ["a forked child"] = "if fork() == 0 then f(print) end",
  ["a program"] = "if fork() == 0 then f(function(word) "
    .. "os.execute('echo ' .. word) end) end",
  ["io.write, which is not flushed at once,"] = "Thread{target = f, args = {"
    .. "function(s) io.write(s, '\\n') end}, daemon = true}:start()",
}
for name, start in pairs(printers) do
  test("a half-typed line stays intact under " .. name, function(s)
    s:send "q = Queue() function f(say) for s in q:iter() do say(s) end end\r"
    s:expect "end end\n> $"
    s:send(start .. "\r")
    s:expect "\n> $"
    -- The words come when the line is half typed.
    s:send("Thread{target = function() sleep(0.2) q:put 'FIRST' "
      .. "q:put 'SECOND' end}:start() t = nil\r")
    s:send("print('half', ty)" .. LEFT .. LEFT)
    s:screen { "FIRST", "SECOND", "> print('half', t|y)" }
    s:send "1234 or 'ped'"
    s:screen { "FIRST", "SECOND", "> print('half', t1234 or 'ped'|y)" }
    s:send(CTRL_C)
    s:expect "%^C\n> $"
    s:send "q:shutdown()\r"
    s:expect "%(%)\n> $"
  end)
end

test("a line that wraps, and a block, stay intact", function(s)
  s:send("function say(n) Thread{target = function() sleep(0.3) "
    .. "for i = 1, n do print('line ' .. i) end end}:start() end\r")
  s:expect ":start%(%) end\n> $"
  local long = ("x"):rep(100)
  s:send "say(2)\r"
  s:send(long .. LEFT:rep(50))
  s:screen {
    "line 1", "line 2", "> " .. ("x"):rep(50) .. "|" .. ("x"):rep(28),
    ("x"):rep(22),
  }
  s:send(CTRL_C)
  s:expect "%^C\n> $" -- what is typed faster belongs to the old line
  s:send "say(3)\r"
  s:send "do\rprint(1)\r"
  s:screen { "line 1", "line 2", "line 3", "> do", ">> print(1)", ">> |" }
  s:send "end\r"
  s:expect "\n1\n> $"
end)

test("much output comes whole and in order", function(s)
  s:send("Thread{target = function() sleep(0.2) for i = 1, 3000 do "
    .. "print('line ' .. i) end end}:start() t = nil\r")
  s:send "half"
  s:expect "line 3000\n> half$"
  local n = 0
  for i in s.text:gmatch "line (%d+)\r?\n" do
    n = n + 1
    if tonumber(i) ~= n then break end
  end
  tap.eq(n, 3000)
end)

test("output without a newline gets a line of its own", function(s)
  s:send "io.write 'a' io.stderr:write 'b'\r"
  s:expect "\nba\n> $"
  s:send("Thread{target = function() sleep(0.2) io.write 'no newline' "
    .. "io.flush() end}:start() t = nil\r")
  s:send "half"
  s:screen { "no newline", "> half|" }
  s:send(CTRL_C)
  s:expect "%^C\n> $"
end)

test("long lines stay whole", function(s)
  s:send("Process{target = function() sleep(0.2) print(('y'):rep(30000)) end}"
    .. ":start() t = nil\r")
  s:send "half"
  s:expect "y\n> half$"
  tap.ok(s.text:gsub("\r", ""):find(("y"):rep(30000) .. "\n", 1, true))
end)

-- Writes so much that a terminal that nobody reads does not take it all, but
-- so little that the session is not held up in it.
local function fill_the_way(s, code)
  local done = session.home .. "/done"
  os.remove(done)
  s:send(("io.write(('x'):rep(20000)) io.open(%q, 'w'):close() %s\r")
    :format(done, code))
  tap.eventually(30, function() return os.rename(done, done) end)
end

-- We find the session asleep, several times.
local function until_asleep(s)
  for _ = 1, 3 do
    sleep(0.001)
    proc.until_asleep(s.pid)
  end
end

for what, code in pairs {
  ["the prompt"] = "", ["an error"] = "error 'oops'",
} do
  test("Ctrl-C while " .. what .. " waits for a slow terminal", function(s)
    fill_the_way(s, code)
    for _ = 1, 5 do
      until_asleep(s)
      kill(s.pid, "INT")
    end
    s:expect "%^C\n> $"
    s:send "1 + 1\r"
    s:expect "\n2\n> $"
  end)
end

test("background threads run while the prompt waits", function(s)
  s:send "n = 0\r"
  s:expect "\n> $"
  s:send("Thread{target = function() while true do n = n + 1 end end, "
    .. "daemon = true}:start() t = nil\r")
  s:expect "\n> $"
  s:send "a = n\r"
  s:expect "\n> $"
  local moved
  for _ = 1, 1000 do -- it may be long until this machine runs it
    s:send "n > a\r"
    moved = s:expect "\n%a+\n> $":find "true"
    if moved then break end
  end
  tap.ok(moved)
end)

test("fork at the prompt: the child ends with its line", function(s)
  s:send "fork()\r"
  s:expect "[\n ]0\n.*> $" -- the parent's result comes before or after
  s:send "wait()\r"
  s:expect "\n%d+\texit\t0\n> $"
  s:send "if fork() == 0 then error 'in the child' end\r"
  s:expect "in the child\nstack traceback:.*%?\n> $"
  s:send "select(2, wait())\r"
  s:expect "\nexit\t1\n> $"
  s:send "if fork() == 0 then io.write(tostring(io.read())) end\r"
  s:expect "nil\n> $"
  s:send "select(2, wait())\r"
  s:expect "\nexit\t0\n> $"
  s:send "coroutine.wrap(function() fork() coroutine.yield() end)()\r"
  s:expect "\n> $"
  s:send "select(2, wait())\r"
  s:expect "\nexit\t0\n> $"
  tap.eq(s:modes(), "raw")
end)

test("a child does not touch the terminal or the history", function(s)
  s:send "pid = fork() if pid == 0 then sleep(1000) end\r"
  s:expect "end\n> $"
  s:send "kill(pid, 'TERM') print(wait())\r"
  s:expect "\n%d+\tsignal\t15\n> $"
  s:send("Thread{target = function() sleep(0.2) if fork() == 0 then "
    .. "os.exit(3) end print 'forked' end}:start() t = nil\r")
  s:send "select(2, wait())"
  s:expect "forked\n> select%(2, wait%(%)%)$"
  tap.eq(s:modes(), "raw")
  s:send "\r"
  s:expect "\nexit\t3\n> $"
  tap.eq(s:modes(), "raw")
  local f <close> = assert(io.open(session.home
    .. "/.local/state/cluarun/history"))
  local _, n = f:read "a":gsub("kill%(pid", "")
  tap.eq(n, 1)
end)

test("children that go on after the session still reach the terminal",
  function()
    local s <close> = session.start {
      program = "sh", args = { "-c", arg[-1] .. "; cat" }, wait = false,
      env = { "PS1=" },
    }
    s:expect "> $"
    s:send "if fork() == 0 then sleep(0.5) print 'still here' end\r"
    s:expect "end\n> $"
    s:send(CTRL_D)
    s:expect "still here\n"
    s:send(CTRL_D)
    s:wait()
  end)

test("Ctrl-D waits for a thread and says so", function(s)
  s:send("Thread{target = function() sleep(0.5) print 'done' end, "
    .. "name = 'worker'}:start() t = nil\r")
  s:expect "\n> $"
  s:send(CTRL_D)
  s:expect "waiting for worker %(Ctrl%-C to stop waiting%)\ndone\n"
  tap.eq({ s:wait() }, { "exit", 0 })
end)

test("programs see a terminal of the right size", function(s)
  s:send "os.execute 'test -t 1 && test -t 2 && stty size <&1'\r"
  s:expect "\n10 70\n"
  s:resize(11, 60)
  s:send "os.execute 'stty size <&1'\r"
  s:expect "\n11 60\n"
end, { rows = 10, columns = 70 })

test("the window changes its size", function(s)
  s:send "x = 'half"
  s:expect "half$"
  s:resize(24, 40)
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send(("y"):rep(50) .. LEFT)
  s:screen { "> " .. ("y"):rep(38), ("y"):rep(11) .. "|y" }
end)

tap.test("Ctrl-Z stops it, and fg brings the line back", function()
  local s <close> = session.start {
    program = "bash", args = { "--norc", "-i" }, env = { "PS1=$ " },
    wait = false,
  }
  s:expect "%$ $"
  s:send(arg[-1] .. "\r")
  s:expect "\n> $"
  s:send "x = 12"
  s:expect "x = 12$"
  s:send "\26"
  s:expect "Stopped.*%$ $"
  tap.eq(s:modes(), "raw") -- that of bash
  s:send "fg\r"
  s:expect "> x = 12$"
  s:send "3\r"
  s:expect "3\n> $"
  s:send "x\r"
  s:expect "\n123\n> $"
  s:send(CTRL_D)
  s:expect "%$ $"
end)

test("help", function(s)
  s:send "help(Queue)\r"
  s:expect "\nQueue%(%[maxsize%]%) %-> q\n  First in.*  Queue:get%(.*\n> $"
  s:send "help 'Queue.get'\r"
  s:expect "\nQueue:get%(%[block %[, timeout%]%]%) %-> value\n.*Example.*\n> $"
  s:send "q = Queue() help(q.put)\r"
  s:expect "\nQueue:put%(value.*\n> $"
  s:send "help()\r"
  s:expect "Processes\n  fork.*Error values\n.*\n> $"
  s:send "help 'nothing'\r"
  s:expect "no help for nothing"
  s:send "help\r"
  s:expect "\nhelp%(%) tells what there is.*\n> $"
end)

test("help in a narrow window", function(s)
  s:send "help()\r"
  local text = s:expect "%(%)\n.*\n> $"
  s:send "help 'fork'\r"
  text = text .. s:expect "'\n.*\n  Example:"
  for line in text:gmatch "[^\n]+" do tap.ok(#line <= 40, line) end
end, { columns = 40 })

test("NO_COLOR", function(s)
  s:send "help(Queue)\r"
  s:expect "Example.*\n> $"
  tap.ok(not s.text:find "\27%[%d*m", s.text)
end, { env = { "NO_COLOR=1" } })

test("colour without NO_COLOR", function(s)
  s:send "help(Queue)\r"
  s:expect "Example.*\n> $"
  tap.ok(s.text:find "\27%[1mQueue", s.text)
end)

test("TERM=dumb: plain lines, no escape sequences", function(s)
  s:send "1 + 1\r"
  s:expect "\n2\n> $"
  s:send "for i = 1, 2 do\r"
  s:expect "\n>> $"
  s:send(CTRL_C)
  s:expect "\n> $"
  s:send "print 'go' while true do end\r"
  s:expect "\ngo\n"
  s:send(CTRL_C)
  s:expect "interrupted!.*\n> $"
  tap.ok(not s.text:find "\27", s.text)
  s:send(CTRL_D)
  tap.eq({ s:wait() }, { "exit", 0 })
end, { env = { "TERM=dumb" } })

tap.test("a readline that cannot be loaded: it says so and reads plain lines",
  function()
    local folder = session.home .. "/lib"
    os.execute("mkdir " .. folder)
    for version = 7, 12 do
      assert(io.open(folder .. "/libreadline.so." .. version, "w")):close()
    end
    local s <close> = session.start {
      env = { "LD_LIBRARY_PATH=" .. folder },
    }
    tap.ok(s.text:find "cluarun: no line editing: [^\n]*libreadline", s.text)
    s:send "1 + 1\r"
    s:expect "\n2\n> $"
    s:send(CTRL_D)
    tap.eq({ s:wait() }, { "exit", 0 })
  end)

tap.test("a pipe on stdin: a script, or plain lines with -i", function()
  local out, err, status = tap.run(tap.program, "print(1) x = 2\nprint(x)")
  tap.eq(out, "1\n2\n")
  tap.eq(err, "")
  tap.eq(status, 0)
  out = tap.run(tap.program .. " -i", "1 + 1\n{1,\n2}\n_[2]\nfork() and wait()")
  tap.ok(out:find "\n> 2\n> >> {1, 2}\n> 2\n> ", out)
  tap.ok(not out:find "\27", out)
  local _, n = out:gsub("> \n", "")
  tap.eq(n, 1) -- the end of the parent's input; the child does not read on
end)

tap.test("what becomes of the globals does no harm", function()
  local out, err = tap.run(tap.program
    .. " -i -e 'package.loaded.cluarun = nil'", [[
local g = _G for name in pairs(g) do if name ~= "print" then g[name] = 1 end end
{3, {x = 4}}
help(1)
]])
  tap.ok(out:find "> {3, {x = 4}}\n", out)
  tap.ok(err:find "attempt to call a number value %(global 'help'%)", err)
  out, err = tap.run(tap.program .. " -i", "table, string, type = 1\n"
    .. "help 'fork'")
  tap.ok(out:find "> fork%(%) %-> pid\n", out)
  tap.eq(err, "")
end)

tap.test("-i after a script on a terminal", function()
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write "print('from', ...) x = 7"
  end
  local s <close> = session.start { args = { "-i", name, "arg" } }
  s:screen { "from    arg", "> |" }
  s:send "x\r"
  s:expect "\n7\n> $"
  s:send "error 'an error does not matter'\r"
  s:expect "\n> $"
  s:send(CTRL_D)
  tap.eq({ s:wait() }, { "exit", 0 })
  os.remove(name)
end)

session.done()
