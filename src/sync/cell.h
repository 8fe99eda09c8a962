/* Cell: where a child leaves what its function returned or raised.
**
** Written once by the child, read by its parent after the child was reaped:
** the reaper has then finished what the child began, so a cell needs no lock.
*/
#ifndef CR_CELL_H
#define CR_CELL_H

#include "message.h"

struct cr_cell;

enum cr_cell_kind {
  CR_CELL_EMPTY,  /* the child never came to its end */
  CR_CELL_VALUES, /* returned; without a message: nothing */
  CR_CELL_ERROR,
  CR_CELL_NO_MEMORY /* there was no room for the message */
};

/* A new cell in limbo; NULL when shared memory is exhausted. */
struct cr_cell *cr_cell_new(void);
/* Leaves a message in limbo (or NULL), which then belongs to the cell. */
void cr_cell_put(struct cr_cell *c, enum cr_cell_kind kind,
                 struct cr_message *m);
/* By the parent, once the child is reaped. */
enum cr_cell_kind cr_cell_kind(const struct cr_cell *c);
/* NULL when there is none. It stays the cell's. */
struct cr_message *cr_cell_message(struct cr_cell *c);

#endif
