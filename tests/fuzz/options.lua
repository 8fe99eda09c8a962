-- The command line: what main.lua does with any arguments. The input holds them
-- with zero bytes between. Nothing is run; who would run it notes what.
local watch_wanted = watch_wanted -- luacheck: ignore

local function part(name, env)
  return assert(loadfile("lua/" .. name .. ".lua", "t", env))
end
local G = {} -- the globals of main.lua, made anew for each input
local options, main = part("options", _ENV), part("main", G)

local modes = { off = true, report = true, raise = true }

-- The host as main.lua sees it, and what it was asked to do.
local function make_host(argv, did)
  local host = { argv = argv, version = "0", copyright = "c" }
  function host.load(name)
    if name == "options" then return options end
    assert(name == "repl")
    return function()
      did.repl = true
      return true
    end
  end
  function host.report(text)
    assert(type(text) == "string")
    did.reports = did.reports + 1
  end
  function host.deadlock(mode) assert(modes[mode]) end
  function host.open() did.opened = true end
  function host.run(f, ...)
    did[#did + 1] = f
    return pcall(f, ...)
  end
  function host.isatty() return true end
  return host
end

local function make_globals(did)
  for name in pairs(G) do G[name] = nil end
  G._G, G._VERSION, G.type, G.error = G, _VERSION, type, error
  G.table, G.string, G.package = table, string, { loaded = {} }
  function G.warn(text) assert(text == "@on") end
  G.os = { getenv = function() return nil end }
  G.io = { write = function(...)
    for _, text in ipairs { ... } do assert(type(text) == "string") end
  end }
  function G.require(name)
    assert(type(name) == "string")
    return name
  end
  function G.load(text, name)
    assert(load(text, name, "t") or true)
    return function() end
  end
  function G.loadfile(name)
    did.script = name or true
    return function(...) did.args = { n = select("#", ...), ... } end
  end
end

local function check_arg(arg, argv, script)
  local shift = argv[script] and script or 0
  for i = 0, #argv do assert(arg[i - shift] == argv[i]) end
  assert(arg[#argv - shift + 1] == nil)
end

local function check(argv)
  local has, script, usage = options(argv, string)
  local did = { reports = 0 }
  make_globals(did)
  local good = main(make_host(argv, did), string)
  assert(type(usage) == "string")
  if not has then
    assert(type(script) == "string" and good == false and did.reports == 2)
    assert(not did.opened)
    return
  end
  assert(watch_wanted(argv) == (has["--watch"] or false), "--watch")
  assert(good == true and did.opened and did.reports == 0)
  if has["--help"] or has["--version"] then return end
  check_arg(G.arg, argv, script)
  if not argv[script] then return end
  assert(did.script, "the script is loaded")
  assert(did.args.n == #argv - script, "and has its arguments")
end

return function(input)
  local argv = { [0] = "cluarun" }
  for a in (input .. "\0"):gmatch "(.-)%z" do argv[#argv + 1] = a end
  if #argv < 100 then check(argv) end
end
