--- help(load, primitives) -> the reference: what it holds, and ways to show it.
--
-- Its parts are the files reference_*.lua, each a list of entries:
--   name       "Queue" or "Queue.get"
--   args       "block?: boolean, timeout?: number"; nil: not a function
--   returns    "value: any"
--   type       of a field or value
--   like       the class that this one has all methods and fields of
--   signature  where the arguments do not say it well
--   text, errors, example
-- Runs of white space in all but the example mean one space.
local load, primitives = ...
local M = {}

local parts = { "process", "pool", "queue", "thread", "sync", "error" }
local texts = { "args", "returns", "signature", "text", "errors" }

M.sections, M.entries = {}, {} -- in order; by name
for i, part in ipairs(parts) do
  local section = load("reference_" .. part)()
  M.sections[i] = section
  for _, entry in ipairs(section) do
    for _, field in ipairs(texts) do
      entry[field] = entry[field] and entry[field]:gsub("%s+", " ")
    end
    M.entries[entry.name] = entry
  end
end

--- The entries of a class (its own name for a like one's), in order.
function M.members(class)
  local list, entry = {}, M.entries[class]
  for _, section in ipairs(M.sections) do
    for _, e in ipairs(section) do
      if e.name:match "^(.-)%." == class then list[#list + 1] = e end
    end
  end
  if entry and entry.like then
    table.move(M.members(entry.like), 1, #M.members(entry.like), #list + 1,
      list)
  end
  return list
end

--- The names of a class's methods, and of its fields unless `only_methods`.
function M.names(class, only_methods)
  local list = {}
  for _, e in ipairs(M.members(class)) do
    if e.args or not only_methods then
      list[#list + 1] = e.name:match "%.(.*)$"
    end
  end
  return list
end

--- The items of "a?: number, b: {c: string, d?: table}": name, type, optional.
function M.items(list)
  local items, depth, start = {}, 0, 1
  list = list .. ","
  for i = 1, #list do
    local c = list:sub(i, i)
    if c:find "[{<(]" then depth = depth + 1
    elseif c:find "[}>)]" then depth = depth - 1
    elseif c == "," and depth == 0 then
      local name, optional, kind = list:sub(start, i - 1)
        :match "^%s*([%w_.]+)(%??):%s*(.-)%s*$"
      if name then
        items[#items + 1] = {
          name = name, type = kind, optional = optional == "?",
        }
      end
      start = i + 1
    end
  end
  return items
end

local function argument_text(items)
  local text, open = "", 0
  for i, item in ipairs(items) do
    local comma = i > 1 and ", " or ""
    if item.optional then
      text = text .. (i > 1 and " [" or "[") .. comma .. item.name
      open = open + 1
    else
      text = text .. comma .. item.name
    end
  end
  return "(" .. text .. ("]"):rep(open) .. ")"
end

-- "Process{target=, args=, ...}", when that is how it is called.
local function options_text(args)
  local inside = args:match "^options: {(.*)}$"
  if not inside then return nil end
  local names = {}
  for i, item in ipairs(M.items(inside)) do names[i] = item.name .. "=" end
  return "{" .. table.concat(names, ", ") .. "}"
end

--- "Queue:get([block [, timeout]]) -> value"
function M.signature(e)
  if e.signature then return e.signature end
  local name = e.name:gsub("%.", e.args and ":" or ".")
  if not e.args then return name .. (e.type and ": " .. e.type or "") end
  local text = name .. (options_text(e.args)
    or argument_text(M.items(e.args)))
  local results = {}
  for i, item in ipairs(M.items(e.returns)) do results[i] = item.name end
  return text .. (#results > 0 and " -> " .. table.concat(results, ", ") or "")
end

-- Finding the entry of a value.

local registry = debug.getregistry()

-- Classes made in Lua that an object was seen of: they are in no registry.
local seen = {}

-- The table of a class's methods, or nil.
local function methods_of(class)
  local meta = registry["cluarun." .. class] or seen[class]
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) == "function" then
    local _, methods = debug.getupvalue(index, 1)
    index = methods
  end
  return type(index) == "table" and index or nil
end

--- What an entry is about: the primitive or method itself; nil for a field.
function M.value(name)
  local class, method = name:match "^(.-)%.(.*)$"
  if not class then return primitives[name] end
  local methods = methods_of(class)
  return methods and rawget(methods, method)
end

--- The name of a value's class, if that has an entry.
function M.class_of(value)
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  name = type(name) == "string" and name:gsub("^cluarun%.", "")
  if not M.entries[name] then return nil end
  seen[name] = meta
  return name
end

--- The entry for a name or a value; nil if there is none.
function M.find(what)
  if type(what) == "string" then
    what = what:gsub(":", "."):gsub("%s", "")
    local class, member = what:match "^(.-)%.(.*)$"
    local entry = M.entries[class]
    return M.entries[what]
      or entry and entry.like and M.find(entry.like .. "." .. member)
  end
  local class = M.class_of(what)
  for _, section in ipairs(what ~= nil and M.sections or {}) do
    for _, e in ipairs(section) do
      if rawequal(M.value(e.name), what) then return e end
    end
  end
  return M.entries[class]
end

-- Showing.

local function wrap(text, width, margin)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > width - #margin then
      lines[#lines + 1] = margin .. line
      line = word
    else
      line = line .. (line ~= "" and " " or "") .. word
    end
  end
  lines[#lines + 1] = margin .. line
  return table.concat(lines, "\n")
end

local function describe(e, bold, width)
  local lines = { bold(M.signature(e)), wrap(e.text, width, "  ") }
  if e.errors then lines[#lines + 1] = wrap(e.errors, width, "  ") end
  local members = M.members(e.name)
  if #members > 0 then lines[#lines + 1] = "" end
  for _, m in ipairs(members) do lines[#lines + 1] = "  " .. M.signature(m) end
  lines[#lines + 1] = "\n  Example:"
  lines[#lines + 1] = "    " .. e.example:gsub("\n", "\n    ")
  return table.concat(lines, "\n")
end

local function overview(bold, width)
  local lines = {
    wrap("help(Queue), help \"Queue.get\" and help(q.get) tell more of", width,
      ""),
  }
  for _, section in ipairs(M.sections) do
    local names = {}
    for _, e in ipairs(section) do
      if not e.name:find ".%." then names[#names + 1] = e.name end
    end
    lines[#lines + 1] = bold(section.title) .. "\n"
      .. wrap(table.concat(names, "  "), width, "  ")
  end
  lines[#lines + 1] = wrap("_ is the last value. Tab completes, Ctrl-C stops "
    .. "what runs, Ctrl-D leaves.", width, "")
  return table.concat(lines, "\n")
end

--- Prints, in so many columns: the overview without arguments, else the entry
-- of the first.
function M.show(colour, columns, n, what)
  local width = math.min(columns, 80) - 2
  local function bold(text)
    return colour and "\27[1m" .. text .. "\27[0m" or text
  end
  if n == 0 then
    print(overview(bold, width))
    return
  end
  local e = M.find(what)
  if e then print(describe(e, bold, width))
  else print("no help for " .. tostring(what) .. "; help() lists what there is")
  end
end

return M
