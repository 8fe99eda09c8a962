--- Strings: the library, patterns, formats, packing, UTF-8.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function basics(n)
  eq(#"a\0b", 3)
  eq(("x"):rep(0), "")
  eq(("ab"):rep(3, "-"), "ab-ab-ab")
  eq(("hello"):sub(-3, -2), "ll")
  eq(("hello"):sub(4, 100), "lo")
  eq(("hello"):sub(3, 2), "")
  eq(("hello"):sub(math.mininteger, math.maxinteger), "hello")
  list({ ("abc"):byte(1, -1) }, 97, 98, 99)
  list({ ("abc"):byte(10) })
  eq(string.char(104, 105), "hi")
  eq(("Abc"):upper() .. ("Abc"):lower(), "ABCabc")
  eq(("abc"):reverse(), "cba")
  eq(("abc"):len(), 3)
  eq("\u{48}\x49\74\z
      K", "HIJK")
  eq([[
a
b]], "a\nb")
  eq(("%s"):rep(2, ","):format(1, 2.5), "1,2.5")
  fails("resulting string too large", string.rep, "x", 1 << 60)
  fails("value out of range", string.char, 256)
  local parts, s = {}, ""
  for i = 1, 20 * n do
    parts[i] = i .. ";"
    s = s .. i .. ";"
  end
  eq(s, table.concat(parts))
  local long = ("0123456789"):rep(100 * n)
  eq(#long, 1000 * n)
  eq(long:sub(-10), "0123456789")
  local again = {}
  for i = 1, 10 do again[i] = long:sub(1, 5 * i) .. long:sub(5 * i + 1) end
  for i = 1, 10 do eq(again[i], long) end
  eq(({ [long] = 7 })[again[3]], 7)
end

local function finding(n)
  list({ ("hello"):find "l" }, 3, 3)
  list({ ("hello"):find("l", 4) }, 4, 4)
  list({ ("a.b"):find(".", 1, true) }, 2, 2)
  list({ ("hello"):find "" }, 1, 0)
  list({ ("hello"):find("", 6) }, 6, 5)
  list(table.pack(("hello"):find("", 7)), nil)
  list({ ("key = value"):match "^(%w+)%s*=%s*(%w+)$" }, "key", "value")
  list({ ("abc"):match "()b()" }, 2, 3)
  eq(("  trim  "):match "^%s*(.-)%s*$", "trim")
  eq(("[[nested]]"):match "%b[]", "[[nested]]")
  eq(("THE (quick) fox"):find "%((%a+)%)", 5)
  eq(("foo123"):match "%d+$", "123")
  eq(("a-b"):match "[a%-]+", "a-")
  eq(("x^y"):match "[%^]", "^")
  eq(("]"):match "[]]", "]")
  eq(("hello world"):match "%f[%w]w%w+", "world")
  eq(("abcabc"):match "(abc)%1", "abc")
  eq(("aaa"):match "a-b", nil)
  eq(("\0a\0"):match "%z*a", "\0a")
  eq(("0xFF"):match "%x+$", "FF")
  fails("malformed pattern %(missing '%]'%)", string.find, "a", "[a")
  fails("malformed pattern %(ends with '%%'%)", string.find, "a", "%")
  fails("unfinished capture", string.find, "a", "(a")
  fails("invalid capture index", string.find, "a", "%1")
  fails("pattern too complex", string.match, ("x"):rep(300),
    (".-"):rep(300) .. "y")
  local count = 0
  for k, v in ("a=1, b=2, c=3; "):rep(n):gmatch "(%w+)=(%w+)" do
    count = count + #k + #v
  end
  eq(count, 6 * n)
  local at = {}
  for p in ("abc"):gmatch "()" do at[#at + 1] = p end
  list(at, 1, 2, 3, 4)
end

-- Callbacks run Lua: calls, errors and coroutines inside of a C function.
local function substituting(n)
  list({ ("hello"):gsub("l", "L") }, "heLLo", 2)
  list({ ("hello"):gsub("l", "L", 1) }, "heLlo", 1)
  list({ ("abc"):gsub("", "-") }, "-a-b-c-", 4)
  list({ ("abc"):gsub("%w", "%0%0") }, "aabbcc", 3)
  list({ ("k=v"):gsub("(%w)=(%w)", "%2=%1") }, "v=k", 1)
  list({ ("$a $b"):gsub("%$(%w)", { a = "1", b = false }) }, "1 $b", 2)
  list({ ("abc"):gsub("b", function() end) }, "abc", 1)
  fails("invalid replacement value %(a table%)", string.gsub, "a", "a",
    function() return {} end)
  fails("invalid use of '%%' in replacement", string.gsub, "a", "a", "%x")
  fails("stop here", string.gsub, "abc", "%w", function(c)
    if c == "b" then error "stop here" end
  end)
  local function double(s)
    return s:gsub("%d+", function(d) return tostring(tonumber(d) * 2) end)
  end
  for i = 1, 5 * n do
    local text = double("a" .. i .. "b" .. i + 1)
    eq(text, "a" .. 2 * i .. "b" .. 2 * i + 2)
  end
  local function nested(depth, s)
    if depth == 0 then return s .. "!" end
    return (s:gsub(".", function(c) return nested(depth - 1, c) end, 2))
  end
  eq(nested(4, "xy"), "x!y!")
  local made = ("abc"):gsub("%w", coroutine.wrap(function(c)
    while true do c = coroutine.yield(c:upper() .. "'") end
  end))
  eq(made, "A'B'C'")
  local garbage = ("abcdefgh"):rep(n):gsub("%w", function(c)
    local t = { c, { c .. c } }
    return t[2][1]
  end)
  eq(garbage, ("aabbccddeeffgghh"):rep(n))
end

local function formats(n)
  eq(("%5d|%-5d|%05d|%+d"):format(42, 42, 42, 42), "   42|42   |00042|+42")
  eq(("%x %X %#x %o"):format(255, 255, 255, 8), "ff FF 0xff 10")
  eq(("%5.1f|%e|%g"):format(3.14159, 1000, 0.1), "  3.1|1.000000e+03|0.1")
  eq(("%5s|%-5s|%.2s"):format("ab", "ab", "abc"), "   ab|ab   |ab")
  eq(("%q"):format "a\nb\0c\"\\", '"a\\\nb\\0c\\"\\\\"')
  eq(("%q"):format(1 / 3), "0x1.5555555555555p-2")
  eq(("%q"):format(math.mininteger), "0x8000000000000000")
  eq(("%c%c%%"):format(72, 105), "Hi%")
  eq(("%i"):format(3.0), "3")
  eq(("%s %s"):format(nil, true), "nil true")
  eq(("%s"):format(setmetatable({}, {
    __tostring = function() return "me" end,
  })), "me")
  eq(("%-10p|"):format(1), "(null)    |")
  fails("no integer representation", string.format, "%d", 1.5)
  fails("number expected, got string", string.format, "%d", "x")
  fails("invalid conversion '%%y' to 'format'", string.format, "%y", 1)
  fails("no value", string.format, "%s")
  fails("'__tostring' must return a string", string.format, "%s",
    setmetatable({}, { __tostring = function() return {} end }))
  for i = 1, 10 * n do
    local text = ("%d:%s:%5.2f"):format(i, ("k"):rep(i % 7), i / 4)
    local number, key, float = text:match "^(%d+):(k*):%s*([%d.]+)$"
    eq(tonumber(number), i)
    eq(#key, i % 7)
    eq(tonumber(float) - i / 4 < 0.01, true)
    eq(load("return " .. ("%q"):format(text))(), text)
  end
end

local function packing(n)
  eq(("<i4"):pack(-2), "\xfe\xff\xff\xff")
  eq((">I2"):pack(258), "\1\2")
  list({ ("<i2 z s1"):unpack(("<i2 z s1"):pack(-1, "ab", "cd")) },
    -1, "ab", "cd", 9)
  eq(string.packsize "<!4 i1 i4", 8)
  list({ ("<d f n j"):unpack(("<d f n j"):pack(0.1, 0.5, 1e300, -7)) },
    0.1, 0.5, 1e300, -7, 29)
  eq(("<i16"):pack(-1), ("\xff"):rep(16))
  eq((">I3"):unpack "\1\2\3", 0x010203)
  fails("out of limits", string.pack, "i17", 1)
  fails("overflow", string.pack, "i1", 200)
  fails("data string too short", string.unpack, "<i4", "abc")
  fails("unfinished string for format 'z'", string.unpack, "z", "abc")
  for i = 1, 10 * n do
    local k = i * i * 977
    local s = ("<I4 >i8 s2"):pack(k, -k, "v" .. i)
    list({ ("<I4 >i8 s2"):unpack(s) }, k, -k, "v" .. i, #s + 1)
  end
end

local function unicode(n)
  eq(utf8.char(72, 228, 8364, 0x1F600), "H\u{e4}\u{20ac}\u{1F600}")
  eq(utf8.len "H\u{e4}\u{20ac}", 3)
  list(table.pack(utf8.len "a\xffb"), nil, 2)
  list({ utf8.codepoint("H\u{e4}\u{20ac}", 1, -1) }, 72, 228, 8364)
  eq(utf8.offset("a\u{e4}b", 3), 4)
  eq(utf8.offset("a\u{e4}b", -1), 4)
  fails("invalid UTF%-8 code", utf8.codepoint, "\xff")
  fails("invalid UTF%-8 code", function()
    for _ in utf8.codes "a\xe4" do end
  end)
  local text = ("a\u{e4}\u{20ac}\u{1F600}"):rep(n)
  local sum, last = 0, 0
  for p, c in utf8.codes(text) do sum, last = sum + c, p end
  eq(sum, n * (97 + 228 + 8364 + 0x1F600))
  eq(last, #text - 3)
  eq(select(2, text:gsub(utf8.charpattern, "")), 4 * n)
end

return {
  { "strings", basics }, { "patterns", finding }, { "gsub", substituting },
  { "format", formats }, { "pack", packing }, { "utf8", unicode },
}
