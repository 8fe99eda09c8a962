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

/* Pushes the table of primitives (Lock, Queue, Process ...) and returns 1: a
** lua_CFunction for `require` and luaL_requiref. The same table each time it
** is called for a state. The first call in a program maps the memory that its
** processes will share; it raises a Lua error when that fails. */
CLUARUN_API int luaopen_cluarun(lua_State *L);

/* Opens the standard libraries and makes the primitives global. `print`,
** `os.exit` and `coroutine` are replaced by ones that know of processes and
** interrupts and otherwise do the same. May raise a Lua error. */
CLUARUN_API void cluarun_openlibs(lua_State *L);

/* Around a C call that may block: between the two the other threads of the
** state run and L must not be used. Called by the thread that runs L. */
CLUARUN_API void cluarun_unlock(lua_State *L);
CLUARUN_API void cluarun_lock(lua_State *L);

/* The whole command `cluarun`: makes a state, does what the arguments say and
** returns the exit status. argv[argc] is NULL, as in main. */
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
