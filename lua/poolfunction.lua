-- Functions on their way to the workers.
--
-- A function whose upvalues, and theirs, are plain values keeps a number for
-- as long as these stay the same: it is sent to a worker once and called by its
-- number from then on. What is sent is a copy made at the first call, so later
-- changes of the upvalues do not reach it. Any other function (an upvalue is a
-- table, whose contents may change) is copied for each call.
local core = ...

local Functions = {}
Functions.__index = Functions

-- What is remembered when no task needs it: so many numbers, and functions with
-- so many bytes of strings, which every worker has, too.
local KEPT, KEPT_BYTES = 256, 8 << 20

local plain = {["nil"] = true, boolean = true, number = true, string = true}

-- Lists {function, index, value} of all upvalues that count, or returns nil if
-- one of them may change without being assigned to. `bytes`: of their strings.
local function list_upvalues(f, cells, seen)
  if seen[f] then return cells end
  seen[f] = true
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then break end
    local kind = type(value)
    if kind == "function" then
      if not list_upvalues(value, cells, seen) then return nil end
    elseif not plain[kind] and value ~= _G and not core.shared(value) then
      return nil
    end
    if kind == "string" then cells.bytes = cells.bytes + #value end
    local n = #cells
    cells[n + 1], cells[n + 2], cells[n + 3] = f, i, {value}
  end
  return cells
end

local function unchanged(cells)
  for i = 1, #cells, 3 do
    local _, value = debug.getupvalue(cells[i], cells[i + 1])
    if not rawequal(value, cells[i + 2][1]) then return false end
  end
  return true
end

local function new(forget)
  return setmetatable({
    last = 0, -- number given
    of = setmetatable({}, {__mode = "k"}), -- function -> its entry
    entries = {}, -- those, in the order of their making
    bytes = 0, -- of all of them
    most = KEPT, most_bytes = KEPT_BYTES, -- with more it is time to drop some
    forget = forget -- tells the workers that they will not need a number
  }, Functions)
end

function Functions:drop(entry)
  local original = entry.original
  self.bytes = self.bytes - entry.cells.bytes
  if self.of[original] == entry then self.of[original] = nil end
  self.forget(entry.number)
end

-- Drops the oldest entries that no task needs. Where most are in use the next
-- look comes when there are about twice as many.
function Functions:drop_old()
  local kept, surplus = {}, #self.entries - KEPT
  for _, entry in ipairs(self.entries) do
    local enough = surplus <= 0 and self.bytes <= KEPT_BYTES
    if enough or entry.uses > 0 then
      kept[#kept + 1] = entry
    else
      surplus = surplus - 1
      self:drop(entry)
    end
  end
  self.entries = kept
  self.most = math.max(2 * #kept - KEPT, KEPT)
  self.most_bytes = math.max(2 * self.bytes - KEPT_BYTES, KEPT_BYTES)
end

-- Globals are the receiver's own: an upvalue that is _G needs no copy.
local function is_simple(f, cells)
  if not cells or debug.getinfo(f, "S").what == "C" then return false end
  for i = 1, #cells, 3 do
    if cells[i + 2][1] ~= _G then return false end
  end
  return true
end

local function make(self, f, cells)
  local sent, problem = f, nil
  if not is_simple(f, cells) then sent, problem = core.copy(f) end
  if sent == nil then return nil, problem end
  self.last = self.last + 1
  return {number = self.last, f = sent, uses = 1, original = f, cells = cells}
end

--- The entry for f as it is now, in use until it is released: `number`, and `f`
-- to be sent. Returns nil if f keeps no number; with a text: it cannot be sent.
function Functions:get(f)
  local entry = self.of[f]
  if entry and unchanged(entry.cells) then
    entry.uses = entry.uses + 1
    return entry
  end
  if type(f) ~= "function" then return nil end
  local cells = list_upvalues(f, {bytes = 0}, {})
  if not cells then return nil end
  local problem
  entry, problem = make(self, f, cells)
  if not entry then return nil, problem end
  self.of[f] = entry
  self.entries[#self.entries + 1] = entry
  self.bytes = self.bytes + cells.bytes
  if #self.entries > self.most or self.bytes > self.most_bytes then
    self:drop_old()
  end
  return entry
end

--- An entry for f, in one call of many tasks.
function Functions:get_once(f)
  return make(self, f)
end

function Functions:release(entry)
  entry.uses = entry.uses - 1
  if entry.uses == 0 and not entry.cells then self.forget(entry.number) end
end

return new
