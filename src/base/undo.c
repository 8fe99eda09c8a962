/* Undoing what a thread leaves behind. See undo.h. */
#include "undo.h"

#include <stddef.h>

static _Thread_local struct cr_undo *last;

void cr_undo_push(struct cr_undo *u, void (*undo)(void *what), void *what) {
  *u = (struct cr_undo){undo, what, last};
  last = u;
}

void cr_undo_pop(void) {
  last = last->outer;
}

void cr_undo_all(void) {
  for (; last != NULL; last = last->outer) last->undo(last->what);
}
