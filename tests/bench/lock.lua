-- lock.lua KIND N: acquire and release N times what nobody else wants. KIND:
-- lock, rlock, semaphore, or what the call alone costs: "method" (two empty C
-- functions called as methods of an object) and "function" (called plainly).

package.cpath = "build/bench/?.so;" .. package.cpath

local function pairs_of(object)
  return function(n)
    for _ = 1, n do
      object:acquire()
      object:release()
    end
  end
end

local kinds = {
  lock = function() return pairs_of(Lock()) end,
  rlock = function() return pairs_of(RLock()) end,
  semaphore = function() return pairs_of(Semaphore(1)) end,
  method = function() return pairs_of(require("empty").object) end,
}

kinds["function"] = function()
  local empty = require "empty"
  local acquire, release = empty.acquire, empty.release
  return function(n)
    for _ = 1, n do
      acquire()
      release()
    end
  end
end

local run = kinds[arg[1]]()
run(1000)
local begin = os.clock()
run(tonumber(arg[2]))
print(os.clock() - begin)
