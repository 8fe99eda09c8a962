-- ThreadPool: the interface of Pool on threads of this state. Nothing is
-- copied, and one thread runs at a time: it is for tasks that wait.
local core = ...
local check = core.load "poolcheck"
local Base = core.load "poolbase"
local Crew = core.load "poolthreads"
local ThreadPool = core.load "poolapi" "ThreadPool"

local MOST = 1024

--- The function ThreadPool.
return function(n)
  local options = {}
  if check.is_options(n) then
    n, options = n.processes, check.pool_options(n, "ThreadPool")
  end
  if n == nil then
    n = math.min(core.cluarun.cpu_count(), MOST)
  else
    n = check.count(n, "processes", 1, "ThreadPool", MOST)
  end
  core.end_all = Base.end_all
  return setmetatable({crew = check.made(Crew.new, n, options)}, ThreadPool)
end
