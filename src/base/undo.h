/* What a thread has begun and must undo when its wait never comes back: a thread
** whose Lua state goes meanwhile leaves its stack as it is (see gil.c). */
#ifndef CR_UNDO_H
#define CR_UNDO_H

/* Lies on the thread's stack while it waits. */
struct cr_undo {
  void (*undo)(void *what);
  void *what;
  struct cr_undo *outer;
};

void cr_undo_push(struct cr_undo *u, void (*undo)(void *what), void *what);
/* Takes the last one off: there is nothing to undo any more. */
void cr_undo_pop(void);
/* The calling thread leaves: undoes all, the last one first. */
void cr_undo_all(void);

#endif
