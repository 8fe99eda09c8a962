-- Jobs: what one call of apply, map or imap has to do.
--
-- A chunk is {job, n items, got: how many of them are done, upto: how many are
-- sent at once, source and from: its items are source[from + 1] and so on, list
-- and base: their results go to list[base + 1] and so on, bad: errors in the
-- same places, each boxed as {err, misuse: is it the caller's?}}.
local core = ...
local primitives = core.cluarun
local Lock, current_thread = primitives.Lock, primitives.current_thread
local check = core.load "poolcheck"

local Job = {}
Job.__index = Job

--- All of it has failed.
function Job:fail(err)
  self.failed = self.failed or {err}
end

-- Raises a boxed error; what the caller did wrong where he called.
local function raise(box)
  if box.misuse then check.misuse("%s", box[1]) end
  error(box[1], 0)
end

-- The error of the first item that has one.
local function first_error(bad)
  local first
  for i in pairs(bad) do
    if not first or i < first then first = i end
  end
  return bad[first]
end

--- In place of what the encoder knows of the message: where in the list or the
-- arguments the thing lies.
local function explain(err, place)
  if type(err) ~= "string" then return err end
  err = err:gsub("%(at %[%d+%]", "(at " .. place, 1)
  return (err:gsub("%(at , ", "(at ", 1):gsub(" %(at %)$", ""))
end

-- An item's text names it as the list does.
function Job.explain(_, chunk, err)
  local index = (chunk.offset or chunk.from) + chunk.got + 1
  return explain(err, "[" .. index .. "]")
end

-- ---- one task ----

local Task = setmetatable({}, {__index = Job})
Task.__index = Task

-- It is its own chunk, and the list of its one result. What is the same in all
-- lies here; there may be many of them.
Task.single, Task.n, Task.upto, Task.base, Task.from = true, 1, 1, 0, 0

function Task.new()
  local job = {
    nil, job = false, id = 0, entry = nil, flags = nil, packet = nil, got = 0,
    left = 1, done = false
  }
  job.job = job
  return setmetatable(job, Task)
end

function Task.complete()
end

--- Calls a callback with the outcome.
function Task:give(f)
  if self.failed then
    f(self.failed[1])
  else
    f(self:outcome())
  end
end

--- How many items are done, of how many (nil: nobody knows).
function Task:so_far()
  return 1 - self.left, 1
end

--- Returns the results or raises.
function Task:outcome()
  if self.failed then raise(self.failed) end
  local values = self.values
  if not values then return self[1] end
  return table.unpack(values, 1, values.n)
end

-- ---- a list of items ----

local List = setmetatable({}, {__index = Job})
List.__index = List

--- source, total, size (of a chunk), sized: does the result have its n?
function List.new(job)
  job.done, job.results, job.bad = false, core.list(job.total), {}
  job.left, job.next = job.total, 1
  return setmetatable(job, List)
end

function List:next_chunk()
  local first, total = self.next, self.total
  if first > total or self.done then return nil end
  local n = self.size
  if n > total - first + 1 then n = total - first + 1 end
  self.next = first + n
  return {
    job = self, n = n, got = 0, upto = n, base = first - 1, from = first - 1,
    list = self.results, bad = self.bad, source = self.source
  }
end

function List:so_far()
  return self.total - self.left, self.total
end

function List:complete()
  self.failed = self.failed or first_error(self.bad)
  self.source = nil
  if self.sized then self.results.n = self.total end
end

function List:give(f)
  if self.failed then
    f(self.failed[1])
  else
    f(self.results)
  end
end

function List:outcome()
  if self.failed then raise(self.failed) end
  return self.results
end

-- ---- a stream of items: imap ----

local Stream = setmetatable({}, {__index = Job})
Stream.__index = Stream

--- read() gives true and the next item, or false; total: how many, if that is
-- known, else it may go on for ever; size of a chunk; window: how many chunks
-- may be on their way or unread; ordered.
function Stream.new(job)
  job.done = false
  job.left, job.count, job.live, job.reading = 0, 0, 0, true
  job.pending = {first = 1, last = 0} -- chunks to be done
  job.unread = {first = 1, last = 0} -- chunks, in the order of reading
  job.lock, job.reader = Lock(), current_thread()
  return setmetatable(job, Stream)
end

local function push(queue, value)
  queue.last = queue.last + 1
  queue[queue.last] = value
end

local function pop(queue)
  if queue.first > queue.last then return nil end
  local value = queue[queue.first]
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return value
end

function Stream:next_chunk()
  return pop(self.pending)
end

function Stream.complete()
end

function Stream:so_far()
  return self.count - self.left, self.total
end

function Stream:arrived(chunk)
  if not self.ordered and not chunk.listed then
    chunk.listed = true
    push(self.unread, chunk)
  end
  self.crew.section:ring()
end

local function finish_if_done(self)
  if self.left == 0 and not self.reading then self.crew:finish(self) end
end

--- What is not there yet will not come; the reader gets the error.
function Stream:fail(err)
  self.reading, self.over, self.failed = false, true, {err}
end

--- In the section: it will not be read any further.
function Stream:cancel()
  self.reading, self.over = false, true
  local chunk = pop(self.pending)
  while chunk do
    self.left = self.left - chunk.n
    chunk = pop(self.pending)
  end
  finish_if_done(self)
end

-- In the section: adds a chunk of items that were read; `last`: there are no
-- more.
local function add(crew, self, items, n, last)
  if n > 0 and self.reading then
    local chunk = {
      job = self, n = n, got = 0, upto = n, base = 0, from = 0, list = {},
      bad = {}, source = items, offset = self.count, taken = 0
    }
    self.count, self.left, self.live =
      self.count + n, self.left + n, self.live + 1
    if crew.state == "ended" then
      while chunk.got < n do crew:fail_item(chunk, crew.error) end
    else
      push(self.pending, chunk)
    end
    if self.ordered then push(self.unread, chunk) end
  end
  if last then self.reading = false end
  if crew.state == "ended" then return end
  if n > 0 then
    crew:enqueue(self)
    crew:feed_idle()
    crew:wake_keeper()
  end
  finish_if_done(self)
end

-- Reads up to `size` items. Returns them, their number, and whether there may
-- be more.
local function read_some(self)
  local items, n = {}, 0
  while n < self.size do
    local ok, more, item = pcall(self.read)
    if not ok and core.interrupted(more) then error(more, 0) end
    if not ok then self.failed = {more} end
    if not ok or not more then return items, n, false end
    n = n + 1
    items[n] = item
  end
  return items, n, true
end

--- Not in a section: fills the window.
function Stream:read_ahead()
  local _ <close> = self.lock:guard()
  while self.reading and self.live < self.window do
    local items, n, more = read_some(self)
    self.crew:enter(add, self, items, n, not more)
  end
  self.crew:enter(self.crew.feed)
end

--- Not in a section: the calling thread waits for the end. If nobody else
-- reads, a list is read now; an iterator, which may have no end, is parked:
-- what was read of it gets done, the rest when somebody asks. False: another
-- thread reads.
function Stream:settle()
  local reader = self.reader
  local free = reader == current_thread() or not reader:is_alive()
  self.parked = free and not self.total
  if free and self.total then
    self.window = math.huge
    self:read_ahead()
  end
  return free
end

local function is_readable(self)
  local chunk = self.unread[self.unread.first]
  return self.over or chunk and chunk.taken < chunk.got or
    self.live == 0 and not self.reading
end

-- In the section: the next item that is there: true, its index, its error
-- (boxed), its value.
local function take(_, self)
  local unread = self.unread
  local chunk = unread[unread.first]
  if not chunk or chunk.taken == chunk.got then return false end
  local i = chunk.taken + 1
  chunk.taken = i
  if i == chunk.n then
    pop(unread)
    self.live = self.live - 1
  elseif not self.ordered and i == chunk.got then
    pop(unread)
    chunk.listed = false
  end
  local value = chunk.list[i]
  chunk.list[i] = nil
  return true, chunk.offset + i, chunk.bad[i], value
end

--- Not in a section: index and value of the next item, or nothing.
function Stream:next()
  local crew = self.crew
  self.reader = current_thread()
  repeat
    if self.reading and self.live <= self.window // 2 then
      self:read_ahead()
    end
    local found, index, bad, value = crew:enter(take, self)
    if found then
      if bad then raise(bad) end
      return index, value
    end
    if self.over or self.live == 0 and not self.reading then
      if self.progress then self.progress:finish() end
      local failed = self.failed
      self.failed = nil
      if failed then raise(failed) end
      return nil
    end
  until not crew:drive(is_readable, self, nil, self.progress)
end

return {Task = Task, List = List, Stream = Stream, explain = explain}
