/* Semaphore and BoundedSemaphore. */
#include "synchlib.h"

#include <errno.h>
#include <string.h>

static struct cr_semaphore *check_semaphore(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL &&
      atomic_load_explicit(&b->type, memory_order_relaxed) == CR_SEMAPHORE)
    return (struct cr_semaphore *)b;
  return (struct cr_semaphore *)cr_object_check(L, 1, "Semaphore");
}

static int make(lua_State *L, bool bounded) {
  lua_Integer n = cr_check_range(L, 1, "value", 0, INT32_MAX, 1);
  struct cr_object *o =
      cr_object_push(L, bounded ? "BoundedSemaphore" : "Semaphore");
  struct cr_semaphore *s;
  int64_t took = 0;
  do {
    s = cr_semaphore_new((uint32_t)n, bounded);
  } while (!cr_object_made(L, o, (struct cr_block *)s, &took));
  return 1;
}

static int semaphore_new(lua_State *L) {
  return make(L, false);
}

static int bounded_new(lua_State *L) {
  return make(L, true);
}

static int acquire(lua_State *L, struct cr_semaphore *s, int64_t deadline) {
  const struct cr_object *o = lua_touserdata(L, 1);
  return cr_semaphore_acquire(s, deadline, cr_handle_units(o->handle));
}

static int release(const struct cr_object *o, uint32_t n) {
  return cr_semaphore_release((struct cr_semaphore *)o->block, n,
                              cr_handle_units(o->handle));
}

static int semaphore_acquire(lua_State *L) {
  struct cr_semaphore *s = check_semaphore(L);
  int64_t deadline = lua_gettop(L) <= 1 ? CR_FOREVER : cr_check_block(L, 2);
  return cr_push_acquired(L, acquire(L, s, deadline));
}

static int misuse(lua_State *L, const struct cr_semaphore *s) {
  return luaL_error(L, cr_semaphore_bounded(s)
                           ? "BoundedSemaphore released too many times"
                           : "the value of a Semaphore would be too large");
}

static int semaphore_release(lua_State *L) {
  struct cr_semaphore *s = check_semaphore(L);
  lua_Integer n =
      lua_gettop(L) <= 1 ? 1 : cr_check_range(L, 2, "n", 1, INT32_MAX, 1);
  return release(lua_touserdata(L, 1), (uint32_t)n) == 0 ? 0 : misuse(L, s);
}

/* At the end of the state the semaphore may be gone before its guard. */
static int guard_release(void *o) {
  return ((struct cr_object *)o)->block != NULL ? release(o, 1) : 0;
}

static int guard_misuse(lua_State *L, void *o) {
  return misuse(L, (struct cr_semaphore *)((struct cr_object *)o)->block);
}

static int semaphore_guard(lua_State *L) {
  struct cr_semaphore *s = check_semaphore(L);
  struct cr_guard *g = cr_guard_push(L);
  if (acquire(L, s, CR_FOREVER) != 0) return cr_raise_interrupt(L);
  cr_guard_open(g, lua_touserdata(L, 1), guard_release, guard_misuse);
  return 1;
}

static int semaphore__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "value") == 0) {
    lua_pushinteger(L, cr_semaphore_value(check_semaphore(L)));
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int semaphore__tostring(lua_State *L) {
  struct cr_semaphore *s = check_semaphore(L);
  lua_pushfstring(L, "<%sSemaphore %p value=%I>",
                  cr_semaphore_bounded(s) ? "Bounded" : "", (void *)s,
                  (LUAI_UACINT)cr_semaphore_value(s));
  return 1;
}

static const luaL_Reg methods[] = {
    {"acquire", semaphore_acquire},      {"release", semaphore_release},
    {"guard", semaphore_guard},          {"__index", semaphore__index},
    {"__tostring", semaphore__tostring}, {NULL, NULL},
};

int cr_open_semaphore(lua_State *L) {
  cr_object_type(L, "Semaphore", CR_SEMAPHORE, methods);
  cr_object_type(L, "BoundedSemaphore", CR_SEMAPHORE, methods);
  lua_pushcfunction(L, semaphore_new);
  lua_setfield(L, -2, "Semaphore");
  lua_pushcfunction(L, bounded_new);
  lua_setfield(L, -2, "BoundedSemaphore");
  return 0;
}
