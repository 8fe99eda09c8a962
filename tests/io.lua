-- io as Lua has it: the same script says the same under lua5.4. And what only
-- shows when the other side is slow, or an interrupt comes.
local tap <close> = dofile "tests/lib/tap.lua"

local stock = os.execute "command -v lua5.4 >/dev/null"

-- Runs a script under both programs, each with an empty directory as D.
local function differ(script)
  local results = {}
  for i, program in ipairs { tap.program, "lua5.4" } do
    local name = os.tmpname()
    os.remove(name)
    do
      local f <close> = assert(io.open(name .. ".lua", "w"))
      f:write(script)
    end
    local out, err, status = tap.run(string.format(
      "mkdir %s && cd %s && D=. exec %s %s", name, name,
      program:find "^build" and "$OLDPWD/" .. program or program,
      name .. ".lua"))
    os.execute("rm -rf " .. name .. " " .. name .. ".lua")
    local text = (out .. "\n-- stderr\n" .. err .. "\n-- " .. status)
    text = text:gsub(name:gsub("%p", "%%%0"), "NAME"):gsub("0x%x+", "0xN")
    results[i] = text:gsub("\n[^\n]*lua5%.4: ", "\nPROGRAM: ")
      :gsub("\n[^\n]*cluarun: ", "\nPROGRAM: ")
  end
  tap.ok(not results[2]:find "not found", results[2])
  return tap.eq(results[1], results[2])
end

local common = [[
  local function show(...)
    local t = table.pack(...)
    for i = 1, t.n do
      local v = t[i]
      t[i] = math.type(v) == "float" and ("%.17g (float)"):format(v)
        or type(v) == "string" and ("%q"):format(v) or tostring(v)
    end
    io.write(table.concat(t, ", "), "\n")
  end
  local function try(f, ...) show(pcall(f, ...)) end
  local function file(text, mode)
    local f = assert(io.open("data", "wb"))
    f:write(text) f:close()
    return assert(io.open("data", mode or "rb"))
  end
  -- The same bytes in a file, and dripping through a pipe.
  local function each(text, use)
    use(file(text))
    file(text):close()
    use(io.popen "cat data")
    use(io.popen "dd if=data bs=3 status=none")
    local f = file(text) f:setvbuf "no" use(f)
    f = file(text) f:setvbuf("full", 16) use(f)
  end
]]

local scripts = {
  ["lines"] = [[
    for _, text in ipairs { "", "\n", "a", "a\n", "a\nb", "\n\n", "a\0b\nc\0",
        ("x"):rep(4095) .. "\ny", ("x"):rep(4096) .. "\ny",
        ("x"):rep(4097) .. "\ny", ("x"):rep(100000) .. "\n\n" .. ("y"):rep(5000)
      } do
      each(text, function(f)
        show(f:read(), f:read "L", f:read "l", f:read "*L", f:read())
        f:close()
      end)
      each(text, function(f)
        for l in f:lines() do show(l) end
        show(f:read())
      end)
      each(text, function(f) for l in f:lines "L" do show(l) end end)
      each(text, function(f) for a, b in f:lines(1, "l") do show(a, b) end end)
    end]],
  ["counts and all"] = [[
    for _, text in ipairs { "", "a", "abc\n", ("0123456789"):rep(1000) } do
      each(text, function(f)
        show(f:read(0), f:read(1), f:read(0, 2, 0))
        show(f:read(1, "a", "a", 1, "l"))
        show(f:read(0)) show(f:read "a") show(f:read())
      end)
      each(text, function(f) show(f:read(5000, 5000, 5000)) end)
      each(text, function(f) show(f:read(4096)) show(f:read(1e6)) end)
      each(text, function(f) show(f:read "a") end)
    end]],
  ["numbers"] = [[
    for _, text in ipairs { "1", "-1", "+1", " \n\t 12 13", "0x1F", "0x1.8p3x",
        "1.5e3", "1e", "1e+", ".5", ".", "-", "5.", "0x", "0xg", "nan", "inf",
        "1.2.3", "00012", "1e5000", "9223372036854775807",
        "9223372036854775808",
        ("1"):rep(199), ("1"):rep(200), ("1"):rep(201) .. " 5", "1,5", "--1",
        "0x" .. ("f"):rep(20), "12abc", "", "   ", "1 2 3 x 4" } do
      each(text, function(f)
        show(f:read "n") show(f:read("n", "l")) show(f:read("*n", 1, "a"))
      end)
      each(text, function(f)
        for a, b in f:lines("n", "n") do show(a, b) end
      end)
    end]],
  ["seeking between reads and writes"] = [[
    local f = file("hello\nworld\n12 13", "r+")
    show(f:seek "cur", f:read(), f:seek "cur", f:read "n", f:seek("set", 6),
      f:read(2), f:seek("cur", 0), f:seek("end"), f:read(1), f:seek "set")
    f:write "HE" f:seek("cur", 0) show(f:read()) f:seek("end") f:write("!", 5)
    f:seek "set" show(f:read "a") show(f:seek("set", -1)) f:close()
    f = io.open("data", "a+") f:write "more" f:seek "set" show(f:read "a")
    try(f.seek, f, "bad") try(f.setvbuf, f, "bad")]],
  ["write"] = [[
    local f = assert(io.open("out", "w"))
    show(f:write() == f, f:write("a", 1, -1, 0, 1.5, -0.0, 2^53, 1e100, 1/0,
      math.mininteger, math.maxinteger, "\0", ("z"):rep(10000)) == f)
    for _, n in ipairs { 0, 1, 4094, 4095, 4096, 4097, 8192, 70000 } do
      f:write(("a"):rep(n), "|", n, "\n")
    end
    f:close() show(io.open "out":read "a")
    try(f.write, f, "x") try(io.open "out".write, io.stdout, {})
    show(io.open "out":write "x") show(io.open("out", "w"):read())
    try(io.write, "a", {}, "b") try(io.write, nil) try(io.stdout.write)
    try(io.stdout.write, 1) try(io.stdout.write, io.stdout, print)
    for _, how in ipairs { "no", "line", "full" } do
      f = io.open("out", "w") f:setvbuf(how)
      f:write("a\nb", "c\n", 5, ("d"):rep(5000), "\n", "tail") f:flush()
      f:write "x"
      show(io.open "out":read "a") f:close() show(io.open "out":read "a")
    end]],
  ["a full disk"] = [[
    local f = io.open("/dev/full", "w")
    show(f:write "x" == f) show(f:flush()) show(f:write(("x"):rep(10000)))
    show(f:write "x" == f) show(f:close())
    f = io.open("/dev/full", "w") f:setvbuf "no" show(f:write(1))
    show(f:write "x")
    f:setvbuf "line" show(f:write "a\n") show(f:close())]],
  ["lines of a name"] = [[
    file("a\nb\nc 5\n"):close()
    for l in io.lines "data" do show(l) end
    for l, n in io.lines("data", 1, "L") do show(l, n) end
    local next_line, a, b, f = io.lines "data"
    show(type(next_line), a, b, io.type(f), next_line(), next_line(),
      next_line())
    show(next_line(), io.type(f)) try(next_line)
    for l in io.lines "data" do break end
    try(io.lines, "nonexistent") try(io.lines, {}) try(io.lines, "data", "x")
    try(io.lines "data") try(io.lines("data", "x")) try(io.lines("data", {}))
    try(io.lines(".")) try(io.lines("data", table.unpack({}, 1, 3)))
    local many = {} for i = 1, 250 do many[i] = 0 end
    try(io.lines, "data", table.unpack(many)) many[251] = 0
    try(io.lines, "data", table.unpack(many))
    try(io.stdin.lines, io.stdin, table.unpack(many))
    f = file "a\nb" local g = f:lines() show(g(), g(), g(), g()) f:close()
    try(g)
    for l in io.lines("nonexistent") do end]],
  ["default files"] = [[
    file("one\ntwo\nthree 4\n"):close()
    io.input "data" show(io.read()) show(io.read("L", 2))
    show(io.read("a", "l"))
    for _ in io.lines() do error "none" end show(io.input():seek "set")
    for l in io.lines(nil, "l") do show(l) end
    io.input():close() try(io.read) try(io.lines) try(io.read, "x")
    local out = io.output "out" show(io.write("abc", 1) == io.output())
    show(io.flush()) show(io.close()) io.output(io.stdout)
    io.output():write "direct\n" show(io.open "out":read "a")
    local f = io.open("out", "w") io.output(f) f:close()
    local ok, message = pcall(io.write, "x") io.output(io.stdout)
    show(ok, message)
    show(pcall(io.flush)) try(io.input, "nonexistent")]],
  ["closing"] = [[
    local f = file "x"
    show(f:close()) try(f.close, f) try(f.read, f) try(f.write, f, 1)
    try(f.lines, f) try(f.flush, f) try(f.seek, f) try(f.setvbuf, f, "no")
    show(io.type(f), io.type(io.stdout), io.type(1), tostring(f))
    try(io.close, 1) try(io.close, f) try(f.close, {})
    show(io.stderr:close()) show(io.stdin:close()) show(io.stdout:close())
    io.stderr:write "still open\n"
    do local g <close> = io.open "data" f = g end show(io.type(f))
    do local g <close> = io.popen "exit 3" f = g end show(io.type(f))
    f = nil io.popen "exit 4" io.open "data" collectgarbage() collectgarbage()
    getmetatable(io.stdout).__gc(io.open "data")
    try(getmetatable(io.stdout).__gc, 1) try(getmetatable(io.stdout).__close)]],
  ["opening"] = [[
    for _, mode in ipairs { "r", "w", "a", "r+", "w+b", "rb", "", "rw", "x",
        "r+x",
        "rbb", "wb+", "+r", "br" } do try(io.open, "nonexistent/file", mode) end
    try(io.open) try(io.open, "data", 5) try(io.open, {})
    show(io.open "nonexistent")
    show(io.open "." :read()) show(io.open ".":read "a")
    show(io.open ".":read(5))]],
  ["commands"] = [[
    for _, command in ipairs { "true", "exit 3", "kill -9 $$", "kill -TERM $$",
        "nonexistent-command 2>/dev/null" } do
      io.stdout:flush()
      show(os.execute(command)) show(io.popen(command):close())
      local f = io.popen(command, "w") show(f:close())
    end
    show(os.execute "echo out; exit 1") show(os.execute()) try(os.execute, {})
    try(io.popen) try(io.popen, "x", "rw")
    try(io.popen, "x", "") try(io.popen, {}, "r") try(io.popen, "true", {})
    local f = io.popen("cat >copy; exit 7", "w")
    f:write(("line\n"):rep(10000)) show(f:seek "cur") show(f:close())
    show(#io.open "copy":read "a") show(io.popen("true", "w"):read())
    show(io.popen("exit 5"):write "x") show(io.popen "true":flush())
    show((io.popen("ls /proc/self/fd"):read "a"))
    io.write "before " local f = io.popen("cat", "w") f:write "inside\n"
    f:close()
    show(io.popen "trap '' PIPE; seq 100000; exit 2":close())]],
  ["arguments"] = [[
    local f = file "12 ab"
    try(f.read, f, "x") try(f.read, f, "n", "") try(f.read, f, {}) try(f.read)
    try(f.read, 1) try(f.read, f, 1.5) try(f.read, f, "1") try(f.read, f, print)
    try(function() f:read "x" end) try(function() f:read("l", {}) end)
    try(function() f.read("x") end) try(function() io.read "x" end)
    try(function() f:write({}) end) try(function() io.write("", {}) end)
    try(function() f:lines "x"() end)
    try(function() for l in f:lines "x" do end end)
    try(function() io.popen() end) try(function() io.open("x", "q") end)
    local many = {} for i = 1, 300 do many[i] = 0 end
    show(select("#", f:read(table.unpack(many))))
    local co = coroutine.wrap(function() return f:read(0, 1) end) show(co())
    print(f.read == f.read, tostring(io.stdout), getmetatable(f).__name)
    io.read("x")]],
}

for name, script in pairs(scripts) do
  if stock then
    tap.test(name .. ": as lua5.4", differ, common .. script)
  else
    tap.skip(name, "no lua5.4")
  end
end

tap.test("print and write on every kind of output, as lua5.4", function()
  if not stock then return end
  local script = tap.quote [[
    io.write("a", 1, "\n", ("x"):rep(5000), "\nb")
    print("c", nil, 1.5, ("y"):rep(9000))
    io.stdout:setvbuf("line") io.write "d\ne" print "f"
    io.write(("z"):rep(3000), "\n", "g")
    io.stdout:setvbuf("no") io.write("h", 2) print()
    io.stdout:setvbuf("full", 64)
    for i = 1, 1000 do io.write(i, " ") end print "end"
    io.write(("w"):rep(70000), "t")]]
  for _, target in ipairs { "", "| cat", "| dd bs=7 status=none" } do
    tap.eq((tap.run(tap.program .. " -e " .. script .. target)),
      (tap.run("lua5.4 -e " .. script .. target)))
    tap.eq((tap.run(tap.program
      .. " -e 'if fork() == 0 then return end wait() '"
      .. script .. target)), (tap.run("lua5.4 -e " .. script .. target)))
  end
  local function terminal(program)
    return (tap.run("script -qec " .. tap.quote(program .. " -e " .. script)
      .. " /dev/null"))
  end
  tap.eq(terminal(tap.program), terminal "lua5.4")
end)

tap.test("a prompt without a line's end is seen before its answer", function()
  local script = [[
    io.write "name? " local a = io.read() io.write("you: ", a, "\n")]]
  local out = tap.run("script -qec " .. tap.quote(tap.program .. " -e "
    .. tap.quote(script)) .. " /dev/null", "me\n")
  -- The terminal's echo comes anywhere; the prompt before what was made of it.
  tap.ok(out:find "name%? .*you: me", out)
end)

tap.test("1 MB into a full pipe arrives whole", function()
  local out = tap.run(tap.program .. " -e " .. tap.quote [[
    local line = ("0123456789"):rep(10)
    for i = 1, 5000 do io.write(line, "\n") end
    io.write((line .. "\n"):rep(5000)) print(("x"):rep(100000))]]
    .. " | (sleep 0.1; dd bs=1000 status=none | cksum)")
  local expected = tap.run("(yes " .. ("0123456789"):rep(10)
    .. " | head -n 10000; yes | head -n 100000 | tr -d '\n' | tr y x; "
    .. "echo) | cksum")
  tap.eq(out, expected)
end)

tap.test("a named pipe is opened and read", function()
  local name = os.tmpname()
  os.remove(name)
  local out = tap.run(string.format([[
    mkfifo %s; (sleep 0.1; echo one >%s; sleep 0.1; echo two >%s) &
    %s -e 'for i = 1, 2 do for l in io.lines "%s" do print(l) end end'
    wait]], name, name, name, tap.program, name))
  os.remove(name)
  tap.eq(out, "one\ntwo\n")
end)

-- Runs a script whose standard input, and output, are named pipes that this
-- shell script has open as 4 and 3. $p is the program.
local function with_pipes(script, shell)
  local name = os.tmpname()
  do
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
  end
  local out, err, status = tap.run(string.format([[
    n=%s; mkfifo $n.in $n.out
    setsid %s $n <$n.in >$n.out & p=$!
    exec 4>$n.in 3<$n.out
    asleep() { until grep -q '^State:.S' /proc/$p/status; do :; done; }
    %s
    exec 4>&-
    cat <&3
    wait $p]], name, tap.program, shell))
  os.execute("rm -f " .. name .. " " .. name .. ".in " .. name .. ".out")
  return out, err, status
end

tap.test("Ctrl-C ends a read, and what was read of the line is not lost",
  function()
    for _, format in ipairs { '"l"', '"a"', '"L"', '20', '"n"' } do
      local out, err = with_pipes(string.format([[
        print "ready"
        print(pcall(io.read, %s)) print(io.read "a")]], format), [[
        read line <&3
        printf '123' >&4; asleep
        kill -INT $p
        read line <&3; echo "$line"
        printf '456\n' >&4]])
      tap.eq(out:gsub("false\t[^\n]*interrupted!", "interrupted"),
        "interrupted\n123456\n\n", format)
      tap.eq(err, "")
    end
  end)

tap.test("... also a line that is longer than the buffer", function()
  local out = with_pipes([[
    print "ready"
    print(pcall(io.read)) print(#io.read()) print(io.read "a")]], [[
    read line <&3
    head -c 10000 /dev/zero >&4
    asleep
    kill -INT $p
    read line <&3; echo "$line"
    printf 'end\nmore' >&4]])
  tap.eq(out:gsub("false\t[^\n]*interrupted!", "interrupted"),
    "interrupted\n10003\nmore\n")
end)

tap.test("Ctrl-C ends a write into a full pipe", function()
  for _, call in ipairs { "io.write", "print" } do
    local out, err, status = with_pipes(string.format([[
      print "ready"
      local ok, message = pcall(%s, ("x"):rep(1e6))
      io.stderr:write(tostring(ok), message)
      io.open(arg[0] .. ".done", "w"):close()]], call), [[
      read line <&3
      asleep
      kill -INT $p
      until [ -e $n.done ]; do sleep 0.01; done
      rm $n.done]])
    tap.ok(err:find "^false.*interrupted!$", call .. err)
    tap.ok(out:find "^x*$" and #out < 1e6, #out)
    tap.eq(status, 0)
  end
end)

tap.test("Ctrl-C ends the close of a command that goes on", function()
  local out = with_pipes([[
    local f = io.popen "exec cat"
    print "ready"
    local ok, message = pcall(f.close, f)
    print(ok, message, io.type(f))]],
    "read line <&3; asleep; kill -INT $p")
  tap.ok(out:find "^false\t.*interrupted!\tclosed file\n$", out)
end)

tap.test("a Ctrl-C that ends the command of os.execute comes here, too",
  function()
    local out = with_pipes([[
      print "ready"
      print(pcall(function()
        os.execute "exec sleep 1000"
        while true do end
      end))
      print "on"]], "read line <&3; asleep; kill -INT -$p")
    tap.ok(out:find "^false\t.*interrupted!\non\n$", out)
  end)

tap.test("... and one that the command does not die of does not", function()
  local out = with_pipes([[
    print "ready"
    print(os.execute
      "trap 'echo trapped; exit 0' INT; while :; do sleep 0.1; done")
    print "on"]], "read line <&3; asleep; sleep 0.1; kill -INT -$p")
  tap.eq(out, "trapped\ntrue\texit\t0\non\n")
end)
