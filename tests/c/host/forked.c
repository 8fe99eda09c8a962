/* A host program that forks by itself, as one that becomes a daemon does: the
** child is the program, going on. A child that a script forks is not. Uses the
** public header only. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/tap.h"

static int out; /* what the children tell */
static lua_State *L;

static void tell(const char *word) {
  if (write(out, word, strlen(word)) < 0) abort();
}

static void at_exit(void) {
  if (out != 0) tell("handler ");
}

static int lua_tell(lua_State *M) {
  tell(luaL_checkstring(M, 1));
  return 0;
}

static void run(const char *chunk) {
  if (luaL_dostring(L, chunk) == LUA_OK) return;
  printf("# %s\n", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
}

/* Forks; is that what the child, and whom it forks, tell? It ends with 3. */
static bool tells(void (*child)(void), const char *expected) {
  int ends[2], status;
  if (pipe(ends) != 0) abort();
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    out = ends[1];
    child();
    _exit(1);
  }
  close(ends[1]);
  char text[256] = "";
  size_t n = 0;
  for (ssize_t got = 1; got > 0 && n < sizeof text - 1; n += (size_t)got)
    got = read(ends[0], text + n, sizeof text - 1 - n);
  close(ends[0]);
  waitpid(pid, &status, 0);
  bool good = strcmp(text, expected) == 0 && WIFEXITED(status) &&
              WEXITSTATUS(status) == 3;
  if (!good) printf("# status %x: %s\n", (unsigned)status, text);
  return good;
}

/* ---- ways to end ---- */

static void return_from_main(void) {
  exit(3);
}

static void exit_in_lua(void) {
  run("os.exit(3)");
}

static void close_and_exit(void) {
  run("kept = setmetatable({}, { __gc = function() tell 'collected ' end })\n"
      "os.exit(3, true)");
}

/* All that a script can make works there, and its children are children. */
static void go_on(void) {
  run("local p = Process { target = function() tell 'process ' end }\n"
      "p:start():join()\n"
      "local pid = fork()\n"
      "if pid == 0 then tell 'fork ' os.exit(0, true) end\n"
      "wait(pid)\n"
      "local t = Thread { target = function() return 'thread ' end }\n"
      "tell(t:start():result())\n");
  exit(3);
}

static char name[] = "c", minus_e[] = "-e";

static int command(const char *chunk) {
  char script[256];
  snprintf(script, sizeof script, "%s", chunk);
  char *argv[] = {name, minus_e, script, NULL};
  return cluarun_main(3, argv);
}

static void run_command(void) {
  tell(command("x = 1") == 0 ? "returned " : "failed ");
  exit(3);
}

/* The child of the script does not come back. */
static void fork_in_command(void) {
  command("if fork() ~= 0 then wait() end");
  tell("returned ");
  exit(3);
}

static void test(void) {
  ok(tells(return_from_main, "handler "), "its exit handlers run");
  ok(tells(exit_in_lua, "handler "), "also by os.exit");
  ok(tells(close_and_exit, "collected handler "), "which can close the state");
  ok(tells(go_on, "process fork thread handler "),
     "children of its script end without them");
  ok(tells(run_command, "returned handler "), "the command returns there");
  ok(tells(fork_in_command, "returned handler "),
     "but not in a child that its script forks");
}

int main(void) {
  L = luaL_newstate();
  cluarun_openlibs(L);
  lua_register(L, "tell", lua_tell);
  atexit(at_exit);
  test();
  run("Process { target = function() end }:start():join()");
  test(); /* the same when the parent had children */
  lua_close(L);
  return tap_end();
}
