-- prompt.lua SECONDS [SEED]: sessions at the prompt under random keys, Ctrl-C,
-- Ctrl-D, pastes, new sizes, and lines half typed while threads and children
-- print. None may crash or hang, and each must still answer afterwards.
local tap <close> = dofile "tests/lib/tap.lua"
local session = dofile "tests/lib/session.lua"

local core = require "pty"

local deadline = monotonic() + (tonumber(arg[1]) or 10)
local seed = tonumber(arg[2] or os.time())
math.randomseed(seed)
local random = math.random
print("# seed " .. seed)

local function any(list) return list[random(#list)] end

local lines = {
  "1 + 1", "x = {1, {2}}", "x", "for i = 1, 3 do", "end", "error 'e'", "= (",
  "function f(", "help(Queue)", "string.", "q = Queue()", "q:put(1)", "q:get()",
  "while true do end", "sleep(5)", "Queue():get()", "coroutine.wrap(sleep)(9)",
  "function f() for i = 1, 30 do print(i) sleep(1e-3) end end",
  "Thread { target = f }:start()", "Process { target = f }:start()",
  -- It leaves: of a hundred such lines in a block each child would fork, too.
  "if fork() == 0 then print 'child' return end",
}
local keys = { "\1", "\2", "\5", "\6", "\7", "\8", "\9", "\11", "\12", "\14",
  "\16", "\18", "\20", "\21", "\22", "\23", "\25", "\27", "\27[A", "\27[B",
  "\27[C", "\27[D", "\27[3~", "\27[H", "\27b", "\27f", "\27.", "\127", "\r",
  "\255", "é", "(", ")", "'", "{", "end ", "\3", "\4" }

-- What can happen: text to type.
local acts = {
  function() return any(lines) .. "\r" end,
  function() return any(lines):sub(1, random(20)) end,
  function()
    local t = {}
    for i = 1, random(30) do t[i] = any(keys) end
    return table.concat(t)
  end,
  function() return "\3" end,
  function()
    return "\27[200~" .. (any(lines) .. "\n"):rep(random(300)) .. "\27[201~\r\3"
  end,
  function(s)
    s:resize(random(1, 60), random(1, 200))
    return ""
  end,
  function() return random(20) == 1 and "\4" or "" end,
}

-- Instead of the screen's, which takes no bytes at random.
local function pump(s, ms)
  local bytes = core.read(s.fd, ms)
  if bytes then s.text = (s.text .. bytes):sub(-100000) end
  return bytes
end

-- Types it piece by piece, as far as the terminal takes it, since neither side
-- may wait for the other for ever; false when the program has ended.
local function type_in(s, text)
  local at, limit = 1, monotonic() + 10
  while at <= #text and monotonic() < limit do
    local ok, n = pcall(core.offer, s.fd, text:sub(at, at + 99))
    if not ok then return false end
    at = at + n
    repeat
      local got = s:pump(n > 0 and 2 or 20)
      if not got then return false end
    until got == ""
  end
  return true
end

-- Out of whatever it is in, then a question. False when it has ended.
local function answers(s)
  s:resize(24, 80)
  for _, text in ipairs { "\27[201~", "\7", "\3", "\7", "\3" } do
    if not type_in(s, text) then return false end
  end
  local limit, tries = monotonic() + 30, 0
  repeat
    -- A terminal with 4 KB of lines typed ahead takes no more keys, whatever
    -- runs in it: not even Ctrl-C, which drops them where it is taken.
    tries = tries + 1
    if tries % 10 == 0 then
      core.flush(s.fd)
      kill(s.pid, "INT")
    end
    if not type_in(s, "\3") then return false end
    if not type_in(s, "print('al' .. 'ive')\r") then return false end
    if not s:pump(200) then return false end
    if s.text:find "alive\r?\n" then return true end
  until monotonic() > limit
  local state = io.open("/proc/" .. s.pid .. "/status"):read "a"
    :match "State:[^\n]*"
  kill(s.pid, "QUIT") -- says what it does
  for _ = 1, 20 do s:pump(50) end
  error("the prompt does not answer: " .. state .. ", " .. s:modes() .. "\n"
    .. s.text:sub(-2000))
end

local function check_end(s)
  local how, code = s:wait()
  -- Keys may have come while it was leaving: a Ctrl-C ends that.
  tap.ok(how == "exit" and (code == 0 or code == 1 or code == 130)
    or how == "signal" and code == 2, how .. " " .. code)
end

-- Threads and children that wait for ever are waited for: Ctrl-C ends that.
local function leave(s)
  local limit = monotonic() + 30
  while type_in(s, "\3") and type_in(s, "\4") and s:pump(200) do
    if monotonic() > limit then error "Ctrl-D and Ctrl-C do not end it" end
  end
end

local function abuse()
  local s <close> = session.start()
  s.pump = pump
  local open = true
  for _ = 1, random(5, 30) do
    open = open and type_in(s, any(acts)(s))
  end
  if open and answers(s) then leave(s) end
  check_end(s)
end

local sessions = 0
repeat
  sessions = sessions + 1
  tap.test("session " .. sessions, abuse)
until monotonic() >= deadline
session.done()
