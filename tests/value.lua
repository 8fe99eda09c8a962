local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

local samples = {
  0, -1, 1 << 48, (1 << 49) - 1, 1 << 49, -(1 << 49), -(1 << 49) - 1,
  math.maxinteger, math.mininteger, 0.0, -0.0, 1.5, 1e300, math.huge,
  -math.huge, 0 / 0, true, false, "", "a\0b", ("x"):rep(255), ("x"):rep(256),
  ("y"):rep(257), ("z"):rep(100000),
}

local function exactly(got, expected)
  if math.type(expected) == "float" then
    return ok(string.format("%a", got) == string.format("%a", expected)
      and math.type(got) == "float", tostring(expected))
  end
  return eq(got, expected)
end

test("every kind of value", function()
  local v = Value(0)
  for _, a in ipairs(samples) do
    for _, b in ipairs(samples) do
      v.value = a
      v.value = b
      exactly(v.value, b)
    end
    exactly(Value(a).value, a)
  end
end)

test("misuse", function()
  fails("bad argument #1 to '.*Value'", Value)
  fails("number, boolean or string expected, got table", Value, {})
  local v = Value(1)
  fails("a number, a boolean or a string, not a nil", function()
    v.value = nil
  end)
  fails("not a function", function() v.value = print end)
  fails("no field 'val'", function() v.val = 1 end)
  fails("no field '1'", function() v[1] = 1 end)
  eq(v.other, nil)
  eq(v.value, 1)
end)

test("add", function()
  local v = Value(1)
  eq(v:add(2), 3)
  eq(v:add(-4), -1)
  exactly(v:add(0.5), -0.5)
  v.value = math.maxinteger
  eq(v:add(1), math.mininteger)
  v.value = (1 << 49) - 1
  eq(v:add(1), 1 << 49)
  eq(v:add(-1), (1 << 49) - 1)
  fails("bad argument #1 to 'add'", function() v:add "1" end)
  v.value = "10"
  fails("cannot add to a Value that holds a string", v.add, v, 1)
  v.value = true
  fails("holds a boolean", v.add, v, 1)
end)

test("tostring", function()
  eq(tostring(Value(5)), "<Value 5>")
  eq(tostring(Value "abc"), "<Value abc>")
  eq(tostring(Value(false)), "<Value false>")
  ok(#tostring(Value(("x"):rep(10000))) < 100)
end)

test("no addition is lost between processes", function()
  local v, pids = Value(0), {}
  for i = 1, 3 do
    pids[i] = proc.child(function()
      for _ = 1, 10000 do v:add(1) end
    end)
  end
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
  eq(v.value, 30000)
end)

test("its lock", function()
  local v, pids = Value(0), {}
  local l = v:lock()
  eq(v:lock() == l, true)
  eq(tostring(l), "<Lock unlocked>")
  for i = 1, 3 do
    pids[i] = proc.child(function()
      for _ = 1, 1000 do
        local _ <close> = v:lock():guard()
        v.value = v.value + 1
      end
    end)
  end
  for i = 1, 3 do eq(proc.status(pids[i]), 0) end
  eq(v.value, 3000)
  v = nil
  collectgarbage()
  eq(l:acquire(), true)
  l:release()
end)

test("strings written by processes that are killed", function()
  local v, torn = Value "a", 0
  for i = 1, 20 do
    local child = proc.child(function()
      while true do
        for n = 1, 50 do v.value = string.char(96 + i):rep(n * 10) end
      end
    end)
    for _ = 1, 500 do
      local s = v.value
      if s:find("[^" .. s:sub(1, 1) .. "]") then torn = torn + 1 end
    end
    proc.slay(child)
  end
  eq(torn, 0)
  v.value = 1
  eq(v:add(1), 2)
end)

test("sent", function()
  local q = Queue()
  q:put(Value "hello")
  local v = q:get()
  eq(v.value, "hello")
  v.value = 7
  q:put(v)
  eq(q:get() == v, true)
end)
