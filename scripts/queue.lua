-- One process puts values into a queue, another one gets them.

local function write(q)
  print(("Process to write: %d"):format(getpid())) --> Process to write: PID
  for _, value in ipairs { "A", "B", "C" } do
    print(("Put %s to queue..."):format(value))
    --> Put A to queue...
    --> Put B to queue...
    --> Put C to queue...
    q:put(value)
    sleep(math.random() / 10)
  end
end

local function read(q)
  print(("Process to read: %d"):format(getpid())) --> Process to read: PID
  while true do
    print(("Get %s from queue."):format(q:get()))
    --> Get A from queue.
    --> Get B from queue.
    --> Get C from queue.
    q:task_done()
  end
end

local q = Queue()
local writer = Process { target = write, args = { q } }:start()
local reader = Process { target = read, args = { q } }:start()
writer:join()
q:join() -- until all that was put is done
reader:terminate() -- it would wait for ever
