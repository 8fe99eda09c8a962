--- The reference of locks and shared values. What an entry is: see help.lua.
return {
  title = "Locks and shared values",
  {
    name = "Lock", args = "", returns = "lock: Lock",
    text = [[One thread of all related processes holds it at a time. If the
      holder's process dies or its thread ends, it is free again.]],
    errors = [[A second acquire by the holder waits, and is reported as a
      deadlock.]],
    example = [[
local lock = Lock()
do
  local _ <close> = lock:guard()
  print(lock:locked()) --> true
end
print(lock) --> <Lock unlocked>]],
  },
  {
    name = "Lock.acquire", args = "block?: boolean, timeout?: number",
    returns = "acquired: boolean, died: any",
    text = [[Takes the lock, waiting for it: was it taken? A second result
      OwnerDied says that its last holder died with it.]],
    example = [[
local lock = Lock()
print(lock:acquire(), lock:acquire(false)) --> true	false]],
  },
  {
    name = "Lock.release", args = "", returns = "",
    text = "Gives it back.",
    errors = [[Raises when it is not held, or by somebody else, whom the
      message names: Semaphore(1) can be released by any thread.]],
    example = [[
local lock = Lock()
print(pcall(lock.release, lock)) --> false	cannot release an unlocked Lock]],
  },
  {
    name = "Lock.locked", args = "", returns = "locked: boolean",
    text = "Does anybody hold it?",
    example = "print(Lock():locked()) --> false",
  },
  {
    name = "Lock.owner", args = "", returns = "pid: integer?, thread: string?",
    text = "Who holds it: process id and the name of the thread; nil: nobody.",
    example = [[
local lock = Lock()
lock:acquire()
print(select(2, lock:owner())) --> MainThread]],
  },
  {
    name = "Lock.guard", args = "", returns = "guard: any, died: any",
    text = [[Takes the lock and gives it back at the end of the block of
      `local _ <close> = lock:guard()`, also after an error. A second result
      as that of acquire.]],
    example = [[
local lock = Lock()
pcall(function()
  local _ <close> = lock:guard()
  error "x"
end)
print(lock:locked()) --> false]],
  },
  {
    name = "RLock", args = "", returns = "lock: RLock", like = "Lock",
    text = [[A Lock that its holder may take again; it is free after as many
      releases.]],
    errors = "As those of Lock.",
    example = [[
local lock = RLock()
print(lock:acquire(), lock:acquire()) --> true	true]],
  },
  {
    name = "Semaphore", args = "n?: integer", returns = "s: Semaphore",
    text = [[A counter that never falls below 0; it begins with n, or 1. What a
      process that is killed had acquired and not released is given back, but
      the counter does not rise above n by that; one that ends by itself keeps
      what it had, as in Python. Where processes release what others have
      acquired, nobody knows who holds what, and nothing is given back.]],
    errors = "Raises for a negative n.",
    example = [[
local s = Semaphore(2)
s:acquire()
print(s.value) --> 1]],
  },
  {
    name = "Semaphore.acquire", args = "block?: boolean, timeout?: number",
    returns = "acquired: boolean",
    text = "Counts down, waiting while it is 0: was it done?",
    example = "print(Semaphore(0):acquire(false)) --> false",
  },
  {
    name = "Semaphore.release", args = "n?: integer", returns = "",
    text = "Counts up by n, or 1. Any thread may do it.",
    errors = "Raises when n is below 1; a BoundedSemaphore's above its start.",
    example = [[
local s = Semaphore(0)
s:release(3)
print(s.value) --> 3]],
  },
  {
    name = "Semaphore.guard", args = "", returns = "guard: any",
    text = [[Counts down now and up at the end of `local _ <close> =
      s:guard()`.]],
    example = [[
local s = Semaphore(1)
do local _ <close> = s:guard() print(s.value) end --> 0
print(s.value) --> 1]],
  },
  {
    name = "Semaphore.value", type = "integer",
    text = "The count now.",
    example = "print(Semaphore(5).value) --> 5",
  },
  {
    name = "BoundedSemaphore",
    args = "n?: integer",
    returns = "s: BoundedSemaphore",
    like = "Semaphore",
    text = "A Semaphore that may not be released above its start.",
    errors = "release raises when it would go above.",
    example = [[
local s = BoundedSemaphore(1)
print((pcall(s.release, s))) --> false]],
  },
  {
    name = "Event", args = "", returns = "e: Event",
    text = "A flag that threads of all processes can wait for. Clear at first.",
    example = [[
local e = Event()
Process { target = e.set, args = { e } }:start()
print(e:wait()) --> true]],
  },
  {
    name = "Event.set", args = "", returns = "",
    text = "Sets the flag: all who wait go on.",
    example = [[
local e = Event()
e:set()
print(e:is_set()) --> true]],
  },
  {
    name = "Event.clear", args = "", returns = "",
    text = "Clears the flag.",
    example = [[
local e = Event()
e:set() e:clear()
print(e:is_set()) --> false]],
  },
  {
    name = "Event.is_set", args = "", returns = "set: boolean",
    text = "Is the flag set?",
    example = "print(Event():is_set()) --> false",
  },
  {
    name = "Event.wait", args = "timeout?: number", returns = "set: boolean",
    text = "Waits until the flag is set: is it?",
    example = "print(Event():wait(0.01)) --> false",
  },
  {
    name = "Condition", args = "lock?: Lock|RLock", returns = "c: Condition",
    text = [[A lock (an RLock of its own if left out) with a place to wait
      until somebody says that something has changed.]],
    example = [[
local c, ready = Condition(), Value(false)
Process { target = function()
  local _ <close> = c:guard()
  ready.value = true
  c:notify()
end }:start()
local _ <close> = c:guard()
print(c:wait_for(function() return ready.value end)) --> true]],
  },
  {
    name = "Condition.acquire", args = "block?: boolean, timeout?: number",
    returns = "acquired: boolean, died: any",
    text = "Takes the lock, as Lock.acquire.",
    example = "print(Condition():acquire()) --> true",
  },
  {
    name = "Condition.release", args = "", returns = "",
    text = "Gives the lock back.",
    errors = "Raises when the caller does not hold it.",
    example = [[
local c = Condition()
c:acquire() c:release()]],
  },
  {
    name = "Condition.guard", args = "", returns = "guard: any, died: any",
    text = "Holds the lock for the block of `local _ <close> = c:guard()`.",
    example = "do local _ <close> = Condition():guard() end",
  },
  {
    name = "Condition.wait",
    args = "timeout?: number",
    returns = "notified: boolean",
    text = [[Gives the lock back, waits for a notify, and takes the lock
      again: was there one?]],
    errors = "Raises when the caller does not hold the lock.",
    example = [[
local c = Condition()
local _ <close> = c:guard()
print(c:wait(0.01)) --> false]],
  },
  {
    name = "Condition.wait_for", args = "predicate: function, timeout?: number",
    returns = "value: any",
    text = "Waits until the predicate is true; returns its last value.",
    errors = "Raises when the caller does not hold the lock.",
    example = [[
local c = Condition()
local _ <close> = c:guard()
print(c:wait_for(function() return 5 end)) --> 5]],
  },
  {
    name = "Condition.notify", args = "n?: integer", returns = "",
    text = "Wakes up to n (1) of those that wait.",
    errors = "Raises when the caller does not hold the lock.",
    example = [[
local c = Condition()
local _ <close> = c:guard()
c:notify()]],
  },
  {
    name = "Condition.notify_all", args = "", returns = "",
    text = "Wakes all that wait.",
    errors = "Raises when the caller does not hold the lock.",
    example = [[
local c = Condition()
local _ <close> = c:guard()
c:notify_all()]],
  },
  {
    name = "Barrier",
    args = "parties: integer, action?: function, timeout?: number",
    returns = "b: Barrier",
    text = [[Lets nobody through before so many have come; the last one runs
      the action. The timeout is that of wait when it has none. It breaks when
      one that waits in it dies.]],
    errors = "Raises for parties below 1.",
    example = [[
local b = Barrier(2)
Process { target = b.wait, args = { b } }:start()
print(b:wait() <= 2) --> true]],
  },
  {
    name = "Barrier.wait",
    args = "timeout?: number",
    returns = "index: integer",
    text = "Waits for the others; returns 1..parties, another one to each.",
    errors = [[Raises BrokenBarrierError when it is broken, or breaks, which a
      time-out does, too.]],
    example = "print(Barrier(1):wait()) --> 1",
  },
  {
    name = "Barrier.reset", args = "", returns = "",
    text = "Makes it as new; whoever waits gets BrokenBarrierError.",
    example = [[
local b = Barrier(2)
b:abort() b:reset()
print(b.broken) --> false]],
  },
  {
    name = "Barrier.abort", args = "", returns = "",
    text = "Breaks it: whoever waits, or comes, gets BrokenBarrierError.",
    example = [[
local b = Barrier(2)
b:abort()
print(select(2, pcall(b.wait, b)) == BrokenBarrierError) --> true]],
  },
  {
    name = "Barrier.parties", type = "integer",
    text = "How many it takes.",
    example = "print(Barrier(3).parties) --> 3",
  },
  {
    name = "Barrier.n_waiting", type = "integer",
    text = "How many wait in it now.",
    example = "print(Barrier(3).n_waiting) --> 0",
  },
  {
    name = "Barrier.broken", type = "boolean",
    text = "Is it broken?",
    example = "print(Barrier(3).broken) --> false",
  },
  {
    name = "Value",
    args = "initial: number|boolean|string",
    returns = "v: Value",
    text = "One value that all related processes see.",
    errors = "Raises for other types.",
    example = [[
local v = Value(1)
Process { target = v.add, args = { v, 2 } }:start():join()
print(v.value) --> 3]],
  },
  {
    name = "Value.value", type = "number|boolean|string",
    text = "The value, to read and to write.",
    errors = "Raises when it is set to anything else than these types.",
    example = [[
local v = Value(1)
v.value = "text"
print(v.value) --> text]],
  },
  {
    name = "Value.add", args = "n: number", returns = "new: number",
    text = [[Adds n in one step that nobody comes between; returns the new
      value.]],
    errors = "Raises when the value is not a number.",
    example = "print(Value(1):add(2)) --> 3",
  },
  {
    name = "Value.lock", args = "", returns = "lock: Lock",
    text = "The Lock that belongs to it, for steps of more than one access.",
    example = [[
local v = Value(2)
do
  local _ <close> = v:lock():guard()
  v.value = v.value * v.value
end
print(v.value) --> 4]],
  },
  {
    name = "Array", args = "n_or_list: integer|number[]", returns = "a: Array",
    text = [[Numbers that all related processes see: n zeros, or a copy of the
      list. a[i], #a and ipairs; outside of 1..n reading gives nil.]],
    errors = "Raises for what is no number, and for writing outside of 1..n.",
    example = [[
local a = Array { 1, 2 }
Process { target = function() a[1] = 5 end }:start():join()
print(a[1], #a, a[3]) --> 5	2	nil]],
  },
}
