--- A program on a pseudo terminal, driven by what is seen on its screen.
--
--   local s <close> = pty.start({ program, args... })
--   s:send "1+1\r"
--   s:expect "\n2\n"            -- a pattern in what was written since then
--   s:screen { "> 1+1", "2", "> |" }  -- the last lines, | is the cursor
--
-- The screen is that of a small terminal: what readline and tmux need.
local core = require "pty"
local M = {}
M.__index = M

local SECONDS = 30 -- that a program may take for what is expected

--- Starts it. `options`: rows, columns.
function M.start(argv, options)
  options = options or {}
  local s = setmetatable({
    rows = options.rows or 24, columns = options.columns or 80,
    text = "", lines = { "" }, row = 1, column = 0, unread = "",
  }, M)
  s.fd, s.pid = core.spawn(argv, s.rows, s.columns)
  return s
end

local function line_of(s)
  return s.lines[s.row] or ""
end

local function put(s, text)
  for _, code in utf8.codes(text, true) do
    if s.column == s.columns then
      s.row, s.column = s.row + 1, 0
    end
    local line = line_of(s)
    line = line .. (" "):rep(s.column - #line)
    s.lines[s.row] = line:sub(1, s.column) .. (code < 128 and
      string.char(code) or "?") .. line:sub(s.column + 2)
    s.column = s.column + 1
  end
  for i = 1, s.row do s.lines[i] = s.lines[i] or "" end
end

local function erase_line(s, how)
  local line = line_of(s)
  if how == 0 then s.lines[s.row] = line:sub(1, s.column)
  elseif how == 2 then s.lines[s.row] = ""
  else s.lines[s.row] = (" "):rep(s.column + 1) .. line:sub(s.column + 2) end
end

local function insert_delete(s, kind, n)
  local line = line_of(s)
  line = line .. (" "):rep(s.column - #line)
  local left, right = line:sub(1, s.column), line:sub(s.column + 1)
  if kind == "P" then right = right:sub(n + 1)
  else right = (" "):rep(n) .. right end
  s.lines[s.row] = (left .. right):sub(1, s.columns)
end

local controls = {
  A = function(s, n) s.row = math.max(1, s.row - n) end,
  B = function(s, n) s.row = s.row + n end,
  C = function(s, n) s.column = math.min(s.columns - 1, s.column + n) end,
  D = function(s, n)
    s.column = math.max(0, math.min(s.column, s.columns - 1) - n)
  end,
  G = function(s, n) s.column = n - 1 end,
  P = function(s, n) insert_delete(s, "P", n) end,
  ["@"] = function(s, n) insert_delete(s, "@", n) end,
  K = function(s, _, raw) erase_line(s, raw or 0) end,
  J = function(s, _, raw)
    if raw == 2 then s.lines = {}
    else
      erase_line(s, 0)
      for i = #s.lines, s.row + 1, -1 do s.lines[i] = nil end
    end
  end,
  H = function(s) s.row, s.column = 1, 0 end,
}

-- One control function at the start of the text: the rest, or nil when it has
-- not come whole.
local function control(s, text)
  local c = text:sub(1, 1)
  if c == "\r" then s.column = 0
  elseif c == "\n" then
    s.row = s.row + 1
    s.lines[s.row] = s.lines[s.row] or ""
  elseif c == "\t" then
    s.column = math.min(s.columns - 1, (s.column // 8 + 1) * 8)
  elseif c == "\b" then s.column = math.max(0, s.column - 1)
  elseif c == "\27" then
    local arguments, final, rest = text:match "^\27%[([%d;?>]*)([%a@])(.*)$"
    if not final then
      local skipped = text:match "^\27[^%[](.*)$"
      return skipped
    end
    local n = tonumber(arguments)
    local f = controls[final]
    if f then f(s, math.max(n or 1, 1), n) end
    return rest
  end
  return text:sub(2)
end

local function feed(s, bytes)
  s.text = s.text .. bytes
  local text = s.unread .. bytes
  while text ~= "" do
    local plain, rest = text:match "^([^%c]+)(.*)$"
    if plain then
      put(s, plain)
      text = rest
    else
      rest = control(s, text)
      if not rest then break end
      text = rest
    end
  end
  s.unread = text
end

-- Reads what there is, waiting for at most that many milliseconds, and returns
-- it. Nil: the program has ended.
function M:pump(ms)
  local bytes = core.read(self.fd, ms)
  if bytes then feed(self, bytes) end
  return bytes
end

local function fail(s, what)
  local shown = {}
  for i, line in ipairs(s:last(12)) do shown[i] = "  |" .. line end
  error(what .. "; the screen is\n" .. table.concat(shown, "\n"), 3)
end

--- Writes to it.
function M:send(text)
  self.text = ""
  core.write(self.fd, text)
end

-- What the pattern matches in what was written since the last send, without
-- escape sequences, bells and \r.
local function match(s, pattern)
  local text = s.text:gsub("\27%[[%d;?]*%a", ""):gsub("[\r\a]", "")
  local from, to = text:find(pattern)
  return from and text:sub(from, to)
end

--- Waits until the pattern is there. Returns what it matches.
function M:expect(pattern)
  local deadline = monotonic() + SECONDS
  local open = true
  while true do
    local found = match(self, pattern)
    if found then return found end
    if not open then fail(self, "ended instead of " .. pattern) end
    if monotonic() > deadline then fail(self, "no " .. pattern) end
    open = self:pump(100)
  end
end

--- The last n lines that are not empty, the cursor as |.
function M:last(n)
  local lines = table.move(self.lines, 1, #self.lines, 1, {})
  for i = 1, self.row do lines[i] = lines[i] or "" end
  local line = lines[self.row]
  line = line .. (" "):rep(self.column - #line)
  lines[self.row] = line:sub(1, self.column) .. "|"
    .. line:sub(self.column + 1)
  for i = 1, #lines do lines[i] = lines[i]:gsub("%s+$", "") end
  while lines[#lines] == "" do lines[#lines] = nil end
  return table.move(lines, math.max(1, #lines - n + 1), #lines, 1, {})
end

--- Waits until the last lines of the screen are these.
function M:screen(expected)
  local deadline = monotonic() + SECONDS
  local text = table.concat(expected, "\n")
  while table.concat(self:last(#expected), "\n") ~= text do
    if not self:pump(100) and table.concat(self:last(#expected), "\n") ~= text
      or monotonic() > deadline then
      fail(self, "the screen is not\n" .. text)
    end
  end
end

--- Is the terminal "canonical" or "raw"?
function M:modes() return core.modes(self.fd) end

function M:resize(rows, columns)
  self.rows, self.columns = rows, columns
  core.resize(self.fd, rows, columns)
end

--- Waits for its end: "exit" or "signal", and the code.
function M:wait()
  local deadline = monotonic() + SECONDS
  while monotonic() < deadline do
    local open = self:pump(20)
    local how, code = core.wait(self.pid, open and 0 or 1000)
    if how then
      while (self:pump(0) or "") ~= "" do end
      self.pid = nil
      return how, code
    end
  end
  fail(self, "it does not end")
end

function M:__close()
  if self.pid then
    kill(self.pid, "KILL")
    core.wait(self.pid, 5000)
  end
  core.close(self.fd)
end

return M
