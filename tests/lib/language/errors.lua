--- Error handling: objects, levels, handlers, stack overflows, warnings.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function values(n)
  for i = 1, 3 * n do
    local object = setmetatable({ code = i }, {
      __tostring = function(self) return "code " .. self.code end,
    })
    local done, err = pcall(error, object)
    eq(done, false)
    eq(err, object)
    eq(tostring(err), "code " .. i)
    list(table.pack(pcall(error)), false, nil)
    list(table.pack(pcall(error, nil)), false, nil)
    list({ pcall(error, i) }, false, i)
    list({ pcall(error, "text", 0) }, false, "text")
    list({ pcall(pcall) }, false,
      "bad argument #1 to 'pcall' (value expected)")
    list({ pcall(pcall, error, "x", 0) }, true, false, "x")
    list({ select(2, pcall(function(...) return ... end, 1, i)) }, 1, i)
    list({ pcall(assert, false, object) }, false, object)
    list({ pcall(assert, nil) }, false, "assertion failed!")
    list({ assert(1, 2, 3) }, 1, 2, 3)
  end
  local function line() return debug.getinfo(2, "l").currentline end
  local at
  local function thrower(level)
    at = line()
    error("here", level)
  end
  eq(fails("here", thrower, 0), "here")
  eq(fails("here", thrower, 1):match ":(%d+): here",
    tostring(debug.getinfo(thrower, "S").linedefined + 2))
  eq(fails("here", function() thrower(2) end):match ":(%d+): here",
    tostring(at and debug.getinfo(1, "l").currentline - 1))
end

local function handlers(n)
  for i = 1, n do
    list({ xpcall(function(...) return select("#", ...), ... end, error, i,
      nil) }, true, 2, i)
    list({ xpcall(error, function(e) return e * 2, "dropped" end, i) }, false,
      2 * i)
    local done, trace = xpcall(function()
      local function inner() error "deep" end
      inner()
    end, debug.traceback)
    eq(done, false)
    eq(trace:find "deep\nstack traceback:\n" ~= nil, true)
    eq(trace:find "in %a+ 'inner'" ~= nil, true)
    -- A handler that fails is called for its own error.
    local count = 0
    done, trace = xpcall(error, function(e)
      count = count + 1
      if count < 4 then error("again", 0) end
      return e .. count
    end, "start")
    eq(done, false)
    eq(trace, "again4")
    done, trace = xpcall(error, function(e) error(e, 0) end, "for ever")
    eq(done, false)
    eq(trace:find "error in error handling" ~= nil
      or trace:find "C stack overflow" ~= nil, true)
    -- A handler runs where the error was: it sees the locals.
    local seen
    xpcall(function()
      local secret = "s" .. i
      return secret + {}
    end, function() seen = select(2, debug.getlocal(2, 1)) end)
    eq(seen, "s" .. i)
    -- pcall and coroutines inside of a handler.
    trace = select(2, xpcall(error, function(e)
      local _, inner = pcall(error, "inner", 0)
      return e .. inner .. coroutine.wrap(function()
        coroutine.yield "co"
      end)()
    end, "outer"))
    eq(trace, "outerinnerco")
  end
end

local function nested(n)
  local function level(k)
    if k == 0 then error("bottom", 0) end
    local done, err = pcall(level, k - 1)
    error(not done and err .. k, 0)
  end
  local _, err = pcall(level, 30)
  eq(#err, #"bottom" + 9 + 2 * 21)
  local sum = 0
  for i = 1, 30 * n do
    local done, e = pcall(i % 2 == 0 and error or tostring, i)
    if not done then sum = sum + e else sum = sum + #e end
  end
  local wanted = 0
  for i = 1, 30 * n do wanted = wanted + (i % 2 == 0 and i or #tostring(i)) end
  eq(sum, wanted)
  -- An error in the middle of many C functions.
  fails("inside", table.sort, { 3, 2, 1 }, function()
    return ("x"):gsub("x", function()
      return select(2, assert(pcall(string.gsub, "y", "y", function()
        error "inside"
      end)))
    end)
  end)
end

-- Fills the stack with few calls, as each carries many arguments.
local function wide(depth, ...)
  depth[1] = depth[1] + 1
  return 1 + wide(depth, ...)
end

-- And with many calls.
local function long(depth, a, b, c, d, e)
  depth[1] = depth[1] + 1
  return 1 + long(depth, a, b, c, d, e)
end

local function overflow(n)
  local function start(depth)
    return wide(depth, table.unpack(depth, 1, 3000))
  end
  for _ = 1, 2 do
    local depth = { 0 }
    fails("stack overflow", start, depth)
    local reached = depth[1]
    eq(reached > 100, true)
    local done, trace = xpcall(start, function(e)
      return e:find "stack overflow" and "handled"
    end, { 0 })
    eq(done, false)
    eq(trace, "handled")
    depth = { 0 }
    local co = coroutine.create(start)
    eq(select(2, coroutine.resume(co, depth)):find "stack overflow" ~= nil,
      true)
    -- The stack is whole again: as much fits as before.
    eq(depth[1] >= reached, true)
  end
  if n >= 10 then fails("stack overflow", long, { 0 }) end
  -- Of the C stack: by patterns, by callbacks, by the parser.
  local function again() return (("x"):gsub("x", again)) end
  fails("C stack overflow", again)
  local calls = 0
  local function compare()
    calls = calls + 1
    table.sort({ 1, 2 }, compare)
  end
  fails("C stack overflow", compare)
  eq(calls > 50, true)
  local _, why = load("return " .. ("("):rep(1000) .. "1" .. (")"):rep(1000))
  eq(why:find "overflow" ~= nil, true)
  eq(load("return " .. ("("):rep(100) .. "1" .. (")"):rep(100))(), 1)
end

local function memory()
  -- Sizes no memory has: an error, and everything goes on.
  local f <close> = assert(io.open "/dev/null")
  -- Room is taken at once, or as it is needed.
  local read, got = pcall(f.read, f, 1 << 50)
  eq(read and "nothing" or got, read and got == nil and "nothing"
    or "not enough memory")
  fails("resulting string too large", string.rep, "x", 1 << 52)
  local done = pcall(function()
    return table.concat({ ("x"):rep(1 << 20), ("y"):rep(1 << 20) })
  end)
  eq(done, true)
  fails("too many results", table.unpack, {}, 1, 1 << 50)
end

-- What a fresh interpreter writes: errors in finalizers become warnings.
local function warnings()
  local program = arg and arg[-1]
  if not program then return end
  local script = [[
    local function drop(f) setmetatable({}, {__gc = f}) end
    drop(function() error "lost" end)
    drop(function() io.stdout:write "other " end)
    collectgarbage()
    warn "@off"
    warn "unseen"
    warn "@on"
    warn("in ", "parts")
    io.stdout:write "end"
  ]]
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
  end
  local pipe <close> = assert(io.popen(program .. " -W " .. name .. " 2>&1"))
  local text = pipe:read "a"
  os.remove(name)
  eq(text:find("Lua warning: error in __gc", 1, true) ~= nil, true)
  eq(text:find "lost" ~= nil, true)
  eq(text:find "other" ~= nil, true)
  eq(text:find "Lua warning: in parts" ~= nil, true)
  eq(text:find "unseen", nil)
  eq(text:find "end" ~= nil, true)
end

return {
  { "error values", values }, { "message handlers", handlers },
  { "nested errors", nested }, { "stack overflow", overflow },
  { "not enough memory", memory }, { "warnings", warnings },
}
