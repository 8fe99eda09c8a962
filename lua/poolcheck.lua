-- Checks of what callers of a pool give, with messages that name it.

local M = {}

local SHORTEST = 1e-3 -- seconds that an item may run
local MOST = 1000000 -- arguments

-- The first level of the stack that is neither our own code nor C.
local function caller()
  local level = 3
  while true do
    local info = debug.getinfo(level, "S")
    if not info then return level end
    if info.what ~= "C" and not info.source:find "^=%[cluarun%]/" then
      return level - 1
    end
    level = level + 1
  end
end

--- Misuse: raised where the pool was called.
function M.misuse(format, ...)
  error(format:format(...), caller())
end

local function count(args) return args.n or #args end

local function call(f, handler, ok, ...)
  if not ok then return false, ... end
  return xpcall(f, handler, ...)
end

--- xpcall(f, handler, args[1], ...): the list may be a bad one. Nothing of ours
-- lies between xpcall and f: what f raises is its own.
function M.xpcall(f, handler, args)
  local ok, n = pcall(count, args)
  if not ok then return false, n end
  return call(f, handler, pcall(table.unpack, args, 1, n))
end

--- Of a message handler of a function that xpcall called here: the traceback up
-- to that, of which `stack traceback:` is the first line.
function M.traceback()
  local trace = debug.traceback("", 3):gsub("^\n", "")
  local cut = trace:find "\n\t%[C%]: in function 'xpcall'\n\t%[cluarun%]/"
  trace = cut and trace:sub(1, cut - 1) or trace
  return (trace:gsub("\n\t%[cluarun%]/[^\n]*$", "")) -- what has called it
end

--- f(...), which makes a pool; what the system refuses is raised where the
-- pool was asked for, not at a line in here.
function M.made(f, ...)
  local ok, result = pcall(f, ...)
  if ok then return result end
  local refused = type(result) == "string"
    and result:match "^%[cluarun%]/%l+%.lua:%d+: (.*)$"
  if refused then M.misuse("%s", refused) end
  error(result, 0)
end

function M.bad(argument, name, format, ...)
  M.misuse("bad argument #%d to '%s' (%s)", argument, name, format:format(...))
end

local function type_of(value)
  local meta = getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name or type(value)
end
M.type_of = type_of

function M.is_callable(value)
  if type(value) == "function" then return true end
  local meta = getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__call") ~= nil
end

function M.callable(value, argument, name, optional)
  if optional and value == nil or M.is_callable(value) then return value end
  M.bad(argument, name, "function expected, got %s",
    value == nil and "no value" or type_of(value))
end

local function check_fields(options, known, argument, name)
  for key in pairs(options) do
    if not known[key] then
      M.bad(argument, name, "unknown field '%s'", tostring(key))
    end
  end
end
M.check_fields = check_fields

--- A whole number of at least 1, at most `most`.
function M.count(value, what, argument, name, most)
  local n = type(value) == "number" and math.tointeger(value)
  if n and n >= 1 and n <= (most or math.maxinteger) then return n end
  M.bad(argument, name, "%s must be a whole number from 1 %s, got %s", what,
    most and "to " .. most or "on",
    type(value) == "number" and tostring(value) or type_of(value))
end

local known = {chunksize = true, timeout = true, progress = true}

local function is_table(value)
  return type(value) == "table" and not M.is_callable(value)
end
M.is_options = is_table

--- {chunksize, timeout, progress} from a chunk size, such a table or nil.
function M.options(value, argument, name)
  if value == nil then return {} end
  if not is_table(value) then
    return {chunksize = M.count(value, "chunksize", argument, name)}
  end
  check_fields(value, known, argument, name)
  local options = {progress = value.progress}
  if value.chunksize ~= nil then
    options.chunksize = M.count(value.chunksize, "chunksize", argument, name)
  end
  local limit = value.timeout
  if limit ~= nil and (type(limit) ~= "number" or limit ~= limit) then
    M.bad(argument, name, "timeout must be a number of seconds, got %s",
      type(limit) == "number" and "NaN" or type_of(limit))
  end
  if limit and limit < math.huge then
    options.timeout = math.max(limit, SHORTEST)
  end
  if value.progress ~= nil and type(value.progress) ~= "boolean" then
    M.bad(argument, name, "progress must be a boolean, got %s",
      type_of(value.progress))
  end
  return options
end

-- The number of arguments that a list may say it has. The rest is known only
-- where it is read: reading may run what is the list's own.
local function check_count(args, what, argument, name)
  local n = rawget(args, "n")
  if n == nil then return end
  local whole = type(n) == "number" and math.tointeger(n)
  if whole and whole >= 0 and whole <= MOST then return end
  M.bad(argument, name, "%s must be a number of arguments, got %s", what,
    tostring(n))
end

local of_pool = {
  processes = true, initializer = true, initargs = true,
  maxtasksperchild = true
}

--- The options of Pool but the number of workers.
function M.pool_options(options, name)
  check_fields(options, of_pool, 1, name)
  local f, args = options.initializer, options.initargs
  if f ~= nil and not M.is_callable(f) then
    M.bad(1, name, "initializer must be a function, got %s", type_of(f))
  end
  if args ~= nil and type(args) ~= "table" then
    M.bad(1, name, "initargs must be a table, got %s", type_of(args))
  end
  if args then check_count(args, "initargs.n", 1, name) end
  local most = options.maxtasksperchild
  if most ~= nil then most = M.count(most, "maxtasksperchild", 1, name) end
  return {initializer = f, initargs = args, maxtasksperchild = most}
end

--- The arguments of a task: a list, or nil.
function M.arguments(value, argument, name)
  if value ~= nil and type(value) ~= "table" then
    M.bad(argument, name, "a list of arguments expected, got %s",
      type_of(value))
  end
  if value then check_count(value, "args.n", argument, name) end
  return value or {}
end

--- A list of items (anything with a length and numbered elements), how many
-- there are, and whether it says so itself, in a field n. `other`: what may
-- stand instead, for the message.
function M.list(value, argument, name, other)
  local meta = getmetatable(value)
  if type(value) ~= "table" and
    not (type(meta) == "table" and rawget(meta, "__len")) then
    M.bad(argument, name, "a list%s expected, got %s", other or "",
      value == nil and "no value" or type_of(value))
  end
  if type(value) == "table" and math.type(rawget(value, "n")) == "integer" then
    return value, math.max(rawget(value, "n"), 0), true
  end
  return value, #value, false
end

--- The lists of arguments that a list of items is to be.
function M.lists(source, total, argument, name)
  for i = 1, total do
    local item = source[i]
    if type(item) ~= "table" then
      M.bad(argument, name, "a list of arguments expected at [%d], got %s", i,
        type_of(item))
    end
    check_count(item, ("[%d].n"):format(i), argument, name)
  end
end

--- `self` of a method of Pool, or of what belongs to one: its crew.
function M.own(self, class, name)
  if getmetatable(self) ~= class then
    M.bad(1, name, "%s expected, got %s; call it with a colon, as in x:%s(...)",
      class.__name, type_of(self), name)
  end
  local crew = self.crew or self.pool.crew
  if crew:is_own() then return crew end
  M.misuse("cannot use %s %s in another process than the one that made it",
    class.__name:find "^A" and "an" or "a", class.__name)
end

return M
