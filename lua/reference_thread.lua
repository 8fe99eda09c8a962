--- The reference of threads and time. What an entry is: see help.lua.
return {
  title = "Threads and time",
  {
    name = "Thread",
    args = [[options: {target: function, args?: table, name?: string, daemon?:
      boolean}]],
    returns = "t: Thread",
    text = [[A function that runs in an OS thread of its own, in the same Lua
      state: it sees the same globals and upvalues, and can be interrupted
      between any two VM instructions; one runs at a time. The main script
      joins it at its end unless it is a daemon. `local t <close> = ...`
      joins.]],
    errors = [[Raises for unknown fields. An error in target prints "Exception
      in thread NAME:" and the traceback on stderr; the others go on.]],
    example = [[
local n = 0
local t = Thread { target = function() n = n + 1 end }:start()
t:join()
print(n, t.name) --> 1	Thread-1]],
  },
  {
    name = "Thread.start", args = "", returns = "t: Thread",
    text = "Begins to run target. Returns t.",
    errors = "Raises when it was started before, or the system refuses.",
    example = "Thread { target = print, args = { 'x' } }:start():join() --> x",
  },
  {
    name = "Thread.join", args = "timeout?: number", returns = "ended: boolean",
    text = "Waits until it has ended: has it? Never raises target's error.",
    errors = "Raises before start, and for the calling thread itself.",
    example = [[
local q = Queue()
local t = Thread { target = q.get, args = { q }, daemon = true }:start()
print(t:join(0)) --> false]],
  },
  {
    name = "Thread.result",
    args = "timeout?: number",
    returns = "values...: any",
    text = "Waits for its end and returns what target returned.",
    errors = "Raises target's error; TimeoutError when the time is over.",
    example = [[
local t = Thread { target = math.max, args = { 3, 7 } }:start()
print(t:result()) --> 7]],
  },
  {
    name = "Thread.is_alive", args = "", returns = "alive: boolean",
    text = "Does it still run?",
    errors = "Raises before start.",
    example = [[
local t = Thread { target = function() end }:start()
t:join()
print(t:is_alive()) --> false]],
  },
  {
    name = "Thread.interrupt", args = "err?: any", returns = "",
    text = [[Raises err ("interrupted!" if left out) in that thread, at its
      next instruction or out of its blocking call.]],
    errors = "Raises before start.",
    example = [[
print(pcall(function()
  current_thread():interrupt "enough"
  sleep(60)
end)) --> false	enough]],
  },
  {
    name = "Thread.name", type = "string",
    text = "A name for reports; can be set. By default Thread-1, Thread-2.",
    example = "print(Thread { target = print }.name) --> Thread-1",
  },
  {
    name = "Thread.daemon", type = "boolean",
    text = [[Does the end of the main script not wait for it? Can be set
      before start.]],
    errors = "Raises when it is set after start.",
    example = "print(Thread { target = print }.daemon) --> false",
  },
  {
    name = "Thread.ident", type = "integer?",
    text = "A number that no other thread has; nil before start.",
    example = "print(math.type(current_thread().ident)) --> integer",
  },
  {
    name = "Thread.native_id", type = "integer?",
    text = "The operating system's id of the thread; nil before start.",
    example = "print(main_thread().native_id == getpid()) --> true",
  },
  {
    name = "Timer", args = "interval: number, f: function, args?: table",
    returns = "t: Timer", like = "Thread",
    text = [[A Thread that calls f after so many seconds, unless it is
      cancelled.]],
    errors = "As those of Thread.",
    example = "Timer(0.01, print, { 'now' }):start():join() --> now",
  },
  {
    name = "Timer.cancel", args = "", returns = "",
    text = "If f was not called yet, it will not be.",
    example = [[
local t = Timer(60, print):start()
t:cancel()
print(t:join()) --> true]],
  },
  {
    name = "current_thread", args = "", returns = "t: Thread",
    text = "The thread that runs.",
    example = "print(current_thread().name) --> MainThread",
  },
  {
    name = "main_thread", args = "", returns = "t: Thread",
    text = "The first thread of this process; it gets Ctrl-C.",
    example = "print(main_thread() == current_thread()) --> true",
  },
  {
    name = "threads", args = "", returns = "list: Thread[]",
    text = "The threads of this state that are alive.",
    example = "print(#threads()) --> 1",
  },
  {
    name = "switch_interval",
    args = "seconds?: number",
    returns = "seconds: number",
    text = [[How long a thread may run while another one wants to (0.005
      unless set); sets it when given.]],
    errors = "Raises for a number that is not above 0.",
    example = "print(switch_interval()) --> 0.005",
  },
  {
    name = "Local", args = "init?: function", returns = "object: table",
    text = [[An object whose fields each thread sees its own of; they go when
      the thread ends. init(object) runs at a thread's first use. pairs lists
      the calling thread's.]],
    example = [[
local mine = Local(function(self) self.n = 0 end)
Thread { target = function() mine.n = 5 end }:start():join()
print(mine.n) --> 0]],
  },
  {
    name = "sleep", args = "seconds: number", returns = "",
    text = "Waits so long; the other threads run meanwhile.",
    errors = [[Raises "interrupted!" when it is interrupted, and for NaN.]],
    example = "sleep(0.01)",
  },
  {
    name = "time", args = "", returns = "seconds: number",
    text = "Seconds since 1970, a float.",
    example = "print(math.type(time())) --> float",
  },
  {
    name = "monotonic", args = "", returns = "seconds: number",
    text = [[Seconds of a clock that is never set; only differences mean
      anything.]],
    example = [[
local start = monotonic()
sleep(0.01)
print(monotonic() - start >= 0.01) --> true]],
  },
}
