/* What a Lua state keeps for sending and receiving. See sendenv.h. */
#include "sendenv.h"

#include <lauxlib.h>

#include "marshal.h"
#include "registry.h"

static const char env_key;

void cr_env_push(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
}

int cr_env_call(lua_State *L, int env, lua_CFunction f, int n) {
  lua_rawgeti(L, env, CR_ENV_THREAD);
  lua_State *own = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_settop(own, 0);
  int running = lua_gc(L, LUA_GCISRUNNING);
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(own, f);
  lua_xmove(L, own, n);
  int status = lua_pcall(own, n, 0, 0);
  if (status != LUA_OK) lua_xmove(own, L, 1);
  lua_settop(own, 0);
  if (running) lua_gc(L, LUA_GCRESTART);
  return status;
}

static void set_weak(lua_State *L, const char *mode, enum cr_env field) {
  cr_new_weak(L, mode);
  lua_rawseti(L, -2, field);
}

static void set_string(lua_State *L, const char *s, enum cr_env field) {
  lua_pushstring(L, s);
  lua_rawseti(L, -2, field);
}

void cr_marshal_open(lua_State *L) {
  lua_createtable(L, CR_ENV_THREAD, 0);
  set_string(L, "__index", CR_ENV_INDEX);
  set_string(L, "__name", CR_ENV_NAME);
  set_string(L, "__transfer", CR_ENV_TRANSFER);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_rawseti(L, -2, CR_ENV_LOADED);
  set_weak(L, "k", CR_ENV_NAMES);
  lua_pushinteger(L, 0);
  lua_rawseti(L, -2, CR_ENV_MODULES);
  set_weak(L, "k", CR_ENV_IDS);
  set_weak(L, "v", CR_ENV_BY_ID);
  lua_newtable(L);
  lua_rawseti(L, -2, CR_ENV_LOST);
  set_weak(L, "k", CR_ENV_DUMPS);
  lua_sethook(lua_newthread(L), NULL, 0, 0);
  lua_rawseti(L, -2, CR_ENV_THREAD);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
}
