-- The crew of a Pool: its worker processes, and who has which task.
--
-- Each worker has a lane: a queue from which it takes its messages, and a place
-- in the pool's tray where it lays down what each item gave. The crew gives it a
-- few messages ahead and takes some back when another worker has nothing to do.
-- After a death, the results that it laid down are collected and the messages
-- that it had not taken go to others; so exactly the item is lost that it had
-- begun.
--
-- All functions here run in the crew's section, but for those that say so.
local core = ...
local primitives = core.cluarun
local Process, Queue, monotonic =
  primitives.Process, primitives.Queue, primitives.monotonic
local TimeoutError = primitives.TimeoutError
local work = core.load "poolworker"
local new_functions = core.load "poolfunction"

local AHEAD = 64 -- items that a worker may have, but two messages at least
local EARLY = 20 -- deaths in a row before a worker was ready
local RETRY = 0.05 -- seconds after a fork that failed

local Crew = {}
Crew.__index = Crew

-- ---- workers ----

local function arguments_of(self, lane)
  return {self.tray, lane.index, lane.tasks, lane.functions, lane.large,
    self.initializer, self.initargs, n = 7}
end

-- Raises if the system refuses.
local function start(self, lane)
  core.reset(self.tray, lane.index)
  while core.pop(lane.functions) do end
  while core.pop(lane.large) do end
  lane.known, lane.left = {}, self.maxtasks
  lane.ready, lane.leaving, lane.doomed, lane.retry = false, false, nil, nil
  self.made = self.made + 1
  local process = Process {
    target = work, args = arguments_of(self, lane),
    name = "PoolWorker-" .. self.made, daemon = true
  }
  lane.process = process:start()
end

local function restart(self, lane)
  local ok, err = pcall(start, self, lane)
  if ok then return end
  lane.process, lane.retry = nil, monotonic() + RETRY
  for _, other in ipairs(self.lanes) do
    if other.process then return end
  end
  self:fail(err)
end

local function new_lane(index)
  return {
    index = index, tasks = Queue(), functions = Queue(), large = Queue(),
    first = 1, last = 0, -- its chunks are lane[first .. last]
    items = 0 -- how many these still hold
  }
end

-- ---- tasks on their way ----

local function next_chunk(self)
  local again = self.again
  if again then
    self.again = again.next
    again.next = nil
    return again
  end
  local jobs = self.jobs
  while jobs.first <= jobs.last do
    local job = jobs[jobs.first]
    local chunk = job:next_chunk()
    if chunk then return chunk end
    job.queued = false
    jobs[jobs.first] = nil
    jobs.first = jobs.first + 1
  end
end

-- Puts a chunk back in front of all others.
local function give_back(self, chunk)
  chunk.next = self.again
  self.again = chunk
end

local function tell_function(lane, entry)
  if lane.known[entry.number] then return true end
  local ok, err = core.send(lane.functions, entry.number, entry.f)
  if ok then lane.known[entry.number] = true end
  return ok, err
end

local function put(self, lane, chunk)
  local job = chunk.job
  local entry = job.entry
  if entry then
    local ok, err = tell_function(lane, entry)
    if not ok then return ok, err end
  end
  if chunk.packet then
    local ok, err = core.put(lane.tasks, chunk.packet)
    if ok then chunk.packet = nil end
    return ok, err
  end
  self.last_id = self.last_id + 1
  chunk.id = self.last_id
  local n, at = chunk.n - chunk.got, chunk.from + chunk.got
  if n == 1 then
    return core.send(lane.tasks, chunk.id, entry.number, job.call, job.flags, 1,
      chunk.source[at + 1])
  end
  return core.send(lane.tasks, chunk.id, entry.number, job.call,
    job.flags | core.MANY, n, table.move(chunk.source, at + 1, at + n, 1, {}))
end

local function append(lane, chunk)
  local last = lane.last + 1
  lane[last], lane.last = chunk, last
  lane.items = lane.items + chunk.n - chunk.got
  if lane.left then lane.left = lane.left - 1 end
end

-- The chunk's place in the lane; 1 is the one in work.
local function remove(lane, chunk)
  local i = lane.last
  while lane[i] ~= chunk do i = i - 1 end
  table.remove(lane, i)
  lane.last = lane.last - 1
  lane.items = lane.items - (chunk.n - chunk.got)
  if lane.left then lane.left = lane.left + 1 end
end

-- What cannot be sent fails here. In a list the item that is to blame does.
local function cannot_send(self, chunk, err)
  if chunk.n - chunk.got == 1 or type(err) ~= "string" then
    self:fail_items(chunk, chunk.n - chunk.got, err)
    return
  end
  local at = chunk.from + chunk.got
  for i = 1, chunk.n - chunk.got do
    local item = chunk.source[at + i]
    local copy, problem = core.copy(item)
    if copy == nil and item ~= nil then
      chunk.bad[chunk.base + chunk.got + i] = chunk.job:blame(at + i, problem)
      chunk.refused = chunk.refused or {}
      chunk.refused[at + i] = true
    end
  end
end

local function hire(self, lane, chunk)
  local ok, err = put(self, lane, chunk)
  if ok then append(lane, chunk) else cannot_send(self, chunk, err) end
end

-- May the lane get one more? Two messages at least, so that it never waits for
-- the next; then as many as make AHEAD items.
local function has_room(lane)
  if not lane.process or lane.leaving or lane.left == 0 or lane.doomed then
    return false
  end
  return lane.last - lane.first < 1 or lane.items < AHEAD
end

local function idlest(self)
  local best
  for _, lane in ipairs(self.lanes) do
    if has_room(lane) and (not best or lane.items < best.items) then
      best = lane
    end
  end
  return best
end

-- Takes a message back from the worker that has the most.
local function steal(self)
  local victim
  for _, lane in ipairs(self.lanes) do
    if lane.last > lane.first and (not victim or lane.items > victim.items) then
      victim = lane
    end
  end
  if not victim then return nil end
  local packet, id = core.pop(victim.tasks)
  if not packet or id == 0 then return nil end
  local i = victim.first
  while victim[i].id ~= id do i = i + 1 end
  local chunk = victim[i]
  remove(victim, chunk)
  chunk.packet = packet
  return chunk
end

local function is_idle(lane)
  return lane.process and lane.first > lane.last and not lane.leaving and
    lane.left ~= 0
end

local function feed(self)
  while true do
    local lane = idlest(self)
    if not lane then return end
    local chunk = next_chunk(self)
    if not chunk then break end
    hire(self, lane, chunk)
  end
  for _, lane in ipairs(self.lanes) do
    if is_idle(lane) then
      local chunk = steal(self)
      if not chunk then return end
      hire(self, lane, chunk)
    end
  end
end

return Crew
