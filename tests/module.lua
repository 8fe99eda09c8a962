-- The module in a stock lua5.4: the same primitives, and nothing else changed.
local tap <close> = dofile "tests/lib/tap.lua"

local build = tap.program:match "^(.*)/[^/]*$" or "."
if tap.sanitizer or not tap.run "command -v lua5.4":find "lua5.4" then
  tap.skip("the module", "needs lua5.4 and a build without sanitizers")
  return
end

local function stock(chunk)
  return tap.run(string.format("LUA_CPATH='%s/?.so' lua5.4 -e %s", build,
    tap.quote(chunk)))
end

tap.test("require gives the table, adds no global", function()
  local out, err = stock [[
    local before = {}
    for k in pairs(_G) do before[k] = true end
    local old_print, old_exit = print, os.exit
    local c = require "cluarun"
    for k in pairs(_G) do assert(before[k], k) end
    assert(print == old_print and os.exit == old_exit)
    print(type(c.Queue), c == require "cluarun", c == package.loaded.cluarun)]]
  tap.eq(err, "")
  tap.eq(out, "function\ttrue\ttrue\n")
end)

tap.test("the host has the same names", function()
  local list = [[
    local names = {}
    for k in pairs(require "cluarun") do names[#names + 1] = k end
    table.sort(names)
    print(table.concat(names, " "))]]
  tap.eq((stock(list)), (tap.lua(list)))
end)

tap.test("processes and queues", function()
  local out, err, status = stock [[
    local c = require "cluarun"
    local q = c.Queue()
    local p = c.Process { target = function(t) q:put { t, #t } return "r" end,
      args = { { 1, 2, 3 } } }
    p:start()
    local got = q:get()
    print(got[2], got[1][3], p:result(), p:join(), p.exitcode)]]
  tap.eq(err, "")
  tap.eq(out, "3\t3\tr\ttrue\t0\n")
  tap.eq(status, 0)
end)

tap.test("closing the state frees everything in order", function()
  local out, err, status = stock [[
    local c = require "cluarun"
    local keep = { c.Queue(), c.Lock() }
    for i = 1, 1e5 do keep[i + 2] = { i } end
    setmetatable(keep, { __gc = function(t) print("gc", #t) end })
    os.exit(0, true)]]
  tap.eq(err, "")
  tap.eq(out, "gc\t100002\n")
  tap.eq(status, 0)
end)

tap.test("interrupt ends a child, silently, and can be caught there", function()
  local out, err = stock [[
    local c = require "cluarun"
    for _, f in ipairs {
      function(e) e:set() c.sleep(100) end,
      function(e) e:set() while true do end end,
      function(e)
        assert(not pcall(function() e:set() c.sleep(100) end))
      end,
    } do
      local begun = c.Event()
      local p = c.Process { target = f, args = { begun } }:start()
      begun:wait()
      p:interrupt()
      print(p:join(30), p.exitcode)
    end]]
  tap.eq(err, "")
  tap.eq(out, "true\t-2\ntrue\t-2\ntrue\t0\n")
end)

-- A thread runs on meanwhile: it begins to do that only when the main one is in
-- its last finalizers, and the Process ends only then.
for name, body in pairs {
  sleeps = "c.sleep(1000)", computes = "while true do end",
} do
  tap.test("a Process is joined at the end beside a thread that " .. name,
    function()
      local out, err = stock([[
        local c = require "cluarun"
        local fifo = os.tmpname()
        os.execute("rm " .. fifo .. "; mkfifo " .. fifo)
        c.Thread { target = function()
          while not ENDING do c.sleep(0.001) end
          io.open(fifo, "w"):close()
          ]] .. body .. [[

        end }:start()
        c.Process { target = function()
          io.open(fifo):close()
          os.remove(fifo)
          print "joined"
        end }:start()
        LAST = setmetatable({}, { __gc = function() ENDING = true end })]])
      tap.eq(err, "")
      tap.eq(out, "joined\n")
    end)
end

for _, name in ipairs { "Pool", "ThreadPool" } do
  tap.test("a Process is joined at the end beside a " .. name, function()
    local out, err = stock([[
      local c = require "cluarun"
      P = c.]] .. name .. [[(1)
      local from, to = c.Pipe()
      c.Process { target = function()
        to:close()
        assert(not pcall(from.recv, from)) -- the parent is closing its state
        print "joined"
      end }:start()]])
    tap.eq(err, "")
    tap.eq(out, "joined\n")
  end)
end
