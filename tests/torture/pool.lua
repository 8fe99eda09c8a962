-- pool.lua SECONDS: maps of 20,000 items on 8 workers, of which 500 are killed
-- meanwhile; again and again until the time is over.
local tap <close> = dofile "tests/lib/tap.lua"
local killpool = dofile "tests/lib/killpool.lua"

local deadline = monotonic() + (tonumber(arg[1]) or 10)
local kills, rounds, lost = 0, 0, 0

repeat
  tap.test("500 workers killed", function()
    local k, r, l = killpool.run(tap, 20000, 8, 500, {1, 7, 100, 2500})
    kills, rounds, lost = kills + k, rounds + r, lost + l
  end)
until monotonic() >= deadline
print(("# Pool: %d maps of 20000 items, %d items lost"):format(rounds, lost))
print(("# %d kills"):format(kills))
