--- The reference of queues and pipes. What an entry is: see help.lua.
return {
  title = "Queues and pipes",
  {
    name = "Queue", args = "maxsize?: integer", returns = "q: Queue",
    text = [[First in, first out, between threads and processes. Values are
      copied: nil, booleans, numbers, strings, tables (shared parts, cycles
      and metatables survive), functions, synchronisation objects. maxsize 0
      or nil: no bound but the memory.]],
    errors = [[What cannot be sent raises "cannot send a coroutine (at
      [2].handler)", and nothing is queued.]],
    example = [[
local q = Queue()
Process { target = function() q:put { 1, 2 } end }:start()
print(#q:get()) --> 2]],
  },
  {
    name = "Queue.put", args = "value: any, block?: boolean, timeout?: number",
    returns = "",
    text = "Adds a copy of the value, waiting while the queue is full.",
    errors = [[Raises Full when it may not wait or the time is over, ShutDown
      after shutdown, and an error for what cannot be sent.]],
    example = [[
local q = Queue(1)
q:put "a"
print(pcall(q.put, q, "b", false)) --> false	queue is full]],
  },
  {
    name = "Queue.get", args = "block?: boolean, timeout?: number",
    returns = "value: any",
    text = "Takes the next value, waiting while there is none.",
    errors = [[Raises Empty when it may not wait or the time is over, ShutDown
      after shutdown once the queue is drained.]],
    example = [[
local q = Queue()
print(pcall(q.get, q, true, 0.01)) --> false	queue is empty]],
  },
  {
    name = "Queue.put_nowait", args = "value: any", returns = "",
    text = "put(value, false).",
    errors = "Raises Full, ShutDown, and an error for what cannot be sent.",
    example = [[
local q = Queue()
q:put_nowait(1)
print(q:qsize()) --> 1]],
  },
  {
    name = "Queue.get_nowait", args = "", returns = "value: any",
    text = "get(false).",
    errors = "Raises Empty, or ShutDown.",
    example = [[
local q = Queue()
print(select(2, pcall(q.get_nowait, q)) == Empty) --> true]],
  },
  {
    name = "Queue.qsize", args = "", returns = "n: integer",
    text = "How many values are in it now.",
    example = "print(Queue():qsize()) --> 0",
  },
  {
    name = "Queue.empty", args = "", returns = "empty: boolean",
    text = "Is there nothing in it now?",
    example = "print(Queue():empty()) --> true",
  },
  {
    name = "Queue.full", args = "", returns = "full: boolean",
    text = "Has it as many values as it may hold?",
    example = "print(Queue(1):full()) --> false",
  },
  {
    name = "Queue.task_done", args = "", returns = "",
    text = "Says that one value that was taken has been dealt with; see join.",
    errors = "Raises when it is called more often than values were put.",
    example = [[
local q = Queue()
q:put(1) q:get() q:task_done()
q:join()]],
  },
  {
    name = "Queue.join", args = "", returns = "",
    text = "Waits until task_done was called for everything that was put.",
    example = [[
local q = Queue()
local function work() for _ in q:iter() do q:task_done() end end
Process { target = work, daemon = true }:start()
q:put(1)
q:join()]],
  },
  {
    name = "Queue.shutdown", args = "immediate?: boolean", returns = "",
    text = [[From now on put raises ShutDown; get does so once the queue is
      drained, or at once if `immediate`.]],
    example = [[
local q = Queue()
q:put(1) q:shutdown()
print(q:get(), pcall(q.get, q)) --> 1	false	queue is shut down]],
  },
  {
    name = "Queue.iter", args = "", returns = "iterator: function",
    text = "For generic `for`: takes values until the queue is shut down.",
    errors = "Raises when it takes a nil.",
    example = [[
local q = Queue()
q:put "a" q:put "b" q:shutdown()
for v in q:iter() do print(v) end
--> a
--> b]],
  },
  {
    name = "Queue.maxsize", type = "integer",
    text = "How many values it holds at most; 0: no bound.",
    example = "print(Queue(3).maxsize, Queue().maxsize) --> 3	0",
  },
  {
    name = "LifoQueue", args = "maxsize?: integer", returns = "q: LifoQueue",
    like = "Queue",
    text = "A Queue that gives the newest value first.",
    errors = "As those of Queue.",
    example = [[
local q = LifoQueue()
q:put(1) q:put(2)
print(q:get()) --> 2]],
  },
  {
    name = "PriorityQueue",
    args = "maxsize?: integer",
    returns = "q: PriorityQueue",
    like = "Queue",
    text = [[A Queue that gives the smallest value first: numbers, strings, or
      lists, which are compared element by element; equal ones in order of
      arrival.]],
    errors = "put raises for what cannot be compared, NaN included.",
    example = [[
local q = PriorityQueue()
q:put { 2, "later" } q:put { 1, "first" }
print(q:get()[2]) --> first]],
  },
  {
    name = "Pipe", args = "duplex?: boolean", returns = "a: Pipe, b: Pipe",
    text = [[Two ends: what is sent at one is received at the other. Without
      duplex, a receives and b sends. An end that was inherited is closed in
      each process of its own.]],
    example = [[
local a, b = Pipe()
a:send { x = 1 }
print(b:recv().x) --> 1]],
  },
  {
    name = "Pipe.send", args = "value: any", returns = "",
    text = "Sends a copy of the value to the other end.",
    errors = [[Raises EOFError when nobody has the other end, and errors for a
      closed end, the wrong direction and what cannot be sent.]],
    example = [[
local a, b = Pipe()
b:close()
print(select(2, pcall(a.send, a, 1)) == EOFError) --> true]],
  },
  {
    name = "Pipe.recv", args = "", returns = "value: any",
    text = "Waits for the next value.",
    errors = [[Raises EOFError when there is none left and every other end is
      closed or its holders are dead.]],
    example = [[
local a, b = Pipe()
a:send(1) a:close()
print(b:recv(), select(2, pcall(b.recv, b)) == EOFError) --> 1	true]],
  },
  {
    name = "Pipe.poll", args = "timeout?: number", returns = "ready: boolean",
    text = [[Would recv come back at once? Waits so long for it; without a
      timeout it does not wait.]],
    errors = "Raises for a closed end and the wrong direction.",
    example = [[
local a, b = Pipe()
print(b:poll()) --> false
a:send(1)
print(b:poll(1)) --> true]],
  },
  {
    name = "Pipe.close", args = "", returns = "",
    text = [[Gives up this process's hold on the end. Also done by `local a
      <close> = ...`.]],
    example = [[
local a, b = Pipe()
a:close() b:close()
print(a.closed) --> true]],
  },
  {
    name = "Pipe.closed", type = "boolean",
    text = "Was this end closed in this process?",
    example = "print(Pipe().closed) --> false",
  },
  {
    name = "wait_any",
    args = "list: any[], timeout?: number",
    returns = "ready: any[]",
    text = [[Waits until one of them is ready and returns all that are, in
      order: Queues with a value or shut down, Pipe ends with a message or at
      their end, ended Processes and Threads, finished AsyncResults, set
      Events. An empty list when the time is over.]],
    errors = "Raises for an empty list, and names an item it cannot wait for.",
    example = [[
local q, e = Queue(), Event()
e:set()
print(wait_any({ q, e })[1] == e, #wait_any({ q }, 0)) --> true	0]],
  },
}
