-- While one thread waits for a file or a command, the others run.
local tap <close> = dofile "tests/lib/tap.lua"

-- How far another thread counts while f runs: f gets a function that waits
-- until it has counted a good deal further.
local function counted(f)
  local n, stop = 0, false
  local _ <close> = Thread {
    target = function() while not stop do n = n + 1 end end
  }:start()
  local function further()
    local from = n
    while n < from + 100000 do sleep(0.001) end
    return true
  end
  local results = table.pack(pcall(f, further))
  stop = true
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- Runs f with the name of a new named pipe.
local function with_fifo(f)
  local name = os.tmpname()
  os.remove(name)
  os.execute("mkfifo " .. name)
  f(name)
  os.remove(name)
end

-- The handles of the two ends of a new pipe: reading, writing. (glibc does not
-- give a handle that had no buffer one again.)
local function pipe(buffer)
  local name = os.tmpname()
  os.remove(name)
  os.execute("mkfifo " .. name)
  local _ <close> = assert(io.open(name, "r+"))
  local r, w = assert(io.open(name, "r")), assert(io.open(name, "w"))
  os.remove(name)
  w:setvbuf(buffer or "no")
  return r, w
end

local function starts(f, ...)
  return Thread { target = f, args = { ... } }:start()
end

-- Does the thread sleep in the kernel?
local function asleep(t)
  return tap.eventually(20, function()
    local f <close> = io.open("/proc/self/task/" .. t.native_id .. "/stat")
    return f and f:read "a":match "^.*%) S"
  end)
end

for _, format in ipairs { "l", "L", "a", "n", 5, 0 } do
  tap.test("a blocked read, format " .. format, function()
    local r, w = pipe()
    local t = starts(function() return r:read(format) end)
    counted(function(further)
      further()
      tap.ok(t:is_alive())
      w:write "12" further() w:write "3\nx" further() w:close()
    end)
    tap.eq(t:result(20), ({ l = "123", L = "123\n", a = "123\nx", n = 123,
      [5] = "123\nx", [0] = "" })[format])
  end)
end

tap.test("lines of a handle, of a name, and of io.read", function()
  local r, w = pipe()
  local all = {}
  local t = starts(function()
    for l in r:lines() do all[#all + 1] = l end
    return "end"
  end)
  counted(function(further)
    for i = 1, 5 do
      w:write(i, "\n")
      tap.eventually(20, function() return #all == i end)
      further()
    end
    w:close()
  end)
  tap.eq(t:result(20), "end")
  local before = io.input()
  r, w = pipe()
  io.input(r)
  t = starts(function() return io.read(), io.lines()() end)
  counted(function(further) further() w:write "a\nb\n" end)
  tap.eq({ t:result(20) }, { "a", "b" })
  io.input(before)
end)

tap.test("opening a named pipe waits for the other end", function()
  local name = os.tmpname()
  os.remove(name)
  os.execute("mkfifo " .. name)
  local t = starts(function()
    local next_line = io.lines(name)
    return next_line()
  end)
  counted(function(further)
    further()
    local f <close> = io.open(name, "w")
    f:write "hello\n"
  end)
  tap.eq(t:result(20), "hello")
  os.remove(name)
end)

for _, how in ipairs { "full", "line", "no" } do
  tap.test("a blocked write, buffer " .. how, function()
    local r, w = pipe(how)
    local line = ("x"):rep(999) .. "\n"
    local t = starts(function()
      for _ = 1, 500 do w:write(line) end
      w:write(line:rep(500))
      return w:close()
    end)
    local text = counted(function(further)
      further()
      tap.ok(t:is_alive())
      return r:read "a"
    end)
    tap.ok(text == line:rep(1000), #text)
    tap.eq(t:result(20), true)
  end)
end

-- A full pipe.
local function full_pipe()
  local r, w = pipe "full"
  w:write(("-"):rep(65536)) w:flush()
  return r, w
end

for _, call in ipairs { "flush", "close", "setvbuf", "seek" } do
  tap.test(call .. " when the pipe is full", function()
    local r, w = full_pipe()
    w:write "pending"
    local t = starts(w[call], w, call == "setvbuf" and "no" or nil)
    counted(function(further)
      further()
      tap.ok(t:is_alive())
      tap.eq(#r:read(65536), 65536)
      tap.eq(r:read(7), "pending")
    end)
    tap.eq((t:result(20)), call ~= "seek" or nil)
  end)
end

for name, f in pairs {
  read = function(command) return io.popen(command):close() end,
  write = function(command) return io.popen(command, "w"):close() end,
  scope = function(command)
    do local _ <close> = io.popen(command) end
    return nil, "exit", 3
  end,
  execute = os.execute,
} do
  tap.test("waiting for the end of a command: " .. name, function()
    with_fifo(function(fifo)
      local t = starts(f, "read x <" .. fifo .. "; exit 3")
      counted(function(further)
        further()
        tap.ok(t:is_alive())
        local w <close> = io.open(fifo, "w")
        w:write "\n"
      end)
      tap.eq({ t:result(20) }, { nil, "exit", 3 })
    end)
  end)
end

tap.test("a finalizer does not wait for a command", function()
  with_fifo(function(fifo)
    io.popen("read x <" .. fifo)
    counted(function()
      collectgarbage() collectgarbage()
      io.open(fifo, "w"):close()
    end)
  end)
end)

local function check_lines(text, n, count)
  local seen, whole = 0, true
  for line in text:gmatch "([^\n]*)\n" do
    seen = seen + 1
    whole = whole and line == line:sub(1, 1):rep(#line)
  end
  tap.ok(whole, "calls are mixed")
  tap.eq(seen, n * count)
end

for _, length in ipairs { 10, 5000, 100000 } do
  tap.test("what one call writes does not mix, " .. length, function()
    local r, w = pipe "full"
    local writers = {}
    for i = 1, 3 do
      local letter = string.char(96 + i)
      writers[i] = starts(function()
        for _ = 1, 30 do w:write(letter, letter:rep(length), letter, "\n") end
      end)
    end
    local reader = starts(function() return r:read "a" end)
    for _, t in ipairs(writers) do t:result(60) end
    w:close()
    check_lines(reader:result(60), 3, 30)
  end)
  tap.test("what one print writes does not mix, " .. length, function()
    for _, first in ipairs { "", "if fork() == 0 then return end wait() " } do
      check_lines(tap.run(tap.program .. " -e " .. tap.quote(first .. ([[
        local letters = { "a", "b", "c" }
        for i, letter in ipairs(letters) do
          letters[i] = Thread { target = function()
            for j = 1, 30 do
              if j %% 2 == 0 then print(letter:rep(%d))
              else io.write(letter, letter:rep(%d), "\n") end
            end
          end }:start()
        end]]):format(length, length)) .. " | (sleep 0.1; cat)"), 3, 30)
    end
  end)
end

tap.test("writers to a full pipe take turns in order", function()
  local r, w = full_pipe()
  local first = starts(w.write, w, ("a"):rep(10000))
  asleep(first)
  local second = starts(w.write, w, "b")
  asleep(second)
  local third = starts(w.close, w)
  asleep(third)
  r:read(65536)
  tap.eq(r:read "a", ("a"):rep(10000) .. "b")
  for _, t in ipairs { first, second, third } do tap.ok(t:result(20)) end
end)

tap.test("readers of one handle get whole lines", function()
  local r, w = pipe()
  local readers = {}
  for i = 1, 4 do
    readers[i] = starts(function()
      local all = {}
      for l in r:lines() do all[#all + 1] = l end
      return all
    end)
  end
  for i = 1, 500 do w:write(i % 10) w:write(((i % 10) .. ""):rep(50), "\n") end
  w:close()
  local seen = 0
  for _, t in ipairs(readers) do
    for _, l in ipairs(t:result(30)) do
      seen = seen + 1
      if not tap.eq(l, l:sub(1, 1):rep(51)) then return end
    end
  end
  tap.eq(seen, 500)
end)

tap.test("a file that is closed while others read it", function()
  for _ = 1, 20 do
    local r, w = pipe()
    w:write "part"
    local readers = {}
    for i = 1, 3 do
      readers[i] = starts(function()
        return pcall(function()
          return i == 1 and r:read() or r:lines()()
        end)
      end)
    end
    for _, t in ipairs(readers) do asleep(t) end
    tap.eq(r:close(), true)
    for _, t in ipairs(readers) do
      local ok, message = t:result(20)
      tap.ok(not ok and message:find "closed", message)
    end
  end
end)

tap.test("an interrupt out of a blocked read loses nothing", function()
  local r, w = pipe()
  w:write "part"
  local t = starts(function() return pcall(r.read, r) end)
  asleep(t)
  t:interrupt "stop"
  local ok, message = t:result(20)
  tap.eq({ ok, message }, { false, "stop" })
  w:write " of a line\n"
  tap.eq(r:read(), "part of a line")
end)

tap.test("an interrupt out of a coroutine's read leaves the file free",
  function()
  local r, w = pipe()
  local co
  local t = starts(function()
    co = coroutine.create(function() return r:read() end)
    return coroutine.resume(co)
  end)
  asleep(t)
  t:interrupt "stop"
  tap.eq((t:result(20)), false)
  w:write "next\n"
  tap.eq(starts(r.read, r):result(20), "next")
end)

tap.test("an interrupt out of a write keeps what was written before", function()
  local r, w = full_pipe()
  w:write "pending"
  local t = starts(function() return pcall(w.flush, w) end)
  asleep(t)
  t:interrupt "stop"
  tap.eq({ t:result(20) }, { false, "stop" })
  r:read(65536)
  w:close()
  tap.eq(r:read "a", "pending")
end)

tap.test("an interrupt out of a command", function()
  with_fifo(function(fifo)
    local command = "exec 2>/dev/null; read x <" .. fifo
    local p = io.popen(command)
    for _, f in ipairs { os.execute, function() p:close() end } do
      local t = starts(pcall, f, command)
      asleep(t)
      t:interrupt "stop"
      tap.eq({ t:result(20) }, { false, "stop" })
    end
    tap.eq(io.type(p), "closed file")
    -- One of the two may not have opened it yet.
    local held <close> = io.open(fifo, "r+")
    held:write "\n\n"
    held:flush()
    tap.ok(tap.eventually(60, function()
      local f <close> = io.popen("exec pgrep -f " .. fifo)
      return f:read "a" == ""
    end))
  end)
end)

for _, wait in ipairs { "io.read()", "for _ in io.lines() do end",
    "io.popen('read x <' .. arg[1]):close()",
    "os.execute('read x <' .. arg[1])",
    "io.write(('x'):rep(1e6))", "io.open(arg[1])" } do
  tap.test("the script ends while a thread is in " .. wait, function()
    with_fifo(function(fifo)
      for _, ending in ipairs { "", "os.exit(0, true)", "error 'E'" } do
        local script = os.tmpname()
        do
          local f <close> = assert(io.open(script, "w"))
          f:write("local t = Thread { target = function() ", wait,
            " end, daemon = true }:start() for i = 1, 3 do sleep(0.01) end ",
            "assert(t:is_alive()) io.stderr:write 'end' ", ending)
        end
        local _, err, status = tap.run(string.format([[
          mkfifo %s.io; exec 5<>%s.io
          %s %s %s <&5 >&5
          s=$?; exec 6<>%s 6>&-; exit $s]], script, script, tap.program, script,
          fifo, fifo))
        os.remove(script)
        os.remove(script .. ".io")
        tap.ok(err:find(ending:find "error" and "^end.*E\n" or "^end$"), err)
        tap.eq(status, ending:find "error" and 1 or 0)
      end
    end)
  end)
end

tap.test("a terminal that takes nothing", function()
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write((([[
      local w = Thread { target = function()
        for _ = 1, 3000 do print(("x"):rep(100)) end
      end }:start()
      local n = 0
      for i = 1, 10 do sleep(0.01) for j = 1, 1e5 do n = n + 1 end end
      local how = w:is_alive() and " alive" or " ended"
      io.open("NAME.n", "w"):write(n, how):close()
    ]]):gsub("NAME", name)))
  end
  local out = tap.run(string.format("script -qec '%s %s' /dev/null | "
    .. "(until [ -s %s.n ]; do sleep 0.01; done; wc -l; cat %s.n)",
    tap.program, name, name, name))
  os.remove(name)
  os.remove(name .. ".n")
  tap.eq(out, "3000\n1000000 alive")
end)
