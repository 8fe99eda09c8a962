/* A crew of processes at work, killed at random and replaced: what the torture
** programs have in common, with a watchdog that says who stands where when
** nothing moves any more.
*/
#ifndef CREW_H
#define CREW_H

#include "child.h"
#include "tap.h"

enum {
  CREW_MAX = 16,
  CREW_PATIENCE = 15, /* seconds without progress: wedged */
  CREW_PAUSE = 1500   /* microseconds between kills, at most */
};

struct crew_shared {
  cr_word stop;              /* workers end when they see it */
  cr_word64 progress;        /* counts what has been done */
  cr_word errors;            /* what workers found wrong */
  cr_word in_call[CREW_MAX]; /* inside of what may lose something */
};

struct worker {
  struct child child;
  void (*body)(int);
  int group;
};

static struct crew_shared *crew;
static struct worker workers[CREW_MAX];
static int worker_count;
static uint32_t crew_kills, crew_kills_in_call; /* of one run */
static uint32_t crew_all_kills;
static uint32_t crew_seed = 2463534242u;
static char crew_error[200]; /* set by the parent: why it failed */

static inline uint32_t crew_random(void) {
  crew_seed ^= crew_seed << 13;
  crew_seed ^= crew_seed >> 17;
  crew_seed ^= crew_seed << 5;
  return crew_seed;
}

static inline void crew_progress(void) {
  atomic_fetch_add_explicit(&crew->progress, 1, memory_order_relaxed);
}

static inline bool crew_stopped(void) {
  return atomic_load_explicit(&crew->stop, memory_order_relaxed) != 0;
}

/* A worker has seen what must not be. */
static inline void crew_fault(const char *what) {
  if (atomic_fetch_add(&crew->errors, 1) < 5) {
    printf("# %s\n", what);
    fflush(stdout);
  }
}

__attribute__((format(printf, 1, 2))) static inline void
crew_fail(const char *what, ...) {
  va_list ap;
  if (crew_error[0] != '\0') return;
  va_start(ap, what);
  vsnprintf(crew_error, sizeof crew_error, what, ap);
  va_end(ap);
  printf("# %s\n", crew_error);
  fflush(stdout);
}

static inline void crew_start(int i) {
  crew_random();
  atomic_store(&crew->in_call[i], 0);
  child_start(&workers[i].child, workers[i].body, i);
}

static inline void crew_open(void) {
  if (crew == NULL) crew = child_share(sizeof *crew);
  memset(crew, 0, sizeof *crew);
  worker_count = 0;
  crew_kills = crew_kills_in_call = 0;
  crew_error[0] = '\0';
}

static inline void crew_add(int n, int group, void (*body)(int)) {
  while (n-- > 0) {
    workers[worker_count].body = body;
    workers[worker_count].group = group;
    crew_start(worker_count++);
  }
}

/* Where everybody stands. */
static inline void crew_diagnose(void) {
  char command[160];
  for (int i = 0; i < worker_count; i++) {
    pid_t p = workers[i].child.pid;
    if (p == 0) continue;
    printf("# worker %d (group %d, pid %d, state %c, slot %u)\n", i,
           workers[i].group, (int)p, child_state(p),
           workers[i].child.birth.slot->index);
    fflush(stdout);
    snprintf(command, sizeof command,
             "gdb -p %d -batch -ex 'bt 8' 2>/dev/null | sed -n 's/^#/# #/p'",
             (int)p);
    if (system(command) != 0) continue;
  }
}

/* Most of the dead are reaped at once, some only when a few have come together.
** Whoever started a child must reap it sooner or later: of one that was killed
** before it entered its slot nobody else can know that it is dead. */
static struct child crew_dead[8];
static int crew_dead_count;

static inline void crew_reap_dead(void) {
  while (crew_dead_count > 0) child_reap(&crew_dead[--crew_dead_count]);
}

static inline void crew_bury(const struct child *c) {
  if (crew_random() % 4 != 0) {
    child_reap(c);
    return;
  }
  crew_dead[crew_dead_count++] = *c;
  if (crew_dead_count == 8) crew_reap_dead();
}

/* Worker i ends by SIGKILL; what it held is reaped, now or later. */
static inline void crew_kill(int i) {
  struct worker *w = &workers[i];
  child_kill(&w->child);
  if (WIFEXITED(w->child.status)) {
    if (WEXITSTATUS(w->child.status) != 0)
      crew_fail("worker %d left with status %d", i,
                WEXITSTATUS(w->child.status));
  } else {
    crew_kills++;
    crew_all_kills++;
    if (atomic_load(&crew->in_call[i]) != 0) crew_kills_in_call++;
  }
  crew_bury(&w->child);
}

/* Has there been progress lately? */
static inline bool crew_moves(void) {
  static uint64_t last;
  static int64_t since;
  uint64_t now = atomic_load(&crew->progress);
  if (now != last || since == 0) {
    last = now;
    since = cr_now();
    return true;
  }
  if (cr_now() - since < CREW_PATIENCE * INT64_C(1000000000)) return true;
  since = 0;
  return false;
}

/* Kills and replaces workers of these groups (a bit each) for some seconds. */
static inline void crew_torture(double seconds, unsigned groups) {
  int64_t until = cr_deadline(seconds);
  while (cr_now() < until && crew_error[0] == '\0') {
    child_rest((int)(crew_random() % CREW_PAUSE));
    int i = (int)(crew_random() % (uint32_t)worker_count);
    if (groups & 1u << workers[i].group) {
      crew_kill(i);
      crew_start(i);
    }
    if (crew_moves()) continue;
    crew_fail("wedged: nothing has moved for %d s", CREW_PATIENCE);
    crew_diagnose();
  }
  crew_reap_dead();
}

/* Those of a group must end by themselves. */
static inline void crew_join(int group) {
  for (int i = 0; i < worker_count; i++) {
    struct child *c = &workers[i].child;
    if (workers[i].group != group || c->pid == 0) continue;
    if (crew_error[0] == '\0' && !child_ends(c, CREW_PATIENCE)) {
      crew_fail("worker %d does not end", i);
      crew_diagnose();
    }
    if (c->pid == 0 && c->status != 0)
      crew_fail("worker %d ended with status %x", i, c->status);
    child_kill(c);
    child_reap(c);
  }
}

static inline void crew_kill_all(void) {
  for (int i = 0; i < worker_count; i++) {
    child_kill(&workers[i].child);
    child_reap(&workers[i].child);
  }
  cr_reap_all();
}

#endif
