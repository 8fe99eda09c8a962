-- In a real terminal multiplexer: threads and children print while a line is
-- half typed, and it is still there, with its cursor.
local tap <close> = dofile "tests/lib/tap.lua"

if not tap.run "command -v tmux":find "tmux" then
  tap.skip("a half-typed line", "no tmux here")
  return
end

local home = os.tmpname()
os.remove(home)
os.execute("mkdir " .. home)
local tmux = ("TMUX= TMUX_TMPDIR=%s HOME=%s tmux -f /dev/null "):format(home,
  home)

local function screen()
  return (tap.run(tmux .. "capture-pane -p"):gsub("%s+$", ""))
end

local function send(text)
  tap.run(tmux .. "send-keys -l " .. tap.quote(text))
end

local function enter(text)
  send(text)
  tap.run(tmux .. "send-keys Enter")
end

local function shows(pattern)
  return tap.eventually(30, function() return screen():find(pattern) end)
    or tap.ok(false, screen())
end

tap.test("a half-typed line stays intact", function()
  local absolute = tap.run("realpath " .. tap.program):gsub("\n", "")
  tap.run(tmux .. "new-session -d -x 60 -y 20 "
    .. tap.quote("INPUTRC=/dev/null " .. absolute))
  shows "\n>$"
  enter "q = Queue()"
  enter "function f(n) for s in q:iter() do print(n .. s) end end"
  enter "for i = 1, 3 do Thread{target = f, args = {'T'}}:start() end"
  enter "for i = 1, 3 do Process{target = f, args = {'P'}}:start() end"
  enter "if fork() == 0 then f 'F' end"
  enter(("Thread{target = function() sleep(0.5) for i = 1, 200 do "
    .. "q:put('line') end q:shutdown() end}:start() t = nil"))
  shows "t = nil\n>$"
  local line = "print('" .. ("half typed "):rep(8) .. "')"
  send(line)
  tap.run(tmux .. "send-keys Left Left Left")
  tap.eventually(30, function()
    return not tap.run(tmux .. "capture-pane -p"):find "t = nil"
  end)
  local shown = "> " .. line
  local expected = "\n" .. shown:sub(1, 60) .. "\n" .. shown:sub(61)
  tap.ok(tap.eventually(30, function()
    return screen():sub(-#expected) == expected
  end), screen())
  tap.eq(tap.run(tmux .. "display -p '#{cursor_x}'"),
    ("%d\n"):format(#shown - 3 - 60))
  send "X"
  tap.run(tmux .. "send-keys Enter")
  shows(("half typed "):rep(5))
  shows "half typedX\n>$"
  for what in screen():gmatch "[TPF]%a+" do tap.eq(what:sub(2), "line") end
end)

tap.run(tmux .. "kill-server")
os.execute("rm -rf " .. home)
