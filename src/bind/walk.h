/* Finds a live table by its address, through Lua's interface only.
*/
#ifndef CR_WALK_H
#define CR_WALK_H

#include <stdbool.h>

#include <lua.h>

/* Pushes the table at `address` if it can be reached from the registry, from
** the stacks, or from what these hold; returns whether it did. Costs a walk
** over the heap. Raises when out of memory. */
bool cr_walk_find(lua_State *L, const void *address);

#endif
