/* wait_any, sleep, time, monotonic.
**
** wait_any looks at everything in its list, notes what it would sleep on, looks
** again (that is part of noting), and sleeps on all words at once. Objects of
** other libraries take part by a metamethod __ready(object) that returns
** true, or false and one or two words (light userdata), each with the value to
** sleep on; the second may be a life (deadlock.h).
*/
#include <errno.h>
#include <sys/time.h>

#include "object.h"
#include "pipe.h"
#include "synch.h"

enum { SOON = 2000000 }; /* ns */

struct watch {
  struct cr_wait wait[CR_WAIT_MAX];
  int n;
  bool soon; /* not all could be noted: look again soon */
};

static void add(struct watch *w, const struct cr_wait *waits, int n) {
  for (int i = 0; i < n; i++) {
    if (w->n < CR_WAIT_MAX)
      w->wait[w->n++] = waits[i];
    else
      w->soon = true;
  }
}

static bool shared_ready(lua_State *L, struct cr_block *b, int i,
                         struct watch *w) {
  struct cr_wait waits[CR_PIPE_WAITS];
  int n = 1;
  bool ready, unborn = false;
  switch (atomic_load(&b->type)) {
    case CR_QUEUE:
    case CR_LIFO_QUEUE:
    case CR_PRIORITY_QUEUE:
      ready = cr_queue_ready((struct cr_queue *)b, waits);
      break;
    case CR_EVENT: ready = cr_event_ready((struct cr_event *)b, waits); break;
    case CR_PIPE:
      if (!cr_pipe_can_receive((struct cr_pipe *)b))
        return luaL_error(
            L, "wait_any: cannot wait for the sending end of a pipe (at [%d])",
            i);
      ready = cr_pipe_ready((struct cr_pipe *)b, waits, &n, &unborn);
      break;
    default:
      return luaL_error(L, "wait_any: cannot wait for a %s (at [%d])",
                        luaL_tolstring(L, -1, NULL), i);
  }
  if (!ready) add(w, waits, n);
  w->soon |= !ready && unborn;
  return ready;
}

static int refuse(lua_State *L, int i) {
  bool closed = cr_object_test(L, -1) != NULL;
  const char *what = luaL_typename(L, -1);
  if (luaL_getmetafield(L, -1, "__name") == LUA_TSTRING)
    what = lua_tostring(L, -1);
  return luaL_error(L, "wait_any: cannot wait for a %s%s (at [%d])",
                    closed ? "closed " : "", what, i);
}

/* Of a function in C that was called here the error has no place yet. */
static int raise_from(lua_State *L, bool in_c) {
  if (in_c && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

/* The item on top of the stack; `i` is its place in the list. */
static bool item_ready(lua_State *L, int i, struct watch *w) {
  struct cr_block *b = cr_object_peek(L, -1);
  if (b != NULL) return shared_ready(L, b, i, w);
  if (luaL_getmetafield(L, -1, "__ready") == LUA_TNIL) return refuse(L, i);
  bool in_c = lua_iscfunction(L, -1);
  lua_pushvalue(L, -2);
  if (lua_pcall(L, 1, 5, 0) != LUA_OK) return raise_from(L, in_c);
  bool ready = lua_toboolean(L, -5);
  for (int at = -4; !ready && at < 0 && lua_islightuserdata(L, at); at += 2) {
    struct cr_wait wait = {lua_touserdata(L, at),
                           (uint32_t)lua_tointeger(L, at + 1)};
    add(w, &wait, 1);
  }
  lua_pop(L, 5);
  return ready;
}

/* Pushes the list of the ready ones; returns their number. */
static int look(lua_State *L, struct watch *w) {
  int n = (int)luaL_len(L, 1), found = 0;
  w->n = 0;
  w->soon = false;
  lua_newtable(L);
  for (int i = 1; i <= n; i++) {
    lua_geti(L, 1, i);
    if (item_ready(L, i, w))
      lua_rawseti(L, -2, ++found);
    else
      lua_pop(L, 1);
  }
  return found;
}

static int wait_any(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int64_t deadline = cr_check_deadline(L, 2);
  luaL_argcheck(L, luaL_len(L, 1) > 0, 1, "list is empty");
  lua_settop(L, 2);
  for (;;) {
    struct watch w;
    if (look(L, &w) > 0 || deadline == 0) return 1;
    int64_t until = deadline;
    if (w.soon && until > cr_now() + SOON) until = cr_now() + SOON;
    int err = cr_sleep(w.wait, w.n, until);
    if (err == EINTR) return cr_raise_interrupt(L);
    if (err == ETIMEDOUT && until == deadline) return 1;
    lua_settop(L, 2);
  }
}

static int time_sleep(lua_State *L) {
  luaL_checknumber(L, 1);
  int64_t deadline = cr_check_deadline(L, 1);
  int err = 0;
  while (err == 0 && cr_now() < deadline) err = cr_sleep(NULL, 0, deadline);
  return err == EINTR ? cr_raise_interrupt(L) : 0;
}

static int time_time(lua_State *L) {
  struct timeval t;
  gettimeofday(&t, NULL);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_usec * 1e-6);
  return 1;
}

static int time_monotonic(lua_State *L) {
  lua_pushnumber(L, (lua_Number)cr_now() * 1e-9);
  return 1;
}

int cr_open_wait(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"wait_any", wait_any},        {"sleep", time_sleep}, {"time", time_time},
      {"monotonic", time_monotonic}, {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
  return 0;
}
