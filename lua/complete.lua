--- complete(text, console, reference) -> kind, list: what can stand at the end
-- of the text. `reference` gives what help.lua returns, `keywords` what
-- keywords.lua does.
--
-- kind is "word" (a keyword, global, field or method), "module" (in the string
-- after require) or "file" (in any other string; the list is the console's).
-- The list begins with what all its entries have in common, unless it has only
-- one. It is found by raw access, so that looking changes nothing.
local keywords = (...)()
local G, type, rawget, next, pairs = _G, type, rawget, next, pairs
local tonumber, getmetatable = tonumber, debug.getmetatable
local sort, insert, select = table.sort, table.insert, select

local CHAIN = 10 -- __index tables that are followed

local function end_of(text, mark, from)
  return select(2, text:find(mark, from, true))
end

-- Where an unfinished string begins in the text, or nil; true in a comment.
local function open_string(text)
  local i = 1
  while true do
    i = text:find("[\"'%[%-]", i)
    if not i then return nil end
    local c, level = text:sub(i, i), text:match("^%[(=*)%[", i)
    local start, stop = i, nil
    if text:find("^%-%-", i) then
      level = text:match("^%-%-%[(=*)%[", i)
      stop = end_of(text, level and "]" .. level .. "]" or "\n", i)
      if not stop then return true end
    elseif level then
      stop = end_of(text, "]" .. level .. "]", i)
      if not stop then return start + #level + 2 end
    elseif c == '"' or c == "'" then
      stop = i + 1
      while stop <= #text and text:sub(stop, stop) ~= c do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
      if stop > #text then return start + 1 end
    end
    i = (stop or i) + 1
  end
end

-- The names that begin with `start`, sorted, their common beginning first.
local function choose(names, start)
  local list = {}
  for name in pairs(names) do
    if name:sub(1, #start) == start then list[#list + 1] = name end
  end
  sort(list)
  if #list < 2 then return list end
  local first, last = list[1], list[#list]
  local n = 0
  while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
  insert(list, 1, first:sub(1, n))
  return list
end

-- The table in which a value's fields are looked for after its own.
local function index_of(value)
  local meta = getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  return type(index) == "table" and index or nil
end

local function field(value, key)
  for _ = 1, CHAIN do
    if type(value) == "table" then
      local found = rawget(value, key)
      if found ~= nil then return found end
    end
    value = index_of(value)
    if value == nil then return nil end
  end
end

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function"
    or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

local function add_fields(names, value, only_methods)
  for _ = 1, CHAIN do
    if type(value) == "table" then
      for k, v in next, value do
        if type(k) == "string" and k:find "^[%a_][%w_]*$"
          and (not only_methods or is_callable(v)) then
          names[k] = true
        end
      end
    end
    value = index_of(value)
    if value == nil then return end
  end
end

-- What objects of ours answer for by a function, from the reference.
local function add_documented(names, value, only_methods, reference)
  local help = reference()
  local class = help.class_of(value)
  for _, name in pairs(class and help.names(class, only_methods) or {}) do
    names[name] = true
  end
end

-- The value of what stands before a dot or colon: names, and keys in brackets.
local function value_of(chain)
  local name, rest = chain:match "^([%a_][%w_]*)(.*)$"
  local value = field(G, name)
  while rest ~= "" do
    local key, after = rest:match "^%.([%a_][%w_]*)(.*)$"
    if not key then
      key, after = rest:match "^%[(%d+)%](.*)$"
      key = tonumber(key)
    end
    if not key then key, after = rest:match "^%[[\"']([^\"']*)[\"']%](.*)$" end
    if not key or value == nil then return nil end
    value, rest = field(value, key), after
  end
  return value
end

-- What the text ends with of the set of characters. (From the end: a search
-- from the beginning would take a time that grows with the square.)
local function ending(text, set)
  return text:reverse():match("^" .. set .. "*"):reverse()
end

local function complete_word(text, reference)
  local word = ending(text, "[%w_]")
  local before = text:sub(1, #text - #word)
  local path, separator = before:match "^(.*[^.:])([.:])$"
  local names = {}
  if not separator then
    -- a number; two dots
    if word:find "^%d" or before:find "[.:]$" then return {} end
    for keyword in pairs(keywords) do names[keyword] = true end
    add_fields(names, G)
    return choose(names, word)
  end
  local chain = ending(path, "[%w_.%[%]\"']"):match "[%a_].*$"
  local value = chain and value_of(chain)
  if value == nil then return {} end
  add_fields(names, value, separator == ":")
  add_documented(names, value, separator == ":", reference)
  return choose(names, word)
end

-- The modules that the templates of a path lead to.
local function add_files(names, path, word, console)
  local folder = word:match "^(.*)%.[^.]*$"
  for template in path:gmatch "[^;]+" do
    local root, tail = template:match "^([^?]*/)%?(.*)$"
    if not root and template:sub(1, 1) == "?" then
      root, tail = "./", template:sub(2)
    end
    local list = root and console.files(root
      .. (folder and folder:gsub("%.", "/") .. "/" or "")) or {}
    for _, file in pairs(list) do
      local name = file:sub(-1) == "/" and tail:sub(1, 1) == "/"
        and file:sub(1, -2) or #file > #tail and file:sub(-#tail) == tail
        and file:sub(1, -#tail - 1)
      if name and name:find "^[%w_-]+$" then
        names[(folder and folder .. "." or "") .. name] = true
      end
    end
  end
end

-- The script may have made anything of `package`.
local function complete_module(word, console)
  local names = {}
  local package = rawget(G, "package")
  if type(package) ~= "table" then return names end
  local loaded = rawget(package, "loaded")
  add_fields(names, loaded)
  add_fields(names, rawget(package, "preload"))
  for name in next, type(loaded) == "table" and loaded or {} do
    if type(name) == "string" then names[name] = true end
  end
  for _, path in pairs { rawget(package, "path") or "",
    rawget(package, "cpath") or "" } do
    if type(path) == "string" then add_files(names, path, word, console) end
  end
  return choose(names, word)
end

return function(text, console, reference)
  local start = open_string(text)
  if start == true then return "word", {} end
  if not start then return "word", complete_word(text, reference) end
  if text:sub(1, start - 1):find "%f[%w_]require[%s(]*[\"'%[=]+$" then
    return "module", complete_module(text:sub(start), console)
  end
  return "file", {}
end
