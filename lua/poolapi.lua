-- Pool and ThreadPool: how they are made, and their methods.
local core = ...
local Base = core.load "poolbase"
local check = core.load "poolcheck"
local jobs = core.load "pooljob"
local new_result = core.load "poolresult"
local new_progress = core.load "poolprogress"
local List, Stream = jobs.List, jobs.Stream

local MOST = 1024 -- workers
local CHUNKS = 4 -- that a worker gets of a list, as in Python; of a long one
local CHUNK_MOST = 2048 -- items more: so many are a message that caches hold
-- What imap has on its way or unread, for each worker: so many chunks, more if
-- they are small. Fewer than so many items, and all would wait for each other.
local CHUNKS_AHEAD, ITEMS_AHEAD = 8, 32

local none = {} -- no options, no callbacks

local function is_done(job) return job.done end

-- ---- submitting ----

local function require_open(crew, name)
  if crew.state == "open" then return end
  if crew.failure then error(crew.failure[1], 0) end
  check.misuse("cannot %s: the pool is %s", name,
    crew.state == "closed" and "closed" or "terminated")
end

-- `wake`: nobody waits, the keeper shows it.
local function show_progress(crew, job, wake)
  job.progress = new_progress(job)
  if wake then crew.progress = job.progress end
end

-- In the section: makes the job of one call and takes it on. Returns the job,
-- or nil, the number of the argument to blame, and why; nil: it was closed
-- meanwhile.
local function submit_task(crew, pool, f, args, options, more, wake)
  if crew.state ~= "open" then return nil end
  local job, given, problem = crew:new_task(f, args, options)
  if not job then return nil, given, problem end
  crew:limit(job)
  if more ~= none then
    job.callback, job.error_callback = more.callback, more.error_callback
  end
  if options.progress then show_progress(crew, job, wake) end
  crew.keep = pool
  crew:submit(job, wake, given)
  return job
end

local function task(self, class, name, f, args, options, more, wake)
  local crew = check.own(self, class, name)
  check.callable(f, 1, name)
  args = check.arguments(args, 2, name)
  require_open(crew, name)
  local job, argument, problem =
    crew:enter(submit_task, self, f, args, options, more or none, wake)
  if job then return job end
  require_open(crew, name)
  if type(problem) ~= "string" then error(problem, 0) end
  check.bad(argument, name, "%s", problem)
end

local function submit(crew, pool, job, f, wake)
  if crew.state ~= "open" then return nil end
  local ok, problem = crew:lend(job, f)
  if not ok then return nil, problem end
  crew:limit(job)
  crew.keep = pool
  crew:submit(job, wake)
  return true
end

local function take_on(self, crew, job, f, name, wake)
  local ok, problem = crew:enter(submit, self, job, f, wake)
  if ok then return job end
  require_open(crew, name)
  if type(problem) ~= "string" then error(problem, 0) end
  check.bad(1, name, "%s", problem)
end

local function chunk_size(crew, total)
  local n = crew.size * CHUNKS
  return math.max(math.min((total + n - 1) // n, CHUNK_MOST), 1)
end

local function map(self, class, name, f, list, options, more, wake)
  local crew = check.own(self, class, name)
  check.callable(f, 1, name)
  local source, total, sized = check.list(list, 2, name)
  options = check.options(options, 3, name)
  require_open(crew, name)
  -- The caller goes on with it, or reading it runs what may raise or wait.
  if wake or type(source) ~= "table" or getmetatable(source) ~= nil then
    source = table.move(source, 1, total, 1, {})
  end
  if more.spread then check.lists(source, total, 2, name) end
  local job = List.new {
    source = source, total = total, sized = sized, spread = more.spread,
    size = options.chunksize or chunk_size(crew, total),
    timeout = options.timeout, callback = more.callback,
    error_callback = more.error_callback
  }
  if options.progress then show_progress(crew, job, wake) end
  return take_on(self, crew, job, f, name, wake)
end

-- For a call that waits: submits a job by `how`, and waits for it. From the
-- moment when it is taken on a Ctrl-C ends the pool, not only while it waits;
-- what comes after that, the job's own error, does not.
local function wait_for(how, self, ...)
  local crew = type(self) == "table" and self.crew
  local _ <close> = crew and crew.watch or nil
  local job = how(self, ...)
  local progress <close> = job.progress
  if not job.done then self.crew:drive(is_done, job, nil, progress) end
  return job
end

-- ---- imap ----

-- read() for an iterator function or a list, and how many items there are, if
-- that is known.
local function reader_of(iterable, name)
  if check.is_callable(iterable) then
    return function()
      local item = iterable()
      return item ~= nil, item
    end
  end
  local list, total = check.list(iterable, 2, name, " or an iterator function")
  local i = 0
  return function()
    if i >= total then return false end
    i = i + 1
    return true, list[i]
  end, total
end

-- What is read no further is dropped.
local Closer = {}

function Closer:__close()
  local job = self.job
  if job.progress then job.progress:finish() end
  if job.crew:is_own() and not job.done then job.crew:enter(function()
    job:cancel()
  end) end
end

function Closer:__gc()
  local job = self.job
  if not job.crew:is_own() or job.done then return end
  job.dropped, job.crew.dropped = true, true
  job.crew.section:ring()
end

local function window(crew, size)
  return crew.size * math.max(CHUNKS_AHEAD, ITEMS_AHEAD // size)
end

local function imap(self, class, name, f, iterable, options, ordered)
  local crew = check.own(self, class, name)
  check.callable(f, 1, name)
  local read, total = reader_of(iterable, name)
  options = check.options(options, 3, name)
  require_open(crew, name)
  local size = options.chunksize or 1
  local job = Stream.new {
    crew = crew, read = read, total = total, ordered = ordered,
    size = size, window = window(crew, size), timeout = options.timeout
  }
  if options.progress then show_progress(crew, job) end
  take_on(self, crew, job, f, name)
  job:read_ahead()
  local closer = setmetatable({job = job}, Closer)
  local function next_item()
    check.own(self, class, name)
    return closer.job:next()
  end
  return next_item, nil, nil, closer
end

-- ---- the class ----

-- callback, error_callback and options of an _async call, from argument 3 on.
local function split(name, callback, error_callback, options)
  local last = "nothing may follow the options"
  if check.is_options(callback) then
    if error_callback ~= nil or options ~= nil then check.bad(4, name, last) end
    callback, options = nil, callback
  elseif check.is_options(error_callback) then
    if options ~= nil then check.bad(5, name, last) end
    error_callback, options = nil, error_callback
  end
  return {
    callback = check.callable(callback, 3, name, true),
    error_callback = check.callable(error_callback, 4, name, true)
  }, check.options(options, 5, name)
end

local function callbacks(name, spread, callback, error_callback)
  return {
    spread = spread, callback = check.callable(callback, 4, name, true),
    error_callback = check.callable(error_callback, 5, name, true)
  }
end

local function add_calls(class)
  function class:apply(f, args, options)
    if options ~= nil then options = check.options(options, 3, "apply") end
    return wait_for(task, self, class, "apply", f, args, options or none)
      :outcome()
  end

  function class:apply_async(f, args, callback, error_callback, options)
    local more = none
    if callback or error_callback or options then
      more, options =
        split("apply_async", callback, error_callback, options)
    end
    return new_result(self, task(self, class, "apply_async", f, args,
      options or none, more, true))
  end

  for _, spread in ipairs {false, true} do
    local name = spread and "starmap" or "map"
    class[name] = function(self, f, list, options)
      return wait_for(map, self, class, name, f, list, options,
        {spread = spread}):outcome()
    end
    local async = name .. "_async"
    class[async] = function(self, f, list, options, callback, error_callback)
      return new_result(self, map(self, class, async, f, list, options,
        callbacks(async, spread, callback, error_callback), true))
    end
  end

  function class:imap(f, iterable, options)
    return imap(self, class, "imap", f, iterable, options, true)
  end

  function class:imap_unordered(f, iterable, options)
    return imap(self, class, "imap_unordered", f, iterable, options, false)
  end
end

local function add_end(class)
  local lost = core.lost "the pool was terminated"

  function class:close()
    local crew = check.own(self, class, "close")
    crew:enter(crew.close)
  end

  function class:join()
    local crew = check.own(self, class, "join")
    if crew.state == "open" then
      check.misuse "cannot join a pool before it is closed or terminated"
    end
    crew:join()
  end

  function class:terminate()
    local crew = check.own(self, class, "terminate")
    crew:enter(crew.give_up, lost)
  end

  function class:__close(err)
    local crew = self.crew
    if not crew:is_own() then return end
    if err ~= nil then
      crew:enter(crew.give_up, lost)
    else
      crew:enter(crew.close)
    end
    crew:join()
  end

  -- The keeper ends it: here a wait is not possible.
  function class:__gc()
    local crew = self.crew
    if not crew or not crew:is_own() then return end
    crew.abandoned = true
    crew.section:ring()
  end

  function class:__tostring()
    local crew = self.crew
    return ("<%s %s, %d workers>"):format(class.__name, crew.state, crew.size)
  end
end

--- The function of that name, which makes a pool with such a crew. Nothing runs
-- before there is a pool to be closed or collected: an interrupt may come at
-- any time.
return function(name, Crew)
  local class = {__name = name, __transfer = false}
  class.__index = class
  add_calls(class)
  add_end(class)
  return function(n)
    local options = {}
    if check.is_options(n) then
      n, options = n.processes, check.pool_options(n, name)
    end
    if n == nil then
      n = math.min(core.cluarun.cpu_count(), MOST)
    else
      n = check.count(n, "processes", 1, name, MOST)
    end
    core.end_all = Base.end_all
    local crew = check.made(Crew.new, n, options)
    local pool = setmetatable({crew = crew}, class)
    check.made(crew.begin, crew)
    return pool
  end
end
