/* A Lua module of functions that do nothing: what calling one costs. Its
** object is called like a Lock: object:acquire(). */
#include <lauxlib.h>
#include <lua.h>

static int empty_acquire(lua_State *L) {
  (void)L;
  return 0;
}

static int empty_release(lua_State *L) {
  (void)L;
  return 0;
}

static const luaL_Reg methods[] = {
    {"acquire", empty_acquire},
    {"release", empty_release},
    {NULL, NULL},
};

int luaopen_empty(lua_State *L) {
  luaL_newlib(L, methods);
  lua_newuserdatauv(L, 0, 0);
  lua_newtable(L);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "object");
  return 1;
}
