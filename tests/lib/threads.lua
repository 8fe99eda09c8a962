--- Threads of a test.
local M = {}

--- Starts a thread that runs f(...).
function M.start(f, ...)
  return Thread { target = f, args = table.pack(...) }:start()
end

--- Does the thread sleep in the kernel?
function M.sleeps(t)
  local f <close> = assert(io.open("/proc/self/task/" .. t.native_id
    .. "/stat"))
  return f:read("a"):match "^.*%) (%a)" == "S"
end

--- Waits until the thread, which is about to call something that blocks, sleeps
-- there: we let it run, and find it asleep, several times.
function M.until_asleep(t)
  local n = 0
  while n < 3 do
    sleep(0.0005)
    if not t:is_alive() then error("the thread has ended", 2) end
    n = M.sleeps(t) and n + 1 or 0
  end
  return t
end

--- Starts a thread that runs f(...) and waits until it sleeps there.
function M.blocked(f, ...)
  return M.until_asleep(M.start(f, ...))
end

return M
