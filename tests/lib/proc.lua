--- Child processes of a test, made by fork().
local M = {}

--- Runs f in a child; returns its pid. The child exits with f's result (0 for
-- none or true, 1 for false), or 100 after an error, which is printed.
function M.child(f, ...)
  io.stdout:flush()
  local pid = fork()
  if pid ~= 0 then return pid end
  local done, result = xpcall(f, debug.traceback, ...)
  if not done then
    io.stderr:write(tostring(result), "\n")
    os.exit(100)
  end
  if type(result) ~= "number" then result = result == false and 1 or 0 end
  os.exit(result)
end

--- Waits for a child: its exit code, or minus the signal; nil on time-out.
function M.status(pid, seconds)
  local got, how, code = wait(pid, seconds or 30)
  if got then return how == "signal" and -code or code end
end

--- Runs f in a child to its end.
function M.run(f, ...)
  return M.status(M.child(f, ...))
end

--- Does the process sleep in the kernel?
function M.sleeps(pid)
  local f <close> = assert(io.open("/proc/" .. pid .. "/stat"))
  return f:read("a"):match "^.*%) (%a)" == "S"
end

--- Waits until it does.
function M.until_asleep(pid)
  for _ = 1, 1e6 do
    if M.sleeps(pid) then return true end
  end
  error "the child does not go to sleep"
end

--- Kills it with SIGKILL and waits for its end.
function M.slay(pid)
  kill(pid, "KILL")
  return M.status(pid)
end

return M
