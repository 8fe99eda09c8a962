-- The command line does what lua 5.4's does: both run side by side.
local tap <close> = dofile "tests/lib/tap.lua"
local quote = tap.quote

if not tap.run "command -v lua5.4":find "lua5.4" then
  tap.skip("command lines", "no lua5.4 here")
  return
end

-- Usage tells of two more options here.
local function normalise(text, program)
  text = text:gsub(program:gsub("%p", "%%%0"), "PROGRAM")
  text = text:gsub("\n  %-%-deadlock=[^\n]*\n   [^\n]*\n   [^\n]*", "")
  text = text:gsub("\n  %-%-watch [^\n]*\n  %-%-help [^\n]*\n"
    .. "  %-%-version [^\n]*", "")
  return text
end

-- A folder with the scripts that the command lines name.
local dir = os.tmpname()
os.remove(dir)
os.execute("mkdir " .. dir)
local files = {
  ["args.lua"] = [[
    print(#arg, arg[0], ...)
    for i = -1, #arg do print(i, arg[i]) end]],
  ["options.lua"] = "for i = -9, 9 do print(i, arg[i]) end",
  ["error.lua"] = [[
    local function f() error 'deep' end
    local function g()
      f()
    end
    g()]],
  ["tail.lua"] = [[
    local function f() error('x', 2) end
    local function g() return f() end
    g()]],
  ["table.lua"] = "error {}",
  ["nil.lua"] = "error()",
  ["text.lua"] = [[
    error(setmetatable({}, {__tostring = function() return 'as text' end}))]],
  ["badtext.lua"] = [[
    error(setmetatable({}, {__tostring = function() return 1 end}))]],
  ["named.lua"] = "error(setmetatable({}, {__name = 'My type'}))",
  ["number.lua"] = "error(42)",
  ["syntax.lua"] = "x = = 1",
  ["unfinished.lua"] = "if x then",
  ["hash.lua"] = "#!/usr/bin/env lua\nprint 'hash' error 'line 2'",
  ["hashonly.lua"] = "#!/usr/bin/lua",
  ["empty.lua"] = "",
  ["bom.lua"] = "\xEF\xBB\xBFprint 'bom'",
  ["exit.lua"] = "io.write 'x' os.exit(tonumber(...) or ... == 'true')",
  ["exitclose.lua"] = [[
    setmetatable({}, {__gc = function() print 'gc' end})
    os.exit(3, true)]],
  ["exitopen.lua"] = [[
    setmetatable({}, {__gc = function() print 'gc' end})
    os.exit(4)]],
  ["close.lua"] = [[
    setmetatable({}, {__gc = function() print 'gc' end})
    print 'end']],
  ["gcerror.lua"] = [[
    setmetatable({}, {__gc = function() error 'in gc' end})]],
  ["toclose.lua"] = [[
    local function close(_, e) print('closed', e) end
    local x <close> = setmetatable({}, {__close = close})
    error 'e']],
  ["noarg.lua"] = "print(arg)",
  ["coroutine.lua"] = [[
    local f = coroutine.wrap(function(...)
      local x = coroutine.yield(...)
      error(x)
    end)
    print(f(1, 2, nil))
    f('from a coroutine')]],
  ["resume.lua"] = [[
    local c = coroutine.create(function() error {} end)
    print(select('#', coroutine.resume(c)))
    print(coroutine.resume(c))
    print((coroutine.close(c)))
    c = coroutine.create(function(...) return ... end)
    print(coroutine.resume(c, 1, nil, nil))
    print(pcall(coroutine.resume, 1))
    print(pcall(coroutine.wrap))
    print(pcall(coroutine.close, 2))
    print(pcall(coroutine.close, (coroutine.running())))
    c = coroutine.create(function()
      local close = function() error 'c' end
      local x <close> = setmetatable({}, {__close = close})
      coroutine.yield()
    end)
    coroutine.resume(c)
    print(coroutine.close(c))
    print(coroutine.status(c))
    local o
    o = coroutine.create(function()
      print(pcall(coroutine.close, o))
      coroutine.resume(coroutine.create(function()
        print(pcall(coroutine.close, o))
      end))
    end)
    coroutine.resume(o)]],
  ["overflow.lua"] = "local function f() return 1 + f() end f()",
  ["deepco.lua"] = [[
    local function f(n)
      local ok, e = coroutine.resume(coroutine.create(f), n + 1)
      if not ok then return n < 150 or e end
      return e
    end
    print(f(1))]],
  ["warn.lua"] = [[
    warn('a', 'b')
    warn '@on'
    warn('c', 'd')
    warn '@off'
    warn 'e'
    warn '@x']],
  ["print.lua"] = [[
    print()
    print(nil, true, 1, 1.0, -0.0, 'a\0b')
    print(setmetatable({}, {__tostring = function() return 'T' end}))
    io.write 'w'
    print(pcall(print, setmetatable({}, {__tostring = function() end})))
    print(tostring(setmetatable({}, {__name = 'N'})):match '^N: ')]],
  ["init.lua"] = "INIT = 'from a file'",
  ["badinit.lua"] = "error 'bad init'",
  ["mod.lua"] = "print('mod', ...) return {name = 'mod'}",
  ["badmod.lua"] = "error 'bad mod'",
  ["gcmode.lua"] = "print(collectgarbage 'incremental')",
  ["stdin.lua"] = "print(io.read 'l') print(io.read 'a')",
  ["write.lua"] = "io.write 'a' print 'b' io.stderr:write 'c' io.write 'd'",
  ["badarg.lua"] = "print 'not reached'",
}
for name, text in pairs(files) do
  local f <close> = assert(io.open(dir .. "/" .. name, "w"))
  f:write(text)
end

local absolute = tap.run("realpath " .. quote(tap.program)):gsub("\n", "")

local function both(command, input)
  local results = {}
  for i, program in ipairs { "lua5.4", absolute } do
    local line = command:gsub("%f[%w@]LUA%f[^%w@_]",
      (program:gsub("%%", "%%%%")))
    local out, err, status = tap.run("cd " .. dir .. "; " .. line, input)
    results[i] = {
      out = normalise(out, program), err = normalise(err, program),
      status = status,
    }
  end
  return results[2], results[1]
end

local function compare(name, commands)
  tap.test(name, function()
    for _, c in ipairs(commands) do
      local command, input = c, nil
      if type(c) == "table" then command, input = c[1], c[2] end
      local got, expected = both(command, input)
      tap.eq(got.out, expected.out, command .. ": stdout")
      tap.eq(got.err, expected.err, command .. ": stderr")
      tap.eq(got.status, expected.status, command .. ": status")
    end
  end)
end

compare("scripts and arguments", {
  "LUA args.lua", "LUA args.lua 1 2 3", "LUA args.lua ''", "LUA -- args.lua a",
  "LUA ./args.lua -e x", "LUA -W -E options.lua 1 2",
  "LUA -e 'x=1' options.lua 1", "LUA -e x=1 -- options.lua", "LUA empty.lua",
  "LUA hash.lua", "LUA bom.lua", "LUA hashonly.lua", "LUA args.lua --help",
  "LUA args.lua -v --", "LUA -e 'arg = nil' noarg.lua",
  "LUA -e 'arg = 1' badarg.lua", "LUA -e 'arg = {[0]=1, 7, 8}' args.lua",
  "LUA close.lua", "LUA gcmode.lua", "LUA write.lua", "LUA print.lua",
  "LUA exitclose.lua", "LUA exitopen.lua",
})

compare("errors", {
  "LUA error.lua", "LUA tail.lua", "LUA table.lua", "LUA nil.lua",
  "LUA text.lua", "LUA badtext.lua", "LUA named.lua", "LUA number.lua",
  "LUA syntax.lua", "LUA unfinished.lua", "LUA nofile.lua", "LUA .",
  "LUA gcerror.lua", "LUA -W gcerror.lua", "LUA toclose.lua",
  "LUA coroutine.lua", "LUA resume.lua", "LUA overflow.lua", "LUA deepco.lua",
  "LUA -e 'error(nil)'", "LUA -e 'local t = nil; t.x = 1'",
  "LUA -e 'string.rep()'", "LUA -e 'string.rep(\"x\", -1, 5, {}):bad()'",
  "LUA -e 'xpcall(error, function() error(1) end)'",
  "LUA -e 'for i = 1, 30 do load(\"x x\") end error(\"a\\nb\\n\")'",
  "LUA -e 'assert(false)'", "LUA -e 'assert(nil, \"msg\")'",
  "LUA -e 'assert(false, {})'", "LUA -e 'local s = (\"x\"):rep(1 << 40)'",
  "LUA -e 'local s = (\"x\"):rep(1 << 62)'", "LUA -e 'table.concat({{}})'",
  "LUA -e 'coroutine.yield()'",
  "LUA -e 'print(coroutine.running() ~= nil, coroutine.isyieldable())'",
})

compare("options", {
  "LUA -v", "LUA -v -e 'print(1)'", "LUA -vv", "LUA -v args.lua", "LUA -e",
  "LUA -l", "LUA -e -v", "LUA -x", "LUA --x", "LUA -i2", "LUA -E1", "LUA -W1",
  "LUA -ex=1 -e 'print(x)'",
  "LUA -e 'x=1' -e 'print(x)' -e 'error(x)' -e 'print(2)'", "LUA -e 'x x'",
  "LUA -e ''", "LUA -e 'return 1'", "LUA -e 'print(...)' args.lua",
  "LUA -l mod", "LUA -lmod -e 'print(mod.name)'",
  "LUA -l m=mod -e 'print(m.name, mod)'", "LUA -lm=mod -e 'print(m.name)'",
  "LUA -l nomod", "LUA -l badmod -e 'print(1)'", "LUA -l =mod", "LUA -l m=",
  "LUA -e 'require = nil' -l mod", "LUA -W warn.lua", "LUA warn.lua",
  "LUA -e 'warn(1, 2)' -W -e 'warn(1, 2)'", "LUA -e 'warn()'",
  "LUA -e 'warn({})'", "LUA - a b <args.lua", "LUA -- - a",
  "LUA -e 'print(1)' - <args.lua", "LUA -v - <args.lua", "LUA exit.lua true",
  "LUA exit.lua false", "LUA exit.lua 7", "LUA exit.lua 300", "LUA exit.lua -1",
  "LUA exit.lua 2.0", "LUA exit.lua 2.5", "LUA -e 'os.exit({})'",
  "LUA -e 'os.exit(nil, true)'",
})

compare("standard input", {
  { "LUA", "print(1, ...)" }, { "LUA -", "print(#arg, arg[0])" },
  { "LUA - x", "print(...)" },
  { "LUA", "#!hash\nprint(debug.getinfo(1).source)" }, { "LUA", "x x" },
  { "LUA", "error 'in stdin'" }, { "LUA", "" },
  { "LUA stdin.lua", "one\ntwo\nthree" },
  { "LUA -e 'print(io.read())'", "line\nmore" },
  { "LUA -W", "print 'after W'" }, { "LUA -E", "print 'after E'" },
  { "LUA -l mod", "print(mod.name)" },
})

compare("environment", {
  "LUA_INIT='print(1)' LUA -e 'print(2)'",
  "LUA_INIT='print(1)' LUA -E -e 'print(2)'",
  "LUA_INIT=@init.lua LUA -e 'print(INIT)'",
  "LUA_INIT=@nofile.lua LUA -e 'print(2)'",
  "LUA_INIT=@badinit.lua LUA -e 'print(2)'", "LUA_INIT='x x' LUA -e 'print(2)'",
  "LUA_INIT='error(1)' LUA_INIT_5_4='print(54)' LUA -e 'print(2)'",
  "LUA_INIT_5_4='error()' LUA -e 'print(2)'", "LUA_INIT= LUA -e 'print(2)'",
  "LUA_INIT='print(arg[0], #arg)' LUA args.lua 1", "LUA_INIT='x' LUA -v",
  "LUA_PATH='/x/?.lua;;' LUA -e 'print(package.path)'",
  "LUA_PATH='/x/?.lua' LUA -E -e 'print(package.path)'",
  "LUA_CPATH_5_4='/y/?.so' LUA -e 'print(package.cpath)'",
  "LUA_PATH='/x/?.lua' LUA -l mod",
})

tap.test("the program's name is what it was called", function()
  local link = dir .. "/other-name"
  os.execute("ln -s " .. quote(absolute) .. " " .. link)
  local _, err = tap.run(link .. " -e 'error(1, 0)'")
  tap.ok(err:find(link .. ": 1", 1, true), err)
end)

tap.test("--help and --version", function()
  local out, err, status = tap.run(absolute .. " --help")
  tap.ok(out:find "^usage: .*%-e stat.*%-%-version", out)
  tap.ok(err == "" and status == 0)
  out, err, status = tap.run(absolute .. " --version")
  tap.ok(out:find "^cluarun %d+%.%d+%.%d+ %(Lua 5%.4%)\n$", out)
  tap.ok(err == "" and status == 0)
end)

tap.test("-i runs the script, then reads lines", function()
  local out, err, status = tap.run("cd " .. dir .. "; " .. absolute
    .. " -i init.lua", [[
INIT
=1+1
for i = 1, 2 do
print(i)
end
error 'e'
x x
]])
  tap.ok(out:find "^Lua 5%.4", "no banner")
  tap.ok(out:find "> from a file\n> 2\n> >> >> 1\n2\n", out)
  tap.ok(err:find "^stdin:1: e\nstack traceback:\n\t%[C%]: in function", err)
  tap.ok(err:find "\nstdin:1: syntax error near 'x'\n", err)
  tap.eq(status, 0)
end)

tap.test("-i: prompts, and an error in print", function()
  local out, err = tap.run(absolute .. " -i", [[
_PROMPT = '$ '
_PROMPT2 = '$$ '
if
x then end
print = nil
1
]])
  tap.ok(out:find "> %$ %$ %$%$ %$ ", out)
  tap.ok(err:find "^error calling 'print' %(attempt to call a nil value", err)
end)

os.execute("rm -r " .. dir)

tap.test("a traceback of a chunk with a strange name", function()
  local _, err, status = tap.lua [[
    local f = load("error('x')", "=[cluarun]/a\nb")
    local function g() f() end
    g()]]
  tap.ok(err:find "x\nstack traceback:\n.*in main chunk", err)
  tap.eq(status, 1)
end)
