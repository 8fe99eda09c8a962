/* Lifeline: daemons end with their parent, however it ends.
**
** The parent keeps the writing end of a pipe that no other process has. Each
** daemon opens the reading end anew and asks the kernel for SIGKILL when the
** last writer is gone. Unlike PR_SET_PDEATHSIG this looks at the process, not
** at the thread that forked.
*/
#ifndef CR_LIFELINE_H
#define CR_LIFELINE_H

#include <stdbool.h>

/* In the parent, before it forks: will the child be a daemon? Returns 0 or an
** errno value (always 0 for false). */
int cr_lifeline_prepare(bool daemon);
/* In the daemon: ends it at once if its parent is gone already. */
void cr_lifeline_hold(void);

#endif
