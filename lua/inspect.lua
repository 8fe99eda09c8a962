--- inspect(value, width) -> readable text.
--
-- Tables show their contents: on one line where that fits into the width, else
-- an item a line. Depth, items and the length of strings are bounded, so the
-- text is short whatever the value; a table inside itself is named <cycle>.
-- Only raw access is used, and of metamethods only __tostring is called.
local keywords = (...)() -- of keywords.lua
local DEPTH, ITEMS, ALL_ITEMS, STRING = 5, 60, 400, 200
local COLLECTED = 2000 -- keys of a table that are sorted at most

local type, tostring, pcall, ipairs = type, tostring, pcall, ipairs
local rawget, rawlen, next, format = rawget, rawlen, next, string.format
local getmetatable, sort, concat = debug.getmetatable, table.sort, table.concat
local mathtype, utf8len, utf8offset = math.type, utf8.len, utf8.offset

-- The beginning of a string, without a part of a character at its end.
local function beginning(s)
  local next_one = utf8offset(s, 0, STRING + 1)
  return s:sub(1, STRING + 1 - next_one < 4 and next_one - 1 or STRING)
end

local function quote(s)
  local cut = #s > STRING and beginning(s) or s
  local text = format("%q", cut):gsub("\\\n", "\\n"):gsub("\r", "\\r")
  if not utf8len(cut) then
    text = text:gsub("[\x80-\xFF]", function(c) return "\\" .. c:byte() end)
  end
  if #cut < #s then text = text .. "..(" .. #s .. " bytes)" end
  return text
end

local function scalar(v)
  if type(v) == "string" then return quote(v) end
  local ok, text = pcall(tostring, v)
  return ok and text or format("%s: %p", type(v), v)
end

local function key_text(k)
  if type(k) == "string" and k:find "^[%a_][%w_]*$" and not keywords[k] then
    return k
  end
  if type(k) == "table" then return format("[table: %p]", k) end
  return "[" .. scalar(k) .. "]"
end

-- Numbers first, then strings, then the rest.
local rank = { number = 1, string = 2 }
local function before(a, b)
  local ra, rb = rank[type(a)] or 3, rank[type(b)] or 3
  if ra ~= rb then return ra < rb end
  if ra < 3 then return a < b end
  return format("%s%p", type(a), a) < format("%s%p", type(b), b)
end

-- The keys outside of 1..n in order, and whether some were left out.
local function other_keys(t, n)
  local keys, count = {}, 0
  for k in next, t do
    if not (mathtype(k) == "integer" and k >= 1 and k <= n) then
      if count == COLLECTED then return keys, true end
      count = count + 1
      keys[count] = k
    end
  end
  sort(keys, before)
  return keys, false
end

local function border(t)
  local n = 0
  while n < ITEMS and rawget(t, n + 1) ~= nil do n = n + 1 end
  return n == ITEMS and rawlen(t) > n and rawlen(t) or n
end

local function own_text(t)
  local meta = getmetatable(t)
  if type(meta) ~= "table" or rawget(meta, "__tostring") == nil then return end
  return scalar(t)
end

local function name_of(t)
  local meta = getmetatable(t)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name .. " " or ""
end

-- A node is a text, or the name and the list of the items of a table, each of
-- which has the text of its key (or "") and a node.
local build

local function add(node, state, key, value, depth)
  if #node == ITEMS or state.left == 0 then return false end
  state.left = state.left - 1
  node[#node + 1] = { key = key, node = build(value, state, depth + 1) }
  return true
end

local function add_items(node, t, state, depth)
  local n = border(t)
  for i = 1, n do
    if not add(node, state, "", rawget(t, i), depth) then
      return n - i + 1
    end
  end
  local keys, cut = other_keys(t, n)
  for i, k in ipairs(keys) do
    if not add(node, state, key_text(k) .. " = ", rawget(t, k), depth) then
      return not cut and #keys - i + 1
    end
  end
  return 0
end

function build(v, state, depth)
  if type(v) ~= "table" then return scalar(v) end
  local text = own_text(v)
  if text then return text end
  if state.open[v] then return "<cycle>" end
  if next(v) == nil then return name_of(v) .. "{}" end
  if depth == DEPTH then return name_of(v) .. "{...}" end
  state.open[v] = true
  local node = { name = name_of(v) }
  local more = add_items(node, v, state, depth)
  if more ~= 0 then
    node[#node + 1] = {
      key = "", node = more and "...(" .. more .. " more)" or "...",
    }
  end
  state.open[v] = nil
  return node
end

local function length(s)
  return utf8len(s) or #s
end

local function flat(node)
  if type(node) == "string" then return node end
  local parts = {}
  for i, item in ipairs(node) do parts[i] = item.key .. flat(item.node) end
  return node.name .. "{" .. concat(parts, ", ") .. "}"
end

-- A list of short things: as many in a line as fit.
local function filled(node, indent, width)
  local lines, current = {}, ""
  for i, item in ipairs(node) do
    if item.key ~= "" or type(item.node) ~= "string" then return nil end
    local text = item.node .. (i < #node and "," or "")
    if current ~= "" and indent + 3 + length(current) + length(text) > width
    then
      lines[#lines + 1] = current
      current = ""
    end
    current = current .. (current ~= "" and " " or "") .. text
  end
  lines[#lines + 1] = current
  return lines
end

local function render(node, indent, before_it, width)
  local line = flat(node)
  if type(node) == "string" or indent + before_it + length(line) < width then
    return line
  end
  local margin = (" "):rep(indent + 2)
  local lines = filled(node, indent, width)
  if not lines then
    lines = {}
    for i, item in ipairs(node) do
      lines[i] = item.key .. render(item.node, indent + 2, #item.key + 1, width)
        .. (i < #node and "," or "")
    end
  end
  return node.name .. "{\n" .. margin .. concat(lines, "\n" .. margin) .. "\n"
    .. (" "):rep(indent) .. "}"
end

return function(value, width)
  local node = build(value, { open = {}, left = ALL_ITEMS }, 0)
  return render(node, 0, 0, width)
end
