--- Coroutines: states, yields from everywhere, errors, depth, numbers.
local check = dofile "tests/lib/language/check.lua"
local eq, list, fails = check.eq, check.list, check.fails

local function states()
  local main, is_main = coroutine.running()
  eq(type(main), "thread")
  eq(type(is_main), "boolean")
  eq(coroutine.status(main), "running")
  local co
  co = coroutine.create(function(...)
    list({ ... }, 1, 2)
    eq(coroutine.status(co), "running")
    list({ coroutine.running() }, co, false)
    eq(coroutine.isyieldable(), true)
    eq(coroutine.status(main), "normal")
    fails("cannot resume non%-suspended coroutine", coroutine.wrap(function()
      eq(coroutine.status(co), "normal")
      assert(coroutine.resume(co))
    end))
    fails("cannot close a running coroutine", coroutine.close, co)
    list({ coroutine.yield(3, 4) }, 5, nil, 6)
    return "end", nil
  end)
  eq(coroutine.status(co), "suspended")
  eq(coroutine.isyieldable(co), true)
  list({ coroutine.resume(co, 1, 2) }, true, 3, 4)
  list(table.pack(coroutine.resume(co, 5, nil, 6)), true, "end", nil)
  eq(coroutine.status(co), "dead")
  list({ coroutine.resume(co) }, false, "cannot resume dead coroutine")
  eq(coroutine.close(co), true)
  fails("expected, got number", coroutine.status, 1)
  fails("function expected", coroutine.create, {})
  list({ coroutine.resume(coroutine.create(coroutine.isyieldable)) },
    true, true)
  local current = coroutine.running()
  list({ coroutine.resume(current) }, false,
    "cannot resume non-suspended coroutine")
end

local function generators(n)
  local function upto(k)
    return coroutine.wrap(function()
      for i = 1, k do coroutine.yield(i) end
    end)
  end
  local sum = 0
  for i in upto(30 * n) do sum = sum + i end
  eq(sum, 15 * n * (30 * n + 1))
  local function filter(p, source)
    return coroutine.wrap(function()
      for v in source do
        if v % p ~= 0 or v == p then coroutine.yield(v) end
      end
    end)
  end
  local source = coroutine.wrap(function()
    for i = 2, 40 do coroutine.yield(i) end
  end)
  for _, p in ipairs { 2, 3, 5 } do source = filter(p, source) end
  local primes = {}
  for v in source do primes[#primes + 1] = v end
  eq(table.concat(primes, " "), "2 3 5 7 11 13 17 19 23 29 31 37")
  local function permute(t, k)
    if k == 1 then coroutine.yield(table.concat(t)) end
    for i = 1, k do
      t[i], t[k] = t[k], t[i]
      permute(t, k - 1)
      t[i], t[k] = t[k], t[i]
    end
  end
  local seen, count = {}, 0
  for p in coroutine.wrap(function() permute({ "a", "b", "c", "d" }, 4) end) do
    if not seen[p] then seen[p], count = true, count + 1 end
  end
  eq(count, 24)
end

local function boundaries(n)
  for _ = 1, n do
    -- Across pcall, xpcall, iterators, dofile-like loaders and error handlers.
    local co = coroutine.wrap(function()
      local done, v = pcall(function()
        local w = coroutine.yield "in pcall"
        error(w, 0)
      end)
      eq(done, false)
      local ok, x = xpcall(function(a)
        return coroutine.yield(a .. " in xpcall")
      end, debug.traceback, v)
      eq(ok, true)
      for a, b in function(_, i)
        return coroutine.yield("iterator " .. tostring(i))
      end do
        x = x .. a .. b
      end
      return x
    end)
    eq(co(), "in pcall")
    eq(co "sent", "sent in xpcall")
    eq(co "x", "iterator nil")
    eq(co("1", "2"), "iterator 1")
    eq(co("3", "4"), "iterator 3")
    eq(co(nil), "x1234")
    local deep = coroutine.wrap(function()
      local function nest(k)
        if k == 0 then return coroutine.yield "bottom" end
        local done, v = pcall(nest, k - 1)
        return done and v + 1
      end
      return nest(50)
    end)
    eq(deep(), "bottom")
    eq(deep(7), 57)
  end
  local blocked = coroutine.wrap(function()
    return pcall(string.gsub, "a", "a", function() coroutine.yield() end)
  end)
  local done, err = blocked()
  eq(done, false)
  eq(err, "attempt to yield across a C-call boundary")
  local function outside()
    if coroutine.isyieldable() then return coroutine.wrap(error) end
    return coroutine.yield
  end
  eq(pcall(outside()), false)
  done, err = pcall(coroutine.wrap(function()
    return load(function() return coroutine.yield "return 1" end)
  end))
  eq(done, true)
  eq(err, nil)
end

local function errors(n)
  for i = 1, 3 * n do
    local co = coroutine.create(function() error { i } end)
    local done, err = coroutine.resume(co)
    eq(done, false)
    eq(err[1], i)
    eq(coroutine.status(co), "dead")
    local _, why = coroutine.close(co)
    eq(why and why[1], i)
    eq(coroutine.close(co), true)
    co = coroutine.create(function()
      local function fail() error("inside " .. i) end
      fail()
    end)
    local _, message = coroutine.resume(co)
    eq(message:match ": (.*)$", "inside " .. i)
    eq(debug.traceback(co):find "in %a+ 'fail'" ~= nil, true)
  end
  local message = fails("wrapped", coroutine.wrap(function()
    coroutine.wrap(function() error "wrapped" end)()
  end))
  eq(select(2, message:gsub("%.lua:%d+:", "")) >= 1, true)
  local w = coroutine.wrap(function() return 1 end)
  eq(w(), 1)
  fails("cannot resume dead coroutine", w)
end

local function depth()
  -- Coroutines that resume coroutines, down to the limit of C calls.
  local function nest(k)
    if k == 0 then return 0 end
    return coroutine.wrap(nest)(k - 1) + 1
  end
  eq(nest(80), 80)
  local reached = 0
  local function endless()
    reached = reached + 1
    local done, err = coroutine.resume(coroutine.create(endless))
    if not done then error(err, 0) end
  end
  fails("C stack overflow", endless)
  eq(reached > 100, true)
  local closed = 0
  local function chain(k)
    local co = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function()
        closed = closed + 1
        if k > 0 then coroutine.close(chain(k - 1)) end
      end })
      coroutine.yield(x)
    end)
    coroutine.resume(co)
    return co
  end
  eq(coroutine.close(chain(20)), true)
  eq(closed, 21)
end

local function crowd(n)
  local list_of, total = {}, 0
  for i = 1, 40 * n do
    list_of[i] = coroutine.create(function(a)
      local b = coroutine.yield(a + 1)
      local c <close> = setmetatable({}, { __close = function()
        total = total + 1
      end })
      coroutine.yield(c and a + b)
    end)
  end
  for i, co in ipairs(list_of) do eq(select(2, coroutine.resume(co, i)), i + 1)
  end
  for i = #list_of, 1, -1 do
    eq(select(2, coroutine.resume(list_of[i], 10)), i + 10)
  end
  for i, co in ipairs(list_of) do
    if i % 2 == 0 then coroutine.close(co) else coroutine.resume(co) end
    eq(coroutine.status(co), "dead")
  end
  eq(total, 40 * n)
  -- Made, used and dropped: some never run, some never end.
  local kept = 0
  for i = 1, 60 * n do
    local co = coroutine.wrap(function(v)
      local t = { v }
      while true do t[#t + 1] = coroutine.yield(#t) end
    end)
    if i % 3 > 0 then kept = kept + co(i) end
    if i % 3 > 1 then kept = kept + co(i) end
  end
  eq(kept, 80 * n)
end

local function transfer(n)
  local rounds = 20 * n
  local ping, pong
  local log = 0
  ping = coroutine.create(function()
    for i = 1, rounds do
      log = log + i
      coroutine.yield(pong)
    end
  end)
  pong = coroutine.create(function()
    for i = 1, rounds do
      log = log - i
      coroutine.yield(ping)
    end
  end)
  local at, steps = ping, 0
  while at do
    local _, next_one = coroutine.resume(at)
    at, steps = next_one, steps + 1
  end
  eq(steps, 2 * rounds + 1)
  eq(log, 0)
  local many = {}
  for i = 1, 100 do many[i] = i end
  local co = coroutine.wrap(function(...)
    while true do coroutine.yield(select("#", ...), ...) end
  end)
  eq(select("#", co(table.unpack(many))), 101)
end

return {
  { "coroutine states", states }, { "generators", generators },
  { "yields across calls", boundaries }, { "errors in coroutines", errors },
  { "coroutine depth", depth }, { "many coroutines", crowd },
  { "transfer", transfer },
}
