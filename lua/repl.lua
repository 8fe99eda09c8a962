--- The prompt: lines become chunks, chunks run, results are printed.
local host = ...
local run, report = host.run, host.report
local G, load, tostring, pack = _G, load, tostring, table.pack
local write, stdout, read, unpack = io.write, io.stdout, io.read, table.unpack

local function prompt(name, default)
  local text = G[name]
  return text == nil and default or tostring(text)
end

-- A line, without the newline; nil at the end. An interrupt gives an empty one.
local function read_line(text)
  write(text)
  stdout:flush()
  local ok, line = run(read)
  if ok then return line end
  write "\n"
  return ""
end

local function is_incomplete(message)
  return message and message:sub(-5) == "<eof>"
end

-- Reads a chunk: `return LINE` if that is one, else as many lines as it takes.
-- Returns the function, or nil and a message; false at the end.
local function read_chunk()
  local text = read_line(prompt("_PROMPT", "> "))
  if not text then return false end
  if text:sub(1, 1) == "=" then text = "return " .. text:sub(2) end
  local f = load("return " .. text, "=stdin")
  if f then return f end
  while true do
    local message
    f, message = load(text, "=stdin")
    if f or not is_incomplete(message) then return f, message end
    local more = read_line(prompt("_PROMPT2", ">> "))
    if not more then return nil, message end
    text = text .. "\n" .. more
  end
end

local function show(n, ...)
  if n == 0 then return end
  local ok, message = run(G.print, ...)
  if not ok then
    report("error calling 'print' (" .. tostring(message) .. ")")
  end
end

while true do
  local f, message = read_chunk()
  if f == false then break end
  if f then
    local results = pack(run(f))
    if results[1] then show(results.n - 1, unpack(results, 2, results.n))
    else report(results[2]) end
  else
    report(message)
  end
end
write "\n"
