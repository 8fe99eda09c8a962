/* What the report of a deadlock says of an object and of a wait. */
#ifndef CR_DESCRIBE_H
#define CR_DESCRIBE_H

#include <lua.h>

#include "deadlock.h"
#include "slot.h"

/* "x.lua:3", the line that runs (CR_SITE_MAX bytes at most): of the script
** rather than of our own Lua code; "" when no Lua code is running. Allocates
** nothing. */
void cr_where(lua_State *L, char *out);

/* What the C function that runs in L, the calling thread's or not, waits for:
** an object, as "an item of Queue x.lua:3"; CR_WHAT_MAX bytes at most. Returns
** whether that is a lock, which somebody holds. Allocates nothing. */
bool cr_what(lua_State *L, const struct cr_wait *waits, int n, char *out);

/* Notes in a new object where the running Lua code makes it. */
void cr_set_site(lua_State *L, struct cr_block *b);

/* Decides once what is done about deadlocks: what CLUARUN_DEADLOCK says, else
** `otherwise`. From then on waits are described. */
void cr_deadlock_open(enum cr_deadlock_mode otherwise);
/* The mode of that name ("off", "report", "raise"), or -1. */
int cr_deadlock_mode(const char *name);

#endif
