/* Checking arguments. See object.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"

/* Pushes the table of methods of the metatable on top, or nil. */
static void push_methods(lua_State *L) {
  lua_pushliteral(L, "__index");
  lua_rawget(L, -2);
  if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) == NULL)
    lua_pushnil(L);
}

/* Of the function on top, if it is a method of the value at 1. */
static const char *find_name(lua_State *L) {
  int function = lua_gettop(L);
  if (!lua_getmetatable(L, 1)) return NULL;
  push_methods(L);
  if (!lua_istable(L, -1)) return NULL;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
    if (lua_rawequal(L, -1, function) && lua_type(L, -2) == LUA_TSTRING)
      return lua_tostring(L, -2);
  return NULL;
}

int cr_argerror(lua_State *L, int arg, const char *message) {
  lua_Debug ar;
  luaL_checkstack(L, 10, NULL);
  if (lua_getstack(L, 0, &ar) && lua_getinfo(L, "nf", &ar) && ar.name == NULL) {
    const char *name = find_name(L);
    if (name != NULL)
      return luaL_error(L, "bad argument #%d to '%s' (%s)", arg, name, message);
  }
  return luaL_argerror(L, arg, message);
}

/* Does the type have a method of that name? */
static bool has_method(lua_State *L, const char *type, const char *method) {
  int top = lua_gettop(L);
  bool has = false;
  luaL_getmetatable(L, lua_pushfstring(L, "cluarun.%s", type));
  if (lua_istable(L, -1)) {
    push_methods(L);
    has = lua_istable(L, -1) && lua_getfield(L, -1, method) == LUA_TFUNCTION;
  }
  lua_settop(L, top);
  return has;
}

static _Noreturn void object_expected(lua_State *L, int arg, const char *name) {
  lua_Debug ar;
  char text[200];
  const char *got = luaL_typename(L, arg);
  if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING)
    got = lua_tostring(L, -1);
  if (arg == 1 && lua_getstack(L, 0, &ar) && lua_getinfo(L, "n", &ar) &&
      ar.name != NULL && strcmp(ar.namewhat, "method") != 0 &&
      has_method(L, name, ar.name))
    snprintf(text, sizeof text,
             "%s expected, got %s; call it with a colon, as in q:%s(...)", name,
             got, ar.name);
  else
    snprintf(text, sizeof text, "%s expected, got %s", name, got);
  cr_argerror(L, arg, text);
  abort();
}

/* Is it a userdata of that type, whatever its metatable now is? */
static bool is_type(lua_State *L, int arg, const char *name) {
  int top = lua_gettop(L);
  bool same = lua_getmetatable(L, arg) &&
              lua_getfield(L, -1, "__name") == LUA_TSTRING &&
              strcmp(lua_tostring(L, -1), name) == 0;
  lua_settop(L, top);
  return same;
}

struct cr_block *cr_object_check(lua_State *L, int arg, const char *name) {
  struct cr_object *o = cr_object_test(L, arg);
  if (o == NULL || !is_type(L, arg, name)) object_expected(L, arg, name);
  if (o->block == NULL)
    cr_argerror(L, arg, lua_pushfstring(L, "the %s is closed", name));
  return o->block;
}

int64_t cr_check_deadline(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return CR_FOREVER;
  if (lua_type(L, arg) != LUA_TNUMBER)
    cr_argerror(L, arg,
                lua_pushfstring(L, "timeout must be a number, got %s",
                                luaL_typename(L, arg)));
  double seconds = lua_tonumber(L, arg);
  if (isnan(seconds)) cr_argerror(L, arg, "timeout must be a number, got NaN");
  return seconds > 0 ? cr_deadline(seconds) : 0;
}

int64_t cr_check_block(lua_State *L, int arg) {
  int64_t deadline = cr_check_deadline(L, arg + 1);
  return cr_check_boolean(L, arg, "block", true) ? deadline : 0;
}

bool cr_check_boolean(lua_State *L, int arg, const char *what, bool absent) {
  if (lua_isnoneornil(L, arg)) return absent;
  if (!lua_isboolean(L, arg))
    cr_argerror(L, arg,
                lua_pushfstring(L, "%s must be a boolean, got %s", what,
                                luaL_typename(L, arg)));
  return lua_toboolean(L, arg);
}

static bool is_known(const char *key, const char *const *known) {
  for (; *known != NULL; known++)
    if (strcmp(key, *known) == 0) return true;
  return false;
}

void cr_check_fields(lua_State *L, int arg, const char *const *known) {
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    bool string = lua_type(L, -2) == LUA_TSTRING;
    if (string && is_known(lua_tostring(L, -2), known)) continue;
    const char *key = luaL_tolstring(L, -2, NULL);
    cr_argerror(
        L, arg,
        lua_pushfstring(L, string ? "unknown field '%s'" : "unknown field [%s]",
                        key));
  }
}

static int out_of_range(lua_State *L, int arg, const char *what,
                        lua_Integer min, lua_Integer max) {
  const char *got = luaL_tolstring(L, arg, NULL);
  if (lua_type(L, arg) != LUA_TNUMBER) got = luaL_typename(L, arg);
  if (max == LUA_MAXINTEGER)
    lua_pushfstring(L, "%s must be an integer from %I on, got %s", what,
                    (LUAI_UACINT)min, got);
  else
    lua_pushfstring(L, "%s must be an integer from %I to %I, got %s", what,
                    (LUAI_UACINT)min, (LUAI_UACINT)max, got);
  return cr_argerror(L, arg, lua_tostring(L, -1));
}

lua_Integer cr_check_range(lua_State *L, int arg, const char *what,
                           lua_Integer min, lua_Integer max,
                           lua_Integer default_value) {
  if (lua_isnoneornil(L, arg)) return default_value;
  int whole = 0;
  lua_Integer n = 0;
  if (lua_type(L, arg) == LUA_TNUMBER) n = lua_tointegerx(L, arg, &whole);
  if (!whole || n < min || n > max) out_of_range(L, arg, what, min, max);
  return n;
}
