-- The history of the prompt: kept between sessions, whole, for the owner only.
local tap <close> = dofile "tests/lib/tap.lua"
local session = dofile "tests/lib/session.lua"
local test = session.tests(tap)

local CTRL_D, QUOTE, SEARCH, UP = "\4", "\22", "\18", "\27[A"

test("history: recalled in the next session, for the owner only", function(s)
  s:send "for i = 1, 2 do\rlocal once = i\rend\r"
  s:expect "end\n> $"
  s:send "'last one'\r"
  s:expect "\nlast one\n> $"
  local file = session.home .. "/.local/state/cluarun/history"
  tap.eq(tap.run("stat -c %a " .. file), "600\n")
  s:send(CTRL_D)
  s:wait()
  local again <close> = session.start()
  again:send(UP)
  again:screen { "> 'last one'|" }
  again:send(UP)
  again:screen { "> for i = 1, 2 do", ">> local once = i", ">> end|" }
end)

-- Blocks that say what they are, with lines that the file's form could lose.
for i, text in ipairs {
  "\n\n#1\n\n#1700000000\n#\n\n", "\1\n\1\1\n\1#1", "x\r\r\n\r\r\n",
} do
  test("history: a block comes back as it was typed, " .. i, function(s)
    local typed = text:gsub("[\1\r]", QUOTE .. "%0"):gsub("\n", "\r")
    local as_lua_reads_it = text:gsub("\r\n?", "\n")
    local bytes = { ("-" .. as_lua_reads_it):byte(1, -1) }
    local result = "\n" .. table.concat(bytes, "\t") .. "\n> $"
    s:send("([[-" .. typed .. "]]):byte(1, -1)\r")
    s:expect(result)
    s:send(CTRL_D)
    s:wait()
    local again <close> = session.start()
    again:send(UP .. "\r")
    again:expect(result)
  end)
end

test("history: an entry that looks like a time stamp", function(s)
  s:send "#1\r"
  s:expect "attempt to get length.*\n> $"
  s:send(CTRL_D)
  s:wait()
  local again <close> = session.start()
  again:send(UP)
  again:screen { "> #1|" }
end)

test("history: merged between sessions; XDG_STATE_HOME", function()
  local env = { "XDG_STATE_HOME=" .. session.home .. "/state" }
  local a <close> = session.start { env = env }
  local b <close> = session.start { env = env }
  for i, s in ipairs { a, b, a, b } do
    s:send(("'entry %d'\r"):format(i))
    s:expect(("\nentry %d\n> $"):format(i))
  end
  a:send(CTRL_D) a:wait()
  b:send(CTRL_D) b:wait()
  local c <close> = session.start { env = env }
  for i = 4, 1, -1 do
    c:send(UP)
    c:screen { ("> 'entry %d'|"):format(i) }
  end
end)

test("history: one that cannot be written is a warning", function()
  local s <close> = session.start { env = { "XDG_STATE_HOME=/dev/null" } }
  s:screen {
    "cannot keep the history in /dev/null/cluarun/history: Not a directory",
    "> |",
  }
  s:send "1 + 1\r"
  s:expect "1 %+ 1\n2\n> $"
  s:send(UP)
  s:screen { "> 1 + 1|" }
end)

-- No file may grow over 51200 bytes: writes end in the middle, as on a full
-- disk, be it of an entry or of a new file without the oldest ones.
for name, size in pairs { ["an entry"] = 51190, ["a new file"] = 120000 } do
  test("history: no room for " .. name .. " is a warning", function()
    local dir = session.home .. "/" .. size .. "/cluarun"
    os.execute("mkdir -p " .. dir)
    local entry = "#1700000000\nprint(%05d)\n"
    local entries = {}
    for i = 1, size // #entry:format(0) do entries[i] = entry:format(i) end
    local all = table.concat(entries)
    do
      local f <close> = assert(io.open(dir .. "/history", "w"))
      f:write(all)
    end
    local s <close> = session.start {
      env = { "XDG_STATE_HOME=" .. session.home .. "/" .. size },
      program = "sh",
      args = { "-c", "trap '' XFSZ; ulimit -f 100; exec " .. tap.program },
    }
    s:send "'a line longer than what is left'\r"
    s:expect "cannot keep the history in [^\n]*: File too large\n"
    s:expect "> $"
    s:send "#'another line longer than that'\r"
    s:expect "\n29\n> $"
    s:send(CTRL_D)
    local f <close> = assert(io.open(dir .. "/history"))
    local left = f:read "a"
    tap.ok(left == all, #left .. " bytes, not " .. #all)
    tap.eq(tap.run("ls " .. dir), "history\n")
  end)
end

-- A file system of a size, which only root can mount.
local name = "history: a full disk does not cost what was there"
if select(3, tap.run "unshare -m mount -t tmpfs none /mnt") ~= 0 then
  tap.skip(name, "cannot mount here")
else
  tap.test(name, function()
    local dir, copy = session.home .. "/mounted", session.home .. "/copy"
    os.execute("mkdir -p " .. dir)
    local s <close> = session.start { program = "unshare",
      env = { "XDG_STATE_HOME=" .. dir }, args = { "-m", "sh", "-c", ([[
        mount -t tmpfs -o size=180k none %s && mkdir %s/cluarun &&
        for i in $(seq 10000 16000); do
          printf '#1700000000\nprint(%%d)\n' $i
        done >%s/cluarun/history && %s; cp %s/cluarun/history %s.new &&
        mv %s.new %s
      ]]):format(dir, dir, dir, tap.program, dir, copy, copy, copy) } }
    s:send "1 + 1\r"
    s:expect "\n2\n> $"
    s:send(CTRL_D)
    tap.eventually(30, function()
      return os.rename(copy, copy) -- is it there?
    end)
    local f <close> = assert(io.open(copy))
    local left = f:read "a"
    for _, i in ipairs { 10000, 16000 } do
      tap.ok(left:find("print(" .. i .. ")", 1, true), i .. " is lost")
    end
  end)
end

test("history: the oldest entries go, the newest stay", function()
  local dir = session.home .. "/long/cluarun"
  os.execute("mkdir -p " .. dir)
  do
    local f <close> = assert(io.open(dir .. "/history", "w"))
    for i = 1, 7000 do f:write("#1700000000\nx = ", i, "\n") end
    f:write "#1700000000\n\1#5 +\n\1\n6\n"
  end
  local env = { "XDG_STATE_HOME=" .. session.home .. "/long" }
  for _ = 1, 2 do -- the second one reads what the first one has written anew
    local s <close> = session.start { env = env }
    s:send(UP)
    s:screen { "> #5 +", ">>", ">> 6|" }
    s:send(UP:rep(3))
    s:screen { "> x = 7000|" }
  end
  local f <close> = assert(io.open(dir .. "/history"))
  local text = f:read "a"
  tap.ok(text:find "^#1700000000\nx = 2002\n")
  tap.ok(text:find "\nx = 7000\n#1700000000\n\1#5 %+\n\1\n6\n$")
  tap.eq(tap.run("ls " .. dir), "history\n")
end)

test("a search ended by keys that mean nothing", function(s)
  s:send(SEARCH .. "\27\21abc\27[201~")
  s:expect "> abc~?$"
  s:send "\21'lives'\r"
  s:expect "\nlives\n> $"
end)

test("a long paste into a search", function(s)
  s:resize(5, 20)
  s:send(SEARCH .. "x")
  s:expect "search"
  s:send("\27[200~" .. ("a long line = 1\n"):rep(400) .. "\27[201~")
  s:send "\7\3"
  s:expect "> $"
  s:resize(24, 80)
  s:send "'lives'\r"
  s:expect "\nlives\n> $"
end)

session.done()
