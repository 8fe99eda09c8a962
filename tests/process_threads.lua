-- Processes that several threads of their parent have to do with.
local tap <close> = dofile "tests/lib/tap.lua"

-- The standard output of the script is a pipe that is full: start waits until
-- the other thread, which sees a process half started, has emptied it.
local starting = [[
  local full, go = Event(), Event()
  local other = Process { target = function()
    io.write(("x"):rep(65536))
    io.flush()
    full:set()
    go:wait()
    os.exit(7)
  end }:start()
  local pipe = io.open("/proc/self/fd/1", "r")
  local p = Process { target = function() return "started" end }
  local begun, seen = false, nil

  local function state_of(pid)
    local f <close> = io.open("/proc/" .. pid .. "/stat")
    return f:read "a":match "%) (%a)"
  end

  local reader = Thread { target = function()
    while not begun do sleep(0) end
    go:set()
    while state_of(other.pid) ~= "Z" do sleep(0.001) end
    seen = { tostring(p), select(2, pcall(p.is_alive, p)) }
    pipe:read(65536)
  end }
  full:wait()
  io.write "y"
  reader:start()
  begun = true
  p:start()
  reader:join()
  other:join()
  io.stderr:write(p:result(), "\n", other.exitcode, "\n",
    table.concat(seen, "\n"), "\n")
]]

tap.test("a thread looks at a process while another one starts it", function()
  local fifo, script = os.tmpname(), os.tmpname()
  do
    local f <close> = assert(io.open(script, "w"))
    f:write(starting)
  end
  local _, err, status = tap.run(("rm %s; mkfifo %s; exec 1<>%s; exec %s %s")
    :format(fifo, fifo, fifo, tap.program, script))
  os.remove(fifo)
  os.remove(script)
  tap.eq(err, "started\n7\n<Process(Process-2, initial)>\n" ..
    "cannot ask about a process before it is started\n")
  tap.eq(status, 0)
end)

-- Switches come so rarely that the thread has its turn when the main one waits,
-- and keeps it.
tap.test("a daemon thread drops a process that the end waits for", function()
  local script = os.tmpname()
  do
    local f <close> = assert(io.open(script, "w"))
    f:write [[
      local go = Event()
      local p = Process { target = function() go:wait() end }:start()
      Thread { daemon = true, target = function()
        go:set()
        while p:is_alive() do end
        p = nil
        for _ = 1, 3 do collectgarbage() end
        kept = {} -- what lies where the process did
        for n = 100, 500, 8 do
          for i = 1, 100 do kept[#kept + 1] = ("\0"):rep(n) .. i end
        end
      end }:start()
    ]]
  end
  local out, err, status = tap.run(
    "CLUARUN_SWITCH=1000000000 " .. tap.program .. " " .. script)
  os.remove(script)
  tap.eq({ out, err, status }, { "", "", 0 })
end)

tap.test("a result that is fetched while it is decoded", function()
  local p = Process { target = function()
    local t = {}
    for i = 1, 100000 do t[i] = { i } end
    return t
  end }:start()
  p:join()
  local fetched = false
  local function arm()
    setmetatable({}, { __gc = function()
      if fetched then return end
      local list = p:result()
      fetched = fetched or list
    end })
  end
  for _ = 1, 5 do arm() end
  local list = p:result()
  tap.ok(fetched, "a finalizer was there first")
  tap.eq(list == fetched and list == p:result(), true)
  tap.eq(#list, 100000)
end)

tap.test("two threads fetch a result that takes long to rebuild", function()
  local out, err, status = tap.lua [[
    local begun = Event()
    package.preload.slow = function()
      begun:wait() -- for the second one, at least to begin
      return { f = function() end }
    end
    local p = Process { target = function()
      package.loaded.slow = { f = function() end }
      return package.loaded.slow.f, 7
    end }:start()
    p:join()
    local function fetch() return select(2, p:result()) end
    local a = Thread { target = fetch }:start()
    local b = Thread { target = function()
      begun:set()
      return fetch()
    end }:start()
    print(a:result(), b:result(), select(2, p:result()))]]
  tap.eq({ out, err, status }, { "7\t7\t7\n", "", 0 })
end)

tap.test("a Process closed while its result is decoded", function()
  local out, err, status = tap.lua [[
    local p
    package.preload.closing = function()
      p:close()
      return { f = print }
    end
    p = Process { target = function()
      package.loaded.closing = { f = function() end }
      return package.loaded.closing.f, 7
    end }:start()
    p:join()
    print(select(2, p:result()), pcall(p.result, p))]]
  tap.eq({ out, err, status },
    { "7\tfalse\tcannot get the result of a closed process\n", "", 0 })
end)
