/* Functions with their arguments. See task.h. */
#include "task.h"

#include <stdbool.h>

#include "object.h"

enum { COUNT_MAX = 1000000 }; /* arguments: as many as a stack has places */

static bool is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  bool callable = luaL_getmetafield(L, index, "__call") != LUA_TNIL;
  if (callable) lua_pop(L, 1);
  return callable;
}

/* The value on top is that field of the table of options. */
static void check_field(lua_State *L, bool good, const char *field,
                        const char *expected) {
  if (good) return;
  const char *text = lua_pushfstring(L, "%s must be a %s, got %s", field,
                                     expected, luaL_typename(L, -1));
  luaL_argerror(L, 1, text);
}

void cr_task_check_count(lua_State *L, int args, int arg) {
  int whole = true;
  lua_Integer n = 0;
  if (lua_getfield(L, args, "n") != LUA_TNIL) n = lua_tointegerx(L, -1, &whole);
  if (!whole || lua_type(L, -1) == LUA_TSTRING || n < 0 || n > COUNT_MAX)
    luaL_argerror(L, arg,
                  lua_pushfstring(L,
                                  "args.n must be a number of arguments, "
                                  "got %s",
                                  luaL_tolstring(L, -1, NULL)));
  lua_pop(L, 1);
}

void cr_task_check(lua_State *L) {
  static const char *const known[] = {"target", "args", "name", "daemon", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  cr_check_fields(L, 1, known);
  lua_settop(L, 1);
  lua_getfield(L, 1, "target");
  check_field(L, is_callable(L, 2), "target", "function");
  lua_getfield(L, 1, "args");
  check_field(L, lua_isnil(L, 3) || lua_istable(L, 3), "args", "table");
  if (lua_istable(L, 3)) cr_task_check_count(L, 3, 1);
  lua_getfield(L, 1, "name");
  check_field(L, lua_isnil(L, 4) || lua_type(L, 4) == LUA_TSTRING, "name",
              "string");
  lua_getfield(L, 1, "daemon");
  check_field(L, lua_isnil(L, 5) || lua_isboolean(L, 5), "daemon", "boolean");
}

void cr_task_check_target(lua_State *L, int arg, const char *name) {
  if (is_callable(L, arg)) return;
  const char *text = lua_pushfstring(L, "%s must be a function, got %s", name,
                                     luaL_typename(L, arg));
  cr_argerror(L, arg, text);
}

int cr_task_count(lua_State *L, int args) {
  args = lua_absindex(L, args);
  bool packed = lua_getfield(L, args, "n") == LUA_TNUMBER;
  lua_Integer n = packed ? lua_tointeger(L, -1) : luaL_len(L, args);
  lua_pop(L, 1);
  if (n < 0 || n > COUNT_MAX)
    luaL_error(L, "args.n out of range: %I", (LUAI_UACINT)n);
  luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many arguments");
  return (int)n;
}

int cr_task_push_args(lua_State *L) {
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return 0;
  }
  int args = lua_gettop(L);
  int n = cr_task_count(L, args);
  for (int i = 1; i <= n; i++) lua_geti(L, args, i);
  lua_remove(L, args);
  return n;
}

void cr_task_pack(lua_State *L, int below) {
  int n = lua_gettop(L) - below;
  luaL_checkstack(L, 3, NULL); /* setfield takes one, too */
  lua_createtable(L, n, 1);
  lua_insert(L, below + 1);
  lua_pushinteger(L, n);
  lua_setfield(L, below + 1, "n");
  for (int i = n; i > 0; i--) lua_rawseti(L, below + 1, i);
}

int cr_task_unpack(lua_State *L) {
  int list = lua_gettop(L);
  lua_getfield(L, list, "n");
  int n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n, "too many results");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, list, i);
  return n;
}
