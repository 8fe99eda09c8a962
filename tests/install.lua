-- make install: everything works from where it was put, the build folder gone.
local tap <close> = dofile "tests/lib/tap.lua"

local build = tap.program:match "^(.*)/[^/]*$" or "."
if tap.sanitizer then
  tap.skip("make install", "a build without sanitizers is installed")
  return
end

local dir = tap.run "mktemp -d":match "[^\n]+"
local root = dir .. "/place"

local function run(command)
  return tap.run("cd " .. dir .. "; " .. command)
end

local function make(target, where)
  local _, err, status = tap.run(string.format("make BUILD=%s/build %s %s", dir,
    where, target))
  return tap.ok(status == 0, err)
end

local staged = "DESTDIR=" .. dir .. "/stage PREFIX=/opt/place"
local placed = "PREFIX=" .. root

local function list(where)
  return (tap.run("cd " .. dir .. "/" .. where
    .. " 2>/dev/null && find . ! -type d | LC_ALL=C sort"))
end

local files = [[
./bin/cluarun
./include/cluarun.h
./lib/libcluarun.a
./lib/libcluarun.so
./lib/libcluarun.so.0
./lib/libcluarun.so.0.1.0
./lib/lua/5.4/cluarun.so
./lib/pkgconfig/cluarun.pc
./share/cluarun/cluarun.d.lua
./share/doc/cluarun/reference.md
./share/man/man1/cluarun.1
]]

-- From a copy of the build, so that it can go afterwards.
tap.run(string.format("mkdir %s/build && cd %s && tar cf - --exclude=./tests"
  .. " --exclude=./thread --exclude=./gcc --exclude=./clang"
  .. " --exclude='./address*' . | tar xf - -C %s/build", dir, build, dir))

tap.test("make install into a DESTDIR, and uninstall", function()
  make("install", staged)
  tap.eq(list "stage/opt/place", files)
  local f <close> = io.open(dir .. "/stage/opt/place/lib/pkgconfig/cluarun.pc")
  tap.ok(f:read "a":find "^prefix=/opt/place\n")
  make("uninstall", staged)
  tap.eq(tap.run("find " .. dir .. "/stage -mindepth 1"), "")
  make("install", staged)
  tap.run("touch " .. dir .. "/stage/opt/place/lib/other")
  make("uninstall", staged)
  tap.eq(list "stage", "./opt/place/lib/other\n")
end)

tap.test("a place with a space in it is refused", function()
  for _, target in ipairs { "install", "uninstall" } do
    local _, err, status = tap.run("make " .. target .. " PREFIX=/usr DESTDIR="
      .. tap.quote(dir .. "/with space"))
    tap.ok(status ~= 0 and err:find "no spaces in DESTDIR or PREFIX", err)
  end
end)

tap.test("make install with a PREFIX", function()
  make("install", placed)
  tap.eq(list "place", files)
  os.rename(dir .. "/build", dir .. "/away")
end)

tap.test("the program", function()
  local out, err, status = run(root .. "/bin/cluarun -e "
    .. tap.quote "print(Process { target = getppid }:start():result() > 0)")
  tap.eq(err, "")
  tap.eq(out, "true\n")
  tap.eq(status, 0)
end)

local pkg_config = "PKG_CONFIG_PATH=" .. root .. "/lib/pkgconfig pkg-config "

tap.test("cluarun.pc", function()
  local out = run(pkg_config .. "--modversion cluarun")
  local version = tap.run(tap.program .. " --version"):match "cluarun (%S+)"
  tap.eq(out, version .. "\n")
  out = run(pkg_config .. "--cflags --libs cluarun")
  tap.ok(out:find("-I" .. root .. "/include", 1, true), out)
  tap.ok(out:find("-L" .. root .. "/lib -lcluarun", 1, true), out)
end)

-- Builds tests/c/host/parallel.c and tests/c/embed.c as a user would.
local function compile(name, source, libs)
  local here = tap.run "pwd":match "[^\n]+"
  local _, err, status = run(string.format(
    "${CC:-cc} -std=c11 -Wall -Werror -pthread -I%s/tests/c -o %s %s/%s"
    .. " $(%s--cflags cluarun) %s", here, name, here, source, pkg_config, libs))
  return tap.ok(status == 0, err)
end

local function passes(command)
  local out, err, status = run(command)
  tap.ok(status == 0 and out:find "1%.%.%d+\n$" and not out:find "not ok",
    out .. err)
end

tap.test("a host program with the shared library", function()
  local libs = "$(" .. pkg_config .. "--libs cluarun)"
  compile("embed", "tests/c/embed.c", libs)
  compile("parallel", "tests/c/host/parallel.c", libs)
  passes("LD_LIBRARY_PATH=" .. root .. "/lib ./embed")
  passes("LD_LIBRARY_PATH=" .. root .. "/lib ./parallel")
  tap.ok(run "readelf -d parallel":find "libcluarun%.so%.0")
end)

tap.test("with the static one", function()
  local libs = root .. "/lib/libcluarun.a $(" .. pkg_config
    .. "--static --libs cluarun | sed 's/-lcluarun//')"
  compile("static", "tests/c/host/parallel.c", libs)
  passes "./static"
end)

tap.test("the libraries export what the header says, and no more", function()
  local declared = {}
  for line in io.lines(root .. "/include/cluarun.h") do
    local name = line:match "^CLUARUN_API .-([%w_]+)%("
    if name then declared[#declared + 1] = name end
  end
  table.sort(declared)
  tap.ok(#declared >= 5 and #declared <= 15)
  for _, file in ipairs { "libcluarun.so", "lua/5.4/cluarun.so" } do
    local exported = {}
    local out = run("nm -D --defined-only " .. root .. "/lib/" .. file)
    for name in out:gmatch " T ([%w_]+)" do exported[#exported + 1] = name end
    for kind in out:gmatch " (%a) " do tap.eq(kind, "T") end
    table.sort(exported)
    tap.eq(exported, declared, file)
  end
end)

tap.test("the module in a stock lua5.4", function()
  local out, err, status = run("LUA_CPATH='" .. root
    .. "/lib/lua/5.4/?.so' lua5.4 -e " .. tap.quote [[
      local c = require "cluarun"
      local q = c.Queue()
      local p = c.Process { target = function() q:put { 1, 2 } return "r" end }
      p:start()
      local t = c.Thread { target = function() return #q:get() end }:start()
      print(t:result(), p:result())]])
  tap.eq(err, "")
  tap.eq(out, "2\tr\n")
  tap.eq(status, 0)
end)

tap.test("the manual page", function()
  local page = root .. "/share/man/man1/cluarun.1"
  if not run "command -v man groff":find "groff" then return end
  local out, err = run("LC_ALL=C MANWIDTH=80 man --warnings -l " .. page)
  tap.eq(err, "")
  local usage = tap.run(tap.program .. " --help")
  for option in usage:gmatch "\n  (%-%-?%a+)" do
    tap.ok(out:find("\n     " .. option, 1, true), option)
  end
end)

tap.test("the rockspec builds what is installed", function()
  local env = {}
  local version = tap.run(tap.program .. " --version"):match "cluarun (%S+)"
  local name = "src/cluarun-" .. version .. "-1.rockspec"
  assert(loadfile(name, "t", env))()
  tap.eq(env.package .. "-" .. env.version, "cluarun-" .. version .. "-1")
  local target = env.build.build_target
  tap.eq(env.build.install.lib.cluarun, target)
  tap.eq(select(3, tap.run("make -q " .. target)), 0)
end)

tap.test("make uninstall leaves nothing", function()
  os.rename(dir .. "/away", dir .. "/build")
  make("uninstall", placed)
  tap.eq(list "place", "")
end)

os.execute("rm -r " .. dir)
