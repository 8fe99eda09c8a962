-- The prompt on a terminal: lines, values, completion, Ctrl-C.
local tap <close> = dofile "tests/lib/tap.lua"
local session = dofile "tests/lib/session.lua"
local test = session.tests(tap)

local CTRL_C, CTRL_D, CTRL_R, UP, DOWN = "\3", "\4", "\18", "\27[A", "\27[B"
local PASTE, END_OF_PASTE = "\27[200~", "\27[201~"

test("expressions print their values", function(s)
  s:send "1 + 1\r"
  s:expect "\n2\n> $"
  s:send "1, nil, 'x'\r"
  s:expect "\n1\tnil\tx\n> $"
  s:send "=3 // 2\r"
  s:expect "\n1\n> $"
  s:send "x = 5\r"
  s:expect "x = 5\n> $"
  s:send "print(x)\r"
  s:expect "\n5\n> $"
  s:send "-- nothing\r"
  s:expect "nothing\n> $"
end)

test("_ is the last value", function(s)
  s:send "6 * 7\r"
  s:expect "\n42\n> $"
  s:send "_ + 1, 'more'\r"
  s:expect "\n43\tmore\n> $"
  s:send "x = 1\r"
  s:expect "\n> $"
  s:send "_\r"
  s:expect "\n43\n> $"
end)

test("tables are printed readably", function(s)
  s:send "{1, 2, {a = 'x\\n'}, n = 1.5, ['b c'] = true}\r"
  s:expect [[
{1, 2, {a = "x\n"}, %["b c"%] = true, n = 1%.5}
> $]]
  s:send "t = {} t.self = t return t\r"
  s:expect "\n{self = <cycle>}\n> $"
  s:send "t, {}\r"
  s:expect "\n{self = <cycle>}\t{}\n> $"
  s:send "t = {} for i = 1, 1e5 do t[i] = i end return t\r"
  s:expect "\n{\n  1, 2, 3, .*%.%.%.%(99940 more%)\n}\n> $"
  s:send "{'x' .. ('\u{e9}'):rep(150)}\r"
  s:expect('\n  "x' .. ("\u{e9}"):rep(99) .. '"%.%.%(301 bytes%)\n}\n> $')
  s:send "{('\\xA9'):rep(203)}\r"
  s:expect('\n  "' .. ("\\169"):rep(200) .. '"%.%.%(203 bytes%)\n}\n> $')
  s:send "Queue(3), setmetatable({}, {__tostring = print and function()\r"
  s:send "return 'T' end})\r"
  s:expect "\n<Queue 0x%x+ size=0/3>\tT\n> $"
end)

test("errors have a traceback and the session goes on", function(s)
  s:send "error 'oops'\r"
  s:expect ("\nstdin:1: oops\nstack traceback:\n\t%[C%]: in function 'error'\n"
    .. "\tstdin:1: in main chunk\n\t%[C%]: in %?\n> $")
  s:send "x x\r"
  s:expect "\nstdin:1: syntax error near 'x'\n> $"
  s:send "print = nil\r"
  s:expect "> $"
  s:send "1\r"
  s:expect "error calling 'print' %(attempt to call a nil value"
end)

test("Enter goes on while the block is incomplete", function(s)
  s:send "for i = 1, 2 do\r"
  s:expect ">> $"
  s:send "print('n' .. i)\r"
  s:expect ">> $"
  s:screen { "> for i = 1, 2 do", ">> print('n' .. i)", ">> |" }
  s:send "end\r"
  s:expect "\nn1\nn2\n> $"
  s:send "math.max(\r"
  s:expect ">> $"
  s:send "3, 4)\r"
  s:expect "\n4\n> $"
end)

test("all lines of a block can be edited; it comes back whole", function(s)
  s:send "for i = 1, 2 do\rprint('a', i)\r"
  s:expect "print.*>> $"
  s:send(UP .. ("\27[C"):rep(8) .. "\127b" .. DOWN .. "end\r")
  s:expect "\nb\t1\nb\t2\n> $"
  s:send(UP)
  s:screen { "> for i = 1, 2 do", ">> print('b', i)", ">> end|" }
  s:send "\r"
  s:expect "\nb\t1\nb\t2\n> $"
  s:send "'other'\r"
  s:expect "\nother\n> $"
  s:send(UP .. UP)
  s:screen { "> for i = 1, 2 do", ">> print('b', i)", ">> end|" }
  s:send(UP .. UP .. DOWN .. DOWN .. DOWN)
  s:screen { "> 'other'|" }
end)

test("_PROMPT and _PROMPT2", function(s)
  s:send "_PROMPT, _PROMPT2 = 'lua: ', '   : '\r"
  s:expect "\nlua: $"
  s:send "(\r"
  s:screen { "lua: (", "   : |" }
  s:send "2)\r"
  s:expect "\n2\nlua: $"
  s:send "_PROMPT = '\\27[1mbold\\27[0m '\r"
  s:expect "\nbold $"
  s:send "'a line as wide as the screen, and then some more of it ......'\1"
  s:screen { "bold |'a line as wide as the screen, and then some more of it "
    .. "......'" }
  s:send(CTRL_C)
  s:expect "%^C\nbold $"
  s:send "_PROMPT = setmetatable({}, {__tostring = error})\r"
  s:expect "error}%)\n> $"
end)

test("a pasted block is one entry and waits for Enter", function(s)
  s:send(PASTE .. "local a = 1\rlocal b = 2\n\tprint(a + b)\r" .. END_OF_PASTE)
  s:expect "print%(a %+ b%)\n>> $"
  s:send "\r"
  s:expect "\n3\n> $"
  s:send(UP)
  s:expect "local a = 1\n>> local b = 2\n>> +print%(a %+ b%)\n>> $"
  s:send "\r"
  s:expect "\n3\n> $"
end)

test("Ctrl-C clears the line, also of a block and of a search", function(s)
  s:send "x = 12"
  s:expect "x = 12$"
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send "x\r"
  s:expect "\nnil\n> $"
  s:send "for i = 1, 2 do\r"
  s:expect ">> $"
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send(CTRL_R .. "x")
  s:expect "search"
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send "'well'\r"
  s:expect "\nwell\n> $"
end)

test("Ctrl-C right after Enter", function(s)
  s:send("while true do end\r" .. CTRL_C)
  s:expect "[C!].*\n> $" -- the line is cleared, or what runs is stopped
  s:send "1 + 1\r"
  s:expect "\n2\n> $"
end)

test("a signal does the same as Ctrl-C", function(s)
  s:send "x = 12"
  s:expect "x = 12$"
  s:send ""
  kill(s.pid, "INT")
  s:expect "%^C\n> $"
  s:send "x\r"
  s:expect "\nnil\n> $"
end)

for name, code in pairs {
  ["a loop"] = "print 'go' while true do end",
  ["a blocked get"] = "print 'go' Queue():get()",
  ["a sleep"] = "print 'go' sleep(1000)",
  ["a coroutine"] = "coroutine.wrap(function() print 'go' "
    .. "while true do end end)()",
  ["a join"] = "p = Process{target = sleep, args = {1000}}:start() "
    .. "print 'go' p:join()",
  ["a read"] = "print 'go' io.read()",
} do
  test("Ctrl-C stops " .. name .. " and keeps the session", function(s)
    s:send(code .. "\r")
    s:expect "\ngo\n"
    s:send(CTRL_C)
    s:expect "interrupted!\nstack traceback:.*\n> $"
    s:send "1 + 1\r"
    s:expect "\n2\n> $"
  end)
end

test("Ctrl-C at the prompt does not end children", function(s)
  s:send "q = Queue() p = Process{target = q.get, args = {q}}:start()\r"
  s:expect "%(%)\n> $"
  s:send "half"
  s:expect "half$"
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send "p:is_alive()\r"
  s:expect "\ntrue\n> $"
  s:send "q:put(1) p:join() return p.exitcode\r"
  s:expect "\n0\n> $"
end)

test("Ctrl-D ends the session", function(s)
  s:send "half"
  s:expect "half$"
  s:send(CTRL_D) -- deletes nothing at the end of a line
  s:send "\1\11" -- deletes all
  s:screen { "> |" }
  s:send(CTRL_D)
  local how, code = s:wait()
  tap.eq(how, "exit")
  tap.eq(code, 0)
  s:screen { ">", "|" }
end)

test("Ctrl-D says what it waits for", function(s)
  s:send("q = Queue() p = Process{target = function() print(q:get()) end, "
    .. "name = 'reader'}:start()\r")
  s:expect "%(%)\n> $"
  s:send "Process{target = sleep, args = {1000}, daemon = true}:start()\r"
  s:expect "\n<Process.*\n> $"
  s:send "p.pid, q:put('x', false)\r"
  s:expect "[ \n]x\n.*> $"
  s:send "p:join()\r"
  s:expect "\ntrue\n> $"
  s:send "r = Process{target = sleep, args = {1000}}:start()\r"
  s:expect "%(%)\n> $"
  s:send(CTRL_D)
  s:expect "waiting for Process%-%d %(pid %d+%) %(Ctrl%-C"
  local pid = s.text:match "waiting for Process%-%d %(pid (%d+)"
  kill(math.tointeger(pid), "TERM")
  tap.eq({ s:wait() }, { "exit", 0 })
end)

test("Ctrl-C stops waiting at the end", function(s)
  s:send "Thread{target = sleep, args = {1000}}:start() t = nil\r"
  s:expect "t = nil\n> $"
  s:send "Process{target = sleep, args = {1000}}:start()\r"
  s:expect "\n<Process.*\n> $"
  s:send(CTRL_D)
  s:expect "waiting for Thread%-1, Process%-1 %(pid %d+%) %(Ctrl%-C"
  s:send(CTRL_C)
  tap.eq({ s:wait() }, { "exit", 1 })
end)

test("os.exit ends it, with the terminal as it was", function(s)
  tap.eq(s:modes(), "raw")
  s:send "io.write 'no newline' os.exit(7)\r"
  tap.eq({ s:wait() }, { "exit", 7 })
  s:expect "\nno newline$"
  tap.eq(s:modes(), "canonical")
end)

for _, sig in ipairs { 15, 1, 10, 14 } do -- TERM, HUP, USR1, ALRM
  test("signal " .. sig .. " ends it, with the terminal as it was", function(s)
    kill(s.pid, sig)
    tap.eq({ s:wait() }, { "signal", sig })
    tap.eq(s:modes(), "canonical")
  end)
end

test("Ctrl-C after the first key of two clears the line", function(s)
  for _, first in ipairs { "\24", "\22", "\27[20" } do
    s:send("half" .. first)
    s:expect "half$"
    sleep(0.1) -- most likely it is read by then
    s:send(CTRL_C)
    s:expect "%^C[^\n]*\n> $"
  end
  s:send "print(6 * 7)\r"
  s:expect "\n42\n> $"
end)

test("Ctrl-C in a paste whose end was lost clears it", function(s)
  -- The Ctrl-C comes at any point of it, the last ones most likely after it.
  for i = 0, 4 do
    s:send "\27[200~print 'pasted'"
    sleep(i * 0.03)
    s:send(CTRL_C)
    s:expect "%^C[^\n]*\n> $"
  end
  s:send "print(6 * 7)\r"
  s:expect "\n42\n> $"
end)

-- Tab makes that of what was typed.
local function completes(s, typed, expected)
  s:send(typed .. "\t")
  s:screen { "> " .. expected .. "|" }
  s:send(CTRL_C)
  s:expect "%^C\n> $"
end

test("Tab completes", function(s)
  s:send "q = Queue() t = {alpha = {beta = 1}, x = {gamma = 1}, f = print}\r"
  s:expect "print}\n> $"
  s:send "p = Process{target = print} v = Value(1) b = Queue(2)\r"
  s:expect "Queue%(2%)\n> $"
  completes(s, "whi", "while")
  completes(s, "x = Semaph", "x = Semaphore")
  completes(s, "t.al", "t.alpha")
  completes(s, "t.alpha.b", "t.alpha.beta")
  completes(s, "t['x'].g", "t['x'].gamma")
  completes(s, "#t.al", "#t.alpha")
  completes(s, "t:", "t:f")
  completes(s, "q:put_", "q:put_nowait")
  completes(s, "b:task", "b:task_done")
  completes(s, "p.exit", "p.exitcode")
  completes(s, "p:termi", "p:terminate")
  completes(s, "v:ad", "v:add")
  completes(s, "v.val", "v.value")
  completes(s, "string.gm", "string.gmatch")
  completes(s, "('x' .. q):nothi", "('x' .. q):nothi")
  completes(s, "'a' .. coroutine.w", "'a' .. coroutine.wrap")
  completes(s, "-- whi", "-- whi")
end)

test("Tab runs nothing of the script's, whatever it has made of things",
  function(s)
    s:send "f = function() print 'looked' end\r"
    s:expect "end\n> $"
    s:send "package.path = setmetatable({}, {__tostring = f})\r"
    s:expect "f}%)\n> $"
    completes(s, "require 'cluar", "require 'cluarun'")
    s:send "package = nil table = nil\r"
    s:expect "nil\n> $"
    completes(s, "require 'cluar", "require 'cluar")
    completes(s, "x = Semaph", "x = Semaphore")
  end)

test("Tab lists what is possible, and indents a new line", function(s)
  s:send "bit = {bandage = 1, bandit = 2}\r"
  s:expect "2}\n> $"
  s:send "bit.b\t"
  s:screen { "> bit.band|" }
  s:send "\t\t"
  s:screen { "> bit.band", "bandage  bandit", "> bit.band|" }
  s:send(CTRL_C)
  s:expect "%^C\n> $"
  s:send "do\r\tprint(1)\rend\r"
  s:expect ">>   print%(1%).*\n1\n> $"
end)

test("Tab completes module and file names", function(s)
  local dir = session.home .. "/files"
  os.execute(("mkdir -p %s/bundle %s/folder"):format(dir, dir))
  for _, name in ipairs { "modular.lua", "bundle/inner.lua", "bundle/init.lua",
    "folder/some text.txt" } do
    assert(io.open(dir .. "/" .. name, "w")):close()
  end
  s:send(("package.path = %q\r"):format(dir .. "/?.lua;" .. dir
    .. "/?/init.lua"))
  s:expect "init.lua\"\n> $"
  for typed, expected in pairs {
    ["require 'modu"] = "require 'modular'",
    ['require("bun'] = 'require("bundle"',
    ['require "bundle.inn'] = 'require "bundle.inner"',
    ["m = require 'cluar"] = "m = require 'cluarun'",
  } do
    s:send(typed .. "\t")
    s:screen { "> " .. expected .. "|" }
    s:send(CTRL_C)
    s:expect "%^C\n> $"
  end
  s:send(("dofile '%s/fol\tsome\t"):format(dir))
  s:expect "/folder/some text.txt'$"
end)

test("Enter while a thread forks", function(s)
  s:send("switch_interval(1e-5) Thread { daemon = true, target = function()"
    .. " while true do local p = fork() if p == 0 then os.exit(0) end wait(p)"
    .. " end end }:start()\r")
  s:expect "\n> $"
  for i = 1, 30 do
    s:send(i .. " + 1000\r")
    s:expect("\n" .. i + 1000 .. "\n> $")
  end
end)

session.done()
