-- lock.lua without the Lock. A thread can be stopped between any two steps, as
-- after it has read the balance and before it writes the new one: then it
-- undoes what another thread has done meanwhile.

local balance = 0

local function change_it(n)
  balance = balance + n
  balance = balance - n
end

local function run_thread(n)
  for _ = 1, 500000 do change_it(n) end
end

local rounds = 0
repeat
  rounds = rounds + 1
  local t1 = Thread { target = run_thread, args = { 5 } }:start()
  local t2 = Thread { target = run_thread, args = { 8 } }:start()
  t1:join()
  t2:join()
until balance ~= 0 or rounds == 200

if balance ~= 0 then
  print(("The balance is %d, not 0, after round %d."):format(balance, rounds))
  --> The balance is N, not 0, after round N.
else
  print "The balance is 0: nothing was lost this time."
end
