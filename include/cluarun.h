/* cluarun: processes, threads, locks and queues for Lua 5.4.
**
** A program that embeds Lua gets them with one call:
**
**   lua_State *L = luaL_newstate();
**   cluarun_openlibs(L);          // instead of luaL_openlibs(L)
**   luaL_dostring(L, "local q = Queue()  q:put('hello')  print(q:get())");
**   lua_close(L);
**
** or as a module: luaL_requiref(L, "cluarun", luaopen_cluarun, 0). Build with
** `pkg-config --cflags --libs cluarun`.
**
** Threads. States are independent of each other: each has an interpreter lock
** of its own, and states in several OS threads run in parallel. The OS thread
** that opens a state holds its lock from then on. Another one that wants to use
** the state takes the lock first, and the first one has to give it back:
**
**   cluarun_unlock(L);            // the thread that opened L, when it is done
**
**   cluarun_lock(L);              // any OS thread of the program
**   lua_State *co = lua_newthread(L);   // to run something: on its own stack
**   ...
**   lua_pop(L, 1);
**   cluarun_unlock(L);
**
** The lock is given to others while Lua code waits (in q:get(), sleep() ...)
** and, when they ask for it, between two of its instructions. So a thread that
** calls Lua code uses a coroutine of its own: values that it leaves on the stack
** of L while it calls would get mixed up with those of the others.
**
** Processes. The child of a fork, whoever calls it, has only the thread that
** forked; of the states it may go on with those that this thread holds. One that
** a script has forked runs no exit handlers (atexit) of the program; one that the
** program forks by itself, as a daemon does, is the program going on. The
** robust mutexes of the C library (PTHREAD_MUTEX_ROBUST) do not work in threads
** that have entered a state.
**
** Signals. SIGURG and SIGCHLD are handled from the first state and the first
** child on. SIGURG stops a thread that has computed for long: it is unblocked in
** an OS thread that opens a state, or enters one for the first time, and must stay
** so; SIGCHLD in one that forks. A handler for SIGCHLD that was there before a
** fork goes on being called; one that is installed while children live should
** call what was there before, or a Pool does not learn that a worker has died.
** Where SIGCHLD was ignored, the program's own children are to be waited for from
** then on. Only pids that were forked here are waited for; a program that waits
** for any child (waitpid(-1)) takes their exit status away.
*/
#ifndef CLUARUN_H
#define CLUARUN_H

#include <lua.h>

#define CLUARUN_VERSION_MAJOR 0
#define CLUARUN_VERSION_MINOR 1
#define CLUARUN_VERSION_PATCH 0
#define CLUARUN_VERSION "0.1.0"

#define CLUARUN_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* Pushes the table of primitives (Lock, Queue, Process ...).
**
** L: any state of Lua 5.4; it needs LUA_MINSTACK free slots. Only Pool and
** ThreadPool ask for more: strings with methods (luaopen_string). A lua_CFunction,
** for `require` and luaL_requiref: it returns 1, the number of results, and the
** same table each time it is called for a state. The functions of the state's
** coroutine and debug libraries, if it has them, are replaced by ones that know
** of threads and otherwise do the same.
** Errors: raises a Lua error, a string, when memory (the process's, or the
** shared one that the first call of a program maps) is short; the state is then
** as before and it can be called again.
** Threads: the OS thread that calls it first for a state becomes its main
** thread and holds its lock. May be called for several states at once. */
CLUARUN_API int luaopen_cluarun(lua_State *L);

/* Opens the standard libraries (luaL_openlibs) and makes the primitives global.
**
** L: a new state. `print`, `require`, `os.exit` and `coroutine` are ones that
** know of processes, threads and interrupts and otherwise do the same.
** Errors, threads: as luaopen_cluarun; but after an error some of it may be
** there, and it is the same OS thread that can call it again. */
CLUARUN_API void cluarun_openlibs(lua_State *L);

/* Gives the interpreter lock of L's state back: until cluarun_lock the calling
** thread must not use L, nor any other coroutine of the state; other threads of
** the state run meanwhile. For a C function around a call that blocks, and for
** OS threads of the program that use a state in turns.
**
** L: any coroutine of the state. In a finalizer (__gc) the lock is kept. Does
** nothing when the thread does not hold the lock, or the state has no
** primitives. Errors: none.
** Threads: the one that holds the lock. */
CLUARUN_API void cluarun_unlock(lua_State *L);

/* Takes it again, or, in an OS thread that is new to the state, for the first
** time: that becomes a thread of the state (current_thread() is a Thread named
** Dummy-1, Dummy-2 ...) until it ends. Waits as long as others hold the lock; it
** is asked for after 0.1 ms.
**
** L: any coroutine of the state; the one that the thread will run, if it was made
** before and C code runs it (lua_pcall, lua_resume): others then get their turns
** while it computes. A thread that holds the lock already can say so by calling
** this again; it does nothing else then.
** Errors: none; a program without the memory for one thread more is aborted, with
** a message on stderr. A state must not be closed while another thread waits
** here, or is still to come.
** Threads: any. */
CLUARUN_API void cluarun_lock(lua_State *L);

/* The whole command `cluarun`: makes a state, does what the arguments say, and
** closes it.
**
** argc, argv: as main has them; argv[argc] is NULL. Returns the exit status: 0,
** or 1 after an error, which has been reported on stderr. In a child that the
** script has forked it does not return; in no process does it when the script
** calls os.exit, which ends the program. Sets handlers for SIGINT and SIGQUIT
** while it runs.
** Errors: none are raised.
** Threads: any, one at a time. */
CLUARUN_API int cluarun_main(int argc, char **argv);

/* Gives cluarun_main a terminal with a line editor, before it is called: the
** library itself has none and prompts with plain lines. `open` is called once,
** when the command is going to be interactive; it returns the table of functions
** that the head of lua/repl.lua describes, or nothing. */
CLUARUN_API void cluarun_set_console(lua_CFunction open);

#ifdef __cplusplus
}
#endif

#endif
