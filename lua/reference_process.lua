--- The reference of processes. What an entry is: see help.lua.
return {
  title = "Processes",
  {
    name = "fork", args = "", returns = "pid: integer",
    text = [[Makes a copy of this process: 0 in the child, the child's pid in
      the parent. All C streams are flushed first; in the child only the
      calling thread exists, and it is the main thread now. At the prompt the
      child ends with the line it was forked in.]],
    errors = [[Raises when the system refuses ("cannot fork: ...").]],
    example = [[
if fork() == 0 then
  print "in the child" --> in the child
  os.exit(3)
end
print(select(2, wait())) --> exit	3]],
  },
  {
    name = "wait", args = "pid?: integer, timeout?: number",
    returns = "pid: integer?, how: string?, code: integer?",
    text = [[Waits for one child made by `fork` (any, without pid) and returns
      its pid, "exit" and its status or "signal" and the signal's number; nil
      when the time is over. It never takes the status of a Process or of a
      Pool's worker.]],
    errors = "Raises if there is no such child.",
    example = [[
local pid = fork()
if pid == 0 then sleep(60) end
print(wait(pid, 0)) --> nil
kill(pid)
print(select(2, wait(pid))) --> signal	15]],
  },
  {
    name = "kill", args = "pid: integer, signal?: string|integer", returns = "",
    text = [[Sends a signal: a name ("TERM", "SIGKILL") or a number; TERM if
      left out. 0 only asks whether the process is there.]],
    errors = [[Raises when there is no such process, or the signal is
      unknown.]],
    example = [[
kill(getpid(), 0)
print((pcall(kill, getpid(), "NOSUCH"))) --> false]],
  },
  {
    name = "getpid", args = "", returns = "pid: integer",
    text = "The process id of this process.",
    example = "assert(getpid() > 0)",
  },
  {
    name = "getppid", args = "", returns = "pid: integer",
    text = "The process id of the process that made this one.",
    example = [[
local me = getpid()
if fork() == 0 then assert(getppid() == me) os.exit() end
wait()]],
  },
  {
    name = "cpu_count", args = "", returns = "n: integer",
    text = [[How many CPUs this process may use: affinity and cgroup quota,
      rounded up, at least 1.]],
    example = "assert(cpu_count() >= 1)",
  },
  {
    name = "Process",
    args = [[options: {target: function, args?: table, name?: string, daemon?:
      boolean}]],
    returns = "p: Process",
    text = [[A function that runs in a process of its own, which inherits
      everything by fork, closures too. `args` may be a table.pack result: its
      nils survive. A daemon is terminated at the end of the main script, and
      ends when its parent is killed; others are joined.]],
    errors = [[Raises for unknown fields. An error in target prints "Process
      NAME (pid N):" and the traceback on stderr; the exit code is then 1.]],
    example = [[
local p = Process { target = math.max, args = { 3, 7 } }:start()
print(p:result(), p.exitcode, p.name) --> 7	0	Process-1]],
  },
  {
    name = "Process.start", args = "", returns = "p: Process",
    text = "Forks the child, which begins to run target. Returns p.",
    errors = "Raises when it was started before, or the system refuses.",
    example = "Process { target = print, args = { 'x' } }:start():join() --> x",
  },
  {
    name = "Process.join",
    args = "timeout?: number",
    returns = "ended: boolean",
    text = [[Waits until the process has ended: true if it has. Also done by
      `local p <close> = ...`.]],
    errors = "Raises before start, and in another process than the parent.",
    example = [[
local p = Process { target = sleep, args = { 60 }, daemon = true }:start()
print(p:join(0)) --> false]],
  },
  {
    name = "Process.result",
    args = "timeout?: number",
    returns = "values...: any",
    text = "Waits for the end and returns what target returned.",
    errors = [[Raises target's error (its traceback in the text of a string
      error), WorkerLost if it was killed or left by os.exit, TimeoutError
      when the time is over.]],
    example = [[
local p = Process { target = os.exit, args = { 3 } }:start()
local ok, err = pcall(p.result, p)
print(ok, err == WorkerLost) --> false	true]],
  },
  {
    name = "Process.is_alive", args = "", returns = "alive: boolean",
    text = "Does the process still run?",
    errors = "Raises before start.",
    example = [[
local p = Process { target = print }:start()
p:join() -->
print(p:is_alive()) --> false]],
  },
  {
    name = "Process.interrupt", args = "", returns = "",
    text = [[Sends the signal INT: what Ctrl-C does. A child that does not
      catch the error "interrupted!" ends silently, with exit code -2. Does
      nothing once it has ended.]],
    errors = "Raises before start.",
    example = [[
local p = Process { target = sleep, args = { 60 } }:start()
p:interrupt() p:join()
print(p.exitcode) --> -2]],
  },
  {
    name = "Process.terminate", args = "", returns = "",
    text = "Sends the signal TERM. Does nothing once it has ended.",
    errors = "Raises before start.",
    example = [[
local p = Process { target = sleep, args = { 60 } }:start()
p:terminate() p:join()
print(p.exitcode) --> -15]],
  },
  {
    name = "Process.kill", args = "", returns = "",
    text = [[Sends the signal KILL, which cannot be caught. What the process
      held is free again. Does nothing once it has ended.]],
    errors = "Raises before start.",
    example = [[
local p = Process { target = sleep, args = { 60 } }:start()
p:kill() p:join()
print(p.exitcode) --> -9]],
  },
  {
    name = "Process.close", args = "", returns = "",
    text = "Frees what the object holds. It cannot be used afterwards.",
    errors = "Raises while the process runs.",
    example = [[
local p = Process { target = function() end }:start()
p:join() p:close()]],
  },
  {
    name = "Process.pid", type = "integer?",
    text = "The process id; nil before start.",
    example = "print(Process { target = print }.pid) --> nil",
  },
  {
    name = "Process.exitcode", type = "integer?",
    text = [[nil while it is alive; n after os.exit(n), 0 at a good end, 1
      after an error, -s when signal s killed it.]],
    example = [[
local p = Process { target = os.exit, args = { 3 } }:start()
p:join()
print(p.exitcode) --> 3]],
  },
  {
    name = "Process.name", type = "string",
    text = [[A name for reports; can be set. By default Process-1, Process-2;
      in a child of Process-1, Process-1:1.]],
    example = "print(Process { target = print }.name) --> Process-1",
  },
  {
    name = "Process.daemon", type = "boolean",
    text = [[Is it terminated at the end of the main script instead of joined?
      Can be set before start.]],
    errors = "Raises when it is set after start.",
    example = "print(Process { target = print }.daemon) --> false",
  },
  {
    name = "current_process", args = "", returns = "p: Process",
    text = "The Process that this process is.",
    example = "print(current_process().name) --> MainProcess",
  },
  {
    name = "parent_process", args = "", returns = "p: Process?",
    text = "The Process that made this one; nil in the first.",
    example = "print(parent_process()) --> nil",
  },
  {
    name = "active_children", args = "", returns = "list: Process[]",
    text = "The Processes that this one has started and that are still alive.",
    example = [[
local p = Process { target = sleep, args = { 60 }, daemon = true }:start()
print(active_children()[1] == p) --> true]],
  },
}
