/* Lifeline. See lifeline.h. */
#include "lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Held around every fork: no child has a writing end that it does not know. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* One end of a pipe. Which file it is, since the program may close descriptors
** that it does not know and use the number anew. fd -1: not open. */
struct end {
  int fd;
  dev_t device;
  ino_t inode;
};

/* Of this process. */
static struct end reading = {.fd = -1}; /* to its daemons; under mutex */
static struct end writing = {.fd = -1};
static struct end held = {.fd = -1}; /* a daemon's own */
static pid_t parent;
static _Thread_local bool wanted; /* the child being forked is a daemon */

static void set_end(struct end *e, int fd) {
  struct stat s;
  e->fd = fd;
  if (fd < 0 || fstat(fd, &s) != 0) return;
  e->device = s.st_dev;
  e->inode = s.st_ino;
}

static bool is_open(const struct end *e) {
  struct stat s;
  return e->fd >= 0 && fstat(e->fd, &s) == 0 && s.st_dev == e->device &&
         s.st_ino == e->inode;
}

static void close_end(struct end *e) {
  if (is_open(e)) close(e->fd);
  e->fd = -1;
}

/* In the child of every fork: its parent's ends are not its own. A writing end
** left open here would keep the parent's daemons alive. */
static void in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  close_end(&writing);
  close_end(&held);
  if (!wanted) close_end(&reading);
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
  set_end(&reading, above_stdio(fd[0]));
  set_end(&writing, above_stdio(fd[1]));
  if (reading.fd >= 0 && writing.fd >= 0) return 0;
  int err = errno;
  close_end(&reading);
  close_end(&writing);
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
  int err = is_open(&reading) && is_open(&writing) ? 0 : make_pipe();
  pthread_mutex_unlock(&mutex);
  return err;
}

/* The reading end as an open file of our own: its owner and its signal are not
** shared with the other daemons. */
static bool watch(int fd) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  set_end(&held, fd);
  return fd >= 0 && fcntl(fd, F_SETOWN, getpid()) == 0 &&
         fcntl(fd, F_SETSIG, SIGKILL) == 0 &&
         fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) == 0;
}

static bool parent_gone(bool watching) {
  char c;
  return watching ? read(held.fd, &c, 1) == 0 : getppid() != parent;
}

void cr_lifeline_hold(void) {
  bool watching = watch(reading.fd);
  wanted = false;
  close_end(&reading);
  /* Without /proc: at least the death of the thread that forked us. */
  if (!watching) prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (parent_gone(watching)) raise(SIGKILL);
}
