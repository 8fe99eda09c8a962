--- load and environments, require, files, os.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function loading(n)
  eq(load "return 1 + 1"(), 2)
  fails("attempt to load a text chunk", function()
    assert(load("return 1", "=c", "b"))
  end)
  list({ load("return ...", "=c", "t", {})(1, 2) }, 1, 2)
  local env = { y = 5 }
  local f = load("x = y return _ENV", "=c", "t", env)
  eq(f(), env)
  eq(env.x, 5)
  for i = 1, 5 * n do
    local pieces, at = { "return ", "({", tostring(i), "})", "[1]" }, 0
    eq(load(function()
      at = at + 1
      return pieces[at]
    end)(), i)
    local function source(a)
      local b = a + i
      return function(c) return b * c, i end
    end
    local copy = load(string.dump(source), "copy", "b")
    debug.setupvalue(copy, 1, 100)
    list({ copy(1)(2) }, 202, 100)
    eq(debug.getinfo(load(string.dump(source, true)), "l").currentline, -1)
  end
  list({ pcall(load, function() error("in reader", 0) end) }, true, nil,
    "in reader")
  fails("reader function must return a string", function()
    assert(load(function() return {} end))
  end)
  fails("unable to dump given function", string.dump, print)
  local source = {}
  for i = 1, 50 * n do source[i] = ("local v%d = %d"):format(i % 100, i) end
  source[#source + 1] = "return v0 or v1"
  local chunk = load("do " .. table.concat(source, " end do ") .. " end")
  eq(chunk(), nil)
  local errors = select(2, load("x = = 1", "=name"))
  eq(errors, "name:1: unexpected symbol near '='")
  eq(select(2, load("for", "@file.lua")),
    "file.lua:1: <name> expected near <eof>")
end

local function environments()
  local function sandbox(code, globals)
    local env = setmetatable({}, { __index = globals })
    assert(load(code, "=box", "t", env))()
    return env
  end
  local env = sandbox("function f() return tostring(v) end v = f()",
    { tostring = tostring, v = 7 })
  eq(env.v, "7")
  eq(env.f(), "7")
  do
    local _ENV = { eq = eq }
    x = 3 -- luacheck: ignore
    eq(_ENV.x, 3)
    eq(y, nil) -- luacheck: ignore
  end
  eq(rawget(_G, "x"), nil)
  eq(_G._G, _G)
  local strict = setmetatable({}, {
    __index = function(_, k) error("undefined " .. k, 2) end,
  })
  fails("undefined nope", load("return nope", "=s", "t", strict))
end

-- The name of a file of one's own, removed when the block ends.
local function scratch()
  local name = os.tmpname()
  return name, setmetatable({}, { __close = function() os.remove(name) end })
end

local function write(name, ...)
  local f <close> = assert(io.open(name, "wb"))
  f:write(...)
end

local function files(n)
  local name, clean <close> = scratch()
  eq(clean ~= nil, true)
  do
    local f <close> = assert(io.open(name, "w"))
    eq(f:write("line 1\n", 2, "\n", 3.5, "\n"), f)
    for i = 1, 20 * n do f:write("row ", i, "\n") end
    f:write "no newline"
    eq(f:seek "cur", f:seek "end")
    eq(io.type(f), "file")
  end
  local f = assert(io.open(name))
  eq(f:read(), "line 1")
  list({ f:read("n", "n") }, 2, 3.5)
  eq(f:read "L", "\n")
  eq(f:read(4), "row ")
  eq(f:read(0), "")
  eq(f:seek("set", 0), 0)
  local lines, last = 0, nil
  for line in f:lines() do lines, last = lines + 1, line end
  eq(lines, 20 * n + 4)
  eq(last, "no newline")
  eq(f:read(), nil)
  eq(f:read "a", "")
  eq(f:read(0), nil)
  eq(f:close(), true)
  eq(io.type(f), "closed file")
  eq(tostring(f), "file (closed)")
  fails("attempt to use a closed file", f.read, f)
  eq(io.type {}, nil)
  lines = 0
  for a, b in io.lines(name, 1, "l") do lines = lines + #a + (b and 1 or 0) end
  eq(lines, 2 * (20 * n + 4))
  fails("No such file", io.lines, name .. ".none")
  local none, message, code = io.open(name .. ".none")
  list(table.pack(none, message, code), nil,
    name .. ".none: No such file or directory", 2)
  write(name, "a\0b", ("z"):rep(5000 * n))
  local g <close> = assert(io.open(name, "r+b"))
  eq(#g:read "a", 3 + 5000 * n)
  g:seek("set", 1)
  g:write "-"
  g:seek "set"
  eq(g:read(3), "a-b")
  g:setvbuf("full", 100)
  fails("invalid format", g.read, g, "x")
end

local function system()
  local name, clean <close> = scratch()
  eq(clean ~= nil, true)
  write(name, "x")
  eq(os.rename(name, name .. ".new"), true)
  eq(io.open(name), nil)
  eq(os.remove(name .. ".new"), true)
  local none, message, code = os.remove(name .. ".new")
  list(table.pack(none, message, code), nil,
    name .. ".new: No such file or directory", 2)
  eq(os.date("!%Y-%m-%d %H:%M:%S", 0), "1970-01-01 00:00:00")
  eq(os.date("!*t", 86400).day, 2)
  eq(os.time { year = 2001, month = 2, day = 3, hour = 12 }
    - os.time { year = 2001, month = 2, day = 2, hour = 12 }, 86400)
  fails("field 'day' missing", os.time, { year = 2000, month = 1 })
  fails("invalid conversion specifier", os.date, "%Ez")
  eq(os.difftime(10, 4), 6.0)
  eq(os.clock() >= 0, true)
  eq(os.getenv "no such variable", nil)
  eq(type(os.getenv "PATH"), "string")
  list({ os.execute "exit 3" }, nil, "exit", 3)
  eq(os.execute(), true)
  local pipe = assert(io.popen "echo out; exit 2")
  eq(pipe:read "a", "out\n")
  list({ pipe:close() }, nil, "exit", 2)
  local to = assert(io.popen("cat >" .. name, "w"))
  to:write "sent"
  eq(to:close(), true)
  do
    local f <close> = assert(io.open(name))
    eq(f:read "a", "sent")
  end
end

-- Modules with names of this call's own: other threads require theirs.
local function modules(n)
  local name, clean <close> = scratch()
  eq(clean ~= nil, true)
  local folder, base = name:match "^(.*)/([^/]*)$"
  local module = "m" .. base:gsub("%W", "_")
  local file = folder .. "/" .. module .. ".lua"
  local path = package.path
  local template = folder .. "/?.lua"
  eq(package.searchpath("no.such", template), nil)
  for i = 1, n do
    write(file, "local name, from = ... return {name, from, ", i, "}")
    eq(package.searchpath(module, template), file)
    package.preload[module] = function(...)
      return loadfile(file)(..., file)
    end
    local m = require(module)
    list(m, module, file, i)
    eq(require(module), m)
    eq(package.loaded[module], m)
    package.loaded[module], package.preload[module] = nil, nil
    local done, err = pcall(require, module .. ".missing")
    eq(done, false)
    eq(err:find("module '" .. module .. ".missing' not found", 1, true) ~= nil,
      true)
    package.preload[module] = function() error "cannot load" end
    fails("cannot load", require, module)
    eq(package.loaded[module], nil)
    package.preload[module] = nil
    list({ dofile(file)[3] }, i)
    eq(loadfile(file .. ".none"), nil)
  end
  os.remove(file)
  eq(package.path, path)
  eq(require "string", string)
end

return {
  { "load", loading }, { "environments", environments }, { "files", files },
  { "os", system }, { "require", modules },
}
