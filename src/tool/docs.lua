--- docs.lua markdown | luacats: writes the reference on standard output, as a
-- page or as definitions for lua-language-server. Run by the program itself in
-- the folder of its source.
local form = ...
local function part(name)
  return assert(loadfile("lua/" .. name .. ".lua"))
end
local help = part "help"(part, require "cluarun")

local function write(...)
  io.write(table.concat({ ... }), "\n")
end

local function each_entry(f)
  for _, section in ipairs(help.sections) do
    for _, e in ipairs(section) do f(e) end
  end
end

local function markdown()
  write "# Reference of cluarun\n"
  write("The names below are globals in `cluarun`; elsewhere they are the ",
    "fields of\n`require \"cluarun\"`.")
  for _, section in ipairs(help.sections) do
    write("\n## ", section.title)
    for _, e in ipairs(section) do
      write("\n### ", e.name, "\n\n```lua\n", help.signature(e), "\n```\n")
      write(e.text)
      if e.like then
        write("\nMethods and fields: those of [", e.like, "](#",
          e.like:lower(), ").")
      end
      if e.errors then write("\n*Errors.* ", e.errors) end
      write("\n```lua\n", e.example, "\n```")
    end
  end
end

local function comment(e)
  write("---", e.text)
  if e.errors then write("---\n---*Errors.* ", e.errors) end
end

local function is_class(e)
  return #help.members(e.name) > 0
end

local function class(e)
  comment(e)
  write("---@class ", e.name, e.like and ": " .. e.like or "")
  for _, m in ipairs(help.members(e.name)) do
    if m.type and m.name:match "^[^.]*" == e.name then
      write("---@field ", m.name:match "%.(.*)$", " ", m.type, " ", m.text)
    end
  end
  if e.name == "Array" then write "---@field [integer] number" end
  write("local ", e.name, " = {}\n")
end

-- Names that are Lua's own words in a parameter list, or none.
local function parameter(name)
  return name == "function" and "f" or name
end

local function definition(e, prefix)
  comment(e)
  local names = {}
  for i, item in ipairs(help.items(e.args)) do
    names[i] = parameter(item.name)
    write("---@param ", names[i], item.optional and "? " or " ", item.type)
  end
  for _, item in ipairs(help.items(e.returns)) do
    local name, rest = item.name:match "^(.-)(%.*)$"
    if rest == "..." then write("---@return ", item.type, " ...")
    else write("---@return ", item.type, " ", name) end
  end
  write("function ", prefix, "(", table.concat(names, ", "), ") end\n")
end

local function luacats()
  write "---@meta cluarun\n---Definitions for lua-language-server.\n"
  write "local cluarun = {}\n"
  each_entry(function(e)
    local owner, member = e.name:match "^(.-)%.(.*)$"
    if owner then
      if e.args then definition(e, owner .. ":" .. member) end
    elseif is_class(e) or e.name == "Array" then
      class(e)
    end
  end)
  -- The globals come last: the classes above have their names locally.
  each_entry(function(e)
    if e.name:find "%." or not (e.args or e.type) then return end
    if e.args then
      definition(e, "cluarun." .. e.name)
    else
      comment(e)
      write("---@type ", e.type, "\ncluarun.", e.name, " = nil\n")
    end
    write("_G.", e.name, " = cluarun.", e.name, "\n")
  end)
  write "return cluarun"
end

local forms = { markdown = markdown, luacats = luacats }
assert(forms[form], "markdown or luacats expected")()
