/* Weak tables, and tables that the registry keeps. Both functions raise. */
#ifndef CR_REGISTRY_H
#define CR_REGISTRY_H

#include <lua.h>

/* Pushes a new table with that __mode: "k", "v", or "" (nothing in it is weak). */
void cr_new_weak(lua_State *L, const char *mode);
/* Pushes the table that the registry has under the key, made at first use with
** that __mode. */
void cr_push_table(lua_State *L, const void *key, const char *mode);

#endif
