-- The module for LuaRocks, made in a checkout:
--   luarocks make src/cluarun-0.1.0-1.rockspec
rockspec_format = "3.0"
package = "cluarun"
version = "0.1.0-1"
source = { url = "git+file://." }
description = {
  summary = "Processes, threads, locks and queues for Lua 5.4",
  detailed = [[
fork, Process, Queue, Pipe, Thread, Lock, Value and their kin as primitives,
usable by every related process and every thread. Linux on x86-64.]],
  license = "MIT",
  labels = { "concurrency", "fork", "multiprocessing", "threads" },
}
supported_platforms = { "linux" }
dependencies = { "lua ~> 5.4" }
build = {
  type = "make",
  build_target = "build/cluarun.so",
  build_variables = { LUA_CFLAGS = "-I$(LUA_INCDIR)" },
  install_pass = false,
  install = { lib = { cluarun = "build/cluarun.so" } },
}
