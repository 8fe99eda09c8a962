-- fork(), getpid(), getppid(), cpu_count().
local tap <close> = dofile "tests/lib/tap.lua"

-- What f returns in a child made by fork, as its exit status.
local function status_of(f)
  local pid = fork()
  if pid == 0 then
    local done, status = pcall(f)
    os.exit(done and status or 99)
  end
  local ended, how, code = wait(pid)
  tap.eq(ended, pid)
  return how == "exit" and code or -code
end

tap.test("parent and child see each other's pid", function()
  local parent = getpid()
  tap.eq(status_of(function()
    return getpid() ~= parent and getppid() == parent and 7 or 1
  end), 7)
end)

tap.test("the child has a copy of everything", function()
  local t = { 1 }
  tap.eq(status_of(function()
    t[1] = t[1] + 41
    return t[1]
  end), 42)
  tap.eq(t[1], 1)
end)

tap.test("a child can fork again, also in a coroutine", function()
  tap.eq(status_of(function()
    return status_of(function()
      return coroutine.wrap(function()
        return status_of(function() return 5 end) + 1
      end)() + 1
    end) + 1
  end), 8)
end)

tap.test("buffered output is written once", function()
  local out = tap.lua [[
    io.stdout:setvbuf "full"
    io.write "before, "
    if fork() == 0 then io.write "child, " os.exit(0) end
    wait()
    io.write "parent\n"
  ]]
  tap.eq(out, "before, child, parent\n")
end)

tap.test("files are flushed before the fork", function()
  local name = os.tmpname()
  local f = io.open(name, "w")
  f:write "once"
  status_of(function() return 0 end)
  f:close()
  f = io.open(name)
  tap.eq(f:read "a", "once")
  f:close()
  os.remove(name)
end)

tap.test("a child that runs off the end of the script", function()
  local out, err, status = tap.lua [[
    kept = setmetatable({}, { __gc = function() print "finalizer" end })
    if fork() == 0 then io.write "child\n" return end
    print(select(2, wait()))
  ]]
  tap.eq(out, "child\nexit\t0\nfinalizer\n")
  tap.eq(err, "")
  tap.eq(status, 0)
end)

tap.test("a child with an uncaught error", function()
  local out, err = tap.lua [[
    if fork() == 0 then error "oops" end
    print(select(2, wait()))
  ]]
  tap.eq(out, "exit\t1\n")
  tap.ok(err:find "oops", "the error is reported")
  tap.ok(err:find "stack traceback", "with its traceback")
end)

tap.test("standard input is not moved by a child's end", function()
  local name = os.tmpname()
  local f = io.open(name, "w")
  f:write(("0123456789\n"):rep(1000))
  f:close()
  local out = tap.lua([[
    io.read()
    if fork() == 0 then os.exit(0) end
    wait()
    local n = 1
    for _ in io.lines() do n = n + 1 end
    print(n)
  ]], "<" .. name)
  os.remove(name)
  tap.eq(out, "1000\n")
end)

tap.test("cpu_count", function()
  local n = cpu_count()
  tap.eq(math.type(n), "integer")
  tap.ok(n >= 1)
  local _, _, status = tap.run "command -v taskset"
  if status == 0 then
    local out = tap.run("taskset -c 0 " .. tap.program
      .. " -e 'print(cpu_count())'")
    tap.eq(out, "1\n")
  end
end)
