/* What a Lua state keeps for sending and receiving: one table in its registry,
** with the fields below. The encoder must not allocate in Lua (that may run
** finalizers, hence Lua code, in the middle of a message), so the strings that
** it looks up lie here ready made.
*/
#ifndef CR_SENDENV_H
#define CR_SENDENV_H

#include <lua.h>

enum cr_env {
  CR_ENV_INDEX = 1, /* "__index" */
  CR_ENV_NAME,      /* "__name" */
  CR_ENV_TRANSFER,  /* "__transfer" */
  CR_ENV_LOADED,    /* package.loaded */
  CR_ENV_NAMES,     /* names.c: value -> its name (weak) */
  CR_ENV_NAMED,     /* names.c: the addresses of the tables among them */
  CR_ENV_MODULES,   /* names.c: fingerprints of their time */
  CR_ENV_GLOBALS,
  CR_ENV_IDS,   /* classes.c: class -> number (weak) */
  CR_ENV_BY_ID, /* classes.c: number -> class (weak) */
  CR_ENV_LOST,  /* classes.c: number -> true: not here */
  CR_ENV_DUMPS, /* encode: function -> dump (weak) */
  CR_ENV_THREAD /* coroutine for cr_env_call */
};

/* Pushes the table. Never raises. */
void cr_env_push(lua_State *L);

/* Calls f with the n arguments on top of the stack, in the middle of encoding:
** protected, with the collector stopped, and on a coroutine of its own, whose
** calls no debug hook sees. No results. `env` is the table's stack index.
** Returns a lua_pcall status, with the error message pushed when it is not
** LUA_OK. */
int cr_env_call(lua_State *L, int env, lua_CFunction f, int n);

#endif
