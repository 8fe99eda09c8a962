--- Checks of the language test. They raise: a section stops at the first wrong
-- result. Nothing here depends on cluarun.
local M = {}

local function show(v)
  if math.type(v) == "float" then return ("%.17g (float)"):format(v) end
  return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

--- Equal, and of the same kind of number; NaN equals NaN.
function M.eq(got, want, what)
  if rawequal(got, want) and math.type(got) == math.type(want)
    or got ~= got and want ~= want then
    return
  end
  error(("%sexpected %s, got %s"):format(what and what .. ": " or "",
    show(want), show(got)), 2)
end

--- The values of a packed list, in turn.
function M.list(got, ...)
  local want = table.pack(...)
  if (got.n or #got) ~= want.n then
    error(("expected %d values, got %d"):format(want.n, got.n or #got), 2)
  end
  for i = 1, want.n do
    if got[i] ~= want[i] or math.type(got[i]) ~= math.type(want[i]) then
      error(("value %d: expected %s, got %s"):format(i, show(want[i]),
        show(got[i])), 2)
    end
  end
end

--- f(...) must raise a text with that pattern; returns what it raised.
function M.fails(pattern, f, ...)
  local done, err = pcall(f, ...)
  if done then error("expected an error like " .. pattern, 2) end
  if not tostring(err):find(pattern) then
    error(("expected an error like %s, got %s"):format(pattern, show(err)), 2)
  end
  return err
end

--- A generator of its own: the same numbers in every run and every thread.
function M.random(seed)
  return function(n)
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return (seed >> 8) % n + 1
  end
end

return M
