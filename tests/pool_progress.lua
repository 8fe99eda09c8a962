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
  else
    tap.skip(name .. ": a bar on a terminal", "there is no script(1)")
  end
end

tap.test("no bar elsewhere", function()
  local out, err, status = tap.lua(code:format "Pool")
  tap.eq({out, err, status}, {"200\n", "", 0})
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
