/* The Lua part of the library: the files of lua/, compiled by src/tool/embed.c
** and kept as bytes in the program: reading them starts a script much sooner
** than compiling them would. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "state.h"

struct embedded {
  const char *name;
  const unsigned char *code;
  size_t length;
};

#include "lua.inc"

void cr_load_embedded(lua_State *L, const char *name) {
  const struct embedded *e = embedded;
  const struct embedded *end = e + sizeof embedded / sizeof *embedded;
  while (e < end && strcmp(e->name, name) != 0) e++;
  if (e == end) luaL_error(L, "no embedded chunk '%s'", name);
  if (luaL_loadbufferx(L, (const char *)e->code, e->length, name, "b") !=
      LUA_OK)
    lua_error(L);
}

/* ---- globals of our own ---- */

static const char own_key; /* in the registry */

static void add_library(lua_State *L, const char *name, lua_CFunction open) {
  lua_pushcfunction(L, open);
  lua_call(L, 0, 1);
  lua_setfield(L, -2, name);
}

/* That of the script: opening it anew would have effects of its own. */
static void share_library(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, name);
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

/* With a table as its argument: fills it. What opens the basic functions puts
** them into the globals, whatever table that is. */
static int fill_globals(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_pushvalue(L, 1);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_pushcfunction(L, luaopen_base);
  int status = lua_pcall(L, 0, 0, 0);
  lua_pushvalue(L, 2);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  if (status != LUA_OK) return lua_error(L);
  lua_setfield(L, 1, "_G"); /* the script's */
  add_library(L, "debug", luaopen_debug);
  add_library(L, "math", luaopen_math);
  add_library(L, "table", luaopen_table);
  share_library(L, LUA_IOLIBNAME);
  share_library(L, LUA_STRLIBNAME);
  return 0;
}

/* Pushes the table of globals for our own code: the libraries as they are in
** Lua, whatever the script has made of its own. */
static void push_own_globals(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushcfunction(L, fill_globals);
  lua_pushvalue(L, -2);
  int running = lua_gc(L, LUA_GCISRUNNING);
  lua_gc(L, LUA_GCSTOP); /* no finalizer sees the other globals */
  int status = lua_pcall(L, 1, 0, 0);
  if (running) lua_gc(L, LUA_GCRESTART);
  if (status != LUA_OK) lua_error(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &own_key);
}

void cr_run_embedded(lua_State *L, const char *name, int n, int results) {
  cr_load_embedded(L, name);
  push_own_globals(L);
  lua_setupvalue(L, -2, 1);
  lua_insert(L, -(n + 1));
  lua_call(L, n, results);
}
