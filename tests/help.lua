-- The reference: every public name has an entry, every entry is about something
-- that is there, and every example runs.
local tap <close> = dofile "tests/lib/tap.lua"

local function part(name)
  return assert(loadfile("lua/" .. name .. ".lua"))
end
local primitives = require "cluarun"
local help = part "help"(part, primitives)

-- An object of each class that has fields or is made in Lua.
local objects = {
  Process = function() return Process { target = print } end,
  Thread = function() return Thread { target = print } end,
  Queue = Queue, Pipe = Pipe, Semaphore = Semaphore, Value = function()
    return Value(1)
  end,
  Barrier = function() return Barrier(1) end,
  Pool = function() return primitives.Pool(1) end,
  ThreadPool = function() return primitives.ThreadPool(1) end,
  AsyncResult = function()
    return primitives.ThreadPool(1):apply_async(print)
  end,
}

-- The tables of methods of all types.
local function types()
  local found = {}
  for key, meta in pairs(debug.getregistry()) do
    local name = type(key) == "string" and key:match "^cluarun%.([%w]+)$"
    if name and help.entries[name] then found[name] = meta end
  end
  for _, name in ipairs { "Pool", "ThreadPool", "AsyncResult" } do -- in Lua
    local object = objects[name]()
    found[name] = getmetatable(object)
    tap.eq(help.find(object).name, name)
    if object.terminate then object:terminate() end
  end
  return found
end

local function methods_of(meta)
  local index = rawget(meta, "__index")
  if type(index) == "function" then
    index = select(2, debug.getupvalue(index, 1))
  end
  return type(index) == "table" and index or {}
end

tap.test("every primitive has an entry", function()
  local count = 0
  for name in pairs(primitives) do
    tap.ok(help.entries[name], "no entry for " .. name)
    count = count + 1
  end
  tap.ok(count > 40, count)
end)

tap.test("every method of every type has an entry", function()
  local count = 0
  for name, meta in pairs(types()) do
    for method in pairs(methods_of(meta)) do
      if not method:find "^__" then tap.ok(help.find(name .. "." .. method),
        "no entry for " .. name .. "." .. method) end
      count = count + 1
    end
  end
  tap.ok(count > 80, count)
end)

tap.test("every entry is about something that is there", function()
  for name, entry in pairs(help.entries) do
    local class, member = name:match "^(.-)%.(.*)$"
    local there
    if entry.type and class then
      local object = tap.ok(objects[class], "an object of " .. class)
        and objects[class]()
      -- nil before it is started; a name that is not there cannot be set
      there = object[member] ~= nil or entry.type:find "%?$"
    elseif name == "AsyncResult" then
      there = true -- what apply_async returns; no name of Lua's
    else
      there = help.value(name) ~= nil
    end
    tap.ok(there, name .. " is not there")
  end
end)

tap.test("entries say all they should", function()
  for name, entry in pairs(help.entries) do
    tap.ok(#entry.text > 10 and entry.text:find "[.?!]$", name .. ": text")
    tap.ok(#entry.example > 0, name .. ": example")
    tap.ok(not entry.args or entry.returns, name .. ": returns")
    tap.ok(load(entry.example), name .. ": example does not compile")
  end
end)

local function expected_lines(example)
  local lines = {}
  for text in example:gmatch "%-%->[ ]?([^\n]*)" do
    lines[#lines + 1] = text
  end
  return table.concat(lines, "\n")
end

tap.test("every example prints what its comments say", function()
  for name, entry in pairs(help.entries) do
    local out, err, status = tap.lua(entry.example)
    tap.eq(out:gsub("\n$", ""), expected_lines(entry.example), name)
    tap.eq(err, "", name)
    tap.eq(status, 0, name)
  end
end)

tap.test("signatures", function()
  for name, expected in pairs {
    ["Queue.get"] = "Queue:get([block [, timeout]]) -> value",
    ["Queue.put"] = "Queue:put(value [, block [, timeout]])",
    Process = "Process{target=, args=, name=, daemon=} -> p",
    Pipe = "Pipe([duplex]) -> a, b",
    ["Process.pid"] = "Process.pid: integer?",
    ["Process.result"] = "Process:result([timeout]) -> values...",
  } do
    tap.eq(help.signature(help.entries[name]), expected)
  end
end)

tap.test("an entry is found by name, function, object", function()
  local q = LifoQueue(1)
  tap.eq(help.find("Queue").name, "Queue")
  tap.eq(help.find("Queue:get").name, "Queue.get")
  tap.eq(help.find("LifoQueue.get").name, "Queue.get")
  tap.eq(help.find(q.get).name, "Queue.get")
  tap.eq(help.find(Lock().acquire).name, "Lock.acquire")
  tap.eq(help.find(q).name, "LifoQueue")
  tap.eq(help.find(current_process()).name, "Process")
  tap.eq(help.find(fork).name, "fork")
  tap.eq(help.find(Empty).name, "Empty")
  for _, nothing in ipairs { "Nothing", "Queue.nothing", 1, true, {}, print } do
    tap.eq(help.find(nothing), nil)
  end
  tap.eq(help.find(nil), nil)
end)

tap.test("the page and the definitions hold every name", function()
  local page, err = tap.run(tap.program .. " src/tool/docs.lua markdown")
  tap.eq(err, "")
  local definitions
  definitions, err = tap.run(tap.program .. " src/tool/docs.lua luacats")
  tap.eq(err, "")
  tap.ok(load(definitions))
  tap.ok(definitions:find "^%-%-%-@meta")
  for name, entry in pairs(help.entries) do
    tap.ok(page:find("\n### " .. name .. "\n", 1, true), name)
    local class, member = name:match "^(.-)%.(.*)$"
    local form = not class and entry.args and "\nfunction cluarun.%s("
      or not class and entry.type and "\ncluarun.%s = nil"
      or not class and "\n---@class %s"
      or entry.args and "\nfunction " .. class .. ":" .. member .. "("
      or "\n---@field " .. member .. " "
    tap.ok(definitions:find(form:format(name), 1, true), name)
  end
end)

tap.test("help is no global outside of the prompt", function()
  tap.eq(tap.run(tap.program .. " -e 'print(help)'"), "nil\n")
end)
