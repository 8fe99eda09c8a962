-- A pipe has two ends: what is sent into one is received at the other.

local function greet(conn)
  local name = conn:recv()
  print("The child received " .. name) --> The child received Lua
  conn:send { text = "Hello, " .. name .. "!", from = getpid() }
  conn:close()
end

local here, there = Pipe()
local p = Process { target = greet, args = { there } }:start()
here:send "Lua"
local answer = here:recv()
print(("%s (from %d)"):format(answer.text, answer.from))
--> Hello, Lua! (from PID)
p:join()
