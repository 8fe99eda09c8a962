-- Threads share their variables: what must not be disturbed holds a Lock.

local balance = 0 -- the money in the bank
local lock = Lock()

local function change_it(n)
  -- first pay in, then draw: the balance should stay 0
  balance = balance + n
  balance = balance - n
end

local function run_thread(n)
  for _ = 1, 100000 do
    local _ <close> = lock:guard() -- until the end of this round
    change_it(n)
  end
end

local t1 = Thread { target = run_thread, args = { 5 } }
local t2 = Thread { target = run_thread, args = { 8 } }
t1:start()
t2:start()
t1:join()
t2:join()
print(balance) --> 0
