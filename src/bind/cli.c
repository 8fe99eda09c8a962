/* The command: a state, and lua/main.lua that says what to run in it.
**
** main.lua is a coroutine. What it hands to `run` is called here, at the bottom
** of the main stack, so that tracebacks look as those of lua do and a child
** that was forked in it ends here like its parent.
*/
#include <cluarun.h>
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "describe.h"
#include "gil.h"
#include "state.h"
#include "thread.h"
#include "watch.h"

static const char default_name[] = "cluarun";

static lua_CFunction console;

void cluarun_set_console(lua_CFunction open) {
  console = open;
}

/* Values on the main stack below what runs: as many as in lua. */
enum { BELOW = 2 };

/* "NAME: text" (or only the text) and a new line, in one write. */
static void report(lua_State *L, const char *name, const char *text) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  if (name != NULL) {
    luaL_addstring(&b, name);
    luaL_addstring(&b, ": ");
  }
  luaL_addstring(&b, text != NULL ? text : "(null)");
  luaL_addchar(&b, '\n');
  luaL_pushresult(&b);
  size_t n;
  const char *line = lua_tolstring(L, -1, &n);
  fflush(stdout);
  fflush(stderr);
  cr_write_all(STDERR_FILENO, line, n);
  lua_pop(L, 1);
}

/* host.report(text [, name]) */
static int host_report(lua_State *L) {
  report(L, lua_tostring(L, 2), luaL_optstring(L, 1, NULL));
  return 0;
}

/* host.open(ignore_environment) */
static int host_open(lua_State *L) {
  if (lua_toboolean(L, 1)) {
    lua_pushboolean(L, true);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  cluarun_openlibs(L);
  lua_gc(L, LUA_GCRESTART);
  lua_gc(L, LUA_GCGEN, 0, 0);
  return 0;
}

/* host.load(name): the function of an embedded chunk. */
static int host_load(lua_State *L) {
  cr_load_embedded(L, luaL_checkstring(L, 1));
  return 1;
}

/* host.deadlock(mode): is there such a mode? Then it is set. */
static int host_deadlock(lua_State *L) {
  int mode = cr_deadlock_mode(luaL_checkstring(L, 1));
  if (mode >= 0) cr_deadlock_set((enum cr_deadlock_mode)mode);
  lua_pushboolean(L, mode >= 0);
  return 1;
}

/* host.isatty(): is standard input a terminal? */
static int host_isatty(lua_State *L) {
  lua_pushboolean(L, isatty(STDIN_FILENO));
  return 1;
}

/* host.run(f, ...) -> true, results... | false, message */
static int host_run(lua_State *L) {
  return lua_yield(L, lua_gettop(L));
}

static void push_host(lua_State *L, int argc, char **argv) {
  static const luaL_Reg functions[] = {
      {"deadlock", host_deadlock},
      {"isatty", host_isatty},
      {"load", host_load},
      {"open", host_open},
      {"report", host_report},
      {"run", host_run},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  lua_pushliteral(L, CLUARUN_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushliteral(L, LUA_COPYRIGHT);
  lua_setfield(L, -2, "copyright");
  if (console != NULL)
    lua_pushcfunction(L, console);
  else
    lua_pushnil(L);
  lua_setfield(L, -2, "console");
  lua_createtable(L, argc, 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setfield(L, -2, "argv");
}

static bool interrupted; /* did the last call end by Ctrl-C? */
static pid_t self; /* the process that was called; one forked by it ends */

/* Calls the function under the n arguments; an error gets a traceback. */
static int call(lua_State *L, int n) {
  int base = lua_gettop(L) - n;
  lua_pushcfunction(L, cr_message_handler);
  lua_insert(L, base);
  lua_State *before = cr_switch(L);
  int status = lua_pcall(L, n, LUA_MULTRET, base);
  cr_switch(before);
  lua_remove(L, base);
  interrupted = status != LUA_OK && cr_is_interrupt(L, -1);
  if (interrupted && getpid() != self) cr_leave_interrupted();
  return status;
}

/* Runs main.lua, and between its steps what it asks for. Returns whether all
** went well. */
static int run_main(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  luaL_checkversion(L);
  lua_settop(L, BELOW - 1);
  lua_State *co = lua_newthread(L);
  cr_thread_of(L)->shielded = co;
  cr_load_embedded(co, "main");
  push_host(co, argc, argv);
  luaopen_string(co);
  int n = 2, results;
  while (lua_resume(co, L, n, &results) == LUA_YIELD) {
    lua_xmove(co, L, results);
    bool ok = call(L, results - 1) == LUA_OK;
    lua_pushboolean(L, ok);
    lua_insert(L, BELOW + 1);
    n = lua_gettop(L) - BELOW;
    if (!lua_checkstack(co, n)) return luaL_error(L, "too many results");
    lua_xmove(L, co, n);
  }
  cr_thread_of(L)->shielded = NULL;
  lua_xmove(co, L, 1);
  return lua_status(co) == LUA_OK ? 1 : lua_error(L);
}

/* Ctrl-C that the script did not catch is for all its threads. */
static int end_script(lua_State *L) {
  if (interrupted) cr_threads_interrupt(L);
  if (cr_script_end != NULL) cr_script_end(L);
  return 0;
}

/* The whole life of the state's script. Returns the exit status. */
static int run_command(lua_State *L, int argc, char **argv) {
  const char *name = argc > 0 && argv[0][0] != '\0' ? argv[0] : default_name;
  lua_pushcfunction(L, run_main);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int status = lua_pcall(L, 2, 1, 0);
  bool ok = status == LUA_OK && lua_toboolean(L, -1);
  if (status != LUA_OK) report(L, name, lua_tostring(L, -1));
  lua_settop(L, 0);
  lua_pushcfunction(L, end_script);
  if (call(L, 0) != LUA_OK) {
    /* One Ctrl-C, one traceback, also when it came along with an error. */
    if (ok || !interrupted) report(L, name, lua_tostring(L, -1));
    ok = false;
  }
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  fprintf(stderr, "PANIC: unprotected error in call to Lua API (%s)\n",
          text != NULL ? text : "error object is not a string");
  return 0;
}

static int cannot(const char *name, const char *what, const char *why) {
  fprintf(stderr, "%s: cannot %s: %s\n", name, what, why);
  return EXIT_FAILURE;
}

int cluarun_main(int argc, char **argv) {
  const char *name = argc > 0 ? argv[0] : default_name;
  int status;
  if (cr_watch_wanted(argv) && !cr_watch(argc, argv, &status)) return status;
  self = getpid(); /* the watcher's is another */
  int err = cr_arena_open();
  if (err != 0) return cannot(name, "map shared memory", strerror(err));
  cr_deadlock_open(CR_DEADLOCK_REPORT);
  struct cr_heap *heap = cr_heap_new();
  lua_State *L = heap != NULL ? lua_newstate(cr_heap_alloc, heap) : NULL;
  if (L == NULL) return cannot(name, "create state", "not enough memory");
  lua_gc(L, LUA_GCSTOP); /* until the libraries are there */
  lua_atpanic(L, panic);
  cr_warn_open(L);
  if (cr_gil_open(L) == NULL)
    return cannot(name, "create state", "not enough memory");
  cr_interrupt_install(L);
  status = run_command(L, argc, argv);
  if (getpid() != self) cr_leave(status);
  cr_interrupt_remove();
  cr_gil_close(cr_gil_find(L));
  lua_close(L);
  cr_heap_free(heap);
  return status;
}
