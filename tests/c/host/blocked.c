/* A host program whose OS threads block all signals, as those of many a server
** do: the threads of their states stop each other all the same. Uses the public
** header only. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/tap.h"

static bool run(lua_State *L, const char *chunk) {
  bool good = luaL_dostring(L, chunk) == LUA_OK;
  if (!good) printf("# %s\n", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
  return good;
}

static void block_all(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
}

/* Whoever computes is stopped for the other one: nothing here waits. */
static const char two_threads[] =
    "local n, over, late = 0, false, monotonic() + 20\n"
    "local t = Thread { target = function()\n"
    "  while not over and monotonic() < late do n = n + 1 end\n"
    "end }:start()\n"
    "while n == 0 and monotonic() < late do end\n"
    "over = true\n"
    "t:join()\n"
    "assert(n > 0 and monotonic() < late, 'nobody was stopped')\n";

static void *open_plain(void *unused) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  lua_close(L);
  return unused;
}

static void *open_blocked(void *good) {
  block_all();
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  *(bool *)good = run(L, two_threads);
  lua_close(L);
  return NULL;
}

static void in_thread(void *(*body)(void *), void *argument) {
  pthread_t t;
  pthread_create(&t, NULL, body, argument);
  pthread_join(t, NULL);
}

/* ---- a guest that computes until it is stopped for the main thread ---- */

static const char guest[] = "there:set()\n"
                            "local late = monotonic() + 20\n"
                            "coroutine.wrap(function()\n"
                            "  while not over and monotonic() < late do end\n"
                            "end)()\n"
                            "stopped = monotonic() < late\n";

static void *compute(void *state) {
  lua_State *L = state;
  block_all();
  cluarun_lock(L);
  lua_State *co = lua_newthread(L);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  run(co, guest);
  luaL_unref(L, LUA_REGISTRYINDEX, ref);
  cluarun_unlock(L);
  return NULL;
}

static void test_guest(void) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  run(L, "there, over = Event(), false");
  pthread_t t;
  pthread_create(&t, NULL, compute, L);
  run(L, "there:wait() over = true");
  cluarun_unlock(L);
  pthread_join(t, NULL);
  cluarun_lock(L);
  ok(run(L, "assert(stopped, 'nobody stopped it')"),
     "one that enters a state with its signals blocked is stopped");
  lua_close(L);
}

int main(void) {
  in_thread(open_plain, NULL);
  bool good = false;
  in_thread(open_blocked, &good);
  ok(good, "threads of a state opened with signals blocked stop each other");
  test_guest();
  return tap_end();
}
