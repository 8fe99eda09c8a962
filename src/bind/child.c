/* Children. See child.h. */
#include "child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadlock.h"
#include "lifeline.h"
#include "state.h"

enum { STATUS_LOST = 255 << 8 }; /* somebody else took the status */

static cr_word rings;         /* SIGCHLDs of this process */
static struct sigaction host; /* the handler before ours */
static bool forked;           /* is this process a child made here? */

bool cr_forked(void) {
  return forked;
}

/* ---- SIGCHLD and exit, installed before a fork ---- */

/* The program's own may call this one again, if it was installed later. */
static void on_child(int signal, siginfo_t *info, void *context) {
  static _Thread_local bool inside;
  int saved = errno;
  cr_ring(&rings);
  if (!inside) {
    inside = true;
    if (host.sa_flags & SA_SIGINFO)
      host.sa_sigaction(signal, info, context);
    else if (host.sa_handler != SIG_DFL && host.sa_handler != SIG_IGN)
      host.sa_handler(signal);
    inside = false;
  }
  errno = saved;
}

/* exit() in a child, whoever calls it, runs none of its parent's handlers:
** this one was registered last, so it is the first. */
static void on_leaving(int status, void *unused) {
  (void)unused;
  cr_end_orderly();
  if (cr_forked()) cr_leave(status);
}

static bool is_ours(const struct sigaction *a) {
  return (a->sa_flags & SA_SIGINFO) && a->sa_sigaction == on_child;
}

static void handle_children(void) {
  struct sigaction now, ours = {.sa_sigaction = on_child};
  sigaction(SIGCHLD, NULL, &now);
  if (is_ours(&now)) return;
  host = now;
  bool handled = (host.sa_flags & SA_SIGINFO) ||
                 (host.sa_handler != SIG_DFL && host.sa_handler != SIG_IGN);
  int flags = SA_NOCLDSTOP;
  if (handled) {
    flags = host.sa_flags & (SA_NOCLDSTOP | SA_ONSTACK);
    ours.sa_mask = host.sa_mask;
  }
  ours.sa_flags = SA_SIGINFO | SA_RESTART | flags;
  sigaction(SIGCHLD, &ours, NULL);
}

static void install_exit(void) {
  on_exit(on_leaving, NULL);
}

/* Before each fork: the program may have set a handler of its own since, or
** this thread may not let the signal in. */
static void install(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  sigset_t child;
  pthread_once(&once, install_exit);
  if (pthread_mutex_trylock(&mutex) == 0) { /* else another is just at it */
    handle_children();
    pthread_mutex_unlock(&mutex);
  }
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  pthread_sigmask(SIG_UNBLOCK, &child, NULL);
}

/* ---- the family ---- */

bool cr_family_foreign(const struct cr_family *f) {
  return f->owner != cr_self->leader_incarnation;
}

struct cr_child *cr_family_adopt(struct cr_family *f) {
  struct cr_child *me = f->born;
  *f = (struct cr_family){.owner = cr_self->leader_incarnation};
  if (me == NULL) return NULL;
  me->pid = getpid();
  me->slot = cr_slot_at(cr_self->leader);
  me->incarnation = f->owner;
  return me;
}

static void link_child(struct cr_family *f, struct cr_child *c) {
  c->next = NULL;
  c->previous = f->last;
  *(f->last != NULL ? &f->last->next : &f->first) = c;
  f->last = c;
}

static void unlink_child(struct cr_family *f, struct cr_child *c) {
  *(c->previous != NULL ? &c->previous->next : &f->first) = c->next;
  *(c->next != NULL ? &c->next->previous : &f->last) = c->previous;
}

/* ---- fork ---- */

void cr_child_name(struct cr_slot *s, const char *name) {
  cr_slot_copy_name(s->process_name, name);
}

static int fork_child(struct cr_child *c, pid_t *pid) {
  int err = cr_before_fork();
  if (err != 0) return err;
  struct cr_birth birth = cr_birth;
  if (c->name != NULL) cr_child_name(birth.slot, c->name);
  *pid = fork();
  if (*pid < 0) {
    err = errno;
    cr_reap(birth.slot, birth.incarnation);
    return err;
  }
  if (*pid == 0) return 0;
  cr_slot_set_pid(birth.slot, birth.incarnation, *pid);
  c->slot = birth.slot;
  c->incarnation = birth.incarnation;
  c->pid = *pid;
  return 0;
}

int cr_child_fork(struct cr_family *f, struct cr_child *c, pid_t *pid) {
  install();
  cr_output_shared();
  fflush(NULL);
  int err = cr_lifeline_prepare(c->daemon);
  if (err != 0) return err;
  f->born = c;
  err = fork_child(c, pid);
  if (err == 0 && *pid == 0) {
    forked = true;
    if (c->daemon) cr_lifeline_hold();
    return 0;
  }
  f->born = NULL;
  if (err == 0) link_child(f, c);
  return err;
}

/* ---- waiting ---- */

static void reaped(struct cr_family *f, struct cr_child *c, int status) {
  c->status = status;
  c->reaped = true;
  unlink_child(f, c);
  cr_reap(c->slot, c->incarnation);
}

bool cr_child_ended(struct cr_family *f, struct cr_child *c) {
  if (c->reaped) return true;
  int status;
  pid_t pid;
  do pid = waitpid(c->pid, &status, WNOHANG);
  while (pid < 0 && errno == EINTR);
  if (pid == 0) return false;
  c->taken = pid < 0;
  reaped(f, c, c->taken ? STATUS_LOST : status);
  return true;
}

static struct cr_wait ring(void) {
  return (struct cr_wait){&rings, atomic_load(&rings)};
}

static struct cr_wait life(const struct cr_child *c) {
  return cr_wait_life(&c->slot->life.word, c->incarnation);
}

bool cr_child_ready(struct cr_family *f, struct cr_child *c,
                    struct cr_wait wait[CR_CHILD_WAITS]) {
  wait[0] = ring();
  bool ended = cr_child_ended(f, c);
  wait[1] = life(c);
  return ended;
}

int cr_child_wait(struct cr_family *f, struct cr_child *c, int64_t deadline) {
  struct cr_wait wait[CR_CHILD_WAITS];
  int err = 0;
  while (!cr_child_ready(f, c, wait)) {
    if (err != 0) return err;
    err = deadline == 0 ? ETIMEDOUT : cr_sleep(wait, CR_CHILD_WAITS, deadline);
    if (err == EINTR) return err;
  }
  return 0;
}

/* A raw child that has ended, reaped; or NULL, and the lives of the raw ones:
** `max` at most, the first of them from wait[1] on. */
static struct cr_child *find_ended(struct cr_family *f, struct cr_wait *wait,
                                   int *n, int max) {
  struct cr_child *next;
  *n = 1;
  for (struct cr_child *c = f->first; c != NULL; c = next) {
    next = c->next;
    if (!c->raw) continue;
    if (cr_child_ended(f, c)) return c;
    if (*n < max) wait[(*n)++] = life(c);
  }
  return NULL;
}

int cr_child_wait_any(struct cr_family *f, int64_t deadline,
                      struct cr_child **found) {
  int err = 0;
  for (;;) {
    /* One more than can be noted, so that too many count as able to end. */
    struct cr_wait wait[CR_UNTIMED_MAX + 1] = {ring()};
    int n;
    *found = find_ended(f, wait, &n, CR_UNTIMED_MAX + 1);
    if (*found != NULL || n == 1) return 0;
    if (err != 0) return err;
    err = deadline == 0 ? ETIMEDOUT : cr_sleep(wait, n, deadline);
    if (err == EINTR) return err;
  }
}

uint32_t cr_child_rings(struct cr_wait *wait) {
  uint32_t now = atomic_load(&rings);
  if (wait != NULL) *wait = (struct cr_wait){&rings, now};
  return now;
}

int cr_family_reap(struct cr_family *f) {
  uint32_t now = atomic_load(&rings);
  if (now == f->seen) return 0;
  int n = 0;
  struct cr_child *next;
  for (struct cr_child *c = f->first; c != NULL; c = next) {
    next = c->next;
    if (!c->raw) n += cr_child_ended(f, c);
  }
  f->seen = now;
  return n;
}

int cr_child_exitcode(const struct cr_child *c) {
  return WIFSIGNALED(c->status) ? -WTERMSIG(c->status) : WEXITSTATUS(c->status);
}
