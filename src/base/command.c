/* Commands for the shell. See command.h. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "waitfd.h"
#include "undo.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum { SIGNALLED = 128 /* a shell's status for signal n is this + n */ };

/* ---- commands that nobody waits for any more ---- */

struct stray {
  pid_t pid;
  struct stray *next;
};
static struct stray *_Atomic strays;

static void add_stray(struct stray *s) {
  s->next = atomic_load(&strays);
  while (!atomic_compare_exchange_weak(&strays, &s->next, s)) {
  }
}

void cr_command_abandon(pid_t pid) {
  struct stray *s = malloc(sizeof *s);
  if (s == NULL) return;
  s->pid = pid;
  add_stray(s);
}

/* Reaps those that have ended. */
static void tidy(void) {
  struct stray *s = atomic_exchange(&strays, NULL);
  while (s != NULL) {
    struct stray *next = s->next;
    if (waitpid(s->pid, NULL, WNOHANG) == 0)
      add_stray(s);
    else
      free(s);
    s = next;
  }
}

/* ---- starting ---- */

extern char **environ;

static int spawn(const char *text, posix_spawn_file_actions_t *files,
                 pid_t *pid) {
  char sh[] = "sh", option[] = "-c";
  /* posix_spawn does not change them. */
  char *const argv[] = {sh, option, (char *)(uintptr_t)text, NULL};
  posix_spawnattr_t attributes;
  sigset_t none;
  int err = posix_spawnattr_init(&attributes);
  if (err != 0) return err;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  err = posix_spawn(pid, "/bin/sh", files, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  return err;
}

/* The child's end may have the number it is to have there already: dup2 would
** leave it close-on-exec. posix_spawn's adddup2 takes care of that. */
static int spawn_piped(const char *text, int pipe_end, pid_t *pid, int theirs) {
  posix_spawn_file_actions_t files;
  int err = posix_spawn_file_actions_init(&files);
  if (err != 0) return err;
  err = posix_spawn_file_actions_adddup2(&files, theirs, pipe_end);
  if (err == 0) err = spawn(text, &files, pid);
  posix_spawn_file_actions_destroy(&files);
  return err;
}

int cr_command_start(const char *text, int pipe_end, pid_t *pid, int *fd) {
  int ends[2];
  tidy();
  if (pipe_end < 0) return spawn(text, NULL, pid);
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  int theirs = ends[pipe_end == 0 ? 0 : 1];
  *fd = ends[pipe_end == 0 ? 1 : 0];
  int err = spawn_piped(text, pipe_end, pid, theirs);
  close(theirs);
  if (err != 0) close(*fd);
  return err;
}

/* ---- waiting ---- */

/* Without pidfd: the kernel waits, and an interrupt comes afterwards. */
static int wait_blind(pid_t pid, int *status) {
  const struct cr_sleep_hook *hook = cr_sleep_hook;
  int err = hook != NULL ? hook->before(CR_FOREVER - 1) : 0;
  if (err != 0) return err;
  while (waitpid(pid, status, 0) < 0 && err == 0)
    if (errno != EINTR) err = errno;
  int pending = hook != NULL ? hook->after() : 0;
  return pending != 0 ? pending : err;
}

struct wait {
  pid_t pid;
  int fd; /* a pidfd */
};

/* A thread whose interpreter is closed meanwhile ends in its wait. */
static void give_up(void *wait) {
  const struct wait *w = wait;
  if (w->fd >= 0) close(w->fd);
  cr_command_abandon(w->pid);
}

static int wait_for(struct wait *w, int *status) {
  if (w->fd < 0) return wait_blind(w->pid, status);
  int err = 0;
  /* Not CR_FOREVER: a command does not wait for a thread of ours. */
  while (err == 0 && !cr_fd_ready(w->fd, POLLIN))
    err = cr_wait_fd(w->fd, POLLIN, CR_FOREVER - 1);
  while (err == 0 && waitpid(w->pid, status, 0) < 0)
    if (errno != EINTR) err = errno;
  return err;
}

int cr_command_wait(pid_t pid, int *status) {
  struct wait w = {pid, (int)syscall(SYS_pidfd_open, pid, 0)};
  int err;
  struct cr_undo undo;
  cr_undo_push(&undo, give_up, &w);
  err = wait_for(&w, status);
  cr_undo_pop();
  if (w.fd >= 0) close(w.fd);
  if (err != 0 && err != ECHILD) cr_command_abandon(pid);
  return err;
}

/* ---- the terminal's signals ---- */

static volatile sig_atomic_t interrupted;

static void note_signal(int sig) {
  if (sig == SIGINT) interrupted = 1;
}

void cr_foreground_begin(struct cr_foreground *s) {
  s->active = syscall(SYS_gettid) == getpid();
  if (!s->active) return;
  /* A handler, not SIG_IGN, which the command would inherit. */
  struct sigaction note = {.sa_handler = note_signal};
  interrupted = 0;
  sigaction(SIGINT, NULL, &s->interrupt);
  sigaction(SIGQUIT, NULL, &s->quit);
  if (s->interrupt.sa_handler != SIG_IGN) sigaction(SIGINT, &note, NULL);
  /* One that handles it goes on. */
  if (s->quit.sa_handler == SIG_DFL) sigaction(SIGQUIT, &note, NULL);
}

static bool died_of_interrupt(int status) {
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGINT;
  return WIFEXITED(status) && WEXITSTATUS(status) == SIGNALLED + SIGINT;
}

void cr_foreground_end(struct cr_foreground *s, int status) {
  if (!s->active) return;
  sigaction(SIGINT, &s->interrupt, NULL);
  sigaction(SIGQUIT, &s->quit, NULL);
  if (!interrupted || !died_of_interrupt(status)) return;
  if (s->interrupt.sa_handler != SIG_DFL && s->interrupt.sa_handler != SIG_IGN)
    raise(SIGINT);
}
