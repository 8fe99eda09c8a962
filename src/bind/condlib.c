/* Condition. */
#include "synchlib.h"

#include <errno.h>

#include "task.h"

static struct cr_condition *check_condition(lua_State *L) {
  return (struct cr_condition *)cr_object_check(L, 1, "Condition");
}

static struct cr_lock *check_lock(lua_State *L) {
  return cr_condition_lock(check_condition(L));
}

/* The lock, as an argument or new, is at index 1. */
static int condition_new(lua_State *L) {
  lua_settop(L, 1);
  if (lua_isnil(L, 1)) {
    cr_make_lock(L, true);
    lua_replace(L, 1);
  }
  cr_check_lock(L, 1);
  struct cr_object *o = cr_object_push(L, "Condition");
  struct cr_condition *c;
  int64_t took = 0;
  do {
    c = cr_condition_new(cr_check_lock(L, 1));
  } while (!cr_object_made(L, o, (struct cr_block *)c, &took));
  return 1;
}

static int condition_acquire(lua_State *L) {
  return cr_acquire_lock(L, check_lock(L));
}

static int condition_release(lua_State *L) {
  return cr_release_lock(L, check_lock(L));
}

static int condition_guard(lua_State *L) {
  return cr_guard_lock(L, check_lock(L));
}

static int not_held(lua_State *L, const char *what) {
  return luaL_error(L,
                    "cannot %s a Condition whose lock is not held by the "
                    "caller",
                    what);
}

static int condition_wait(lua_State *L) {
  struct cr_condition *c = check_condition(L);
  int err = cr_condition_wait(c, cr_check_deadline(L, 2));
  return err == EPERM ? not_held(L, "wait on") : cr_push_acquired(L, err);
}

/* Asks once more after the time-out. */
static int condition_wait_for(lua_State *L) {
  struct cr_condition *c = check_condition(L);
  cr_task_check_target(L, 2, "predicate");
  int64_t deadline = cr_check_deadline(L, 3);
  if (!cr_lock_mine(cr_condition_lock(c))) return not_held(L, "wait on");
  for (int err = 0;;) {
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_call(L, 0, 1);
    if (lua_toboolean(L, 3) || err == ETIMEDOUT) return 1;
    err = cr_condition_wait(c, deadline);
    if (err == EPERM) return not_held(L, "wait on");
    if (err == EINTR) return cr_raise_interrupt(L);
  }
}

static int notify(lua_State *L, uint32_t n) {
  if (cr_condition_notify(check_condition(L), n) != 0)
    return not_held(L, "notify");
  return 0;
}

static int condition_notify(lua_State *L) {
  check_condition(L);
  return notify(L, (uint32_t)cr_check_range(L, 2, "n", 0, INT32_MAX, 1));
}

static int condition_notify_all(lua_State *L) {
  return notify(L, UINT32_MAX);
}

static int condition__tostring(lua_State *L) {
  struct cr_condition *c = check_condition(L);
  lua_pushfstring(L, "<Condition %p waiting=%d>", (void *)c,
                  (int)cr_condition_waiters(c));
  return 1;
}

static int condition__gc(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL && atomic_load(&b->type) == CR_CONDITION &&
      !cr_lock_held_here(cr_condition_lock((struct cr_condition *)b)))
    cr_object_close(L, cr_object_test(L, 1));
  return 0;
}

static const luaL_Reg methods[] = {
    {"acquire", condition_acquire},
    {"release", condition_release},
    {"guard", condition_guard},
    {"wait", condition_wait},
    {"wait_for", condition_wait_for},
    {"notify", condition_notify},
    {"notify_all", condition_notify_all},
    {"__tostring", condition__tostring},
    {"__gc", condition__gc},
    {NULL, NULL},
};

int cr_open_condition(lua_State *L) {
  cr_object_type(L, "Condition", CR_CONDITION, methods);
  lua_pushcfunction(L, condition_new);
  lua_setfield(L, -2, "Condition");
  return 0;
}
