std = "lua54"
max_line_length = 80
read_globals = {
  "Array", "Barrier", "Local", "Thread", "Timer", "BoundedSemaphore", "Condition", "Event", "LifoQueue",
  "Lock", "Pipe", "PriorityQueue", "Process", "Queue", "RLock", "Semaphore",
  "Value", "active_children", "cpu_count", "current_process", "fork",
  "getpid", "getppid", "kill", "monotonic", "parent_process", "sleep", "time",
  "current_thread", "main_thread", "switch_interval", "threads", "wait",
  "wait_any", "Full", "Empty", "ShutDown", "TimeoutError", "EOFError",
  "BrokenBarrierError", "WorkerLost", "OwnerDied",
}
