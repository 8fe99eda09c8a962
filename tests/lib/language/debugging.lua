--- The debug library: what it says of functions, and the script's own hooks.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function info()
  local function f(a, b, ...) return a, b, ... end
  local i = debug.getinfo(f)
  eq(i.what, "Lua")
  eq(i.nparams, 2)
  eq(i.isvararg, true)
  eq(i.nups, 0)
  eq(i.func, f)
  eq(i.lastlinedefined - i.linedefined, 0)
  eq(i.short_src:match "[^/]*$", "debugging.lua")
  eq(debug.getinfo(print).what, "C")
  eq(debug.getinfo(1, "n").name ~= nil or debug.getinfo(2, "f") ~= nil, true)
  eq(debug.getinfo(1, "f").func, info)
  eq(debug.getinfo(1, "l").currentline, i.linedefined + 12)
  eq(debug.getinfo(1000), nil)
  local lines = debug.getinfo(f, "L").activelines
  eq(lines[i.linedefined], true)
  fails("invalid option", debug.getinfo, 1, "?")
  local function tail() return debug.getinfo(1, "t").istailcall end
  eq((function() return tail() end)(), true)
  eq((function() local r = tail() return r end)(), false)
end

local function variables(n)
  local function probe(a, b)
    local c = a + b
    local names = {}
    for i = 1, 4 do
      local name, value = debug.getlocal(1, i)
      names[i] = name .. "=" .. tostring(type(value) == "number" and value)
    end
    debug.setlocal(1, 3, 100)
    return table.concat(names, " "), c
  end
  for _ = 1, n do
    list({ probe(1, 2) }, "a=1 b=2 c=3 names=false", 100)
  end
  eq(debug.getlocal(probe, 2), "b")
  local function va(...) return debug.getlocal(1, -select("#", ...)) end
  list({ va(5, 6) }, "(vararg)", 6)
  local x, y = 1, 2
  local function up() return x + y end
  list({ debug.getupvalue(up, 1) }, "x", 1)
  eq(debug.setupvalue(up, 2, 10), "y")
  eq(up(), 11)
  eq(y, 10)
  local function other() return y end
  eq(debug.upvalueid(up, 2), debug.upvalueid(other, 1))
  debug.upvaluejoin(other, 1, up, 1)
  eq(other(), 1)
  local co = coroutine.create(function(p)
    local q = p * 2
    coroutine.yield(q)
    return q
  end)
  coroutine.resume(co, 21)
  list({ debug.getlocal(co, 1, 2) }, "q", 42)
  debug.setlocal(co, 1, 2, "changed")
  eq(select(2, coroutine.resume(co)), "changed")
  local t = setmetatable({}, { __metatable = "hidden" })
  eq(type(debug.getmetatable(t)), "table")
  debug.setmetatable(t, nil)
  eq(getmetatable(t), nil)
end

local function traces()
  local function inner() return debug.traceback("msg", 1) end
  local function outer() local s = inner() return s end
  local s = outer()
  eq(s:find "^msg\nstack traceback:\n" ~= nil, true)
  eq(s:find "in %a+ 'inner'" ~= nil, true)
  eq(s:find "in %a+ 'outer'" ~= nil, true)
  local object = {}
  eq(debug.traceback(object), object)
  local function down(k)
    if k == 0 then return debug.traceback() end
    return (down(k - 1))
  end
  s = down(60)
  eq(s:find "\n\t%.%.%.\t%(skipping %d+ levels%)" ~= nil, true)
  local co = coroutine.create(function() coroutine.yield() end)
  eq(debug.traceback(co), "stack traceback:")
  coroutine.resume(co)
  eq(debug.traceback(co):find "'coroutine.yield'" ~= nil
    or debug.traceback(co):find "'yield'" ~= nil, true)
end

-- The events that f causes in a coroutine of its own.
local function watch(mask, count, f, log)
  local co = coroutine.create(f)
  debug.sethook(co, log, mask, count)
  eq(debug.gethook(co), log)
  eq(select(2, debug.gethook(co)), mask)
  local done, err = coroutine.resume(co)
  if not done then error(err, 0) end
  return co
end

local function line_hooks(n)
  for _ = 1, n do
    local lines = {}
    local function f()
      local x = 1
      for i = 1, 3 do
        x = x + i
      end
      if x > 100 then
        x = 0
      end
      return x
    end
    local first = debug.getinfo(f, "S").linedefined
    watch("l", 0, f, function(event, line)
      eq(event, "line")
      lines[#lines + 1] = line - first
    end)
    eq(table.concat(lines, " "), "1 2 3 2 3 2 3 2 5 8")
  end
end

local function call_hooks(n)
  for _ = 1, n do
    local events = {}
    local function g(x) return x end
    local function f()
      g(1)
      pcall(g, 2)
      return g(3)
    end
    watch("cr", 0, f, function(event)
      local name = debug.getinfo(2, "f").func
      name = name == f and "f" or name == g and "g" or name == pcall
        and "pcall" or "?"
      events[#events + 1] = event .. " " .. name
    end)
    eq(table.concat(events, ", "), "call f, call g, return g, call pcall, "
      .. "call g, return g, return pcall, tail call g, return g")
  end
end

-- The period of a count hook may be longer than a thread's turn. The hook's
-- own instructions, about four, count too.
local function count_hooks(n)
  for _, period in ipairs { 20, 100, 1000 * n } do
    local rounds = period * 5
    local events = 0
    watch("", period, function()
      for _ = 1, rounds do end
    end, function() events = events + 1 end)
    if events < 5 or events > rounds // (period - 8) + 1 then
      error(("%d count events in %d instructions, expected one in %d"):format(
        events, rounds, period))
    end
  end
end

-- Of the running thread: set, seen, suspended in the hook itself, taken away.
local function own_hook(n)
  local before = table.pack(debug.gethook())
  local calls, depth = 0, 0
  local function hook()
    calls = calls + 1
    depth = depth + 1
    eq(depth, 1)
    eq(table.concat { calls, "x" }, calls .. "x")
    depth = depth - 1
  end
  debug.sethook(hook, "l")
  local x = 0
  for i = 1, 10 * n do
    x = x + i
  end
  debug.sethook()
  eq(debug.gethook(), nil)
  eq(x, 5 * n * (10 * n + 1))
  eq(calls, 20 * n + 3)
  local seen = calls
  for _ = 1, 10 do x = x - 1 end
  eq(calls, seen)
  -- An error out of a hook is an error of what runs.
  fails("from the hook", function()
    debug.sethook(function()
      debug.sethook()
      error "from the hook"
    end, "", 5)
    while true do x = x + 1 end
  end)
  debug.sethook()
  -- A coroutine does not get the hook of the one that makes it.
  calls = 0
  debug.sethook(hook, "c")
  local co = coroutine.create(function() tostring(1) end)
  debug.sethook()
  local made = calls
  coroutine.resume(co)
  eq(calls, made)
  eq((debug.gethook(co)), nil)
  if before[1] then debug.sethook(table.unpack(before, 1, before.n)) end
end

-- A hook of one coroutine never fires in another.
local function separate_hooks(n)
  local lines = { 0, 0, 0 }
  local cos = {}
  local function body()
    for _ = 1, 10 do
      coroutine.yield()
    end
  end
  for i = 1, 3 do
    cos[i] = coroutine.create(body)
    if i < 3 then
      debug.sethook(cos[i], function() lines[i] = lines[i] + 1 end, "l")
    end
  end
  for _ = 1, 11 do
    for i = 1, 3 do assert(coroutine.resume(cos[i])) end
    for _ = 1, n do tostring(n) end
  end
  list(lines, 22, 22, 0)
  for i = 1, 3 do eq(coroutine.status(cos[i]), "dead") end
end

return {
  { "getinfo", info }, { "debug variables", variables },
  { "traceback", traces }, { "line hooks", line_hooks },
  { "call hooks", call_hooks }, { "count hooks", count_hooks },
  { "own hook", own_hook }, { "separate hooks", separate_hooks },
}
