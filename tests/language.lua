-- Lua's own behaviour is untouched: the test of the language passes in plain
-- lua5.4, in this program, and in its main thread while three other threads of
-- the same state do all they can. Each run is a program of its own.
local tap <close> = dofile "tests/lib/tap.lua"

local small = tap.sanitizer ~= nil

-- The runs with threads: what to set, the size, and the kinds of the others.
local runs = {
  { "", 10, "allocate collect errors" },
  { "", 10, "recursion coroutines sort" },
  { "", 10, "gsub finalizers metamethods" },
  { "", 10, "modes hooks overflow" },
  { "", 10, "tables locks sleep" },
  { "CLUARUN_SWITCH=1", 1, "sort coroutines finalizers" },
  { "CLUARUN_SWITCH=1", 1, "errors collect hooks" },
  { "CLUARUN_SWITCH=7", 1, "gsub allocate metamethods" },
  { "CLUARUN_SWITCH=7", 1, "modes recursion locks" },
  { "CLUARUN_SWITCH=100", 3, "errors strings load" },
  { "CLUARUN_SWITCH=100", 3, "overflow coroutines collect" },
}

local function passes(command)
  local out, err, status = tap.run(command)
  tap.eq(err, "")
  tap.eq(status, 0)
  tap.ok(out:find "^%d+ rounds of %d+ sections", out)
  return out
end

if os.execute "command -v lua5.4 >/dev/null" then
  tap.test("the test itself holds in lua5.4", function()
    passes "lua5.4 tests/lib/language/run.lua 20"
  end)
else
  tap.skip("the test itself holds in lua5.4", "no lua5.4")
end

tap.test("single-threaded", function()
  passes(tap.program .. " tests/lib/language/run.lua " .. (small and 5 or 20))
end)

for _, run in ipairs(runs) do
  local setting, size, kinds = table.unpack(run)
  local name = setting == "" and "every 50 us" or setting
  tap.test(name .. ", with " .. kinds, function()
    local out = passes(("%s %s tests/lib/language/run.lua %d 0 50e-6 %s")
      :format(setting, tap.program, small and (size + 4) // 5 or size, kinds))
    for kind in kinds:gmatch "%w+" do
      tap.ok(tonumber(out:match("; (%d+) of " .. kind)) > 1, out)
    end
  end)
end
