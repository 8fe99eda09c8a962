-- plain.lua KIND N: scripts that use nothing of cluarun, for both programs.
-- Prints the CPU time on stderr: stdout is for what the script prints.

local kinds = {}

local function fib(n)
  if n < 2 then
    return n
  end
  return fib(n - 1) + fib(n - 2)
end

function kinds.fib(n)
  for _ = 1, n do
    fib(20)
  end
end

function kinds.tables(n)
  local sum = 0
  for _ = 1, n do
    local list, index = {}, {}
    for i = 1, 1000 do
      list[i] = i * 2
      index["k" .. i % 100] = i
    end
    table.sort(list, function(a, b) return a > b end)
    sum = sum + list[1] + index.k1
  end
end

function kinds.strings(n)
  for i = 1, n do
    local parts = {}
    for j = 1, 100 do
      parts[j] = string.format("%d:%s", i + j, "value")
    end
    local s = table.concat(parts, ",")
    s = s:gsub("value", "x"):upper()
    for _ in s:gmatch("[^,]+") do
      parts[#parts] = nil
    end
  end
end

function kinds.closures(n)
  local function counter(step)
    local count = 0
    return function()
      count = count + step
      return count
    end
  end
  for i = 1, n do
    local c = counter(i)
    for _ = 1, 10 do
      c()
    end
  end
end

function kinds.coroutines(n)
  local function generate()
    for i = 1, 100 do
      coroutine.yield(i)
    end
  end
  for _ = 1, n do
    local sum = 0
    for i in coroutine.wrap(generate) do
      sum = sum + i
    end
  end
end

function kinds.gc(n)
  local keep = {}
  for i = 1, n do
    keep[i % 5000] = {i, {tostring(i)}, name = {}}
  end
  collectgarbage()
  return #keep
end

function kinds.print(n)
  for i = 1, n do
    print(i, "a line of the output", 1.5)
  end
end

local run = kinds[arg[1]]
local begin = os.clock()
run(tonumber(arg[2]))
io.stderr:write(os.clock() - begin, "\n")
