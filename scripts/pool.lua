-- A pool of processes does tasks, and survives what they do.

local function square(x) return x * x end

local pool = Pool(4)

print(table.concat(pool:map(square, { 1, 2, 3, 4, 5 }), " ")) --> 1 4 9 16 25
print(pool:apply(math.max, { 3, 9, 4 })) --> 9

local later = pool:apply_async(square, { 12 })
print(later:get()) --> 144

for i, word in pool:imap(string.upper, { "one", "two", "three" }) do
  print(i, word)
  --> 1	ONE
  --> 2	TWO
  --> 3	THREE
end

-- An error in a task comes out here; so does the death of a worker.
print(select(2, pcall(pool.apply, pool, error, { "oops", 0 })):match "^[^\n]*")
--> oops
print(select(2, pcall(pool.apply, pool, os.exit, { 3 })))
--> process PoolWorker-N (pid PID) was left by os.exit(3)
print(select(2, pcall(pool.apply, pool, sleep, { 60 }, { timeout = 0.05 })))
--> timed out
print(pool:apply(square, { 7 })) --> 49

pool:close()
pool:join()
