/* The signal that stops a thread which has run long enough. See gil.h. */
#ifndef CR_PREEMPT_H
#define CR_PREEMPT_H

#include "gil.h"

/* Installs the handler, once in a process. */
void cr_preempt_open(void);
/* Lets the signal come to the calling OS thread, which becomes one of a state's:
** a host may have blocked all that it does not know. */
void cr_preempt_admit(void);
/* Has the thread asked in `ns` to let others run; again and again until it has.
** When the system allows no timer more, only marks it as armed. Both under the
** mutex of its lock. */
void cr_preempt_arm(struct cr_thread *t, int64_t ns);
void cr_preempt_disarm(struct cr_thread *t);
/* Deletes its timer. */
void cr_preempt_forget(struct cr_thread *t);
/* Asks it at once; ends a system call in which it waits (EINTR). */
void cr_preempt_poke(struct cr_thread *t);

#endif
