-- What a worker of a Pool runs: it takes messages and does what they say, until
-- one says that it shall leave.
local core = ...
local primitives = core.cluarun
local check = core.load "poolcheck"
local take, run, report = core.take, core.run, core.report

-- Functions travel once. What came for a number, with the upvalues that it
-- came with: each call finds them as they were sent, whatever an earlier one
-- made of them.
local Known = {}
Known.__index = Known

local function cells_of(f, cells, seen)
  if seen[f] then return cells end
  seen[f] = true
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then break end
    if value ~= _G then
      cells[#cells + 1] = f
      cells[#cells + 1] = i
      cells[#cells + 1] = {value}
      if type(value) == "function" then cells_of(value, cells, seen) end
    end
  end
  return cells
end

local function restore(cells)
  for i = 1, #cells, 3 do
    debug.setupvalue(cells[i], cells[i + 1], cells[i + 2][1])
  end
end

-- Reads what has come; a function that cannot be read here is known by its
-- error.
function Known:learn(number)
  local problem
  while not self[number] and not self.channel:empty() do
    local ok, which, f = pcall(take, self.channel)
    if not ok then
      problem = which
    elseif f == nil then
      self[which] = nil
    else
      local cells = type(f) == "function" and cells_of(f, {}, {}) or {}
      self[which] = {f = f, cells = cells}
    end
  end
  if problem and not self[number] then self[number] = {problem = problem} end
  return self[number]
end

function Known:get(number, call)
  local entry = self[number] or self:learn(number)
  if not entry then return nil, "the function is missing" end
  if entry.problem then return nil, entry.problem end
  if entry.call ~= call then
    if entry.call and #entry.cells > 0 then restore(entry.cells) end
    entry.call = call
  end
  return entry.f
end

local function initialise(f, args, say)
  local me = core.self()
  local ok, err = check.xpcall(f, function(e)
    if type(e) ~= "string" then return e end
    return ("%s\nin Process %s (pid %d), %s"):format(e,
      primitives.current_process().name, primitives.getpid(), check.traceback())
  end, args)
  local own = core.self() == me
  if not ok and own then say(core.UNFIT, err) end
  if not ok and not own then core.fail(err) end
  return ok and own
end

return function(tray, lane, tasks, functions, large, initializer, initargs)
  core.mortal()
  local function say(kind, value) report(tray, lane, large, kind, value) end
  if initializer and not initialise(initializer, initargs or {}, say) then
    return
  end
  report(tray, lane, large, core.READY)
  local known = setmetatable({channel = functions}, Known)

  local function step(ok, id, number, call, flags, n, payload, f)
    if not ok then
      say(core.CHUNK, id)
      return true
    end
    if id == 0 then return false end
    local problem
    if number ~= 0 then f, problem = known:get(number, call) end
    if f == nil then
      say(core.CHUNK, problem)
      return true
    end
    return run(tray, lane, large, f, flags, n, payload)
  end

  while step(pcall(take, tasks)) do end
end
