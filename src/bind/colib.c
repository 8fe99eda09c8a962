/* The coroutine library's functions that have to know of threads. Those that
** resume say which coroutine runs, so that a thread is stopped and interrupted
** where it runs and not where it waits for a coroutine. A thread's first state is
** made like a coroutine but is not one. What they do and say otherwise is what
** Lua's own do. */
#include <lauxlib.h>
#include <lualib.h>

#include "gil.h"
#include "raw.h"
#include "state.h"

/* Lua 5.4.4 does not count the C calls of a chain of closes. */
enum { DEEPEST = 180 };

static lua_State *check_coroutine(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "thread");
  return co;
}

/* Resumes co with the n values on top of L; the results, or an error, replace
** them. Returns the number of results, or -1. */
static int resume(lua_State *L, lua_State *co, int n) {
  int results;
  if (!lua_checkstack(co, n)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, n);
  lua_State *before = cr_switch(co);
  int status = cr_raw_resume(co, L, n, &results);
  cr_switch(before);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

static int coroutine_resume(lua_State *L) {
  lua_State *co = check_coroutine(L);
  int n = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  if (n < 0) n = 1;
  lua_insert(L, -(n + 1));
  return n + 1;
}

/* lua_resetthread runs the coroutine's __close metamethods. */
static int reset(lua_State *co) {
  lua_State *before = cr_switch(co);
  int status = cr_raw_resetthread(co);
  cr_switch(before);
  return status;
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = resume(L, co, lua_gettop(L));
  if (n >= 0) return n;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    status = reset(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int coroutine_create(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = cr_raw_newthread(L);
  cr_hook_inherit(L, co);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  return 1;
}

static int coroutine_wrap(lua_State *L) {
  coroutine_create(L);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

static bool is_first_state(lua_State *L) {
  const struct cr_thread *t = cr_thread_of(L);
  return t != NULL && L == t->base;
}

static int coroutine_running(lua_State *L) {
  bool main = lua_pushthread(L);
  lua_pushboolean(L, main || is_first_state(L));
  return 2;
}

static int coroutine_yield(lua_State *L) {
  if (is_first_state(L)) { /* as Lua says it, without a position */
    lua_pushliteral(L, "attempt to yield from outside a coroutine");
    return lua_error(L);
  }
  return lua_yield(L, lua_gettop(L));
}

/* May co be closed? Only one that is suspended or dead. */
static bool is_idle(lua_State *L, lua_State *co) {
  lua_Debug ar;
  if (co == L) return false;
  return lua_status(co) != LUA_OK || !lua_getstack(co, 0, &ar);
}

static int coroutine_close(lua_State *L) {
  lua_State *co = check_coroutine(L);
  if (!is_idle(L, co))
    return luaL_error(L, "cannot close a %s coroutine",
                      co == L ? "running" : "normal");
  static _Thread_local int depth;
  if (depth >= DEEPEST) return luaL_error(L, "C stack overflow");
  depth++;
  int status = reset(co); /* comes back whatever happens */
  depth--;
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

void cr_open_coroutine(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"close", coroutine_close},
      {"create", coroutine_create},
      {"resume", coroutine_resume},
      {"running", coroutine_running},
      {"wrap", coroutine_wrap},
      {"yield", coroutine_yield},
      {NULL, NULL},
  };
  if (lua_getglobal(L, LUA_COLIBNAME) == LUA_TTABLE)
    luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
