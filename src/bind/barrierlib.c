/* Barrier.
**
** The action is the maker's own function in every process forked from it; a
** process that the barrier was sent to has a copy, if it can travel at all.
*/
#include "synchlib.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "marshal.h"
#include "registry.h"
#include "task.h"

static const char actions; /* registry: userdata -> its action */

static struct cr_barrier *check_barrier(lua_State *L) {
  return (struct cr_barrier *)cr_object_check(L, 1, "Barrier");
}

/* Pushes the table of actions, whose keys are weak. */
static void push_actions(lua_State *L) {
  cr_push_table(L, &actions, "k");
}

/* Notes the function on top as the action of the userdata at `barrier`. */
static void keep_action(lua_State *L, int barrier) {
  push_actions(L);
  lua_pushvalue(L, barrier);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* A new barrier in limbo. What an action is copied to belongs to a handle while
** there is no barrier that could keep it. */
static struct cr_barrier *new_barrier(lua_State *L, uint32_t parties,
                                      bool action, double timeout) {
  struct cr_packet p = {.block = NULL};
  uint32_t handle;
  if (!action) return cr_barrier_new(parties, false, timeout, NULL);
  int err = cr_encode(L, 2, 1, true, &p);
  if (err == EINVAL) {
    lua_pop(L, 1); /* it cannot travel: forked ones only */
    return cr_barrier_new(parties, true, timeout, NULL);
  }
  if (err != 0) return NULL;
  if (cr_handle_new(&p.block->head, &handle) != 0) {
    cr_packet_free(&p);
    return NULL;
  }
  struct cr_barrier *b = cr_barrier_new(parties, true, timeout, &p.block->head);
  cr_handle_drop(handle);
  return b;
}

static int barrier_new(lua_State *L) {
  luaL_checkany(L, 1);
  uint32_t parties =
      (uint32_t)cr_check_range(L, 1, "parties", 1, CR_PARTIES_MAX, 1);
  bool action = !lua_isnoneornil(L, 2);
  if (action) cr_task_check_target(L, 2, "action");
  cr_check_deadline(L, 3);
  double timeout = luaL_optnumber(L, 3, INFINITY);
  lua_settop(L, 2);
  struct cr_object *o = cr_object_push(L, "Barrier");
  if (action) {
    lua_pushvalue(L, 2);
    keep_action(L, 3);
    lua_pop(L, 1);
  }
  struct cr_barrier *b;
  int64_t took = 0;
  do {
    b = new_barrier(L, parties, action, timeout);
  } while (!cr_object_made(L, o, (struct cr_block *)b, &took));
  return 1;
}

/* Pushes the action of the barrier at index 1. */
static void push_action(lua_State *L, struct cr_barrier *b) {
  push_actions(L);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) != LUA_TNIL) return;
  struct cr_message *m = (struct cr_message *)cr_barrier_code(b);
  if (m == NULL)
    luaL_error(L, "the action of this Barrier could not be sent here");
  struct cr_packet p = {m->data, m->length, m};
  cr_decode(L, &p);
  keep_action(L, 1);
}

/* While the action runs: what closes it breaks the barrier. */
static int acting__close(lua_State *L) {
  struct cr_barrier **acting = lua_touserdata(L, 1);
  if (*acting != NULL) cr_barrier_abort(*acting);
  *acting = NULL;
  return 0;
}

static struct cr_barrier **push_acting(lua_State *L) {
  struct cr_barrier **acting = lua_newuserdatauv(L, sizeof *acting, 0);
  *acting = NULL;
  if (luaL_newmetatable(L, "cluarun.acting")) {
    lua_pushcfunction(L, acting__close);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  return acting;
}

/* The action on top, below it what was pushed by push_acting. */
static int act(lua_State *L, struct cr_barrier *b, struct cr_barrier **acting) {
  *acting = b;
  lua_call(L, 0, 0);
  *acting = NULL;
  return cr_barrier_open(b);
}

static int64_t wait_deadline(lua_State *L, const struct cr_barrier *b) {
  if (!lua_isnoneornil(L, 2)) return cr_check_deadline(L, 2);
  double timeout = cr_barrier_timeout(b);
  return timeout < INFINITY ? cr_deadline(timeout) : CR_FOREVER;
}

/* All that could fail is done before we arrive. */
static int barrier_wait(lua_State *L) {
  struct cr_barrier *b = check_barrier(L);
  struct cr_barrier **acting = NULL;
  uint32_t index;
  int64_t deadline = wait_deadline(L, b);
  if (cr_barrier_acts(b)) {
    acting = push_acting(L);
    lua_toclose(L, -1);
    push_action(L, b);
  }
  int err = cr_barrier_wait(b, deadline, &index);
  if (acting != NULL && err == EALREADY) err = act(L, b, acting);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err != 0) return cr_raise(L, CR_ERROR_BROKEN);
  lua_pushinteger(L, index);
  return 1;
}

static int barrier_reset(lua_State *L) {
  cr_barrier_reset(check_barrier(L));
  return 0;
}

static int barrier_abort(lua_State *L) {
  cr_barrier_abort(check_barrier(L));
  return 0;
}

static int barrier__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "parties") == 0) {
    lua_pushinteger(L, cr_barrier_parties(check_barrier(L)));
  } else if (key != NULL && strcmp(key, "n_waiting") == 0) {
    lua_pushinteger(L, cr_barrier_waiting(check_barrier(L)));
  } else if (key != NULL && strcmp(key, "broken") == 0) {
    lua_pushboolean(L, cr_barrier_broken(check_barrier(L)));
  } else {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

static int barrier__tostring(lua_State *L) {
  struct cr_barrier *b = check_barrier(L);
  if (cr_barrier_broken(b))
    lua_pushfstring(L, "<Barrier %p broken>", (void *)b);
  else
    lua_pushfstring(L, "<Barrier %p waiting=%d/%d>", (void *)b,
                    (int)cr_barrier_waiting(b), (int)cr_barrier_parties(b));
  return 1;
}

static const luaL_Reg methods[] = {
    {"wait", barrier_wait},
    {"reset", barrier_reset},
    {"abort", barrier_abort},
    {"__index", barrier__index},
    {"__tostring", barrier__tostring},
    {NULL, NULL},
};

int cr_open_barrier(lua_State *L) {
  cr_object_type(L, "Barrier", CR_BARRIER, methods);
  lua_pushcfunction(L, barrier_new);
  lua_setfield(L, -2, "Barrier");
  return 0;
}
