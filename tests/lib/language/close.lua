--- Variables to be closed: order, errors, coroutines.
local check = dofile "tests/lib/language/check.lua"
local eq, fails = check.eq, check.fails

-- A maker of closers that write into `log`.
local function closers()
  local log = {}
  return log, function(name, f)
    return setmetatable({}, { __close = function(_, err)
      log[#log + 1] = name .. (err ~= nil and "(" .. tostring(err) .. ")" or "")
      if f then return f(err) end
    end })
  end
end

local function order(n)
  for _ = 1, n do
    local log, closer = closers()
    do
      local a <close> = closer "a"
      local none <close> = nil
      local no <close> = false
      local b <close> = closer "b"
      log[#log + 1] = tostring(a ~= b) .. tostring(none) .. tostring(no)
    end
    eq(table.concat(log, " "), "truenilfalse b a")
    log, closer = closers()
    local function f(...)
      local x <close> = closer "x"
      if ... then return ..., x ~= nil end
      local y <close> = closer "y"
      return "end", y ~= nil
    end
    eq(select("#", f(1)), 2)
    eq(f(), "end")
    eq(table.concat(log, " "), "x y x")
    log, closer = closers()
    for i = 1, 3 do
      local l <close> = closer("l" .. i)
      if l and i == 2 then break end
    end
    for k in next, { "v" }, nil, closer "it" do log[#log + 1] = k end
    eq(table.concat(log, " "), "l1 l2 1 it")
  end
  local _, closer = closers()
  fails("variable 'x' got a non%-closable value", function()
    local x <close> = {}
    return x
  end)
  eq(load "local a <close>, b <close> = 1", nil)
  local c = closer "late"
  getmetatable(c).__close = nil
  fails("metamethod 'close'", function()
    local d <close> = setmetatable({}, { __close = 1 })
    return d
  end)
end

local function errors(n)
  for _ = 1, n do
    local log, closer = closers()
    local done, err = pcall(function()
      local a <close> = closer "a"
      local b <close> = closer("b", function() error("from b", 0) end)
      local c <close> = closer "c"
      error(a and b and c and "first", 0)
    end)
    eq(done, false)
    eq(err, "from b")
    eq(table.concat(log, " "), "c(first) b(first) a(from b)")
    log, closer = closers()
    done, err = pcall(function()
      local a <close> = closer("a", function(e) error { e } end)
      return a
    end)
    eq(done, false)
    eq(err[1], nil)
    log, closer = closers()
    done, err = pcall(function()
      for i = 1, 3 do
        local x <close> = closer("x" .. i, function()
          if i == 2 then error("at " .. i, 0) end
        end)
        log[#log + 1] = x and "in" .. i
      end
    end)
    eq(err, "at 2")
    eq(done, false)
    eq(table.concat(log, " "), "in1 x1 in2 x2")
  end
end

local function deep(n)
  local count, limit = 0, 60 * n
  local meta = { __close = function() count = count + 1 end }
  local function nest(k)
    local x <close> = setmetatable({}, meta)
    if k == 0 then error({ x }) end
    return nest(k - 1), 1
  end
  local done, err = pcall(nest, limit)
  eq(done, false)
  eq(type(err[1]), "table")
  eq(count, limit + 1)
  -- Closers that open others.
  local function chain(k)
    return setmetatable({}, { __close = function()
      if k == 0 then return end
      local x <close> = chain(k - 1)
      count = count + (x and 1 or 0)
    end })
  end
  count = 0
  do
    local x <close> = chain(30)
    eq(x ~= nil, true)
  end
  eq(count, 30)
end

local function coroutines(n)
  for _ = 1, n do
    local log, closer = closers()
    local co = coroutine.create(function()
      local a <close> = closer("a", function() coroutine.yield "closing a" end)
      local b <close> = closer "b"
      coroutine.yield(a and b and "open")
      return "done"
    end)
    eq(select(2, coroutine.resume(co)), "open")
    eq(select(2, coroutine.resume(co)), "closing a")
    eq(select(2, coroutine.resume(co)), "done")
    eq(table.concat(log, " "), "b a")
    log, closer = closers()
    co = coroutine.create(function()
      local a <close> = closer "a"
      local b <close> = closer("b", function() error("in b", 0) end)
      local c <close> = closer "c"
      coroutine.yield(a, b, c)
    end)
    coroutine.resume(co)
    local done, err = coroutine.close(co)
    eq(done, false)
    eq(err, "in b")
    eq(table.concat(log, " "), "c b a(in b)")
    eq(coroutine.status(co), "dead")
    eq(coroutine.close(co), true)
    log, closer = closers()
    local wrapped = coroutine.wrap(function()
      local a <close> = closer "a"
      error(a and "fails", 0)
    end)
    eq(select(2, pcall(wrapped)), "fails")
    eq(table.concat(log), "a(fails)")
  end
end

return {
  { "close: order", order }, { "close: errors", errors },
  { "close: depth", deep }, { "close: coroutines", coroutines },
}
