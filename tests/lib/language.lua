--- A test of Lua's own language and libraries: a list of {name, function}. Each
-- function takes a size (1 is small) and raises at the first wrong result. What
-- they check holds in plain lua5.4, and whatever other threads of the same
-- state do meanwhile; several threads may run them at once.
local M = {}

for _, part in ipairs {
  "numbers", "strings", "tables", "functions", "metamethods", "close",
  "coroutines", "errors", "collector", "debugging", "libraries",
} do
  for _, section in ipairs(dofile("tests/lib/language/" .. part .. ".lua")) do
    M[#M + 1] = section
  end
end

return M
