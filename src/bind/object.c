/* Userdata for shared objects. See object.h.
**
** A table in the registry with weak values leads from the address of an object
** to its userdata. A userdata that is being collected is gone from it before
** its __gc runs; should somebody revive it, it stays closed.
*/
#include "object.h"

#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "registry.h"
#include "synch.h"

static const char types_key;    /* registry: type -> metatable */
static const char interned_key; /* registry: address -> userdata */

/* What a library does to a new userdata of its type. */
static void (*dresses[CR_TYPES])(lua_State *L, struct cr_block *block);

static enum cr_type type_of(const struct cr_block *b) {
  return (enum cr_type)atomic_load_explicit(&b->type, memory_order_relaxed);
}

/* Two types of Lua are one of the arena. */
static int index_of(enum cr_type type, bool bounded) {
  return (int)type + (bounded ? CR_TYPES : 0);
}

static bool is_bounded(struct cr_block *b) {
  return type_of(b) == CR_SEMAPHORE &&
         cr_semaphore_bounded((struct cr_semaphore *)b);
}

struct cr_object *cr_object_test(lua_State *L, int arg) {
  struct cr_object *o = lua_touserdata(L, arg);
  if (o == NULL || lua_rawlen(L, arg) != sizeof *o ||
      o->magic != CR_OBJECT_MAGIC)
    return NULL;
  return o;
}

struct cr_block *cr_object_peek(lua_State *L, int arg) {
  struct cr_object *o = cr_object_test(L, arg);
  return o != NULL ? o->block : NULL;
}

/* Metamethods of all types. */

static int object__gc(lua_State *L) {
  struct cr_object *o = cr_object_test(L, 1);
  if (o != NULL) cr_object_close(L, o);
  return 0;
}

static int object__eq(lua_State *L) {
  struct cr_block *a = cr_object_peek(L, 1), *b = cr_object_peek(L, 2);
  lua_pushboolean(L, a != NULL && a == b);
  return 1;
}

static int object__tostring(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  const char *name = lua_tostring(L, lua_upvalueindex(1));
  if (b == NULL)
    lua_pushfstring(L, "<%s closed>", name);
  else
    lua_pushfstring(L, "<%s %p>", name, (void *)b);
  return 1;
}

static int object__newindex(lua_State *L) {
  const char *field = luaL_tolstring(L, 2, NULL);
  bool named = luaL_getmetafield(L, 1, "__name") == LUA_TSTRING;
  const char *name = named ? lua_tostring(L, -1) : "object";
  return luaL_error(L, "cannot set field '%s' of a%s %s", field,
                    strchr("AEIOU", name[0]) != NULL ? "n" : "", name);
}

/* Types. The metatable lies on top. */

static void set_methods(lua_State *L, const luaL_Reg *f) {
  lua_newtable(L);
  for (; f->name != NULL; f++) {
    if (strncmp(f->name, "__", 2) == 0) continue;
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  lua_setfield(L, -2, "__index");
}

static void set_metamethods(lua_State *L, const luaL_Reg *f) {
  for (; f->name != NULL; f++) {
    if (strncmp(f->name, "__", 2) != 0) continue;
    bool index = strcmp(f->name, "__index") == 0;
    if (index) lua_getfield(L, -1, "__index");
    lua_pushcclosure(L, f->func, index);
    lua_setfield(L, -2, f->name);
  }
}

void cr_object_type(lua_State *L, const char *name, enum cr_type block,
                    const luaL_Reg *functions) {
  luaL_newmetatable(L, lua_pushfstring(L, "cluarun.%s", name));
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, object__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, object__newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pushcfunction(L, object__eq);
  lua_setfield(L, -2, "__eq");
  lua_pushstring(L, name);
  lua_pushcclosure(L, object__tostring, 1);
  lua_setfield(L, -2, "__tostring");
  set_methods(L, functions);
  set_metamethods(L, functions);
  cr_push_table(L, &types_key, "");
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, index_of(block, strncmp(name, "Bounded", 7) == 0));
  lua_pop(L, 3);
}

void cr_object_dress(enum cr_type block,
                     void (*dress)(lua_State *L, struct cr_block *block)) {
  dresses[block] = dress;
}

/* Objects. */

static struct cr_object *push_closed(lua_State *L) {
  struct cr_object *o = lua_newuserdatauv(L, sizeof *o, 0);
  *o = (struct cr_object){.magic = CR_OBJECT_MAGIC};
  return o;
}

struct cr_object *cr_object_push(lua_State *L, const char *name) {
  struct cr_object *o = push_closed(L);
  luaL_getmetatable(L, lua_pushfstring(L, "cluarun.%s", name));
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  return o;
}

/* The userdata on top has been opened. */
static void opened(lua_State *L, struct cr_object *o) {
  cr_push_table(L, &interned_key, "v");
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, o->block);
  lua_pop(L, 1);
  void (*dress)(lua_State *, struct cr_block *) = dresses[type_of(o->block)];
  if (dress != NULL) dress(L, o->block);
}

/* Pushes the userdata, which lies somewhere in the frame. */
static void push_own(lua_State *L, const struct cr_object *o) {
  int i = lua_gettop(L);
  while (i > 1 && lua_touserdata(L, i) != o) i--;
  lua_pushvalue(L, i);
}

_Noreturn void cr_raise_exhausted(lua_State *L) {
  luaL_error(L, "shared memory exhausted");
  abort();
}

bool cr_object_attach(lua_State *L, struct cr_object *o,
                      struct cr_block *block) {
  if (block == NULL) return false;
  cr_set_site(L, block);
  if (cr_handle_new(block, &o->handle) != 0) {
    cr_destroy(block);
    return false;
  }
  o->block = block;
  luaL_checkstack(L, 8, NULL);
  push_own(L, o);
  opened(L, o);
  lua_pop(L, 1);
  return true;
}

bool cr_object_made(lua_State *L, struct cr_object *o, struct cr_block *block,
                    int64_t *took) {
  if (cr_object_attach(L, o, block)) return true;
  if (!cr_reclaim(L, took)) cr_raise_exhausted(L);
  return false;
}

void cr_object_close(lua_State *L, struct cr_object *o) {
  if (o->block == NULL) return;
  struct cr_block *block = o->block;
  uint32_t handle = o->handle;
  o->block = NULL;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &interned_key) == LUA_TTABLE &&
      lua_rawgetp(L, -1, block) == LUA_TUSERDATA &&
      lua_touserdata(L, -1) == o) {
    lua_pushnil(L);
    lua_rawsetp(L, -3, block);
  }
  cr_handle_drop(handle);
}

/* False, and nothing is pushed: shared memory is exhausted. */
static bool push_shared(lua_State *L, struct cr_block *block) {
  luaL_checkstack(L, 8, NULL);
  cr_push_table(L, &interned_key, "v");
  if (lua_rawgetp(L, -1, block) == LUA_TUSERDATA &&
      cr_object_peek(L, -1) == block) {
    lua_remove(L, -2);
    return true;
  }
  lua_pop(L, 2);
  struct cr_object *o = push_closed(L);
  cr_push_table(L, &types_key, "");
  if (lua_rawgeti(L, -1, index_of(type_of(block), is_bounded(block))) !=
      LUA_TTABLE)
    luaL_error(L, "an object of an unknown type");
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
  if (cr_handle_add(block, &o->handle) != 0) {
    lua_pop(L, 1);
    return false;
  }
  o->block = block;
  opened(L, o);
  return true;
}

void cr_object_push_shared(lua_State *L, struct cr_block *block) {
  int64_t took = 0;
  while (!push_shared(L, block))
    if (!cr_reclaim(L, &took)) cr_raise_exhausted(L);
}
