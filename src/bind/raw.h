/* Lua's own functions, where the program puts ours in front of them.
**
** In the program lua_resume, lua_sethook and a few others are defined by
** interpose.c, so that modules written in C come by there, too; Lua's own are
** then called cr_real_NAME. In the libraries there is no interposing, and the
** weak names are absent.
*/
#ifndef CR_RAW_H
#define CR_RAW_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define CR_WEAK __attribute__((weak))

CR_WEAK int cr_real_resume(lua_State *L, lua_State *from, int n, int *results);
CR_WEAK int cr_real_resetthread(lua_State *L);
CR_WEAK lua_State *cr_real_newthread(lua_State *L);
CR_WEAK void cr_real_sethook(lua_State *L, lua_Hook f, int mask, int count);
CR_WEAK lua_Hook cr_real_gethook(lua_State *L);
CR_WEAK int cr_real_gethookmask(lua_State *L);
CR_WEAK int cr_real_gethookcount(lua_State *L);

/* Does this program interpose? */
static inline bool cr_interposed(void) {
  return cr_real_resume != NULL;
}

static inline int cr_raw_resume(lua_State *L, lua_State *from, int n,
                                int *results) {
  return cr_interposed() ? cr_real_resume(L, from, n, results)
                         : lua_resume(L, from, n, results);
}

static inline int cr_raw_resetthread(lua_State *L) {
  return cr_interposed() ? cr_real_resetthread(L) : lua_resetthread(L);
}

static inline lua_State *cr_raw_newthread(lua_State *L) {
  return cr_interposed() ? cr_real_newthread(L) : lua_newthread(L);
}

static inline void cr_raw_sethook(lua_State *L, lua_Hook f, int mask,
                                  int count) {
  if (cr_interposed())
    cr_real_sethook(L, f, mask, count);
  else
    lua_sethook(L, f, mask, count);
}

static inline lua_Hook cr_raw_gethook(lua_State *L) {
  return cr_interposed() ? cr_real_gethook(L) : lua_gethook(L);
}

static inline int cr_raw_gethookcount(lua_State *L) {
  return cr_interposed() ? cr_real_gethookcount(L) : lua_gethookcount(L);
}

#endif
