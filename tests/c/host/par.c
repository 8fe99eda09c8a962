/* A host program: several Lua states in OS threads of its own, in parallel, and
** one state that several of them enter in turns. Uses the public header only. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tap.h"

enum { STATES = 4, GUESTS = 4, ROUNDS = 200 };

/* Runs a chunk: did it return true? */
static bool holds(lua_State *L, const char *chunk) {
  bool good = luaL_dostring(L, chunk) == LUA_OK && lua_toboolean(L, -1);
  if (!good) fprintf(stderr, "# %s\n", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
  return good;
}

/* ---- a state in each OS thread ---- */

static const char work[] =
    "local q, lock, count = Queue(), Lock(), Value(0)\n"
    "for round = 1, 20 do\n"
    "  local t = {}\n"
    "  for i = 1, 1000 do t[i] = { i, tostring(i) } end\n"
    "  q:put(t)\n"
    "  assert(#q:get() == 1000)\n"
    "  local pid = fork()\n"
    "  if pid == 0 then\n"
    "    lock:acquire() count:add(1) lock:release() q:put(getpid())\n"
    "    os.exit(0)\n"
    "  end\n"
    "  assert(q:get() == pid)\n"
    "  wait(pid)\n"
    "end\n"
    "local p = {}\n"
    "for i = 1, 4 do\n"
    "  p[i] = Process { target = function() count:add(1) return i end,\n"
    "    daemon = i > 2 }:start()\n"
    "end\n"
    "for i = 1, 4 do assert(p[i]:result() == i) end\n"
    "local t = Thread { target = function() return q:get(true, 20) end }\n"
    "t:start() q:put 'x' assert(t:result() == 'x')\n"
    "return count.value == 24";

static atomic_int good;

static void *live(void *unused) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  if (holds(L, work)) atomic_fetch_add(&good, 1);
  lua_close(L);
  return unused;
}

static void in_threads(void *(*body)(void *), int n, void *argument) {
  pthread_t t[8];
  for (int i = 0; i < n; i++) pthread_create(&t[i], NULL, body, argument);
  for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
}

/* ---- OS threads in one state ---- */

/* Blocks until the C side says so: the others must be able to run. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static bool may_go;

static int block(lua_State *L) {
  cluarun_unlock(L);
  pthread_mutex_lock(&mutex);
  while (!may_go) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  cluarun_lock(L);
  lua_pushboolean(L, true);
  return 1;
}

static int unblock(lua_State *L) {
  (void)L;
  pthread_mutex_lock(&mutex);
  may_go = true;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  return 0;
}

/* A guest works on a coroutine of its own. */
static void *visit(void *state) {
  lua_State *L = state;
  for (int i = 0; i < ROUNDS; i++) {
    cluarun_lock(L);
    lua_State *co = lua_newthread(L);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_loadstring(co, "local n = count for i = 1, 10 do\n"
                        "l.x = (l.x or 0) + 1 end\n"
                        "count = count + 1\n"
                        "return current_thread() ~= main_thread()");
    if (lua_pcall(co, 0, 1, 0) == LUA_OK && lua_toboolean(co, -1))
      atomic_fetch_add(&good, 1);
    else
      fprintf(stderr, "# %s\n", luaL_tolstring(co, -1, NULL));
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
    cluarun_unlock(L);
  }
  return state;
}

/* The main thread waits for what a guest puts into the queue. */
static void *put_one(void *state) {
  lua_State *L = state;
  cluarun_lock(L);
  lua_State *co = lua_newthread(L);
  if (holds(co, "q:put(current_thread().name) return true"))
    atomic_fetch_add(&good, 1);
  lua_pop(L, 1);
  cluarun_unlock(L);
  return state;
}

static void test_guests(void) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  lua_register(L, "block", block);
  lua_register(L, "unblock", unblock);
  ok(holds(L, "local t = Thread { target = block }:start()\n"
              "Thread { target = unblock }:start():join()\n"
              "return t:result()"),
     "a C function that blocks lets the other threads run");
  holds(L, "count, l, q = 0, Local(), Queue() return true");
  atomic_store(&good, 0);
  cluarun_unlock(L);
  in_threads(visit, GUESTS, L);
  cluarun_lock(L);
  ok(atomic_load(&good) == GUESTS * ROUNDS,
     "a host's threads take turns in one state");
  ok(holds(L, "return count == 800 and l.x == nil"),
     "each with thread-local fields of its own");
  ok(holds(L, "collectgarbage() return #threads() == 1"),
     "they are gone when they have ended");
  pthread_t t;
  atomic_store(&good, 0);
  pthread_create(&t, NULL, put_one, L);
  ok(holds(L, "return q:get():find '^Dummy%-%d+$'"),
     "one comes in while the main thread waits");
  cluarun_unlock(L);
  pthread_join(t, NULL);
  cluarun_lock(L);
  ok(atomic_load(&good) == 1, "and goes on");
  lua_close(L);
}

/* ---- one that computes on a coroutine of its own ---- */

/* Computes until another thread has had a turn. */
static void compute(lua_State *L) {
  lua_State *co = lua_newthread(L);
  int ref = luaL_ref(L, LUA_REGISTRYINDEX);
  if (holds(co, "begun:set() while not stop do end stop = false return true"))
    atomic_fetch_add(&good, 1);
  luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

static void *compute_inside(void *state) {
  lua_State *L = state;
  cluarun_lock(L);
  for (int i = 0; i < 10; i++) compute(L);
  lua_gc(L, LUA_GCCOLLECT);
  cluarun_unlock(L);
  return state;
}

static const char stopper[] = "begun, stop = Event(), false\n"
                              "Thread { target = function()\n"
                              "  for i = 1, n do\n"
                              "    begun:wait() begun:clear()\n"
                              "    stop = true\n"
                              "  end\n"
                              "end }:start()\n"
                              "return true";

/* Not before each is in its loop does the other thread come: it has no turn
** until the one that computes is made to stop. */
static void test_computing(void) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  atomic_store(&good, 0);
  holds(L, "n = 10 return true");
  holds(L, stopper);
  cluarun_unlock(L);
  in_threads(compute_inside, 1, L);
  ok(atomic_load(&good) == 10, "a thread that computes on a coroutine of its "
                               "own is made to let others run");
  cluarun_lock(L);
  holds(L, "n = 1 return true");
  holds(L, stopper);
  cluarun_unlock(L);
  cluarun_lock(L);
  compute(L);
  ok(atomic_load(&good) == 11, "also the one that opened the state");
  lua_close(L);
}

/* ---- a state that outlives the thread that opened it ---- */

static void *open_only(void *state) {
  lua_State **L = state;
  *L = luaL_newstate();
  cluarun_openlibs(*L);
  holds(*L, "q = Queue() q:put { 1, 2, 3 } return true");
  cluarun_unlock(*L);
  return state;
}

static void test_left_behind(void) {
  lua_State *L;
  in_threads(open_only, 1, &L);
  cluarun_lock(L);
  ok(holds(L, "return #q:get() == 3 and not main_thread():is_alive()"),
     "a state goes on when the thread that opened it has ended");
  ok(holds(L, "return Process { target = getpid }:start():result() > 0"),
     "also with processes");
  lua_close(L);
}

int main(void) {
  atomic_store(&good, 0);
  in_threads(live, STATES, NULL);
  ok(atomic_load(&good) == STATES, "states run in parallel threads");
  in_threads(live, STATES, NULL);
  ok(atomic_load(&good) == 2 * STATES, "and others after them");
  test_guests();
  test_computing();
  test_left_behind();
  return tap_end();
}
