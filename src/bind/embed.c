/* The Lua part of the library: the files of lua/, compiled by src/tool/embed.c
** and kept as bytes in the program: reading them starts a script much sooner
** than compiling them would. */
#include <lauxlib.h>
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

void cr_run_embedded(lua_State *L, const char *name, int n, int results) {
  cr_load_embedded(L, name);
  lua_insert(L, -(n + 1));
  lua_call(L, n, results);
}
