-- No orphans: a daemon ends with its parent, however that ends.
local tap <close> = dofile "tests/lib/tap.lua"

-- A zombie whose parent has not looked counts as gone.
local function gone(pid)
  local f = io.open("/proc/" .. pid .. "/stat")
  if not f then return true end
  local stat = f:read "a"
  f:close()
  return not stat or stat:find "%) [ZX] " ~= nil
end

local function all_gone(pids)
  for _, pid in ipairs(pids) do
    if not gone(pid) then return false end
  end
  return true
end

local function for_ever()
  while true do sleep(60) end
end

local function daemon(target)
  return Process { target = target, daemon = true }:start()
end

-- Starts `family(report)` in a child, kills that as soon as `n` pids were
-- reported, and sees all of these processes end.
local function orphaned(n, family)
  local q = Queue()
  local p = Process { target = function()
    family(function(pid) q:put(pid) end)
    for_ever()
  end }:start()
  local pids = {}
  for i = 1, n do pids[i] = q:get(true, 60) end
  p:kill()
  p:join()
  tap.ok(tap.eventually(30, function() return all_gone(pids) end))
end

tap.test("SIGKILL of the parent", function()
  orphaned(3, function(report)
    for _ = 1, 3 do
      daemon(function()
        report(getpid())
        for_ever()
      end)
    end
  end)
end)

tap.test("SIGKILL of the root", function()
  local out = tap.lua [[
    local ready = Event()
    local d = Process { target = function() ready:set() sleep(100) end,
      daemon = true }:start()
    ready:wait()
    print(d.pid)
    kill(getpid(), "KILL")
  ]]
  local pid = math.tointeger(out)
  tap.ok(tap.eventually(30, function() return gone(pid) end))
end)

tap.test("daemons of daemons", function()
  orphaned(3, function(report)
    daemon(function()
      report(getpid())
      daemon(function()
        report(getpid())
        daemon(function()
          report(getpid())
          for_ever()
        end)
        for_ever()
      end)
      for_ever()
    end)
  end)
end)

tap.test("a daemon that computes", function()
  orphaned(1, function(report)
    daemon(function()
      report(getpid())
      while true do end
    end)
  end)
end)

tap.test("other children of the parent do not keep daemons alive", function()
  local others = Queue()
  orphaned(1, function(report)
    local d = daemon(for_ever)
    others:put(Process { target = for_ever }:start().pid)
    local pid = fork()
    if pid == 0 then for_ever() end
    others:put(pid)
    os.execute "sleep 5 >/dev/null 2>&1 & exit"
    report(d.pid)
  end)
  for _ = 1, 2 do
    local pid = others:get()
    tap.ok(not gone(pid), "a child that is no daemon lives on")
    kill(pid, "KILL")
  end
end)

tap.test("nor does a command that its parent runs", function()
  local q = Queue()
  local p = Process { target = function()
    local d = daemon(for_ever)
    q:put(d.pid)
    os.execute "echo >&2; exec sleep 5 2>/dev/null"
  end }:start()
  local pid = q:get()
  p:kill()
  p:join()
  tap.ok(tap.eventually(4, function() return gone(pid) end))
end)

tap.test("a parent that dies at once", function()
  local q = Queue()
  for _ = 1, 30 do
    Process { target = function()
      q:put(daemon(for_ever).pid)
      kill(getpid(), "KILL")
    end }:start():join()
  end
  for _ = 1, 30 do
    local pid = q:get(true, 60)
    tap.ok(tap.eventually(30, function() return gone(pid) end))
  end
end)

tap.test("a script started without standard streams", function()
  local name = os.tmpname()
  tap.lua(([[
    local ready = Event()
    local d = Process { target = function() ready:set() sleep(100) end,
      daemon = true }:start()
    ready:wait()
    local f = io.open(%q, "w")
    f:write(d.pid)
    f:close()
    kill(getpid(), "KILL")
  ]]):format(name), "<&- >&- 2>&-")
  local f <close> = io.open(name)
  local pid = f:read "n"
  os.remove(name)
  tap.ok(pid)
  tap.ok(tap.eventually(30, function() return gone(pid) end))
end)
