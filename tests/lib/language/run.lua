-- run.lua SIZE [SECONDS [INTERVAL [KIND...]]]: the test of the language in this
-- thread, again and again for some seconds (once at least), while a thread of
-- each kind named works in the same state. Exit status 0 when all went well.
-- Without kinds any Lua 5.4 can run it.
local sections = dofile "tests/lib/language.lua"
local size = tonumber(arg[1])
local seconds = tonumber(arg[2] or 0)
local names = table.move(arg, 4, #arg, 1, {})
local crowd

-- Sections that use up a stack, and those that count finalizers, which fail
-- when another thread calls them there.
local deep = { ["message handlers"] = true, ["stack overflow"] = true,
  ["coroutine depth"] = true, ["errors in metamethods"] = true }
local counting = { finalizers = true, ["busy finalizers"] = true }
local overflows = table.concat(names, " "):find "overflow"
local background

if #names > 0 then
  switch_interval(tonumber(arg[3]))
  background = dofile "tests/lib/background.lua"
  if overflows then background.brink = 1 end
  crowd = background.start(names)
end

local failed, rounds = 0, 0
local stop = os.time() + seconds

local function problem(text)
  failed = failed + 1
  io.stderr:write(text, "\n")
end

local function run(section)
  local brink = crowd and not overflows and deep[section[1]]
  if brink then background.brink = background.brink + 1 end
  local done, err = xpcall(section[2], debug.traceback, size)
  if brink then background.brink = background.brink + 1 end
  if not done then
    problem(("%s, round %d: %s"):format(section[1], rounds + 1, err))
  end
end

repeat
  for _, section in ipairs(sections) do
    if not (overflows and counting[section[1]]) then run(section) end
  end
  rounds = rounds + 1
until failed > 0 or os.time() >= stop and not (crowd and crowd:idle())

io.stdout:write(("%d rounds of %d sections"):format(rounds, #sections))
if crowd then
  for _, text in ipairs(crowd:stop()) do problem(text) end
  for _, worker in ipairs(crowd) do
    io.stdout:write(("; %d of %s"):format(worker.rounds, worker.kind))
  end
end
io.stdout:write "\n"
os.exit(failed == 0, true)
