/* A host program whose memory ends while it opens a state: at its n-th
** allocation, for all n (for some of them when there are many, or a sanitizer
** makes each slow). It tries again, and everything works. Uses the public header only. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/tap.h"

#ifdef SANITIZED
enum { EACH = 7, SOME = 17 };
#else
enum { EACH = 1, SOME = 3 };
#endif

enum { MOST = 5000, ALL_THE_TIME = -1 };

/* How many times more memory grows, how much there is. */
static long left = ALL_THE_TIME, used;

static void *allocate(void *unused, void *block, size_t old, size_t new) {
  (void)unused;
  if (block == NULL) old = 0;
  if (new > old && left >= 0 && left-- == 0) {
    left = 0;
    return NULL;
  }
  used += (long)new - (long)old;
  if (new > 0) return realloc(block, new);
  free(block);
  return NULL;
}

/* What a state can do in which the primitives could not be opened. */
static const char before[] =
    "assert(not package.loaded.cluarun)\n"
    "local f = coroutine.wrap(function(x) coroutine.yield(x) return 2 end)\n"
    "assert(f(1) == 1 and f() == 2)\n"
    "local file <close> = io.tmpfile()\n"
    "assert(file:write 'x' and file:seek 'set' and file:read(1) == 'x')\n"
    "collectgarbage()\n";

static const char after[] =
    "collectgarbage() collectgarbage()\n"
    "local c = require 'cluarun'\n"
    "local q = c.Queue()\n"
    "local function put(x)\n"
    "  q:put { x }\n"
    "  assert(select(2, coroutine.running()))\n"
    "  return x\n"
    "end\n"
    "local t = c.Thread { target = put, args = { 1 } }:start()\n"
    "assert(t:result() == 1 and q:get()[1] == 1)\n"
    "local p = c.Process { target = put, args = { 2 } }:start()\n"
    "assert(p:result() == 2 and q:get()[1] == 2)\n"
    "local f = coroutine.wrap(function(x) return coroutine.yield(x) end)\n"
    "assert(f(1) == 1 and f(2) == 2)\n"
    "local file <close> = io.tmpfile()\n"
    "assert(file:write 'x' and file:seek 'set' and file:read(1) == 'x')\n"
    "collectgarbage()\n";

static bool run(lua_State *L, const char *chunk) {
  bool good = luaL_dostring(L, chunk) == LUA_OK;
  if (!good) printf("# %s\n", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
  return good;
}

static int open_module(lua_State *L) {
  return luaopen_cluarun(L);
}

static int open_all(lua_State *L) {
  cluarun_openlibs(L);
  return 0;
}

static bool open_with(lua_State *L, lua_CFunction open, long memory) {
  lua_pushcfunction(L, open);
  left = memory;
  int status = lua_pcall(L, 0, 0, 0);
  left = ALL_THE_TIME;
  if (status != LUA_OK && status != LUA_ERRMEM)
    printf("# another error: %s\n", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
  return status == LUA_OK;
}

struct attempt {
  lua_CFunction open;
  lua_State *L;
  bool collects, works;
};

static void *try_again(void *attempt) {
  struct attempt *a = attempt;
  a->works = open_with(a->L, a->open, ALL_THE_TIME) && run(a->L, after);
  lua_close(a->L);
  return NULL;
}

/* Fails at the n-th allocation; has it failed? The module can be opened in
** another OS thread then. */
static bool fail(struct attempt *a, long n) {
  a->L = lua_newstate(allocate, NULL);
  if (a->open == open_module) luaL_openlibs(a->L);
  lua_gc(a->L, LUA_GCSTOP);
  bool failed = !open_with(a->L, a->open, n);
  lua_gc(a->L, LUA_GCRESTART);
  a->works = true;
  if (failed && a->collects) {
    lua_gc(a->L, LUA_GCCOLLECT);
    if (a->open == open_module) a->works = run(a->L, before);
  }
  bool good = a->works;
  bool elsewhere = failed && a->open == open_module && n % 2 == 1;
  pthread_t t;
  if (elsewhere && pthread_create(&t, NULL, try_again, a) == 0)
    pthread_join(t, NULL);
  else
    try_again(a);
  a->works = good && a->works && used == 0;
  return failed;
}

static void test(lua_CFunction open, int step, bool collects,
                 const char *name) {
  struct attempt a = {.open = open, .collects = collects};
  long n = 0, wrong = 0;
  used = 0;
  while (n < MOST && fail(&a, n)) {
    if (!a.works) printf("# at allocation %ld, %ld bytes\n", n, used);
    wrong += !a.works;
    used = 0;
    n += step;
  }
  ok(n > 100 && n < MOST && wrong == 0, "%s: at %ld allocations", name, n);
}

int main(void) {
  test(open_module, EACH, false, "memory ends while the module is opened");
  test(open_module, EACH, true, "and garbage is collected before it is again");
  test(open_all, SOME, false, "memory ends while all libraries are opened");
  test(open_all, SOME, true, "and garbage is collected before they are again");
  return tap_end();
}
