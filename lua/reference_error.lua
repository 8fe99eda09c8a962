--- The reference of the error values. What an entry is: see help.lua.
return {
  title = "Error values",
  {
    name = "Full", type = "any",
    text = "Raised by put when the queue has no room.",
    example = [[
local q = Queue(1)
q:put(1)
print(select(2, pcall(q.put_nowait, q, 2)) == Full) --> true]],
  },
  {
    name = "Empty", type = "any",
    text = "Raised by get when the queue has nothing.",
    example = [[
local q = Queue()
print(pcall(q.get, q, false)) --> false	queue is empty]],
  },
  {
    name = "ShutDown", type = "any",
    text = "Raised by put, and by get when it is drained, after q:shutdown().",
    example = [[
local q = Queue()
q:shutdown()
print(select(2, pcall(q.put, q, 1)) == ShutDown) --> true]],
  },
  {
    name = "TimeoutError", type = "any",
    text = "Raised by result, get and tasks of a Pool when the time is over.",
    example = [[
local p = Process { target = sleep, args = { 60 }, daemon = true }:start()
print(select(2, pcall(p.result, p, 0)) == TimeoutError) --> true]],
  },
  {
    name = "EOFError", type = "any",
    text = "Raised by recv and send when the other end of the pipe is gone.",
    example = [[
local a, b = Pipe()
a:close()
print(select(2, pcall(b.recv, b)) == EOFError) --> true]],
  },
  {
    name = "BrokenBarrierError", type = "any",
    text = "Raised by a Barrier that is broken.",
    example = [[
local b = Barrier(2)
print(select(2, pcall(b.wait, b, 0)) == BrokenBarrierError) --> true]],
  },
  {
    name = "WorkerLost", type = "any",
    text = [[Raised for the result of a process that died. Its text names pid
      and signal; it equals WorkerLost.]],
    example = [[
local p = Process { target = sleep, args = { 60 } }:start()
p:kill()
print(select(2, pcall(p.result, p)) == WorkerLost) --> true]],
  },
  {
    name = "OwnerDied", type = "any",
    text = [[The second result of an acquire when the lock's last holder died
      with it.]],
    example = [[
local lock = Lock()
local function die() lock:acquire() kill(getpid(), "KILL") end
Process { target = die }:start():join()
print(select(2, lock:acquire()) == OwnerDied) --> true]],
  },
}
