-- fork() makes a copy of this process; both go on after it.

print(("Process (%d) start..."):format(getpid()))
--> Process (PID) start...

local pid = fork()
if pid == 0 then
  print(("I am child process (%d) and my parent is %d.")
    :format(getpid(), getppid()))
  --> I am child process (PID) and my parent is PID.
else
  print(("I (%d) just created a child process (%d)."):format(getpid(), pid))
  --> I (PID) just created a child process (PID).
  wait(pid)
end
