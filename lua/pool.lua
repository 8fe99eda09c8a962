-- Pool: worker processes that do tasks. The parts: poolapi.lua (methods),
-- poolbase.lua (jobs and who looks after them), poolcrew.lua (the processes),
-- poolworker.lua (what they run), pooljob.lua, poolfunction.lua,
-- poolresult.lua.
local core = ...
local jobs = core.load "pooljob"
local Crew = core.load "poolcrew"

local function flags_of(job)
  return (job.spread and core.SPREAD or 0) | (job.timeout and core.TIMED or 0)
end

local function new_call(crew)
  crew.call = crew.call + 1
  return crew.call
end

--- A job for f(args...), and whether a worker has it already. Returns nil,
-- which argument is to blame and why if it cannot be sent.
function Crew:new_task(f, args, options)
  local entry, problem = self.functions:get(f)
  if not entry and problem then return nil, 1, problem end
  local job = jobs.Task.new()
  job.entry = entry
  if options.timeout then job.timeout = options.timeout end
  job.flags = core.SPREAD | core.ALL | (options.timeout and core.TIMED or 0)
  local given
  given, problem = self:send_task(job, args, not entry and f or nil)
  if given ~= nil then return job, given end
  if entry then self.functions:release(entry) end
  local of_function = type(problem) == "string" and problem:find "%(at %[7%]"
  return nil, of_function and 1 or 2, jobs.explain(problem, "")
end

--- Gives a job its function. Returns true, or nil and why it cannot be sent.
function Crew:lend(job, f)
  local entry, problem = self.functions:get(f)
  if not entry and not problem then
    entry, problem = self.functions:get_once(f)
  end
  if not entry then return nil, problem end
  job.entry, job.call, job.flags = entry, new_call(self), flags_of(job)
  return true
end

return core.load "poolapi"("Pool", Crew)
