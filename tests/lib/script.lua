--- Scripts that run beside the test, in a process group of their own.
local M = {}

local methods = {}

local function slurp(name)
  local f <close> = assert(io.open(name, "rb"))
  return f:read "a"
end

--- Starts a script (its text) with the program and options before its name.
-- What it writes goes to files.
function M.start(program, text, options, input)
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write(text)
  end
  os.execute(([[
    : >%s.out; : >%s.err
    setsid %s %s %s <%s >%s.out 2>%s.err &
    echo $! >%s.pid]]):format(name, name, program, options or "", name,
    input or "/dev/null", name, name, name))
  local pid = math.tointeger(tonumber(slurp(name .. ".pid")))
  return setmetatable({ name = name, pid = pid },
    { __index = methods, __close = methods.stop })
end

--- What it has written so far.
function methods:out() return slurp(self.name .. ".out") end
function methods:err() return slurp(self.name .. ".err") end

--- Waits until stderr has the pattern n times; all of it, or nil and all.
function methods:wait_err(pattern, n)
  local deadline = monotonic() + 30
  repeat
    local text = self:err()
    if select(2, text:gsub(pattern, "")) >= (n or 1) then return text end
    sleep(0.01)
  until monotonic() > deadline
  return nil, self:err()
end

--- Waits until it has ended; false if it does not.
function methods:ended()
  local deadline = monotonic() + 60
  while pcall(kill, self.pid, 0) do
    if monotonic() > deadline then return false end
    sleep(0.01)
  end
  return true
end

--- Ends all of it.
function methods:stop()
  pcall(kill, self.pid, "KILL") -- it may have no group yet
  pcall(kill, -self.pid, "KILL")
  for _, suffix in ipairs { "", ".out", ".err", ".pid" } do
    os.remove(self.name .. suffix)
  end
end

return M
