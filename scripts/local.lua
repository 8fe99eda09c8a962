-- A Local has fields of its own in each thread: no need to pass them on.

local local_school = Local()

local function process_student()
  local std = local_school.student -- that of this thread
  print(("Hello, %s (in %s)"):format(std, current_thread().name))
end

local function process_thread(name)
  local_school.student = name
  process_student()
  --> Hello, Alice (in Thread-A)
  --> Hello, Bob (in Thread-B)
end

local t1 = Thread { target = process_thread, args = { "Alice" },
  name = "Thread-A" }
local t2 = Thread { target = process_thread, args = { "Bob" },
  name = "Thread-B" }
t1:start()
t2:start()
t1:join()
t2:join()
print(local_school.student) --> nil
