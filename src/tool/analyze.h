/* What analyzers cannot see: these functions of Lua do not come back. */
#include <lauxlib.h>

__attribute__((noreturn)) int luaL_error(lua_State *, const char *, ...);
__attribute__((noreturn)) int lua_error(lua_State *);
__attribute__((noreturn)) int luaL_argerror(lua_State *, int, const char *);
__attribute__((noreturn)) int luaL_typeerror(lua_State *, int, const char *);
