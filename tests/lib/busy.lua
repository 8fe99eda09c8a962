--- A busy program, and children that see whether all is well with them.
local M = {}
local start = dofile("tests/lib/threads.lua").start

--- Runs f while other threads compute, allocate, sleep, wait, start threads.
function M.busily(f)
  local stop, q, l = false, Queue(10), Lock()
  local n = 0
  switch_interval(0.0005)
  local list = {
    start(function() while not stop do n = n + 1 end end),
    start(function()
      local t = {}
      while not stop do t[#t % 100 + 1] = { t, tostring(#t) } end
    end),
    start(function() while not stop do sleep(0.0002) end end),
    start(function() while q:get() do end end),
    start(function()
      while not stop do
        local _ <close> = l:guard()
        q:put(true)
      end
    end),
    start(function()
      while not stop do start(string.rep, "x", 100):join() end
    end),
    start(function()
      while not stop do
        table.sort({ 3, 1, 2 }, function(a, b) return a < b end)
        coroutine.wrap(function() return { pcall(error, {}) } end)()
      end
    end),
  }
  local r <close> = setmetatable({}, { __close = function()
    stop = true
    for i = 1, #list do
      if i ~= 4 then list[i]:join() end
    end
    q:put(false)
    list[4]:join()
    switch_interval(0.005)
  end })
  return f(r)
end

--- What a child does to see that all is well with it; returns an exit code.
function M.check(name)
  if current_thread() ~= main_thread() then return 10 end
  if current_thread().name ~= name then return 11 end
  if #threads() ~= 1 then return 12 end
  local n = 0
  for _ = 1, 1000 do n = n + 1 end
  collectgarbage "step"
  local t = start(function()
    local m = 0
    for _ = 1, 1000 do m = m + 1 end
    sleep(0)
    return m
  end)
  if t:result() ~= 1000 then return 13 end
  local q = Queue()
  start(function() q:put(42) end)
  if q:get() ~= 42 then return 14 end
  if n ~= 1000 then return 15 end
  return 0
end

--- Forks a child that runs f(...) and exits with what it returns.
function M.child(f, ...)
  local pid = fork()
  if pid ~= 0 then return pid end
  local done, code = pcall(f, ...)
  if not done then
    io.stderr:write(tostring(code), "\n")
    code = 99
  end
  os.exit(code)
end

return M
