-- A Thread runs a function in this process, beside the others.

local function say(text)
  print(("thread %s %s"):format(current_thread().name, text))
end

local function loop()
  say "is running..." --> thread LoopThread is running...
  for n = 1, 5 do
    say(">>> " .. n)
    --> thread LoopThread >>> 1
    --> thread LoopThread >>> 2
    --> thread LoopThread >>> 3
    --> thread LoopThread >>> 4
    --> thread LoopThread >>> 5
    sleep(0.2)
  end
  say "ended." --> thread LoopThread ended.
end

say "is running..." --> thread MainThread is running...
local t = Thread { target = loop, name = "LoopThread" }
t:start()
t:join()
say "ended." --> thread MainThread ended.
