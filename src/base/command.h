/* Commands for the shell: starting one, and waiting for its end.
**
** The child comes from posix_spawn, not fork: it is no process of the arena.
*/
#ifndef CR_COMMAND_H
#define CR_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Starts `sh -c text`. With `pipe_end` 0 or 1 that file of the command is a pipe
** and *fd our end of it (close-on-exec); -1: none. Returns 0 or an errno value. */
int cr_command_start(const char *text, int pipe_end, pid_t *pid, int *fd);

/* Waits for its end, letting the other threads run; *status is as waitpid's.
** Returns 0, EINTR when the hook of cr_wait_fd says so, or an errno value. After
** any error the command is on its own: its status is thrown away when it ends. */
int cr_command_wait(pid_t pid, int *status);
void cr_command_abandon(pid_t pid);

/* The terminal's signals belong to a command that is waited for as a whole: from
** `begin` to `end` a Ctrl-C does nothing here. If the command died of one that
** came here, too, `end` passes it on to us, as shells do. For the thread that
** these signals go to; does nothing in others. */
struct cr_foreground {
  bool active;
  struct sigaction interrupt, quit; /* what was set before */
};
void cr_foreground_begin(struct cr_foreground *s);
void cr_foreground_end(struct cr_foreground *s, int status);

#endif
