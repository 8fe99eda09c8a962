-- AsyncResult: what apply_async and map_async return.
local core = ...
local primitives = core.cluarun
local check = core.load "poolcheck"
local monotonic = primitives.monotonic

local AsyncResult = {__name = "AsyncResult", __transfer = false}
AsyncResult.__index = AsyncResult

--- `pool` lives as long as its result is wanted.
local function new(pool, job)
  return setmetatable({pool = pool, job = job}, AsyncResult)
end

local function is_done(job) return job.done end

local function deadline_of(timeout, name)
  if timeout == nil then return nil end
  if type(timeout) ~= "number" or timeout ~= timeout then
    check.bad(1, name, "timeout must be a number of seconds, got %s",
      type(timeout) == "number" and "NaN" or check.type_of(timeout))
  end
  if timeout == math.huge then return nil end
  return monotonic() + math.max(timeout, 0)
end

local function wait(self, timeout, name)
  local crew = check.own(self, AsyncResult, name)
  local job, deadline = self.job, deadline_of(timeout, name)
  local done = job.done or crew:drive(is_done, job, deadline, job.progress)
  if done and job.progress then job.progress:finish() end
  return done
end

function AsyncResult:get(timeout)
  local job = getmetatable(self) == AsyncResult and self.job
  if job and job.done and timeout == nil and not job.progress and
    self.pool.crew:is_own() then
    return job:outcome()
  end
  if not wait(self, timeout, "get") then error(primitives.TimeoutError, 0) end
  return self.job:outcome()
end

function AsyncResult:wait(timeout)
  return wait(self, timeout, "wait")
end

function AsyncResult:ready()
  return wait(self, 0, "ready")
end

function AsyncResult:successful()
  if not wait(self, 0, "successful") then
    check.misuse "cannot say whether it was successful before it is ready"
  end
  return not self.job.failed
end

--- For wait_any.
function AsyncResult:__ready()
  local word, value = self.pool.crew.section:watch()
  if wait(self, 0, "wait_any") then return true end
  return false, word, value
end

function AsyncResult:__tostring()
  local job = self.job
  return ("<AsyncResult %s>"):format(
    not job.done and "pending" or job.failed and "failed" or "ready")
end

return new
