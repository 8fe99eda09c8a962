-- A Process runs a function in a child of its own.

local function run_proc(name)
  print(("Run child process %s (%d)..."):format(name, getpid()))
  --> Run child process test (PID)...
end

print(("Parent process %d."):format(getpid())) --> Parent process PID.
local p = Process { target = run_proc, args = { "test" } }
print "Child process will start." --> Child process will start.
p:start()
p:join()
print "Child process end." --> Child process end.
