-- Pool: progress = true.
local tap <close> = dofile "tests/lib/tap.lua"

-- What the script writes to a terminal of 80 columns.
local function on_terminal(text)
  local file = os.tmpname()
  do
    local f <close> = assert(io.open(file, "w"))
    f:write(text)
  end
  local out = tap.run(("script -qec %s /dev/null"):format(
    tap.quote(tap.program .. " " .. file)))
  os.remove(file)
  return out
end

local code = [[
  local pool <close> = %s(2)
  local list = pool:map(function(i)
    sleep(0.005)
    return i
  end, table.move({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 1, 10, 191, (function()
    local t = {}
    for i = 1, 190 do t[i] = i end
    return t
  end)()), {chunksize = 2, progress = true})
  print(#list)
]]

local stream = [[
  local pool <close> = %s(2)
  local n, list = 0, {}
  for i = 1, 200 do list[i] = i end
  for i in pool:imap(function(i)
    sleep(0.005)
    return i
  end, list, {chunksize = 2, progress = true}) do
    n = i
  end
  print(n)
]]

local function check(out)
  local bars = {}
  for line in out:gmatch "\r([^\r\n]*)\27%[K" do bars[#bars + 1] = line end
  tap.ok(#bars >= 3, #bars)
  tap.eq(bars[#bars], "", "it clears up")
  tap.ok(out:find "\r\27%[K200\r?\n$", out)
  local before = -1
  for i = 1, #bars - 1 do
    tap.ok(#bars[i] <= 79, bars[i])
    local percent, bar, done =
      bars[i]:match "^ ? ?(%d+)%% %[(#*%.*)%] (%d+)/200  [%d.]+k?/s"
    tap.ok(bar, bars[i])
    tap.ok(tonumber(done) >= before)
    before = tonumber(done)
    tap.eq(tonumber(percent), before * 100 // 200)
    if before > 0 and before < 200 then
      tap.ok(bars[i]:find "  %d+:%d%d left$", bars[i])
    end
    tap.eq(#bar, 79 - #bars[i]:match "%] (.*)$" - 9)
  end
end

local has_script = select(3, tap.run "command -v script >/dev/null") == 0

for _, name in ipairs {"Pool", "ThreadPool"} do
  if has_script then
    tap.test(name .. ": a bar on a terminal", function()
      check(on_terminal(code:format(name)))
    end)
    tap.test(name .. ": a bar of imap", function()
      check(on_terminal(stream:format(name)))
    end)
  else
    tap.skip(name .. ": a bar on a terminal", "there is no script(1)")
  end
end

tap.test("no bar elsewhere, but a line when all is done", function()
  local out, err, status = tap.lua(code:format "Pool")
  tap.eq({out, status}, {"200\n", 0})
  tap.ok(err:find "^100%%  200/200  [%d.k]+/s\n$", err)
end)

tap.test("after an error, too", function()
  if not has_script then return end
  local out = on_terminal [[
    local pool <close> = Pool(2)
    print(pcall(pool.map, pool, function(i)
      sleep(0.3)
      if i == 2 then error("two", 0) end
    end, {1, 2, 3, 4}, {progress = true}))
  ]]
  tap.ok(out:find "\27%[K", out)
  tap.ok(out:find "\r\27%[Kfalse\ttwo", out)
end)

tap.test("figures of what has no known end", function()
  if not has_script then return end
  local out = on_terminal [[
    local pool <close> = Pool(2)
    local i = 0
    for _ in pool:imap_unordered(function() sleep(0.02) end, function()
      i = i + 1
      return i <= 40 and i or nil
    end, {progress = true}) do end
    print "end"
  ]]
  tap.ok(out:find "\r%d+  [%d.]+k?/s\27%[K", out)
  tap.ok(out:find "\r\27%[Kend", out)
end)

tap.test("apply has one, too", function()
  if not has_script then return end
  local out = on_terminal [[
    local pool <close> = Pool(1)
    pool:apply(sleep, {0.5}, {progress = true})
    local result = pool:apply_async(sleep, {0.5}, {progress = true})
    result:get()
    print "end"
  ]]
  tap.ok(out:find "\r  0%% %[%.+%] 0/1  0.0/s\27%[K", out)
  tap.ok(out:find "\r\27%[Kend", out)
end)

tap.test("an interrupt clears it", function()
  if not has_script then return end
  local out = on_terminal [[
    local pool <close> = Pool(1)
    Timer(2, function() main_thread():interrupt "enough" end):start()
    print(pcall(pool.map, pool, sleep, {100}, {progress = true}))
    pool:terminate()
  ]]
  tap.ok(out:find "\r\27%[Kfalse\tenough", out)
end)
