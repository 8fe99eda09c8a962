-- The crew of a Pool: its worker processes, and who has which chunk.
--
-- Each worker has a lane: a queue from which it takes its messages, and a place
-- in the pool's tray where it lays down what each item gave. The crew gives it
-- a few messages ahead and takes some back when another worker has nothing to
-- do. After a death, the results that it laid down are collected and the
-- messages that it had not taken go to others; so exactly the item is lost that
-- it had begun.
--
-- Functions run in the crew's section but where they say that they do not.
local core = ...
local primitives = core.cluarun
local Process, Queue, monotonic =
  primitives.Process, primitives.Queue, primitives.monotonic
local Base = core.load "poolbase"
local new_functions = core.load "poolfunction"
local work = core.load "poolworker"
local collect, busy, count_ended = core.collect, core.busy, core.ended

local AHEAD = 128 -- items that a worker may have, but two messages at least
local EARLY = 20 -- deaths in a row before a worker was ready, for so many
local EARLY_TIME = 5 -- seconds: the machine may be slow, the killer fast
local RETRY = 0.05 -- seconds after a fork that failed
local AGAIN = 0.001 -- seconds until a message is taken back after all
local PAYLOAD = 6 -- place in a message: what comes before are numbers
local TASKS = 64 -- so many are submitted before their results are looked at

local Crew = setmetatable({}, {__index = Base})
Crew.__index = Crew

-- ---- workers ----

-- Raises if the system refuses.
local function start(self, lane)
  core.reset(self.tray, lane.index)
  while core.pop(lane.functions) do end
  while core.pop(lane.large) do end
  lane.known, lane.left = {}, self.maxtasks
  lane.ready, lane.leaving, lane.doomed, lane.retry = false, false, nil, nil
  self.made = self.made + 1
  lane.process = Process {
    target = work, name = "PoolWorker-" .. self.made, daemon = true,
    args = {self.tray, lane.index, lane.tasks, lane.functions, lane.large,
      self.initializer, self.initargs, n = 7}
  }:start()
end

local function new_lane(index)
  return {
    index = index, tasks = Queue(), functions = Queue(), large = Queue(),
    first = 1, last = 0, -- its chunks: lane[first] (in work) to lane[last]
    count = 0, -- how many
    items = 0 -- and how many these still hold
  }
end

-- Tries again later as long as there is somebody else to do the work.
local function restart(self, lane)
  local ok, err = pcall(start, self, lane)
  if ok then return end
  lane.process, lane.retry, self.vacant = nil, monotonic() + RETRY, true
  for _, other in ipairs(self.lanes) do
    if other.process then return end
  end
  self:break_down(err)
end

-- A process that is closed was so by the end of the state: a finalizer calls.
local function exitcode(process) return process.exitcode end

local function has_ended(process)
  local ok, code = pcall(exitcode, process)
  return not ok or code
end

function Crew:dismiss()
  for _, lane in ipairs(self.lanes) do
    if lane.process then pcall(lane.process.kill, lane.process) end
  end
end

-- ---- what a worker has ----

local function append(lane, chunk)
  local last = lane.last + 1
  lane[last], lane.last, lane.count = chunk, last, lane.count + 1
  lane.items = lane.items + chunk.upto - chunk.got
  if lane.left then lane.left = lane.left - 1 end
end

-- The chunk in work is done.
local function shift(lane)
  local first = lane.first
  lane[first], lane.first, lane.count = nil, first + 1, lane.count - 1
end

-- Removes and returns the chunk with that id, which is not in work.
local function remove(lane, id)
  local i = lane.first
  while lane[i].id ~= id do i = i + 1 end
  local chunk, last = lane[i], lane.last
  for k = i, last do lane[k] = lane[k + 1] end
  lane.last, lane.count = last - 1, lane.count - 1
  lane.items = lane.items - (chunk.upto - chunk.got)
  return chunk
end

-- ---- sending ----

local function tell_function(lane, entry)
  if lane.known[entry.number] then return true end
  local ok, err = core.send(lane.functions, entry.number, entry.f)
  if ok then lane.known[entry.number] = true end
  return ok, err
end

-- Either true, or nil and why not: a text or Full.
local function put(self, lane, chunk)
  local job = chunk.job
  local entry = job.entry
  if entry then
    local ok, err = tell_function(lane, entry)
    if not ok then return nil, err end
  end
  local packet = chunk.packet
  if packet then
    local ok, err
    if type(packet) == "table" then
      ok, err = core.send(lane.tasks, table.unpack(packet, 1, packet.n))
    else
      ok, err = core.put(lane.tasks, packet)
    end
    if ok then chunk.packet = nil end
    return ok, err
  end
  self.last_id = self.last_id + 1
  chunk.id = self.last_id
  local n, at = chunk.upto - chunk.got, chunk.from + chunk.got
  if n == 1 then
    return core.send(lane.tasks, chunk.id, entry.number, job.call, job.flags, 1,
      chunk.source[at + 1])
  end
  return core.send_slice(lane.tasks, chunk.source, at, n, chunk.id,
    entry.number, job.call, job.flags | core.MANY, n)
end

-- Goes on with a chunk whose items up to `upto` are done.
local function resume(self, chunk)
  if chunk.got == chunk.n then return end
  if chunk.upto == chunk.got then
    chunk.upto = chunk.slow and chunk.got + 1 or chunk.n
  end
  self:give_back(chunk)
end

-- A list that cannot be sent is sent item by item; the one that cannot fails.
local function cannot_send(self, chunk, err)
  if chunk.upto - chunk.got > 1 then
    chunk.slow, chunk.upto = true, chunk.got + 1
    chunk.packet = nil -- of all of them
  else
    self:fail_item(chunk, chunk.job:explain(chunk, err), type(err) == "string")
  end
  resume(self, chunk)
end

local function hire(self, lane, chunk)
  local ok, err = put(self, lane, chunk)
  if ok then append(lane, chunk) else cannot_send(self, chunk, err) end
end

-- Two messages at least, so that it never waits for the next.
local function has_room(lane)
  return lane.process and (lane.count < 2 or lane.items < AHEAD) and
    lane.left ~= 0 and not lane.leaving and not lane.doomed
end

local function idlest(lanes)
  local best
  for i = 1, #lanes do
    local lane = lanes[i]
    if (not best or lane.items < best.items) and has_room(lane) then
      best = lane
    end
  end
  return best
end

-- It will be tried again, by whoever looks after the pool.
local function put_off(self)
  self.contended = true
  self.section:ring()
end

-- Takes a message back from the worker that has the most, unless that is just
-- about to take one.
local function steal(self)
  local victim
  for _, lane in ipairs(self.lanes) do
    if lane.count > 1 and (not victim or lane.items > victim.items) then
      victim = lane
    end
  end
  if not victim then return nil end
  local packet, id = core.pop(victim.tasks, true)
  if packet == false then put_off(self) end
  if not packet then return nil end
  local chunk = remove(victim, id)
  if victim.left then victim.left = victim.left + 1 end
  chunk.packet = packet
  return chunk
end

local function share(self)
  for _, lane in ipairs(self.lanes) do
    if lane.count == 0 and has_room(lane) then
      local chunk = steal(self)
      if not chunk then return end
      hire(self, lane, chunk)
    end
  end
end

function Crew:feed()
  local lanes = self.lanes
  while true do
    local lane = idlest(lanes)
    if not lane then return end
    local chunk = self:next_chunk()
    if not chunk then break end
    hire(self, lane, chunk)
  end
  if self.unfinished > 0 then share(self) end
end

-- A worker that has nothing to do.
local function find_idle(lanes)
  for i = 1, #lanes do
    local lane = lanes[i]
    if lane.count == 0 and has_room(lane) then return lane end
  end
end

function Crew:feed_idle()
  if find_idle(self.lanes) then self:feed() end
end

--- A task that comes while all have something to do waits for company: a worker
-- is woken once for many.
function Crew:admit()
  self.fresh = self.fresh + 1
  if self.fresh < TASKS then return end
  self.fresh, self.looks = 0, self.looks + 1
  self:pump()
end

-- Keeps what the job has to send, as it is now. What has shared objects in it
-- is copied: these have to be held by the copy.
local function keep(job, ...)
  local packet, err = core.pack(...)
  if packet == false then
    packet = table.pack(...)
    for i = PAYLOAD, packet.n do
      packet[i], err = core.copy(packet[i])
      if packet[i] == nil and err then return nil, err end
    end
  end
  if not packet then return nil, err end
  job.packet = packet
  return false
end

--- The task f(args...). What has to be sent is encoded now: to a worker that
-- has nothing to do (then it returns true), or in a packet (false). Returns nil
-- and why if it cannot be.
function Crew:send_task(job, args, f)
  local entry, lane = job.entry, find_idle(self.lanes)
  self.last_id, self.call = self.last_id + 1, self.call + 1
  job.id = self.last_id
  local number = entry and entry.number or 0
  if not lane or self.jobs.first <= self.jobs.last then
    return keep(job, job.id, number, self.call, job.flags, 1, args, f)
  end
  local ok, err = true, nil
  if entry then ok, err = tell_function(lane, entry) end
  if ok then
    ok, err =
      core.send(lane.tasks, job.id, number, self.call, job.flags, 1, args, f)
  end
  if not ok then return nil, err end
  append(lane, job)
  return true
end

-- ---- collecting ----

local function special(self, lane, kind, ...)
  local chunk = lane[lane.first]
  if kind == core.READY then
    lane.ready, self.early = true, 0
  elseif kind == core.UNFIT then
    self:break_down((...))
  elseif kind == core.VALUES then
    chunk.job.values = table.pack(...)
    self:advance(chunk, 1)
    lane.items = lane.items - 1
  elseif kind == core.CHUNK then
    lane.items = lane.items - (chunk.upto - chunk.got)
    while chunk.got < chunk.upto do self:fail_item(chunk, (...)) end
  else
    local err = kind == core.FULL and
      "no room for a result: shared memory exhausted" or (...)
    self:fail_item(chunk, err)
    lane.items = lane.items - 1
  end
end

local nothing = {n = 0, upto = 0, got = 0, base = 0, list = {}}

local function took(self, lane, chunk, count, kind, ...)
  if count > 0 then
    self:advance(chunk, count)
    lane.items = lane.items - count
  end
  if kind then special(self, lane, kind, ...) end
  if chunk ~= nothing and chunk.got >= chunk.upto then
    shift(lane)
    resume(self, chunk)
    return true
  end
  return count > 0 or kind ~= nil
end

-- Takes all that lies in the lane.
local function gather(self, lane)
  repeat
    local chunk = lane[lane.first] or nothing
    local wanted = chunk == nothing and 1 or chunk.upto - chunk.got
    local more = took(self, lane, chunk, collect(self.tray, lane.index,
      lane.large, chunk.list or chunk, chunk.base + chunk.got, wanted))
  until not more
end

-- ---- deaths ----

local function cause(lane)
  if lane.doomed then return primitives.TimeoutError end
  local ok, err = pcall(lane.process.result, lane.process)
  return ok and core.lost(("process %s (pid %d) has ended"):format(
    lane.process.name, lane.process.pid)) or err
end

-- What the dead worker had not taken goes to others; the item that it had begun
-- is lost.
local function inherit(self, lane, err)
  local packets = {}
  while true do
    local packet, id = core.pop(lane.tasks)
    if not packet then break end
    if id ~= 0 then packets[#packets + 1] = packet end
  end
  local taken = lane.last - #packets
  for i = lane.last, lane.first, -1 do
    local chunk = lane[i]
    lane[i] = nil
    if i > taken then
      chunk.packet = packets[i - taken]
      self:give_back(chunk)
    else
      self:fail_item(chunk, err)
      resume(self, chunk)
    end
  end
  lane.first, lane.last, lane.count, lane.items = 1, 0, 0, 0
end

-- Without ever having been ready: that will not get better by trying again.
local function died_early(self, err)
  if self.early == 0 then self.early_since = monotonic() end
  self.early = self.early + 1
  if self.initializer or self.early > EARLY and
    monotonic() - self.early_since > EARLY_TIME then
    self:break_down(err)
  end
end

local function bury(self, lane)
  if self.state ~= "ended" then gather(self, lane) end
  if self.state ~= "ended" then
    local err = (not lane.leaving or lane.count > 0) and cause(lane)
    inherit(self, lane, err)
    if err and not lane.ready then died_early(self, err) end
  end
  lane.process = nil
  if self.state == "open" or self.state == "closed" and self.unfinished > 0 then
    restart(self, lane)
  end
end

local function look_for_deaths(self)
  local ended = count_ended()
  if ended == self.ended then return end
  self.ended = ended
  for _, lane in ipairs(self.lanes) do
    local process = lane.process
    if process and has_ended(process) then bury(self, lane) end
  end
end

-- ---- time ----

-- Ends items that take too long; returns when to look again.
local function look_at_times(self, due)
  for _, lane in ipairs(self.lanes) do
    local chunk = lane[lane.first]
    local limit = chunk and chunk.job.timeout
    if limit and lane.process and not lane.doomed then
      local seconds, begun = core.begun(self.tray, lane.index)
      if seconds and seconds >= limit and
        core.doom(self.tray, lane.index, begun) then
        lane.doomed = true
        lane.process:kill()
      else
        local again = monotonic() + limit - math.min(seconds or 0, limit)
        if not due or again < due then due = again end
      end
    end
  end
  return due
end

-- Forks again where that failed.
local function look_at_vacant(self, due)
  self.vacant = false
  for _, lane in ipairs(self.lanes) do
    if lane.retry and monotonic() >= lane.retry then restart(self, lane) end
    if lane.retry then
      self.vacant = true
      if not due or lane.retry < due then due = lane.retry end
    end
  end
  return due
end

-- ---- the whole ----

local function send_away(lane)
  if not lane.process or lane.leaving or lane.count > 0 then return end
  lane.leaving = core.send(lane.tasks, 0)
end

local function let_leave(self)
  local over = self.state == "closed" and self.unfinished == 0
  if not over and not self.maxtasks then return end
  for _, lane in ipairs(self.lanes) do
    if over or lane.left == 0 then send_away(lane) end
  end
end

--- Moves everything on; returns when to do so again at the latest, or nil.
function Crew:pump()
  local i = self.state ~= "ended" and busy(self.tray, 0)
  while i do
    gather(self, self.lanes[i])
    i = busy(self.tray, i)
  end
  if self.dropped then self:cancel_dropped() end
  look_for_deaths(self)
  if self.state == "ended" then return nil end
  self.contended = false
  self:feed()
  let_leave(self)
  local due = self.contended and monotonic() + AGAIN or nil
  if self.timed > 0 then due = look_at_times(self, due) end
  if self.vacant then due = look_at_vacant(self, due) end
  return due
end

--- Is everything done, and has everybody left?
function Crew:is_over()
  if self.state == "open" or self.unfinished > 0 then return false end
  for _, lane in ipairs(self.lanes) do
    if lane.process then return false end
  end
  return true
end

local function forget(self, number)
  for _, lane in ipairs(self.lanes) do
    if lane.known and lane.known[number] then
      lane.known[number] = nil
      core.send(lane.functions, number)
    end
  end
end

function Crew:start_all()
  for _, lane in ipairs(self.lanes) do start(self, lane) end
end

--- n workers to be, with the options of Pool.
function Crew.new(n, options)
  local self = Base.new(Crew, {
    name = "Pool", size = n, tray = core.tray(n), lanes = {}, last_id = 0,
    made = 0, early = 0, fresh = 0, ended = count_ended(), contended = false,
    initializer = options.initializer, initargs = options.initargs,
    maxtasks = options.maxtasksperchild
  })
  self.functions = new_functions(function(number) forget(self, number) end)
  for i = 1, n do self.lanes[i] = new_lane(i) end
  return self
end

return Crew
