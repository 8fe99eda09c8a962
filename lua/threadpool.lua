-- ThreadPool: the interface of Pool on threads of this state. Nothing is
-- copied, and one thread runs at a time: it is for tasks that wait.
local core = ...

return core.load "poolapi"("ThreadPool", core.load "poolthreads")
