/* Lock and RLock. Their methods are the same functions, which also serve a
** Condition's lock.
*/
#include "synchlib.h"

#include <errno.h>
#include <string.h>

static uint32_t type_of(const struct cr_lock *l) {
  return atomic_load_explicit(&l->head.type, memory_order_relaxed);
}

struct cr_lock *cr_check_lock(lua_State *L, int arg) {
  struct cr_block *b = cr_object_peek(L, arg);
  if (b != NULL) {
    uint32_t t = atomic_load_explicit(&b->type, memory_order_relaxed);
    if (t == CR_LOCK || t == CR_RLOCK) return (struct cr_lock *)b;
  }
  return (struct cr_lock *)cr_object_check(L, arg, "Lock");
}

int cr_push_acquired(lua_State *L, int err) {
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err == EDEADLK) return luaL_error(L, "deadlock");
  lua_pushboolean(L, err != ETIMEDOUT);
  if (err != EOWNERDEAD) return 1;
  cr_push_error(L, CR_ERROR_OWNER_DIED);
  return 2;
}

bool cr_lock_held_here(struct cr_lock *l) {
  const struct cr_slot *holder = cr_lock_holder(l);
  return holder != NULL && cr_self != NULL &&
         holder->leader == cr_self->leader &&
         holder->leader_incarnation == cr_self->leader_incarnation;
}

static void push_thread_name(lua_State *L, const struct cr_slot *s) {
  size_t n = strnlen(s->thread_name, CR_NAME_MAX);
  lua_pushlstring(L, s->thread_name, n);
}

/* Pushes "MainThread (pid 12)". */
static void push_owner(lua_State *L, const struct cr_slot *holder) {
  push_thread_name(L, holder);
  lua_pushfstring(L, "%s (pid %d)", lua_tostring(L, -1),
                  (int)cr_slot_pid(holder));
  lua_remove(L, -2);
}

/* Raises that the lock was released by somebody who does not hold it. */
static int misuse(lua_State *L, struct cr_lock *l) {
  const struct cr_slot *holder = cr_lock_holder(l);
  bool recursive = type_of(l) == CR_RLOCK;
  if (holder == NULL)
    return luaL_error(L, "cannot release an unlocked %s",
                      recursive ? "RLock" : "Lock");
  push_owner(L, holder);
  const char *owner = lua_tostring(L, -1);
  if (recursive)
    return luaL_error(L, "cannot release an RLock held by %s", owner);
  return luaL_error(L,
                    "cannot release a Lock held by %s; use Semaphore(1) to "
                    "hand over between threads",
                    owner);
}

int cr_acquire_lock(lua_State *L, struct cr_lock *l) {
  int64_t deadline = lua_gettop(L) <= 1 ? CR_FOREVER : cr_check_block(L, 2);
  return cr_push_acquired(L, cr_lock_acquire(l, deadline));
}

int cr_release_lock(lua_State *L, struct cr_lock *l) {
  return cr_lock_release(l) == 0 ? 0 : misuse(L, l);
}

static int guard_release(void *l) {
  return cr_lock_release(l);
}

static int guard_misuse(lua_State *L, void *l) {
  return misuse(L, l);
}

int cr_guard_lock(lua_State *L, struct cr_lock *l) {
  struct cr_guard *g = cr_guard_push(L);
  int err = cr_lock_acquire(l, CR_FOREVER);
  if (err == EINTR || err == EDEADLK) return cr_push_acquired(L, err);
  cr_guard_open(g, l, guard_release, guard_misuse);
  if (err != EOWNERDEAD) return 1;
  cr_push_error(L, CR_ERROR_OWNER_DIED);
  return 2;
}

int cr_make_lock(lua_State *L, bool recursive) {
  struct cr_object *o = cr_object_push(L, recursive ? "RLock" : "Lock");
  struct cr_lock *l;
  int64_t took = 0;
  do {
    l = cr_lock_new(recursive);
  } while (!cr_object_made(L, o, (struct cr_block *)l, &took));
  return 1;
}

static int lock_new(lua_State *L) {
  return cr_make_lock(L, false);
}

static int rlock_new(lua_State *L) {
  return cr_make_lock(L, true);
}

static int lock_acquire(lua_State *L) {
  return cr_acquire_lock(L, cr_check_lock(L, 1));
}

static int lock_release(lua_State *L) {
  return cr_release_lock(L, cr_check_lock(L, 1));
}

static int lock_guard(lua_State *L) {
  return cr_guard_lock(L, cr_check_lock(L, 1));
}

static int lock_locked(lua_State *L) {
  lua_pushboolean(L, cr_lock_holder(cr_check_lock(L, 1)) != NULL);
  return 1;
}

static int lock_owner(lua_State *L) {
  const struct cr_slot *holder = cr_lock_holder(cr_check_lock(L, 1));
  if (holder == NULL) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, cr_slot_pid(holder));
  push_thread_name(L, holder);
  return 2;
}

static int lock__tostring(lua_State *L) {
  struct cr_lock *l = cr_check_lock(L, 1);
  const struct cr_slot *holder = cr_lock_holder(l);
  const char *type = type_of(l) == CR_RLOCK ? "RLock" : "Lock";
  if (holder == NULL) {
    lua_pushfstring(L, "<%s unlocked>", type);
  } else {
    push_owner(L, holder);
    lua_pushfstring(L, "<%s locked by %s>", type, lua_tostring(L, -1));
  }
  return 1;
}

/* One that is lost while it is held stays held; its handle goes with the
** process. */
static int lock__gc(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b == NULL) return 0;
  uint32_t type = atomic_load(&b->type);
  bool lock = type == CR_LOCK || type == CR_RLOCK;
  if (lock && !cr_lock_held_here((struct cr_lock *)b))
    cr_object_close(L, cr_object_test(L, 1));
  return 0;
}

static const luaL_Reg methods[] = {
    {"acquire", lock_acquire}, {"release", lock_release},
    {"guard", lock_guard},     {"locked", lock_locked},
    {"owner", lock_owner},     {"__tostring", lock__tostring},
    {"__gc", lock__gc},        {NULL, NULL},
};

int cr_open_lock(lua_State *L) {
  cr_object_type(L, "Lock", CR_LOCK, methods);
  cr_object_type(L, "RLock", CR_RLOCK, methods);
  lua_pushcfunction(L, lock_new);
  lua_setfield(L, -2, "Lock");
  lua_pushcfunction(L, rlock_new);
  lua_setfield(L, -2, "RLock");
  return 0;
}
