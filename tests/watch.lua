-- cluarun --watch: a script that runs again whenever one of its files is saved.
local tap <close> = dofile "tests/lib/tap.lua"

local program = tap.run("realpath " .. tap.program):match "[^\n]+"
local dir = tap.run "mktemp -d":match "[^\n]+"

local function path(name)
  return dir .. "/" .. name
end

local function write(name, text)
  local f <close> = assert(io.open(path(name), "w"))
  f:write(text)
end

-- As many editors do: a new file in the place of the old one.
local function write_by_rename(name, text)
  write(name .. ".new", text)
  assert(os.rename(path(name .. ".new"), path(name)))
end

local function read(name)
  local f <close> = assert(io.open(path(name)))
  return f:read "a"
end

local watcher = {}
watcher.__index = watcher

-- Starts one in `dir`; its output, pid and exit status go to files.
local function start(arguments, input)
  for _, name in ipairs { "out", "err", "pid", "status" } do write(name, "") end
  local command = string.format(
    "cd %s; sh -c 'echo $$ >pid; exec %s --watch %s' <%s >out 2>err;"
    .. " echo $? >status", dir, program, arguments, input or "/dev/null")
  local p = Process { target = os.execute, args = { command } }:start()
  tap.eventually(20, function() return read "pid":find "\n" end)
  return setmetatable({ process = p, pid = tonumber(read "pid") }, watcher)
end

-- Waits until it has printed the text, n times in all.
function watcher.printed(_, text, n)
  return tap.eventually(30, function()
    return select(2, read "out":gsub(text, "")) == (n or 1)
  end)
end

local function is_alive(pid)
  local f = io.open("/proc/" .. pid .. "/stat")
  if not f then return false end
  local state = (f:read "a" or ""):match "^.*%) (%a)"
  f:close()
  return state ~= nil and state ~= "Z" and state ~= "X"
end

local function is_gone(pid)
  return tap.eventually(20, function() return not is_alive(pid) end)
end

function watcher:stop(signal)
  kill(self.pid, signal or "INT")
  self.process:join()
  return is_gone(self.pid)
end

-- What it said, without what the runs said.
local function said()
  local lines = {}
  for line in read "err":gmatch "[^\n]+" do
    lines[#lines + 1] = line:match "^[^ ]*cluarun: (.*, running again)$"
  end
  return lines
end

tap.test("runs again when the script is saved", function()
  write("main.lua", "print 'first'")
  local w = start "main.lua"
  w:printed "first\n"
  write("main.lua", "print 'second'")
  w:printed "second\n"
  write_by_rename("main.lua", "print 'third'")
  w:printed "third\n"
  w:stop()
  tap.eq(read "out", "first\nsecond\nthird\n")
  tap.eq(said(), { "main.lua changed, running again",
    "main.lua changed, running again" })
end)

tap.test("when a file that it loaded is saved", function()
  write("one.lua", "return 'one'")
  write("two.lua", "return 'two'")
  write("three.lua", "return 'three'")
  write("other.lua", "")
  write("main.lua", [[
    print(require "one", dofile "two.lua", loadfile "./three.lua"(), "end")]])
  local w = start "main.lua"
  w:printed "one\ttwo\tthree\tend\n"
  write("other.lua", "x")
  write("one.lua", "return 'uno'")
  w:printed "uno\ttwo\tthree\tend\n"
  write_by_rename("two.lua", "return 'due'")
  w:printed "uno\tdue\tthree\tend\n"
  write("three.lua", "return 'tre'")
  w:printed "uno\tdue\ttre\tend\n"
  w:stop()
  tap.eq(said(), { "one.lua changed, running again",
    "two.lua changed, running again", "three.lua changed, running again" })
end)

tap.test("files that a child loads", function()
  write("part.lua", "return 1")
  write("main.lua", [[
    local p = Process { target = function() print("part", (require "part"))
    end }
    p:start()
    p:join()]])
  local w = start "main.lua"
  w:printed "part\t1\n"
  write("part.lua", "return 2")
  w:printed "part\t2\n"
  w:stop()
end)

tap.test("survives errors", function()
  write("main.lua", "print 'x' x x")
  os.remove(path "lib.lua")
  local w = start "main.lua"
  tap.eventually(20, function() return read "err":find "syntax error" end)
  write("main.lua", "print 'fine' require 'lib' print 'got lib'")
  tap.eventually(20, function() return read "err":find "'lib' not found" end)
  write("lib.lua", "return +")
  tap.eventually(20, function() return read "err":find "unexpected symbol" end)
  write("lib.lua", "return 1")
  w:printed "got lib\n"
  write("main.lua", "print 'gone' dofile 'new/file.lua'")
  w:printed "gone\n"
  os.execute("mkdir " .. path "new")
  write("new/file.lua", "print 'there'")
  w:printed "there\n"
  os.execute("rm -r " .. path "new")
  os.execute("mkdir " .. path "new")
  write("new/file.lua", "print 'back'")
  w:printed "back\n"
  write("main.lua", "print 'os' os.exit(3)")
  w:printed "os\n"
  write("main.lua", "print 'killed' kill(getpid(), 'KILL')")
  w:printed "killed\n"
  write("main.lua", "print 'done'")
  w:printed "done\n"
  w:stop()
end)

tap.test("a symbolic link and its file", function()
  os.execute("mkdir " .. path "real")
  write("real/main.lua", "print 'one'")
  os.execute("ln -s real/main.lua " .. path "link.lua")
  local w = start "link.lua"
  w:printed "one\n"
  write("real/main.lua", "print 'two'")
  w:printed "two\n"
  write("other.lua", "print 'three'")
  os.execute("ln -s other.lua " .. path "link.new")
  assert(os.rename(path "link.new", path "link.lua"))
  w:printed "three\n"
  w:stop()
end)

local family = [[
  local pids = { getpid() }
  local q = Queue()
  local function sleeper() q:put(getpid()) sleep(1000) end
  Process { target = sleeper }:start()
  Process { target = sleeper, daemon = true }:start()
  Process { target = function() -- its child is an orphan
    Process { target = sleeper }:start()
    os.exit(0)
  end }:start()
  if fork() == 0 then sleeper() end
  for _ = 1, 4 do pids[#pids + 1] = q:get() end
  local f = io.popen "sh -c 'trap \"\" TERM; echo $$; exec sleep 1000'"
  pids[#pids + 1] = f:read "l"
  local g = io.popen "setsid sh -c 'echo $$; exec sleep 1000' & wait"
  pids[#pids + 1] = g:read "l"
  print("pids " .. table.concat(pids, " "))
  sleep(1000)]]

local function pids_of_run(n)
  local k, found = 0, nil
  tap.eventually(30, function()
    k = 0
    for list in read "out":gmatch "pids ([%d ]+)\n" do
      k, found = k + 1, list
    end
    return k == n
  end)
  local pids = {}
  for pid in found:gmatch "%d+" do pids[#pids + 1] = tonumber(pid) end
  return pids
end

local function count_alive(pids)
  local n = 0
  for _, pid in ipairs(pids) do
    if is_alive(pid) then n = n + 1 end
  end
  return n
end

tap.test("ends the old run with all its children", function()
  write("main.lua", family)
  local w = start "main.lua"
  local first = pids_of_run(1)
  tap.eq(#first, 7)
  tap.eq(count_alive(first), 7)
  write("main.lua", family .. "\n")
  local second = pids_of_run(2)
  tap.eq(count_alive(first), 0, "the old ones")
  tap.eq(count_alive(second), 7, "the new ones")
  tap.ok(is_alive(w.pid), "the watcher")
  w:stop()
  tap.eq(count_alive(second), 0, "after Ctrl-C")
end)

tap.test("beside many other processes", function()
  -- They end when the pipe does, on which they wait.
  local crowd = assert(io.popen([[
    exec 3<&0
    for _ in $(seq 1200); do cat <&3 & done
    touch ]] .. path "many" .. [[; wait]], "w"))
  tap.eventually(60, function() return os.rename(path "many", path "many") end)
  write("main.lua", "print('pids ' .. getpid()) sleep(1000)")
  local w = start "main.lua"
  local first = pids_of_run(1)
  write("main.lua", "print('pids ' .. getpid()) sleep(2000)")
  pids_of_run(2)
  tap.eq(count_alive(first), 0)
  w:stop()
  crowd:close()
end)

tap.test("ends with its run", function()
  for _, signal in ipairs { "INT", "TERM", "HUP" } do
    write("main.lua", "print('pids ' .. getpid()) sleep(1000)")
    local w = start "main.lua"
    local run = pids_of_run(1)[1]
    w:stop(signal)
    tap.ok(not is_alive(run), signal)
    local code = { INT = 0, TERM = 128 + 15, HUP = 128 + 1 }
    tap.eq(tonumber(read "status"), code[signal], signal)
  end
  local w = start "main.lua"
  local run = pids_of_run(1)[1]
  w:stop "KILL"
  tap.ok(is_gone(run), "after SIGKILL")
end)

tap.test("a run is a process of its own right", function()
  write("main.lua", [[
    print(current_process().name, parent_process(), arg[0], arg[1], arg[-1], x)
    setmetatable({}, { __gc = function() print "closed" end })]])
  local w = start "-e x=7 main.lua an-argument"
  w:printed "closed\n"
  write("main.lua", "print 'end'")
  w:printed "end\n"
  w:stop()
  tap.eq(read "out",
    "MainProcess\tnil\tmain.lua\tan-argument\tx=7\t7\nclosed\nend\n")
end)

tap.test("each run reads standard input", function()
  write("in", "a line\n")
  write("main.lua", "print(1, io.read())")
  local w = start("main.lua", "in")
  w:printed "1\ta line\n"
  write("main.lua", "print(2, io.read())")
  w:printed "2\ta line\n"
  w:stop()
end)

tap.test("wrong use", function()
  for _, case in ipairs {
    { "", "--watch needs a script that is a file" },
    { "-", "--watch needs a script that is a file" },
    { "-l string", "--watch needs a script that is a file" },
    { "-i main.lua", "--watch and -i do not go together" },
    { "-x main.lua", "unrecognized option '-x'" },
    { "-e", "'-e' needs argument" },
  } do
    local out, err, status = tap.run(program .. " --watch " .. case[1])
    tap.eq(out, "")
    tap.ok(err:find("cluarun: " .. case[2] .. "\nusage: ", 1, true), err)
    tap.eq(status, 1)
  end
  local out, _, status = tap.run(program .. " --watch --version")
  tap.ok(out:find "^cluarun ")
  tap.eq(status, 0)
end)

os.execute("rm -r " .. dir)
