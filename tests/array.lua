local tap <close> = dofile "tests/lib/tap.lua"
local proc = dofile "tests/lib/proc.lua"
local test, eq, ok, fails = tap.test, tap.eq, tap.ok, tap.fails

test("of a length", function()
  local a = Array(3)
  eq(#a, 3)
  eq({ a[1], a[2], a[3] }, { 0, 0, 0 })
  a[2] = 5
  a[3] = -1.5
  eq({ a[1], a[2], a[3] }, { 0, 5, -1.5 })
  a[2.0] = 6
  eq(a[2], 6)
  eq(#Array(0), 0)
  ok(tostring(a):find "^<Array 0x%x+ length=3>$", tostring(a))
end)

test("of a list", function()
  local a = Array { 1, 2.0, 1 << 62, math.mininteger, -0.0, math.huge }
  eq(#a, 6)
  eq(a[1], 1)
  eq(a[2], 2.0)
  eq(a[3], 1 << 62)
  eq(a[4], math.mininteger)
  eq(string.format("%g", a[5]), "-0")
  eq(a[6], math.huge)
  eq(#Array {}, 0)
end)

test("ipairs", function()
  local sum, n = 0, 0
  for i, x in ipairs(Array { 10, 20, 30 }) do
    n = i
    sum = sum + x
  end
  eq(n, 3)
  eq(sum, 60)
end)

test("outside", function()
  local a = Array(2)
  eq(a[0], nil)
  eq(a[3], nil)
  eq(a[-1], nil)
  eq(a[1.5], nil)
  eq(a.x, nil)
  eq(a["1"], nil)
  for _, i in ipairs { 0, 3, -1, math.mininteger } do
    fails("index .* is outside of 1..2", function() a[i] = 1 end)
  end
  for i, got in pairs { [1.5] = "1.5", x = "string", ["1"] = "string" } do
    fails("index of an Array must be an integer, got " .. got,
      function() a[i] = 1 end)
  end
  fails("holds numbers, not a string", function() a[1] = "1" end)
  fails("holds numbers, not a nil", function() a[1] = nil end)
  eq(a[1], 0)
end)

test("misuse", function()
  fails("bad argument #1 to '.*Array'", Array)
  fails("number or list expected, got string", Array, "3")
  fails("bad argument #1 to '.*Array'", Array, -1)
  fails("bad argument #1 to '.*Array'", Array, 1.5)
  fails("bad argument #1 to '.*Array'", Array, 0 / 0)
  fails("number expected at %[2%], got string", Array, { 1, "2" })
  fails("shared memory exhausted", Array, 1 << 39)
end)

test("shared with other processes", function()
  local a, pids = Array(400), {}
  for k = 1, 4 do
    pids[k] = proc.child(function()
      for i = k, 400, 4 do a[i] = i % 2 == 0 and i or i + 0.5 end
    end)
  end
  for k = 1, 4 do eq(proc.status(pids[k]), 0) end
  for i = 1, 400 do
    if not eq(a[i], i % 2 == 0 and i or i + 0.5) then break end
  end
end)

test("written by processes that are killed", function()
  local a, wrong = Array(8), 0
  for _ = 1, 20 do
    local child = proc.child(function()
      while true do
        for i = 1, 8 do
          a[i] = 7
          a[i] = 7 << 58
          a[i] = 7.5
        end
      end
    end)
    for _ = 1, 200 do
      for i = 1, 8 do
        local x = a[i]
        if x ~= 0 and x ~= 7 and x ~= 7 << 58 and x ~= 7.5 then
          wrong = wrong + 1
        end
      end
    end
    proc.slay(child)
  end
  eq(wrong, 0)
end)

test("sent", function()
  local q = Queue()
  q:put(Array { 1, 2 })
  eq(q:get()[2], 2)
end)
