/* The C interface, as a program that embeds Lua uses it: the shared library,
** two states at once, and nothing but the public header. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/tap.h"

/* Runs a chunk and compares what it returns. */
static bool gives(lua_State *L, const char *chunk, const char *expected) {
  lua_settop(L, 0);
  bool good = luaL_dostring(L, chunk) == LUA_OK;
  const char *got = luaL_tolstring(L, -1, NULL);
  if (!good || strcmp(got, expected) != 0) {
    printf("# %s: %s\n", chunk, got);
    return false;
  }
  return true;
}

static const char in_child[] = "local q = Queue()\n"
                               "local pid = fork()\n"
                               "if pid == 0 then q:put('sent') os.exit(0) end\n"
                               "local got = q:get()\n"
                               "wait(pid)\n"
                               "return got";

static void handle(int sig) {
  (void)sig;
}

/* A state without some of the standard libraries. */
static bool opens_without_coroutines(void) {
  lua_State *L = luaL_newstate();
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
  luaL_requiref(L, "cluarun", luaopen_cluarun, 0);
  bool good = gives(L, "return require 'cluarun'.cpu_count() > 0", "true");
  lua_close(L);
  return good;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  lua_State *a = luaL_newstate();
  lua_State *b = luaL_newstate();
  cluarun_openlibs(a);
  luaL_openlibs(b);
  luaL_requiref(b, "cluarun", luaopen_cluarun, 0);
  lua_pop(b, 1);

  ok(gives(a, "return type(Queue)", "function"), "openlibs makes globals");
  ok(gives(a, "return require 'cluarun'.Queue == Queue", "true"),
     "and the module is the same");
  ok(gives(b, "return type(Queue)", "nil"), "luaopen makes none");
  ok(gives(b, "return type(require 'cluarun'.Queue)", "function"),
     "but a module");
  ok(gives(b, "return require 'cluarun' == package.loaded.cluarun", "true"),
     "one table");
  ok(luaopen_cluarun(b) == 1 &&
         gives(b, "return require 'cluarun' == package.loaded.cluarun", "true"),
     "the same when it is opened again");
  ok(gives(a, in_child, "sent"), "a child sends");
  ok(gives(a, "local t = {} for i = 1, 1e5 do t[i] = {} end return #t",
           "100000"),
     "tables from an adopted heap");
  lua_close(a);
  ok(gives(b, "local t = {} for i = 1, 1e5 do t[i] = {} end return #t",
           "100000"),
     "closing one state leaves the other");
  cluarun_unlock(b);
  cluarun_lock(b);
  lua_close(b);
  char name[] = "cluarun", option[] = "-e";
  char quiet[] = "x = 1";
  char *quiet_argv[] = {name, option, quiet, NULL};
  ok(cluarun_main(3, quiet_argv) == 0, "the command as a function");
  char bad[] = "error('expected', 0)";
  char *bad_argv[] = {name, option, bad, NULL};
  if (freopen("/dev/null", "w", stderr) == NULL) return 1;
  ok(cluarun_main(3, bad_argv) == 1, "a second time, with an error");
  char unknown[] = "--unknown";
  char *unknown_argv[] = {name, unknown, NULL};
  ok(cluarun_main(2, unknown_argv) == 1, "an unknown option after that");
  struct sigaction action = {.sa_handler = handle}, now;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGQUIT, &action, NULL);
  ok(cluarun_main(3, quiet_argv) == 0, "with handlers of the program");
  sigaction(SIGINT, NULL, &now);
  ok(now.sa_handler == handle, "which are there again: SIGINT");
  sigaction(SIGQUIT, NULL, &now);
  ok(now.sa_handler == handle, "and SIGQUIT");
  ok(opens_without_coroutines(), "a state without a coroutine library");
  return tap_end();
}
