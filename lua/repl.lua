--- The prompt: blocks of lines become chunks, chunks run, results are printed.
--
-- No terminal code here: `console`, where there is one, is a table with
--   read(idle, prompt, prompt2, is_complete, complete) -> text; false when the
--       line was given up; nil at the end. is_complete(text) says whether
--       Enter ends the block; complete(text) is that of complete.lua; idle() is
--       called now and then, so that an interrupt can come out of it
--   drain(idle): waits until all that was written is on the screen
--   remember(text): adds to the history; a message when that failed
--   files(path): the names in a folder, those of folders with a slash
--   width(): of the terminal, in columns
--   colour: may escape sequences be used?
--   warning: what the user is to be told at the start, or nil
-- Without one, lines come from standard input, as in lua.
--
-- Ctrl-C ends only what `run` calls: so everything is run that calls the user's
-- functions, metamethods among them.
local host, console, greet = ...
local run = host.run
local G, load, tostring, pack = _G, load, tostring, table.pack
local write, stdout, read, unpack = io.write, io.stdout, io.read, table.unpack
local type, ipairs, rawget, rawset = type, ipairs, rawget, rawset
local getmetatable, setmetatable = debug.getmetatable, setmetatable
local setupvalue = debug.setupvalue
local rawequal, select, concat = rawequal, select, table.concat
local primitives = {}
for name, value in pairs(host.primitives) do primitives[name] = value end
local getpid = primitives.getpid
local session = getpid()

-- The globals of now: what the user makes of `table` or `type` later is no
-- concern of the parts that are loaded then.
local env = {}
for name, value in next, G do env[name] = value end
for _, name in ipairs { "string", "table", "debug", "math", "utf8" } do
  env[name] = {}
  for key, value in next, G[name] or env[name] do env[name][key] = value end
end

local function load_part(name)
  local f = host.load(name)
  setupvalue(f, 1, env)
  return f
end

-- These are needed late or never.
local function part(name, ...)
  local value
  local arguments = pack(...)
  return function()
    value = value or load_part(name)(unpack(arguments, 1, arguments.n))
    return value
  end
end
local keywords = part "keywords"
local inspect, complete = part("inspect", keywords), part("complete", keywords)
local reference = part("help", load_part, primitives)

local function prompt(name, default)
  local text = rawget(G, name)
  if text == nil then return default end
  local ok, result = run(tostring, text)
  return ok and result or default
end

local function lacks_end(message)
  return message and message:sub(-5) == "<eof>"
end

-- The function of a block: `return BLOCK` if that is one. Or nil, a message,
-- and whether more lines could help.
local function compile(text)
  if text:sub(1, 1) == "=" then text = "return " .. text:sub(2) end
  local f, as_expression = load("return " .. text, "=stdin")
  if f then return f end
  local message
  f, message = load(text, "=stdin")
  return f, message, lacks_end(as_expression) or lacks_end(message)
end

local function is_complete(text)
  local f, _, incomplete = compile(text)
  return f ~= nil or not incomplete
end

-- An interrupt comes a few instructions late.
local function idle()
  for _ = 1, 100 do end
end

-- A terminal may take long to show what is before it; that is waited for where
-- a Ctrl-C does no harm.
local function report(message)
  if console then run(console.drain, idle) end
  host.report(message)
end

-- Reading a block, without the last newline: nil at the end; one that was
-- interrupted is empty. A line that was interrupted is false.

local function read_line(text)
  write(text)
  stdout:flush()
  local ok, line = run(read)
  if ok then return line end
  write "\n"
  return false
end

local function read_plain()
  local text = read_line(prompt("_PROMPT", "> "))
  while text and not is_complete(text) do
    local more = read_line(prompt("_PROMPT2", ">> "))
    if more == nil then break end
    text = more and text .. "\n" .. more
  end
  return text == false and "" or text
end

local function completions(text)
  return complete()(text, console, reference)
end

-- Readline has to know what takes no room on the screen.
local function mark_escapes(text)
  return (text:gsub("\27%[[%d;?]*%a", "\1%0\2"))
end

local function read_console()
  local ok, text = run(console.read, idle,
    mark_escapes(prompt("_PROMPT", "> ")),
    (prompt("_PROMPT2", ">> "):gsub("\27%[[%d;?]*%a", ""):gsub("%c", "")),
    is_complete, completions)
  if not ok or text == false then return "" end
  if text and text:find "%S" then
    local message = console.remember(text)
    if message and message ~= console.warning then report(message) end
    console.warning = message or console.warning
  end
  return text
end

local read_block = console and read_console or read_plain

local function columns()
  return console and console.width() or 80
end

-- What is shown of a result: tables that have no text of their own readably.
local function readable(value)
  if type(value) ~= "table" then return value end
  local meta = getmetatable(value)
  if type(meta) == "table" and rawget(meta, "__tostring") ~= nil then
    return value
  end
  local ok, text = run(inspect(), value, columns())
  return ok and text or value
end

local function show(n, ...)
  if n == 0 then return end
  local values = { ... }
  if values[1] ~= nil then rawset(G, "_", values[1]) end
  for i = 1, n do values[i] = readable(values[i]) end
  local ok, message = run(G.print, unpack(values, 1, n))
  if not ok then
    report("error calling 'print' (" .. tostring(message) .. ")")
  end
end

-- Runs a block and shows its results, or its error: was there none?
local function evaluate(text)
  local f, message = compile(text)
  if not f then
    report(message)
    return false
  end
  local results = pack(run(f))
  if results[1] then show(results.n - 1, unpack(results, 2, results.n))
  else report(results[2]) end
  return results[1]
end

-- The threads and processes that the end of the session waits for.
local function waited_for()
  local names = {}
  local this = primitives.current_thread and primitives.current_thread()
  for _, t in ipairs(primitives.threads and primitives.threads() or {}) do
    if not rawequal(t, this) and not t.daemon then
      names[#names + 1] = t.name
    end
  end
  for _, p in ipairs(primitives.active_children()) do
    if not p.daemon then
      names[#names + 1] = ("%s (pid %d)"):format(p.name, p.pid)
    end
  end
  return names
end

local function say_farewell()
  local ok, names = run(waited_for)
  if ok and #names > 0 then
    report("waiting for " .. concat(names, ", ")
      .. " (Ctrl-C to stop waiting)")
  end
end

-- A table, for those who type only its name.
local help = setmetatable({}, {
  __call = function(_, ...)
    return reference().show(console and console.colour, columns(),
      select("#", ...), ...)
  end,
  __tostring = function()
    return "help() tells what there is, help(Queue) what a Queue is"
  end,
})
if rawget(G, "help") == nil then rawset(G, "help", help) end

if greet then
  write("cluarun ", host.version, " (", _VERSION,
    ")  help() for help, Ctrl-D to leave\n")
end
if console and console.warning then report(console.warning) end
while true do
  local text = read_block()
  if not text then break end
  local ok = evaluate(text)
  -- A child ends with the block that it was forked in.
  if getpid() ~= session then return ok end
end
if not console then write "\n" end
say_farewell()
return true
