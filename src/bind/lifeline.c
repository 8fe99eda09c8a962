/* Lifeline. See lifeline.h. */
#include "lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Held around every fork: no child has a writing end that it does not know. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Of this process; -1: not open. */
static int reading = -1, writing = -1; /* to its daemons; under mutex */
static int held = -1;                  /* a daemon's own */
static pid_t parent;
static _Thread_local bool wanted; /* the child being forked is a daemon */

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* In the child of every fork: its parent's ends are not its own. A writing end
** left open here would keep the parent's daemons alive. */
static void in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  close_fd(&writing);
  close_fd(&held);
  if (!wanted) close_fd(&reading);
}

static void in_parent(void) {
  pthread_mutex_unlock(&mutex);
  wanted = false;
}

static void before(void) {
  pthread_mutex_lock(&mutex);
}

/* Keeps clear of 0 to 2 where the process was started without them. */
static int above_stdio(int fd) {
  if (fd > 2) return fd;
  int n = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return n;
}

static int make_pipe(void) {
  int fd[2];
  if (pipe2(fd, O_CLOEXEC) != 0) return errno;
  reading = above_stdio(fd[0]);
  writing = above_stdio(fd[1]);
  if (reading >= 0 && writing >= 0) return 0;
  int err = errno;
  close_fd(&reading);
  close_fd(&writing);
  return err;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void) {
  pthread_atfork(before, in_parent, in_child);
}

int cr_lifeline_prepare(bool daemon) {
  wanted = daemon;
  if (!daemon) return 0;
  pthread_once(&once, install);
  pthread_mutex_lock(&mutex);
  parent = getpid();
  int err = writing < 0 ? make_pipe() : 0;
  pthread_mutex_unlock(&mutex);
  return err;
}

/* The reading end as an open file of our own: its owner and its signal are not
** shared with the other daemons. */
static bool watch(int fd) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  held = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return held >= 0 && fcntl(held, F_SETOWN, getpid()) == 0 &&
         fcntl(held, F_SETSIG, SIGKILL) == 0 &&
         fcntl(held, F_SETFL, O_ASYNC | O_NONBLOCK) == 0;
}

static bool parent_gone(bool watching) {
  char c;
  return watching ? read(held, &c, 1) == 0 : getppid() != parent;
}

void cr_lifeline_hold(void) {
  bool watching = watch(reading);
  wanted = false;
  close_fd(&reading);
  /* Without /proc: at least the death of the thread that forked us. */
  if (!watching) prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (parent_gone(watching)) raise(SIGKILL);
}
