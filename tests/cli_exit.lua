-- How processes end: output is flushed once, finalizers and exit handlers run
-- in the process that they belong to.
local tap <close> = dofile "tests/lib/tap.lua"

tap.test("a child flushes what it wrote, and only that", function()
  local out, err, status = tap.lua [[
    io.write "before "
    if fork() == 0 then io.write "child " return end
    wait()
    io.write "parent"]]
  tap.eq(out, "before child parent")
  tap.eq(err, "")
  tap.eq(status, 0)
end)

tap.test("a child does not run its parent's finalizers", function()
  for _, leave in ipairs { "return", "os.exit(0)", "os.exit(0, true)" } do
    local out = tap.lua([[
      local x = setmetatable({}, {__gc = function() io.write "gc " end})
      if fork() == 0 then ]] .. leave .. [[ end
      wait()
      io.write "end "]])
    tap.eq(out, "end gc ", leave)
  end
end)

tap.test("the exit status of a child", function()
  for body, expected in pairs {
    ["return"] = 0, ["os.exit(7)"] = 7, ["os.exit(false)"] = 1,
    ["os.exit(true)"] = 0, ["error 'e'"] = 1, ["error()"] = 1,
  } do
    local out = tap.lua("if fork() == 0 then do " .. body
      .. " end return end print(select(2, wait()))")
    tap.eq(out, "exit\t" .. expected .. "\n", body)
  end
end)

tap.test("an error in a child is reported once", function()
  local out, err, status = tap.lua [[
    if fork() == 0 then error "in child" end
    wait()
    print "parent"]]
  tap.eq(out, "parent\n")
  local _, n = err:gsub("in child", "")
  tap.eq(n, 1)
  tap.eq(status, 0)
end)

tap.test("after a fork in -e the child goes on like its parent", function()
  local out = tap.run(tap.program
    .. " -e 'child = fork() == 0' -e 'if not child then wait() end'"
    .. " -e 'print(child)'")
  tap.eq(out, "true\nfalse\n")
end)

tap.test("os.exit in a coroutine, in a pcall", function()
  local _, _, status = tap.lua [[
    pcall(coroutine.wrap(function() os.exit(5) end))]]
  tap.eq(status, 5)
end)
