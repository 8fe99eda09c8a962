/* The Lua part of the library: the files of lua/, as bytes in the program. */
#include <lauxlib.h>
#include <string.h>

#include "state.h"

struct embedded {
  const char *name;
  const unsigned char *text;
  size_t length;
};

#include "lua.inc"

void cr_load_embedded(lua_State *L, const char *name) {
  const struct embedded *e = embedded;
  const struct embedded *end = e + sizeof embedded / sizeof *embedded;
  while (e < end && strcmp(e->name, name) != 0) e++;
  if (e == end) luaL_error(L, "no embedded chunk '%s'", name);
  const char *chunk = lua_pushfstring(L, "@lua/%s.lua", name);
  if (luaL_loadbufferx(L, (const char *)e->text, e->length, chunk, "t") !=
      LUA_OK)
    lua_error(L);
  lua_remove(L, -2);
}

void cr_run_embedded(lua_State *L, const char *name, int n, int results) {
  cr_load_embedded(L, name);
  lua_insert(L, -(n + 1));
  lua_call(L, n, results);
}
