-- What Tab makes of any text.
local function part(name) return assert(loadfile("lua/" .. name .. ".lua")) end

local help = part "help"(part, package.loaded.cluarun)
local function reference() return help end

local files = { "a.lua", "b/", "été.lua", "init.lua", "x.so", "" }
local console = { files = function(folder)
  assert(type(folder) == "string")
  return files
end }

local t = { alpha = { beta = 1 }, [1] = { ["x y"] = { gamma = 1 } } }
t.cycle = setmetatable({}, { __index = t })
_G.q, _G.t = Queue(), t
package.path = "?.lua;./?/init.lua;/nowhere/?.lua;"

local complete = part "complete"(part "keywords")

local function sizes()
  local n = 0
  for _, value in pairs { _G, package, package.loaded, package.preload, t } do
    for _ in pairs(value) do n = n + 1 end
  end
  return n
end
local before = sizes()

local function check_list(list)
  local first, previous = list[1], nil
  for i = #list > 1 and 2 or 1, #list do
    local word = list[i]
    assert(word:sub(1, #first) == first, "the common beginning comes first")
    assert(not previous or previous < word, "sorted, each once")
    previous = word
  end
end

return function(text)
  local kind, list = complete(text, console, reference)
  assert(kind == "word" or kind == "module" or kind == "file", kind)
  check_list(list)
  if kind == "word" and list[1] then
    local typed = text:match "[%w_]*$"
    assert(list[1]:sub(1, #typed) == typed, "goes on with what was typed")
  end
  assert(sizes() == before, "looking changes nothing")
end
