/* Local: an object whose fields each thread sees its own of.
**
** What a thread has in all Locals lies in one table of the registry that goes
** when the thread ends: from a Local, held weakly, to its fields.
*/
#include <lauxlib.h>

#include "registry.h"
#include "task.h"
#include "thread.h"

#define TYPE "cluarun.Local"

enum { INIT = 1 }; /* user value: the function that fills a thread's in */

static const void *key_of(const struct cr_thread *t) {
  return &t->base;
}

void cr_locals_drop(lua_State *L, struct cr_thread *t) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key_of(t));
}

static void push_locals(lua_State *L, const struct cr_thread *t) {
  cr_push_table(L, key_of(t), "k");
}

/* Calls init(self) for the new fields of the calling thread; when it fails they
** go, so that the next use tries again. The locals lie at the index. */
static void init(lua_State *L, int locals) {
  if (lua_getiuservalue(L, 1, INIT) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  lua_rawset(L, locals);
  lua_error(L);
}

/* Pushes the calling thread's fields of the Local at index 1. */
static void push_fields(lua_State *L) {
  push_locals(L, cr_thread_of(L));
  int locals = lua_gettop(L);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, locals) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, locals);
    init(L, locals);
  }
  lua_remove(L, locals);
}

static int local__index(lua_State *L) {
  luaL_checkudata(L, 1, TYPE);
  lua_settop(L, 2);
  push_fields(L);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int local__newindex(lua_State *L) {
  luaL_checkudata(L, 1, TYPE);
  luaL_argcheck(L, !lua_isnil(L, 2), 2, "field name is nil");
  luaL_argcheck(L, lua_rawequal(L, 2, 2), 2, "field name is NaN");
  lua_settop(L, 3);
  push_fields(L);
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

static int local__pairs(lua_State *L) {
  luaL_checkudata(L, 1, TYPE);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1)); /* next */
  push_fields(L);
  return 2;
}

static int local__tostring(lua_State *L) {
  lua_pushfstring(L, "<Local %p>", luaL_checkudata(L, 1, TYPE));
  return 1;
}

static int local_new(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) cr_task_check_target(L, 1, "init");
  lua_settop(L, 1);
  lua_newuserdatauv(L, 1, 1);
  luaL_setmetatable(L, TYPE);
  lua_insert(L, 1);
  lua_setiuservalue(L, 1, INIT);
  return 1;
}

int cr_open_local(lua_State *L) {
  static const luaL_Reg metamethods[] = {
      {"__index", local__index},
      {"__newindex", local__newindex},
      {"__pairs", local__pairs},
      {"__tostring", local__tostring},
      {NULL, NULL},
  };
  luaL_newmetatable(L, TYPE);
  lua_pushliteral(L, "Local");
  lua_setfield(L, -2, "__name");
  lua_getglobal(L, "next");
  luaL_setfuncs(L, metamethods, 1);
  lua_pop(L, 1);
  lua_pushcfunction(L, local_new);
  lua_setfield(L, -2, "Local");
  return 0;
}
