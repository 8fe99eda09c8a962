/* debug.sethook and debug.gethook for programs whose lua_sethook is Lua's own, as
** a stock lua5.4: the same, on hooks that go on working while threads are stopped
** by hooks of ours. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "gil.h"
#include "raw.h"
#include "registry.h"
#include "state.h"

static const char key; /* registry: coroutine, weak -> its hook function */

static void push_hooks(lua_State *L) {
  cr_push_table(L, &key, "k");
}

static void call_hook(lua_State *L, lua_Debug *ar) {
  static const char *const events[] = {"call", "return", "line", "count",
                                       "tail call"};
  push_hooks(L);
  lua_pushthread(L);
  if (lua_rawget(L, -2) != LUA_TFUNCTION) return;
  lua_pushstring(L, events[ar->event]);
  if (ar->currentline >= 0)
    lua_pushinteger(L, ar->currentline);
  else
    lua_pushnil(L);
  lua_call(L, 2, 0);
}

/* The coroutine that may be the first argument. */
static lua_State *target(lua_State *L, int *first) {
  *first = lua_isthread(L, 1);
  return *first ? lua_tothread(L, 1) : L;
}

static int mask_of(const char *text, int count) {
  int mask = count > 0 ? LUA_MASKCOUNT : 0;
  if (strchr(text, 'c')) mask |= LUA_MASKCALL;
  if (strchr(text, 'r')) mask |= LUA_MASKRET;
  if (strchr(text, 'l')) mask |= LUA_MASKLINE;
  return mask;
}

static void push_state(lua_State *L, lua_State *co) {
  if (!lua_checkstack(co, 1)) luaL_error(L, "stack overflow");
  lua_pushthread(co);
  lua_xmove(co, L, 1);
}

static int debug_sethook(lua_State *L) {
  int arg, mask = 0, count = 0;
  lua_State *co = target(L, &arg);
  lua_settop(L, arg + 3);
  if (!lua_isnil(L, arg + 1)) {
    const char *text = luaL_checkstring(L, arg + 2);
    luaL_checktype(L, arg + 1, LUA_TFUNCTION);
    count = (int)luaL_optinteger(L, arg + 3, 0);
    mask = mask_of(text, count);
  }
  push_hooks(L);
  push_state(L, co);
  lua_pushvalue(L, arg + 1);
  lua_rawset(L, -3);
  cr_hook_set(co, mask != 0 ? call_hook : NULL, mask, count);
  return 0;
}

static int debug_gethook(lua_State *L) {
  int arg, mask, count;
  lua_State *co = target(L, &arg);
  lua_Hook f = cr_hook_get(co, &mask, &count);
  char text[4], *p = text;
  if (f == NULL) {
    luaL_pushfail(L);
    return 1;
  }
  push_hooks(L);
  push_state(L, co);
  lua_rawget(L, -2);
  if (mask & LUA_MASKCALL) *p++ = 'c';
  if (mask & LUA_MASKRET) *p++ = 'r';
  if (mask & LUA_MASKLINE) *p++ = 'l';
  lua_pushlstring(L, text, (size_t)(p - text));
  lua_pushinteger(L, count);
  return 3;
}

void cr_open_hooks(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"sethook", debug_sethook},
      {"gethook", debug_gethook},
      {NULL, NULL},
  };
  if (cr_interposed()) return;
  if (lua_getglobal(L, LUA_DBLIBNAME) == LUA_TTABLE)
    luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
