-- Lines that several processes print never mix.
local tap <close> = dofile "tests/lib/tap.lua"

-- N children print lines of one letter each, to `target`; returns the output.
local function lines(n, count, length, target)
  return tap.run(string.format([[%s -e '
    for i = 1, %d do
      if fork() == 0 then
        local line = string.char(96 + i):rep(%d)
        for j = 1, %d do print(line) end
        return
      end
    end
    for i = 1, %d do wait() end' %s]],
    tap.program, n, length, count, n, target))
end

local function check(text, n, count, length)
  local seen, whole = 0, true
  for line in text:gmatch "([^\n]*)\n" do
    seen = seen + 1
    whole = whole and #line == length and line == line:sub(1, 1):rep(length)
  end
  tap.ok(whole, "lines are mixed")
  tap.eq(seen, n * count)
end

for _, length in ipairs { 10, 4095, 5000, 70000, 300000 } do
  tap.test("lines of " .. length .. " bytes through a pipe", function()
    check(lines(4, 50, length, "| cat"), 4, 50, length)
  end)
end

tap.test("lines in a file", function()
  local name = os.tmpname()
  lines(4, 500, 100, ">" .. name)
  local f <close> = assert(io.open(name))
  check(f:read "a", 4, 500, 100)
  os.remove(name)
end)

-- Four processes write lines of `length` bytes, each by one io.write.
local function written_in_parts(count, length)
  local name = os.tmpname()
  tap.run(tap.program .. ([[ -e '
    for i = 1, 4 do
      if fork() == 0 then
        local letter = string.char(96 + i)
        for j = 1, %d do io.write(letter, letter:rep(%d), letter, "\n") end
        return
      end
    end
    for i = 1, 4 do wait() end' >]]):format(count, length - 2) .. name)
  local f <close> = assert(io.open(name))
  check(f:read "a", 4, count, length)
  os.remove(name)
end

tap.test("lines that io.write makes of parts, in a file", function()
  written_in_parts(1000, 100)
end)

tap.test("lines of io.write that are longer than a page", function()
  written_in_parts(200, 10000)
end)

tap.test("print comes after what io.write left", function()
  local out = tap.lua [[
    io.write "a"
    if fork() == 0 then return end
    wait()
    io.write "b" print "c" io.write "d\ne" print("f", nil, 1.5) io.write "g"]]
  tap.eq(out, "abc\nd\nef\tnil\t1.5\ng")
end)

tap.test("print converts as Lua's does, and reports bad conversions", function()
  local body = [[
    print(setmetatable({}, {__tostring = function() return "T" end}), -0.0)
    print((tostring(setmetatable({}, {__name = "N"})):gsub(": .*", "")))
    print(pcall(print, setmetatable({}, {__tostring = function() end})))
    print("a\0b") print()]]
  local before = tap.lua(body)
  local after = tap.lua("if fork() == 0 then return end wait()" .. body)
  tap.eq(after, before)
  tap.eq(before,
    "T\t-0.0\nN\nfalse\t'__tostring' must return a string\na\0b\n\n")
end)
