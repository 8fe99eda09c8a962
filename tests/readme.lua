-- What README.md shows, done: the first example, the session at the prompt, the
-- column of the table for those who come from Python, the program in C.
local tap <close> = dofile "tests/lib/tap.lua"
local session = dofile "tests/lib/session.lua"
local ok, eq = tap.ok, tap.eq

local readme
do
  local f <close> = assert(io.open "README.md")
  readme = f:read "a"
end

-- Pids and addresses as \1, white space as one blank.
local function plain(text)
  return (text:gsub("0x%x+", "\1"):gsub("%d%d+", "\1")
    :gsub("[ \t]+", " "))
end

local function sorted(text)
  local list = tap.lines(plain(text))
  table.sort(list)
  return table.concat(list, "\n")
end

-- Its processes are not bound to an order among each other.
tap.test("the first example prints what is below it", function()
  local code = readme:match "\n```lua\n(.-)```\n"
  local shown = readme:match "\n```\n%$ build/cluarun [%w_]+%.lua\n(.-)```\n"
  local out, err, status = tap.lua(code)
  eq(sorted(out), sorted(shown))
  eq(err, "")
  eq(status, 0)
  ok(#tap.lines(code) <= 15, "a short example")
end)

-- One input of the session and what follows it on the screen.
local function turns()
  local text = readme:match "\n```\n%$ build/cluarun\n(.-)\n```\n"
  local list = {}
  for _, line in ipairs(tap.lines(text)) do
    local input = line:match "^>>? (.*)$"
    if input then list[#list + 1] = { prompt = line:match "^>+", input = input,
      output = "" }
    elseif #list > 0 then
      list[#list].output = list[#list].output .. line .. "\n"
    else
      list.banner = line
    end
  end
  return list
end

local function pattern(text)
  return (plain(text):gsub("%p", "%%%0"):gsub("\1", "%%w+")
    :gsub(" ", "[ \t]+"):gsub("\n", "\n+"))
end

tap.test("the session at the prompt goes as it is shown", function()
  local list = turns()
  ok(#list > 4, "a session is shown")
  local s <close> = session.start { wait = false }
  s:expect(pattern(list.banner) .. "\n> $")
  for i, turn in ipairs(list) do
    s:send(turn.input .. "\r")
    s:expect(pattern(turn.output))
    s:expect((list[i + 1] and list[i + 1].prompt or ">") .. " $")
  end
  s:send "q:shutdown()\r"
  s:expect "> $"
  s:send "\4"
  eq({ s:wait() }, { "exit", 0 })
end)

local function program_in_c()
  local code = readme:match "\n```c\n(.-)```\n"
  local includes, body = code:match "^(.-)\n\n(.*)$"
  local name = os.tmpname()
  local build = tap.program:match "^(.*)/"
  local out, err, status = tap.run(([[
    ${CC:-cc} -std=c11 -Werror -x c -o %s - -Iinclude -L%s \
      $(pkg-config --cflags lua5.4) -lcluarun $(pkg-config --libs lua5.4) &&
    LD_LIBRARY_PATH=%s %s]]):format(name, build, build, name),
    includes .. "\nint main(void) {\n" .. body .. "}\n")
  os.remove(name)
  ok(out:find "^%d+\n$", out)
  eq(err, "")
  eq(status, 0)
end

if tap.sanitizer then tap.skip("the program in C", "not under a sanitizer")
else tap.test("the program in C", program_in_c) end

-- Is it a primitive, or a method of one?
local objects = { Queue(), Process { target = print },
  Thread { target = print }, Pool(1), Pipe() }
local function exists(name)
  if package.loaded.cluarun[name] ~= nil then return true end
  for _, object in ipairs(objects) do
    if object[name] ~= nil then return true end
  end
  return false
end

-- The names that a cell begins its pieces of code with.
local function check_names(cell)
  local n = 0
  for code in cell:gmatch "`(.-)`" do
    ok(exists(code:match "^[%a_]+"), code)
    n = n + 1
  end
  return n
end

tap.test("the primitives of the table are there", function()
  local n = 0
  local rows = readme:match "| primitives | |\n.-\n(.-)\n\n"
  for _, row in ipairs(tap.lines(rows)) do n = n + check_names(row) end
  ok(n > 30, n .. " names")
end)

-- The right-hand column of the table, `code`; `code`: the pieces of a cell run
-- one after the other, after what they take for granted.
local prelude = [[
local function f(...) return ... end
local function g() end
local items, pairs, x = { 1, 2, 3 }, { { 1, 2 }, { 3, 4 } }, "x"
local list = { Event() }
list[1]:set()
]]

-- What a cell needs besides, by its first piece.
local before = {
  ["p:result()"] = "local p = Process { target = f }:start()",
  ["p:terminate()"] =
    "local p = Process { target = sleep, args = { 60 } }:start()",
  ["p:map(f, items, {timeout=5, progress=true})"] =
    "local p <close> = Pool(2)",
  ["for i, v in p:imap(f, items, 10)"] = "local p <close> = Pool(2)",
  ["r = p:apply_async(f, {1}, g)"] = "local p <close> = Pool(2)",
  ["local _ <close> = lock:guard()"] = "local lock = Lock()",
  ["Value(0)"] = "local v = Value(0)",
}

-- What is not run as it stands there.
local instead = {
  ["fork()"] = "local pid = fork() if pid == 0 then sleep(60) os.exit() end",
  ["wait(pid)"] = "assert(wait(pid, 0) == nil)",
  ['kill(pid, "TERM")'] =
    "kill(pid, 'TERM') assert(select(2, wait(pid)) == 'signal')",
  ["for i, v in p:imap(f, items, 10)"] =
    "for i, v in p:imap(f, items, 10) do assert(i == v) end",
  ["p.exitcode"] = "p:join() assert(p.exitcode < 0)",
  ["wait_any(list [, timeout])"] =
    "assert(wait_any(list)[1] == wait_any(list, 1)[1])",
  ["pcall"] = "local done, err = pcall(q.get, q, false)",
  ["false, Empty"] = "assert(not done and err == Empty)",
  f = "", items = "",
}

local function statement(code)
  if instead[code] then return instead[code] end
  if code:find "^[%a_]+$" then
    ok(exists(code), code)
    return ""
  end
  if load(code) then return code end
  return "assert((" .. code .. ") ~= nil)"
end

local function script(cell)
  local parts = { prelude, before[cell:match "`(.-)`"] }
  for code in cell:gmatch "`(.-)`" do parts[#parts + 1] = statement(code) end
  return table.concat(parts, "\n")
end

for row in readme:match "\n## From Python\n.-| %-%-%- |\n(.-)\n\n"
    :gmatch "[^\n]+" do
  local python, cell = row:match "^| (.*) | (.*) |$"
  tap.test("from Python: " .. cell, function()
    if cell:find "^the same names" then return check_names(python) end
    local out, err, status = tap.lua(script(cell))
    eq(out, "")
    if not cell:find "progress=true" then eq(err, "") end
    eq(status, 0)
  end)
end

objects[4]:terminate()
session.done()
