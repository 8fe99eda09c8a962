/* Which class table of this process is that of another one? See classes.h. */
#include "classes.h"

#include <lauxlib.h>

#include "sendenv.h"
#include "slot.h"
#include "state.h"
#include "walk.h"

/* A number that no other class of any related process has: one that is unique to
** this thread of this process, and a count. */
static uint64_t new_number(void) {
  static _Thread_local struct { uint32_t owner, prefix, count; } last;
  uint32_t owner = atomic_load(&cr_self->life.incarnation);
  if (last.owner != owner || ++last.count == 0) {
    last.owner = owner;
    last.prefix = cr_unique();
    last.count = 0;
  }
  return (uint64_t)last.prefix << 32 | last.count;
}

/* Arguments: environment, class, number. */
static int note_class(lua_State *L) {
  lua_rawgeti(L, 1, CR_ENV_BY_ID);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, lua_tointeger(L, 3));
  lua_rawgeti(L, 1, CR_ENV_IDS);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_rawset(L, -3);
  return 0;
}

static uint64_t number_of(lua_State *L, int env, int i) {
  lua_rawgeti(L, env, CR_ENV_IDS);
  lua_pushvalue(L, i);
  lua_rawget(L, -2);
  uint64_t n = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, 2);
  return n;
}

bool cr_class_of(lua_State *L, int env, int i, struct cr_class *out) {
  const void *p = lua_topointer(L, i);
  out->address = (uint64_t)(uintptr_t)p;
  out->epoch = cr_heap_epoch(L, p);
  out->unused = 0;
  out->number = number_of(L, env, i);
  if (out->number != 0) return true;
  out->number = new_number();
  lua_pushvalue(L, env);
  lua_pushvalue(L, i);
  lua_pushinteger(L, (lua_Integer)out->number);
  return cr_env_call(L, env, note_class, 3) == LUA_OK;
}

/* Pushes the field `number` of a table of the environment. */
static int push_field(lua_State *L, enum cr_env field, uint64_t number) {
  cr_env_push(L);
  lua_rawgeti(L, -1, field);
  int type = lua_rawgeti(L, -1, (lua_Integer)number);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return type;
}

void cr_class_set(lua_State *L, const struct cr_class *c) {
  lua_pushcfunction(L, note_class);
  cr_env_push(L);
  lua_pushvalue(L, -3);
  lua_pushinteger(L, (lua_Integer)c->number);
  lua_call(L, 3, 0);
}

/* So that a heap is not walked again for a table that is garbage here. */
static void note_lost(lua_State *L, const struct cr_class *c) {
  cr_env_push(L);
  lua_rawgeti(L, -1, CR_ENV_LOST);
  lua_pushboolean(L, 1);
  lua_rawseti(L, -2, (lua_Integer)c->number);
  lua_pop(L, 2);
}

bool cr_class_push(lua_State *L, const struct cr_class *c) {
  luaL_checkstack(L, 8, NULL);
  if (push_field(L, CR_ENV_BY_ID, c->number) == LUA_TTABLE) return true;
  lua_pop(L, 1);
  const void *p = (const void *)(uintptr_t)c->address;
  if (c->epoch == 0 || cr_heap_epoch(L, p) != c->epoch) return false;
  bool lost = push_field(L, CR_ENV_LOST, c->number) != LUA_TNIL;
  lua_pop(L, 1);
  if (lost) return false;
  if (!cr_walk_find(L, p)) {
    note_lost(L, c);
    return false;
  }
  cr_class_set(L, c);
  return true;
}
