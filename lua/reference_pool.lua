--- The reference of Pool. What an entry is: see help.lua.
return {
  title = "Pools of processes",
  {
    name = "Pool",
    args = [[options?: integer|{processes?: integer, initializer?: function,
      initargs?: table, maxtasksperchild?: integer}]],
    signature = [[Pool([n]) or Pool{processes=n, initializer=f, initargs={},
      maxtasksperchild=n}]],
    returns = "pool: Pool",
    text = [[Worker processes that run functions; cpu_count() of them unless
      said. They are forked at once and see the globals of this moment. A
      worker that dies is replaced, and only the task that it held fails.
      `local p <close> = Pool(4)` closes and joins at the end of the block,
      and terminates after an error.]],
    errors = [[Raises when a worker cannot be made. An initializer that fails,
      exits or dies stops the pool: the first call that needs it raises that
      error.]],
    example = [[
local pool <close> = Pool(2)
local squares = pool:map(function(n) return n * n end, { 1, 2, 3 })
print(table.concat(squares, " ")) --> 1 4 9]],
  },
  {
    name = "Pool.apply",
    args = [[f: function, args?: table, options?: {timeout?: number,
      progress?: boolean}]],
    returns = "values...: any",
    text = [[Runs f with the arguments in a worker, waits, and returns its
      results.]],
    errors = [[Raises f's error with the worker's traceback in its text,
      WorkerLost when the worker died, TimeoutError when it took longer than
      `timeout`.]],
    example = [[
local pool <close> = Pool(1)
print(pool:apply(math.max, { 3, 7 })) --> 7]],
  },
  {
    name = "Pool.apply_async",
    args = [[f: function, args?: table, callback?: function, error_callback?:
      function, options?: {timeout?: number, progress?: boolean}]],
    returns = "r: AsyncResult",
    text = [[Runs f in a worker and does not wait. The callbacks run in the
      calling process, in a thread of their own, in order of completion.]],
    errors = "Raises after close(), and when an argument cannot be sent.",
    example = [[
local pool <close> = Pool(1)
print(pool:apply_async(math.max, { 3, 7 }):get()) --> 7]],
  },
  {
    name = "Pool.map",
    args = [[f: function, list: any[], chunksize?: integer|{chunksize?:
      integer, timeout?: number, progress?: boolean}]],
    returns = "results: any[]",
    text = [[f of every item, in the order of the list. Items travel in
      chunks, four a worker unless said, but of 2,048 items at most. `timeout`
      stops an item that runs longer, with its worker; `progress` shows a bar on
      stderr.]],
    errors = "An item's error is raised after the others are done.",
    example = [[
local pool <close> = Pool(2)
print(#pool:map(tostring, { 1, 2, 3 }, 1)) --> 3]],
  },
  {
    name = "Pool.map_async",
    args = [[f: function, list: any[], chunksize?: integer|table, callback?:
      function, error_callback?: function]],
    returns = "r: AsyncResult",
    text = [[As map, but does not wait: the list of results is that of the
      AsyncResult.]],
    errors = "Raises after close().",
    example = [[
local pool <close> = Pool(2)
local r = pool:map_async(tostring, { 1, 2 })
print(#r:get()) --> 2]],
  },
  {
    name = "Pool.starmap",
    args = [[f: function, list: any[][], chunksize?: integer|table]],
    returns = "results: any[]",
    text = "As map, but each item is the list of f's arguments.",
    errors = "An item's error is raised after the others are done.",
    example = [[
local pool <close> = Pool(2)
print(pool:starmap(math.max, { { 1, 5 }, { 2, 3 } })[1]) --> 5]],
  },
  {
    name = "Pool.starmap_async",
    args = [[f: function, list: any[][], chunksize?: integer|table, callback?:
      function, error_callback?: function]],
    returns = "r: AsyncResult",
    text = "As starmap, but does not wait.",
    errors = "Raises after close().",
    example = [[
local pool <close> = Pool(2)
print(pool:starmap_async(math.max, { { 1, 5 } }):get()[1]) --> 5]],
  },
  {
    name = "Pool.imap",
    args = [[f: function, iterable: any[]|function, chunksize?:
      integer|{chunksize?: integer, timeout?: number, progress?: boolean}]],
    returns = "iterator: function",
    text = [[For generic `for`: index and result, in order, as they come,
      reading ahead only so far. The iterable is a list or an iterator
      function. What was begun before close() may be read to its end, after
      join(), too: of a function, which may have no end, join() leaves what is
      not read yet, and the workers stay until it is read or dropped.]],
    errors = "An item's error is raised at its place; the iteration can go on.",
    example = [[
local pool <close> = Pool(2)
for i, s in pool:imap(tostring, { "a", "b" }) do print(i, s) end
--> 1	a
--> 2	b]],
  },
  {
    name = "Pool.imap_unordered",
    args = [[f: function, iterable: any[]|function, chunksize?:
      integer|{chunksize?: integer, timeout?: number, progress?: boolean}]],
    returns = "iterator: function",
    text = "As imap, but each result comes as soon as it is there.",
    errors = "An item's error is raised at its place; the iteration can go on.",
    example = [[
local pool <close> = Pool(2)
local sum = 0
for _, n in pool:imap_unordered(math.abs, { -1, -2 }) do sum = sum + n end
print(sum) --> 3]],
  },
  {
    name = "Pool.close", args = "", returns = "",
    text = [[No more tasks are taken. Those that were given are done, if
      somebody waits for that: at the end of the script the workers end.]],
    example = [[
local pool = Pool(1)
pool:close() pool:join()]],
  },
  {
    name = "Pool.join", args = "", returns = "",
    text = "Waits for the workers' end, and for callbacks.",
    errors = "Raises before close() or terminate().",
    example = [[
local pool = Pool(1)
pool:close() pool:join()]],
  },
  {
    name = "Pool.terminate", args = "", returns = "",
    text = [[Stops the workers at once. Whoever waits for a result gets
      WorkerLost. Never hangs.]],
    example = [[
local pool = Pool(1)
pool:terminate() pool:join()]],
  },
  {
    name = "ThreadPool",
    args = [[options?: integer|{processes?: integer, initializer?: function,
      initargs?: table}]],
    signature = "ThreadPool([n]) or ThreadPool{processes=n, initializer=f}",
    returns = "pool: ThreadPool", like = "Pool",
    text = [[A Pool on threads of this state instead of processes: for tasks
      that wait. Nothing is copied, and one thread runs at a time.]],
    errors = "As those of Pool.",
    example = [[
local pool <close> = ThreadPool(2)
print(pool:map(string.upper, { "a", "b" })[2]) --> B]],
  },
  {
    name = "AsyncResult",
    text = "What a task of a Pool will have given, once it is done.",
    example = [[
local pool <close> = Pool(1)
local r = pool:apply_async(tostring, { 1 })
r:wait()
print(r:ready(), r:successful(), r:get()) --> true	true	1]],
  },
  {
    name = "AsyncResult.get",
    args = "timeout?: number",
    returns = "values...: any",
    text = "Waits, and returns the task's results.",
    errors = "Raises the task's error, or TimeoutError when the time is over.",
    example = [[
local pool <close> = Pool(1)
print(pool:apply_async(tostring, { 1 }):get()) --> 1]],
  },
  {
    name = "AsyncResult.wait",
    args = "timeout?: number",
    returns = "ready: boolean",
    text = "Waits until the task is done: is it?",
    example = [[
local pool <close> = Pool(1)
print(pool:apply_async(sleep, { 0 }):wait()) --> true]],
  },
  {
    name = "AsyncResult.ready", args = "", returns = "ready: boolean",
    text = "Is the task done?",
    example = [[
local pool <close> = Pool(1)
local r = pool:apply_async(sleep, { 0 })
r:wait()
print(r:ready()) --> true]],
  },
  {
    name = "AsyncResult.successful", args = "", returns = "good: boolean",
    text = "Did the task end without an error?",
    errors = "Raises while it is not ready.",
    example = [[
local pool <close> = Pool(1)
local r = pool:apply_async(error, { "x" })
r:wait()
print(r:successful()) --> false]],
  },
}
