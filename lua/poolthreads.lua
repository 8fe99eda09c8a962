-- The crew of a ThreadPool: threads of this state, which take chunks
-- themselves.
--
-- Who has nothing to do sleeps on a word that only workers sleep on, `hands`.
-- One at a time is woken for work; when he has come he wakes the next, if there
-- is more of it. So a result wakes no worker, and many tasks do not wake all at
-- once, to no avail.
--
-- An item that takes too long is interrupted with TimeoutError; a new thread
-- takes the place of its own, which leaves when it comes out of the item.
--
-- Functions run in the crew's section but where they say that they do not.
local core = ...
local primitives = core.cluarun
local Thread, monotonic = primitives.Thread, primitives.monotonic
local Base = core.load "poolbase"
local check = core.load "poolcheck"
local jobs = core.load "pooljob"

local Crew = setmetatable({}, {__index = Base})
Crew.__index = Crew

-- ---- a worker (not in a section) ----

local function handler(err)
  if type(err) ~= "string" then return err end
  return ("%s\nin Thread %s, %s"):format(err, primitives.current_thread().name,
    check.traceback())
end

local function call(job, item)
  if job.spread then return check.xpcall(job.f, handler, item) end
  return xpcall(job.f, handler, item)
end

local function record(self, me, ok, ...)
  local chunk = me.chunk
  me.running = false
  if me.dismissed or self.state == "ended" then return end
  if not ok then
    self:fail_item(chunk, (...))
  else
    if chunk.job.all then
      chunk.job.values = table.pack(...)
    else
      chunk.list[chunk.base + chunk.got + 1] = (...)
    end
    self:advance(chunk, 1)
  end
end

local function leave(self, me)
  if not me.gone then
    me.gone, self.alive = true, self.alive - 1
    self.section:ring()
  end
  return "leave"
end

-- In the section: somebody may take what has come.
local function wake_one(self)
  if self.coming or self.idle == 0 then return end
  self.coming = true
  self.hands:ring(true)
end

local function arrive(self, me)
  if not me.idle then return end
  me.idle, self.idle = false, self.idle - 1
  self.coming = false
end

local function has_work(self)
  return self.again or self.jobs.first <= self.jobs.last
end

-- What comes next: "leave", "wait", or "run" with a job and an item.
local function next_item(self, me)
  arrive(self, me)
  if me.dismissed or self.state == "ended" then return leave(self, me) end
  local chunk = me.chunk
  if not chunk or chunk.got == chunk.n then
    chunk = self:next_chunk()
    me.chunk = chunk
    if has_work(self) then wake_one(self) end
  end
  if not chunk then
    if self.state == "closed" and self.unfinished == 0 then
      return leave(self, me)
    end
    me.idle, self.idle = true, self.idle + 1
    return "wait", self.hands:changes()
  end
  me.running, me.begun = true, monotonic()
  return "run", chunk.job, chunk.source[chunk.from + chunk.got + 1]
end

-- Returns true when the thread is to end.
local function step(self, me)
  local what, job, item = self:enter(next_item, me)
  if what == "leave" then return true end
  if what == "wait" then
    core.wait(nil, self.hands, job, nil)
    return false
  end
  local results = table.pack(call(job, item))
  if not self:is_own() then
    if not results[1] then error(results[2], 0) end
    return true
  end
  self:enter(record, me, table.unpack(results, 1, results.n))
  return false
end

-- Returns whether this is still a worker, not what the initializer has forked.
local function initialise(self)
  local f, args = self.initializer, self.initargs or {}
  if not f then return true end
  local ok, err = check.xpcall(f, handler, args)
  local own = self:is_own()
  if not ok and own then
    self:enter(self.break_down, err)
  elseif not ok then
    error(err, 0)
  end
  return own
end

local function steps(self, me)
  repeat until step(self, me)
end

-- A late interrupt is for an item that is over; an error of what an item has
-- forked is its thread's.
local function work(self, me)
  if not initialise(self) then return end
  while true do
    local ok, err = pcall(steps, self, me)
    if ok then return end
    if not self:is_own() then error(err, 0) end
    if me.running then
      pcall(self.enter, self, record, me, false, primitives.TimeoutError)
    end
  end
end

local function start(self)
  self.made = self.made + 1
  local me = {}
  self.workers[self.made] = me
  me.thread = Thread {
    target = work, args = {self, me}, daemon = true,
    name = "ThreadPoolWorker-" .. self.made
  }
  self.alive = self.alive + 1
  me.thread:start()
end

-- ---- the crew ----

-- Goes on without the worker; what it does is interrupted.
local function dismiss(self, key, me, err)
  self.workers[key] = nil
  me.dismissed = true
  if not me.gone then self.alive = self.alive - 1 end
  me.gone = true
  if me.running and me.thread ~= primitives.current_thread() then
    me.thread:interrupt(err)
  end
end

function Crew:dismiss()
  for key, me in pairs(self.workers) do dismiss(self, key, me, self.error) end
  self.hands:ring()
end

Crew.feed = wake_one

--- The last job: those that wait for more may leave.
function Crew:finish(job)
  Base.finish(self, job)
  if self.state == "closed" and self.unfinished == 0 then self.hands:ring() end
end

function Crew:close()
  Base.close(self)
  self.hands:ring()
end

local function give_up_item(self, key, me)
  local chunk = me.chunk
  dismiss(self, key, me, primitives.TimeoutError)
  self:fail_item(chunk, primitives.TimeoutError)
  if chunk.got < chunk.n then self:give_back(chunk) end
  start(self)
end

local function look_at_times(self)
  local due, late
  for key, me in pairs(self.workers) do
    local limit = me.running and me.chunk.job.timeout
    if limit then
      local ends = me.begun + limit
      if monotonic() >= ends then
        late = late or {}
        late[key] = me
      elseif not due or ends < due then
        due = ends
      end
    end
  end
  for key, me in pairs(late or {}) do give_up_item(self, key, me) end
  return due
end

function Crew:pump()
  if self.dropped then self:cancel_dropped() end
  if self.timed == 0 or self.state == "ended" then return nil end
  local due = look_at_times(self)
  local soon = monotonic() + self.shortest
  return due and due < soon and due or soon
end

function Crew:is_over()
  return self.state ~= "open" and self.unfinished == 0 and self.alive == 0
end

function Crew:join_threads(but)
  for _, me in pairs(self.workers) do
    if me.thread ~= but then me.thread:join() end
  end
end

function Crew.new_task(_, f, args, options)
  local job = jobs.Task.new()
  job.f, job.source, job.timeout = f, {args}, options.timeout
  job.spread, job.all = true, true
  return job
end

function Crew.lend(_, job, f)
  job.f = f
  return true
end

--- An item that nobody has seen begin ends at the earliest after the shortest.
function Crew:limit(job)
  if job.timeout and job.timeout < self.shortest then
    self.shortest = job.timeout
  end
end

function Crew:start_all()
  for _ = 1, self.size do start(self) end
end

--- n threads to be, with the options of Pool.
function Crew.new(n, options)
  local self = Base.new(Crew, {
    name = "ThreadPool", size = n, workers = {}, made = 0, alive = 0,
    hands = core.section(), idle = 0, coming = false, shortest = math.huge,
    initializer = options.initializer, initargs = options.initargs
  })
  return self
end

return Crew
