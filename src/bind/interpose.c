/* In front of Lua's own functions, in the program only: the Makefile gives Lua's
** the names that raw.h knows. So coroutines that a module in C makes and resumes
** are known like those of the coroutine library, and hooks that it sets go on
** working while threads are stopped by hooks of ours. And what in Lua itself
** would go wrong beside threads is kept from happening.
*/
#include <lauxlib.h>
#include <string.h>

#include "gil.h"
#include "raw.h"
#include "watch.h"

LUA_API int lua_resume(lua_State *L, lua_State *from, int n, int *results) {
  lua_State *before = cr_switch(L);
  /* Without `from` the count of nested C calls would start over. */
  int status = cr_real_resume(L, from != NULL ? from : before, n, results);
  cr_switch(before);
  return status;
}

LUA_API int lua_resetthread(lua_State *L) {
  lua_State *before = cr_switch(L);
  int status = cr_real_resetthread(L);
  cr_switch(before);
  return status;
}

LUA_API lua_State *lua_newthread(lua_State *L) {
  lua_State *L1 = cr_real_newthread(L);
  cr_hook_inherit(L, L1);
  return L1;
}

LUA_API void lua_sethook(lua_State *L, lua_Hook f, int mask, int count) {
  cr_hook_set(L, f, mask, count);
}

LUA_API lua_Hook lua_gethook(lua_State *L) {
  int mask, count;
  return cr_thread_of(L) != NULL ? cr_hook_get(L, &mask, &count)
                                 : cr_real_gethook(L);
}

LUA_API int lua_gethookmask(lua_State *L) {
  int mask, count;
  if (cr_thread_of(L) == NULL) return cr_real_gethookmask(L);
  cr_hook_get(L, &mask, &count);
  return mask;
}

LUA_API int lua_gethookcount(lua_State *L) {
  int mask, count;
  if (cr_thread_of(L) == NULL) return cr_real_gethookcount(L);
  cr_hook_get(L, &mask, &count);
  return count;
}

/* ---- stacks that shrink ---- */

enum { DEEP = 200 }; /* levels that are looked at */

/* Is L perhaps inside a __concat metamethod? A tail call forgets its name: then
** it may be one if Lua code called it. */
static bool concatenates(lua_State *L) {
  lua_Debug ar;
  bool tail = false;
  for (int i = 0; lua_getstack(L, i, &ar); i++) {
    if (i == DEEP) return true;
    lua_getinfo(L, tail ? "Snt" : "nt", &ar);
    if (tail && *ar.what != 'C') return true;
    if (strcmp(ar.namewhat, "metamethod") == 0 &&
        strcmp(ar.name, "concat") == 0)
      return true;
    tail = ar.istailcall;
  }
  return false;
}

/* The collector makes stacks smaller, those of all threads. Lua 5.4.4 keeps an
** address in the stack while a concatenation calls a metamethod, and afterwards
** goes on in memory that was freed: it would be hit at any switch. So the stack
** stays as it is meanwhile. */
extern void cr_real_shrinkstack(lua_State *L);
extern void luaD_shrinkstack(lua_State *L);
void luaD_shrinkstack(lua_State *L) {
  if (!concatenates(L)) cr_real_shrinkstack(L);
}

/* ---- files ---- */

extern int cr_real_loadfilex(lua_State *L, const char *name, const char *mode);
LUALIB_API int luaL_loadfilex(lua_State *L, const char *name,
                              const char *mode) {
  cr_watch_report(name);
  return cr_real_loadfilex(L, name, mode);
}
