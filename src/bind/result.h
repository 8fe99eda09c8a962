/* What a child's function returned or raised, on its way to the parent.
**
** The parent makes the cell and holds it, so that it outlives the child; the
** child inherits that hold.
*/
#ifndef CR_RESULT_H
#define CR_RESULT_H

#include <lua.h>

#include "cell.h"

/* All-zero: closed. */
struct cr_result {
  struct cr_cell *cell; /* NULL: closed */
  uint32_t handle;
};

/* Raises "shared memory exhausted". */
void cr_result_open(lua_State *L, struct cr_result *r);
void cr_result_close(struct cr_result *r);

/* In the child: leaves the n values from stack index `first` on; what cannot be
** sent is replaced by an error that says so. */
void cr_result_leave(lua_State *L, struct cr_result *r, enum cr_cell_kind kind,
                     int first, int n);
/* In the parent, of a reaped child that left a message: pushes a list of the
** values with their number in n; returns their kind (an error also when they
** cannot be rebuilt here). Raises when memory runs out or an interrupt comes,
** and can then be tried again. Other threads may do the same, or close it, meanwhile. */
enum cr_cell_kind cr_result_fetch(lua_State *L, const struct cr_result *r);

/* Pushes an error value as a text, as the standard interpreter prints it. */
void cr_result_error_text(lua_State *L, int index);

#endif
