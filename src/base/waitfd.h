/* Waiting for a file descriptor: the one place that polls.
**
** What surrounds the wait is what surrounds every sleep (cr_sleep_hook): the
** layer above lets its other threads run and looks for interrupts there.
*/
#ifndef CR_WAITFD_H
#define CR_WAITFD_H

#include <poll.h>
#include <stddef.h>

#include "slot.h"

/* Could fd be read (POLLIN) or written (POLLOUT) now without blocking? Also true
** when it is at its end or broken, as always for a file on a disk. */
bool cr_fd_ready(int fd, short events);

/* Waits until it could, or until `deadline` (ns). Returns 0 (ready, or look
** again: after a wait that let others run, fd may be another file), ETIMEDOUT,
** or what the hook says (EINTR). Does not call the hook when fd is ready at
** once. */
int cr_wait_fd(int fd, short events, int64_t deadline);

/* Ends the wait of that thread of this process, if it is in one, now or as
** soon as it begins to sleep. Changes nothing else. */
void cr_poll_wake(const struct cr_slot *s);

/* write(2) of what may block although poll says that it will not: a terminal,
** more than a pipe takes at once. The others run meanwhile. Returns 0 or an
** errno value, EINTR only from the hook; *done is how much was written. */
int cr_write_unlocked(int fd, const char *bytes, size_t n, size_t *done);

#endif
