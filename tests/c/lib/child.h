/* Child processes of a test: members of the arena that are started, watched
** while they sleep, killed and reaped one by one.
**
** Children end with the process that started them, so a test that is stopped
** leaves nothing behind.
*/
#ifndef CHILD_H
#define CHILD_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "slot.h"

struct child {
  pid_t pid; /* 0: there is none, or it has ended */
  struct cr_birth birth;
  int status; /* as waitpid gives it */
};

/* Zeroed memory that children share; not part of the arena. */
static inline void *child_share(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    perror("mmap");
    exit(99);
  }
  return p;
}

static inline void child_rest(int microseconds) {
  struct timespec t = {0, microseconds * 1000L};
  nanosleep(&t, NULL);
}

/* Forks a child that runs body(number) and ends. */
static inline void child_start(struct child *c, void (*body)(int), int number) {
  if (cr_before_fork() != 0) {
    printf("Bail out! no slot for a child\n");
    exit(99);
  }
  fflush(stdout);
  pid_t parent = getpid();
  c->pid = fork();
  if (c->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(98);
    body(number);
    _exit(0);
  }
  if (c->pid < 0) {
    printf("Bail out! fork: %s\n", strerror(errno));
    exit(99);
  }
  c->birth = cr_birth;
  cr_slot_set_pid(c->birth.slot, c->birth.incarnation, c->pid);
  cr_slot_set_pid(c->birth.slot, c->birth.incarnation, c->pid);
  c->status = 0;
}

/* Waits up to some seconds for its end, without reaping its slot. */
static inline bool child_ends(struct child *c, double seconds) {
  int64_t until = cr_deadline(seconds);
  for (int i = 0; c->pid != 0; i++) {
    if (waitpid(c->pid, &c->status, WNOHANG) == c->pid) {
      c->pid = 0;
      break;
    }
    if (cr_now() > until) return false;
    if (i < 2000)
      sched_yield();
    else
      child_rest(500);
  }
  return true;
}

/* Kills it, if it is there, and waits for its end; does not reap its slot. */
static inline void child_kill(struct child *c) {
  if (c->pid == 0) return;
  kill(c->pid, SIGKILL);
  waitpid(c->pid, &c->status, __WALL);
  c->pid = 0;
}

static inline void child_reap(const struct child *c) {
  cr_reap(c->birth.slot, c->birth.incarnation);
}

/* How the kernel sees it: 'R' runs, 'S' sleeps, 't' traced, 0 gone. */
static inline char child_state(pid_t pid) {
  char name[32], text[256];
  snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char *p = strrchr(text, ')');
  return p != NULL && p[1] == ' ' ? p[2] : 0;
}

/* Waits until it sleeps in the kernel (a futex: tests do nothing else). */
static inline bool child_sleeps(const struct child *c, double seconds) {
  int64_t until = cr_deadline(seconds);
  while (child_state(c->pid) != 'S') {
    if (cr_now() > until) return false;
    sched_yield();
  }
  return true;
}

#endif
