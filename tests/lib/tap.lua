--- Tests that speak TAP (https://testanything.org), run by prove.
--
--   local tap <close> = dofile "tests/lib/tap.lua"
--   tap.test("adds", function() tap.eq(1 + 1, 2) end)
--
-- A check that fails is reported with its file and line, and the test goes on;
-- an error ends its test. The plan is printed when the file ends.
local M = {}

--- The program under test: the one that runs this file.
M.program = arg and arg[-1] or "build/cluarun"

--- The sanitizers it was built with: "address,undefined", "thread" or nil.
M.sanitizer = M.program:match "build/([%l,]+)/cluarun$"

local count, failed, root = 0, 0, true
local problems -- of the running test; nil outside of one

local function here()
  local level = 3
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "?" end
    if info.currentline > 0 and not info.source:find "tap%.lua$" then
      return info.short_src .. ":" .. info.currentline
    end
    level = level + 1
  end
end

local function problem(text)
  local line = here() .. ": " .. text
  if problems then problems[#problems + 1] = line else error(line, 0) end
  return false
end

local function diagnose(text)
  io.stdout:write("# ", (tostring(text):gsub("\n", "\n# ")), "\n")
end

local function show(v)
  if type(v) == "string" then return string.format("%q", v) end
  if math.type(v) == "float" then return string.format("%.17g (float)", v) end
  return tostring(v)
end

local function same(a, b, seen)
  if a == b then return math.type(a) == math.type(b) end
  if a ~= a and b ~= b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  if seen[a] == b then return true end
  seen[a] = b
  for k, v in pairs(a) do
    if not same(v, b[k], seen) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local function list(t)
  if type(t) ~= "table" then return show(t) end
  local parts = {}
  for k, v in pairs(t) do
    if #parts == 20 then parts[21] = "..." break end
    parts[#parts + 1] = "[" .. show(k) .. "]=" .. show(v)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- Is `got` true? Returns whether it is.
function M.ok(got, what)
  return not not got or problem((what or "not true") .. ", got " .. show(got))
end

--- Equal in value and in kind of number; tables by their contents.
function M.eq(got, expected, what)
  if same(got, expected, {}) then return true end
  return problem((what and what .. ": " or "") .. "expected " .. list(expected)
    .. ", got " .. list(got))
end

--- Does f(...) raise an error that is `expected`: a pattern that its text
-- matches, or (any other kind of value) equal to it? Returns the error.
function M.fails(expected, f, ...)
  local done, err = pcall(f, ...)
  if done then
    problem("expected the error " .. show(expected) .. ", got none")
  elseif type(expected) == "string" then
    if not tostring(err):find(expected) then
      problem("expected an error like " .. show(expected) .. ", got "
        .. show(err))
    end
  elseif err ~= expected then
    problem("expected the error " .. show(expected) .. ", got " .. show(err))
  end
  return err
end

local function report(good, name, why)
  count = count + 1
  if not good then failed = failed + 1 end
  io.stdout:write(good and "ok " or "not ok ", count, " - ", name,
    why and " # SKIP " .. why or "", "\n")
end

--- Runs f as one test.
function M.test(name, f, ...)
  problems = {}
  local done, err = xpcall(f, function(e)
    return debug.traceback(type(e) == "string" and e or show(e), 2)
  end, ...)
  if not done then problems[#problems + 1] = err end
  report(#problems == 0, name)
  for _, text in ipairs(problems) do diagnose(text) end
  problems = nil
  io.stdout:flush()
end

--- Reports a test that cannot run here.
function M.skip(name, why)
  report(true, name, why)
end

--- The lines of a text that are not empty.
function M.lines(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

--- Quotes for the shell.
function M.quote(s)
  return "'" .. tostring(s):gsub("'", "'\\''") .. "'"
end

local function slurp(name)
  local f <close> = assert(io.open(name, "rb"))
  return f:read "a"
end

--- Runs a shell command, with `input` (or nothing) on its standard input, and
-- returns what it wrote on stdout and stderr, and its exit status (128 + n
-- when signal n killed it).
function M.run(command, input)
  local base = os.tmpname()
  local function name(suffix) return base .. suffix end
  local stdin = "/dev/null"
  if input then
    stdin = name ".in"
    local f <close> = assert(io.open(stdin, "wb"))
    f:write(input)
  end
  io.stdout:flush()
  local _, how, code = os.execute(string.format("( %s\n) <%s >%s 2>%s",
    command, stdin, name ".out", name ".err"))
  local out, err = slurp(name ".out"), slurp(name ".err")
  for _, suffix in ipairs { "", ".in", ".out", ".err" } do
    os.remove(name(suffix))
  end
  return out, err, how == "signal" and 128 + code or code
end

--- Runs a Lua script (its text) with the program under test. The arguments
-- follow the name of a file that holds it.
function M.lua(text, args, input)
  local file = os.tmpname()
  do
    local f <close> = assert(io.open(file, "w"))
    f:write(text)
  end
  local out, err, status = M.run(
    M.program .. " " .. file .. " " .. (args or ""), input)
  os.remove(file)
  return out, err, status
end

--- Is `condition()` true within that many seconds? For what another process
-- does in its own time; returns its last value.
function M.eventually(seconds, condition)
  local deadline = os.time() + seconds + 1
  local value = condition()
  while not value and os.time() <= deadline do
    os.execute "sleep 0.01"
    value = condition()
  end
  return value or problem("did not happen within " .. seconds .. " s")
end

--- Ends the file: prints the plan. Called by `local tap <close>`.
function M.done()
  if root then
    root = false
    io.stdout:write("1..", count, "\n")
    io.stdout:flush()
  end
  return failed == 0
end

return setmetatable(M, {
  __close = function(_, err)
    if err == nil and not M.done() then os.exit(1, true) end
  end,
})
