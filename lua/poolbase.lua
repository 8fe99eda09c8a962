-- What Pool and ThreadPool have in common: jobs, whose results they wait for,
-- and the threads that look after a pool while nobody calls in.
--
-- A job is what one call of map, apply ... has to do. It is cut into chunks,
-- each a list of items that one worker does one after the other. A crew (of
-- processes or of threads) does the chunks; this is the part of it that does
-- not mind which. Whoever waits for a job moves results himself; the keeper, a
-- thread, does so when nobody waits.
--
-- Functions run in the crew's section but where they say that they do not.
local core = ...
local primitives = core.cluarun
local check = core.load "poolcheck"
local Thread, monotonic = primitives.Thread, primitives.monotonic
local sleep_until = core.wait

local TICK = 0.002 -- seconds: the keeper looks whether somebody else is at it
local NAP, MANY = 20e-6, 16 -- so many at once: let more gather, that long

local Base = {}
Base.__index = Base

local crews = setmetatable({}, {__mode = "k"}) -- all of this process

function Base.new(class, fields)
  fields.section = core.section()
  fields.owner = core.self()
  fields.state = "open" -- then "closed", "ended"
  fields.jobs = {first = 1, last = 0} -- that have chunks to give
  fields.open = {} -- all jobs that are not done: set
  fields.unfinished = 0 -- how many these are
  fields.timed = 0 -- jobs with a time limit
  fields.looks = 0 -- how often a caller has looked after results
  fields.moved = 0 -- items done at the last look
  fields.calls = {first = 1, last = 0} -- callbacks to be called
  fields.call = 0 -- number of the last call
  local self = setmetatable(fields, class)
  crews[self] = true
  return self
end

--- Not in a section: runs f in it.
function Base:enter(f, ...)
  return self.section:enter(f, self, ...)
end

--- Not in a section. Only the process that made it may use a pool.
function Base:is_own()
  return self.owner == core.self()
end

-- ---- jobs ----

--- The next chunk that a worker should do, or nil.
function Base:next_chunk()
  local again = self.again
  if again then
    self.again, again.next = again.next, nil
    return again
  end
  local jobs = self.jobs
  while jobs.first <= jobs.last do
    local job = jobs[jobs.first]
    local chunk = job.single and job or job:next_chunk()
    if chunk and not job.single then return chunk end
    jobs[jobs.first] = nil
    jobs.first = jobs.first + 1
    if chunk then return chunk end
    job.queued = false
  end
end

--- Puts a chunk in front of all others: the rest of one that was begun.
function Base:give_back(chunk)
  chunk.next, self.again = self.again, chunk
end

--- For crews that want to know time limits beforehand.
function Base.limit()
end

--- The job has chunks to give.
function Base:enqueue(job)
  if job.queued then return end
  if not job.single then job.queued = true end
  local last = self.jobs.last + 1
  self.jobs[last], self.jobs.last = job, last
end

--- Takes the job on. `wake`: nobody is going to wait for it at once; `given`: a
-- worker has it already.
function Base:submit(job, wake, given)
  if self.state == "ended" then
    job:fail(self.error)
    self:finish(job)
    return
  end
  self.open[job] = true
  self.unfinished = self.unfinished + 1
  if job.timeout then
    self.timed = self.timed + 1
    self.section:ring() -- who waits does so no longer than that
  end
  if job.left == 0 and not job.reading then
    self:finish(job)
    return
  end
  if not given then self:enqueue(job) end
  if job.single then self:admit() else self:feed() end
  if wake then self:wake_keeper() end
end

--- Gives work to those who have none.
function Base:feed_idle()
  self:feed()
end

--- One more task has come: moves on as far as that cannot wait.
function Base:admit()
  self:feed()
end

local function call_back(self, job)
  local failed = job.failed
  local f = failed and job.error_callback or not failed and job.callback
  if not f then return end
  local calls = self.calls
  calls.last = calls.last + 1
  calls[calls.last] = {f = f, job = job}
  self:look_after_calls()
end

--- The job is done: tells everybody.
function Base:finish(job)
  if job.done then return end
  job:complete()
  job.done = true
  if self.open[job] then
    self.open[job] = nil
    self.unfinished = self.unfinished - 1
    if job.timeout then self.timed = self.timed - 1 end
  end
  if job.entry then self.functions:release(job.entry) end
  if job.callback or job.error_callback then call_back(self, job) end
  if self.unfinished == 0 then self.keep = nil end
  self.section:ring()
end

--- k items of a chunk more are done.
function Base:advance(chunk, k)
  local job = chunk.job
  chunk.got = chunk.got + k
  job.left = job.left - k
  self.moved = self.moved + k
  if job.arrived then job:arrived(chunk, k) end
  if job.left == 0 and not job.reading then self:finish(job) end
end

--- The next item of a chunk has failed; `misuse`: it was not one to be given.
function Base:fail_item(chunk, err, misuse)
  local box = {err, misuse = misuse}
  if chunk.single then
    chunk.failed = box
  else
    chunk.bad[chunk.base + chunk.got + 1] = box
  end
  self:advance(chunk, 1)
end

--- Ends what nobody will read to its end.
function Base:cancel_dropped()
  self.dropped = false
  for job in pairs(self.open) do
    if job.dropped then job:cancel() end
  end
end

--- No more work, and no more workers: whoever waits gets the error.
function Base:give_up(err)
  if self.state == "ended" then return end
  self.state, self.error = "ended", err
  self.again, self.jobs = nil, {first = 1, last = 0}
  self:dismiss()
  for job in pairs(self.open) do
    job:fail(err)
    self:finish(job)
  end
  self.section:ring()
end

-- ---- waiting (not in a section) ----

-- What came out of a section that an error has broken is only half done.
local function check_section(self)
  if self.section:broken() and self.state ~= "ended" then
    self:enter(self.give_up, core.lost "the pool was given up after an error")
  end
end

-- Leaving a wait by an error: the keeper takes over. Ctrl-C ends the pool.
local Watch = {}

function Watch:__close(err)
  if err == nil then return end
  local crew = self.crew
  check_section(crew)
  if core.interrupted(err) then
    crew:enter(crew.give_up, core.lost "the pool was terminated by Ctrl-C")
  else
    crew:enter(crew.wake_keeper)
  end
end

-- In the section: looks after everything; `again`: nothing has happened since.
-- Returns whether `done(what)`, else what to sleep on.
local function look(self, done, what, again)
  if not again then self.looks = self.looks + 1 end
  self.moved = 0
  local due = self:pump()
  if done(what) then return true end
  local nap = self.moved > MANY and self.jobs.first <= self.jobs.last
  return false, self.section:changes(), self.ended, nap, due
end

local function earlier(a, b)
  if not a or b and b < a then return b end
  return a
end

-- Sleeps once. The section is left, and the deaths seen there are given.
-- Returns true if it was in vain.
local function sleep(self, changes, ended, nap, due, deadline)
  local now = (due or deadline) and monotonic()
  local until_then = earlier(due, deadline)
  if nap then
    core.nap(NAP)
  else
    return sleep_until(self.tray, self.section, changes, ended,
      until_then and until_then - now)
  end
end

--- Waits until done(what) or the deadline (of monotonic, nil: none). Returns
-- whether it is. `progress` is shown meanwhile.
function Base:drive(done, what, deadline, progress)
  local _ <close> = self.watch
  local again = false
  while true do
    local ready, changes, ended, nap, due =
      self:enter(look, done, what, again)
    if ready then return true end
    if progress then due = earlier(due, progress:show()) end
    if deadline and monotonic() >= deadline then return false end
    again = sleep(self, changes, ended, nap, due, deadline)
  end
end

-- ---- the keeper: a thread that looks after the pool when nobody does ----

--- Whoever submits work and goes away wakes it.
function Base:wake_keeper()
  if self.deep then
    self.deep = false
    self.section:ring()
  end
end

-- How it is to go on: "leave", "tick" (somebody else is at it), or what to
-- sleep on, with the tray or without it.
local function tend(self, seen)
  if self.abandoned then
    self:give_up(core.lost "the pool was collected")
  end
  if self.state == "ended" then return "leave" end
  self.deep = false
  if self.looks ~= seen and self.unfinished > 0 then
    return "tick", self.looks
  end
  local due = self:pump()
  if self:is_over() then return "leave" end
  self.deep = self.unfinished == 0
  return self.deep and "idle" or "watch", self.looks, self.section:changes(),
    self.ended, due
end

local function keep(self)
  local seen = self.looks
  while true do
    local how, looks, changes, ended, due = self:enter(tend, seen)
    seen = looks
    if self.progress and self.progress.job.done then
      self.progress:finish()
      self.progress = nil
    end
    if how == "leave" then return end
    if how == "tick" then
      core.nap(TICK)
    else
      local progress = self.progress
      local shown = progress and progress:show()
      if progress == self.progress and not shown then self.progress = nil end
      due = earlier(due, shown)
      sleep_until(how == "watch" and self.tray or nil, self.section, changes,
        ended, due and due - monotonic())
    end
  end
end

-- An interrupt does not end it; an error in a section ends the pool.
local function keep_on(self)
  while not pcall(keep, self) do
    check_section(self)
    if self.state == "ended" then return end
  end
end

local function start_keeper(self)
  self.watch = setmetatable({crew = self}, Watch)
  self.keeper = Thread {
    target = keep_on, args = {self}, name = self.name .. "Keeper", daemon = true
  }
  self.keeper:start()
end

local function start(self)
  self:start_all()
  start_keeper(self)
end

-- If one is refused, those that have begun are ended, since nobody else would
-- do it.
local function try_to_start(self)
  local ok, err = pcall(start, self)
  if not ok then self:give_up(err) end
  return ok, err
end

--- Not in a section; once: starts the workers and the keeper, or raises.
function Base:begin()
  local ok, err = self:enter(try_to_start)
  if not ok then error(err, 0) end
end

-- ---- the caller: a thread that calls callbacks ----

local function leave_calls(self)
  self.caller = nil
  self.section:ring()
end

-- The next call, which stays the first until it has begun: an interrupt that
-- came in the section is raised as soon as this is left.
local function next_call(self)
  local calls = self.calls
  local call = calls[calls.first]
  if call and call.begun then
    calls[calls.first] = nil
    calls.first = calls.first + 1
    call = calls[calls.first]
  end
  if not call then leave_calls(self) end
  return call
end

local function report(err)
  local text = type(err) == "string" and err or tostring(err)
  io.stderr:write(("Exception in thread %s:\n%s\n%s\n"):format(
    primitives.current_thread().name, text, check.traceback()))
  return err
end

local function call_all(self)
  local function failed(err) return self:is_own() and report(err) or err end
  while true do
    local call = self:enter(next_call)
    if not call then return end
    call.begun = true
    local ok, err = xpcall(call.job.give, failed, call.job, call.f)
    if not self:is_own() then -- it has forked
      if not ok then error(err, 0) end
      return
    end
  end
end

-- An interrupt between two calls does not end it. What an error in a section
-- has broken is not tried for ever.
local function keep_calling(self)
  local tries = 0
  while true do
    local ok, err = pcall(call_all, self)
    if ok then return end
    if not self:is_own() then error(err, 0) end
    check_section(self)
    if self.state == "ended" then tries = tries + 1 end
    if tries > 2 then return leave_calls(self) end
  end
end

local function start_caller(self)
  self.caller = Thread {
    target = keep_calling, args = {self}, name = self.name .. "Callbacks",
    daemon = true
  }
  self.caller:start()
end

--- Sees to it that somebody does the calls. An interrupt may have ended the
-- thread before it had begun.
function Base:look_after_calls()
  if self.caller and self.caller:is_alive() then return end
  self.caller = nil
  if self.calls.first <= self.calls.last then start_caller(self) end
end

-- ---- the end ----

--- No more jobs.
function Base:close()
  if self.state == "open" then self.state = "closed" end
  self:wake_keeper()
  self:pump()
end

-- Does all that is not done wait for whom reads it?
local function is_parked(self)
  for job in pairs(self.open) do
    if not job.parked or job.left > 0 then return false end
  end
  return self.unfinished > 0
end

local function is_over(self)
  self:look_after_calls()
  return (self:is_over() or is_parked(self)) and
    (not self.caller or self.caller == primitives.current_thread())
end

--- The same for a reason that who calls later shall know, too.
function Base:break_down(err)
  self.failure = self.failure or {err}
  self:give_up(err)
end

local function list_streams(self)
  local list = {}
  for job in pairs(self.open) do
    if job.settle then list[#list + 1] = job end
  end
  return list
end

-- Who joins cannot read a stream at the same time: what it was reading is read
-- now. Returns whether there are other threads that read.
local function settle_streams(self)
  local others = false
  for _, stream in ipairs(self:enter(list_streams)) do
    others = not stream:settle() or others
  end
  return others
end

--- Not in a section: until all is done, and all workers have left. They stay
-- for what is parked.
function Base:join()
  if self.over then return end
  repeat
    local soon = settle_streams(self) and monotonic() + 0.1 or nil
  until self:drive(is_over, self, soon)
  if self:enter(is_parked) then return end
  local me = primitives.current_thread()
  if self.keeper ~= me then self.keeper:join() end
  self:join_threads(me)
end

--- Not in a section: workers that are threads and about to end.
function Base.join_threads()
end

--- At the end of the script: what is left of a pool ends with the process.
function Base.end_all()
  for crew in pairs(crews) do
    if crew:is_own() then
      pcall(crew.enter, crew, crew.give_up, core.lost "the script has ended")
      crew.over = true
    end
  end
end

return Base
