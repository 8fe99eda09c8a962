--- The command line: the options of lua 5.4, and what each of them runs.
--
-- A coroutine of the host: what it hands to `run` is called next to it, not
-- below it. It starts before the standard libraries are there, with a string
-- library of its own; `host.open` brings the rest.
local host, string = ...
local argv, run = host.argv, host.run
local argc = #argv + 1
local progname = argv[0] ~= nil and argv[0] ~= "" and argv[0] or "cluarun"

local function report(message)
  host.report(message, progname)
end

local has, script, usage = host.load "options"(argv, string)
if not has then
  report(script)
  host.report(usage)
  return false
end
if has.deadlock then host.deadlock(has.deadlock) end

host.open(has.E)
host.primitives = package.loaded.cluarun
local G, load, loadfile = _G, load, loadfile
local getenv, unpack, type = os.getenv, table.unpack, type
local write, warn, error = io.write, warn, error

if has["--help"] or has["--version"] then
  write(has["--help"] and usage
    or "cluarun " .. host.version .. " (" .. _VERSION .. ")", "\n")
  return true
end
if has.v or has.i then write(host.copyright, "\n") end

-- The terminal is taken over before anything can print or fork.
local interactive = has.i or script >= argc and not (has.e or has.v)
local console = interactive and host.console and host.console() or nil

G.arg = {}
for i = 0, argc - 1 do
  G.arg[i - (script < argc and script or 0)] = argv[i]
end

-- Runs a function and reports its error: did it end well? Then its result.
local function call(f, ...)
  local ok, result = run(f, ...)
  if not ok then report(result) end
  return ok, result
end

-- The same for what load or loadfile returned.
local function call_chunk(f, message)
  if f then return call(f) end
  report(message)
  return false
end

local function run_init()
  local name = "LUA_INIT_5_4"
  local init = getenv(name)
  if not init then
    name = "LUA_INIT"
    init = getenv(name)
  end
  if not init then return true end
  if string.sub(init, 1, 1) == "@" then
    return call_chunk(loadfile(string.sub(init, 2)))
  end
  return call_chunk(load(init, "=" .. name))
end

local function run_library(what)
  local name, module = string.match(what, "^(.-)=(.*)$")
  if not name then name, module = what, what end
  local ok, value = call(G.require, module)
  if ok then G[name] = value end
  return ok
end

-- The options -e, -l and -W in their order; stops at the first that fails.
local function run_options()
  local i = 1
  while i < script do
    local letter, value = string.match(argv[i] or "", "^%-([elW])(.*)")
    if letter == "W" then
      warn "@on"
    elseif letter then
      if value == "" then
        i = i + 1
        value = argv[i]
      end
      local ok
      if letter == "l" then ok = run_library(value)
      else ok = call_chunk(load(value, "=(command line)")) end
      if not ok then return false end
    end
    i = i + 1
  end
  return true
end

local function run_script()
  local name = argv[script]
  if name == "-" and argv[script - 1] ~= "--" then name = nil end
  local f, message = loadfile(name)
  if not f then
    report(message)
    return false
  end
  local arg = G.arg
  if type(arg) ~= "table" then error("'arg' is not a table", 0) end
  return (call(f, unpack(arg)))
end

if not has.E and not run_init() then return false end
if not run_options() then return false end
if script < argc and not run_script() then return false end
if has.i or interactive and host.isatty() then
  return host.load "repl"(host, console, not has.i)
elseif interactive then
  call_chunk(loadfile()) -- whatever comes of it, the status is 0, as lua's
end
return true
