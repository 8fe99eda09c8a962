/* Which class table of this process is that of another one?
**
** A class table (a metatable, or a table with a raw __index) gets a number when
** it is first sent, which copies of it keep; a table never sent before the
** processes parted is known by its address and the epoch of its birth, which
** ended when they parted. (One that was born since needs none: whoever has it
** has its number, too.)
*/
#ifndef CR_CLASSES_H
#define CR_CLASSES_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

struct cr_class {
  uint64_t address;
  uint64_t number; /* never 0 */
  uint32_t epoch;  /* 0: unknown, or it lasts */
  uint32_t unused;
};

/* The identity of the table at stack index i; env as in names.h. Returns false
** and pushes a message when out of memory. Runs no Lua code. */
bool cr_class_of(lua_State *L, int env, int i, struct cr_class *out);

/* Pushes this process's table for a class, if it has one. Raises. */
bool cr_class_push(lua_State *L, const struct cr_class *c);

/* The table on top is this process's one for that class from now on. Raises. */
void cr_class_set(lua_State *L, const struct cr_class *c);

#endif
