-- Pool: workers killed at random while it works. `make torture` does more of
-- it.
local tap <close> = dofile "tests/lib/tap.lua"
local killpool = dofile "tests/lib/killpool.lua"

tap.test("exactly what they had begun is lost", function()
  local kills, rounds = killpool.run(tap, 500, 4, 40, {1, 7, 60})
  tap.eq(kills, 40)
  tap.ok(rounds >= 1)
end)

tap.test("killed faster than they can begin", function()
  local kills = killpool.run(tap, 100, 4, 150, {1}, 0)
  tap.eq(kills, 150)
end)
