/* Barrier: rounds, indices, breaking, and deaths. */
#include <math.h>

#include "lib/tap.h"
#include "lib/brink.h"
#include "lib/child.h"
#include "synch.h"

enum { PARTIES = 3, ROUNDS = 3000 };

static struct cr_barrier *b;
static uint32_t handle;
static struct {
  cr_word seen[ROUNDS]; /* bit i: somebody had the index i + 1 */
  cr_word broken, acted, faults;
} * shared;

static void make(uint32_t parties, bool action) {
  memset(shared, 0, sizeof *shared);
  b = cr_barrier_new(parties, action, INFINITY, NULL);
  if (b == NULL || cr_handle_new((struct cr_block *)b, &handle) != 0) exit(99);
}

static void drop(void) {
  cr_handle_drop(handle);
}

static void alone(void) {
  uint32_t index = 0;
  make(1, false);
  is(cr_barrier_parties(b), 1, "parties");
  is(cr_barrier_wait(b, 0, &index), 0, "one party passes");
  is(index, 1, "with index 1");
  drop();
  make(2, false);
  is(cr_barrier_wait(b, cr_deadline(0.01), &index), ETIMEDOUT, "time-out");
  ok(cr_barrier_broken(b), "breaks it");
  is(cr_barrier_waiting(b), 0, "nobody waits");
  is(cr_barrier_wait(b, CR_FOREVER, &index), EPIPE, "it stays broken");
  cr_barrier_reset(b);
  ok(!cr_barrier_broken(b), "until it is reset");
  cr_barrier_abort(b);
  ok(cr_barrier_broken(b), "abort");
  drop();
  make(1, true);
  is(cr_barrier_wait(b, 0, &index), EALREADY, "the last is to act");
  is(cr_barrier_waiting(b), 1, "and counts");
  is(cr_barrier_open(b), 0, "and opens");
  is(cr_barrier_wait(b, 0, &index), EALREADY, "the same again");
  cr_barrier_abort(b);
  ok(cr_barrier_broken(b), "its failure breaks the barrier");
  is(cr_barrier_open(b), EPIPE, "then it cannot be opened");
  drop();
}

static void meet(int rounds) {
  for (int i = 0; i < rounds; i++) {
    uint32_t index = 0;
    int err = cr_barrier_wait(b, CR_FOREVER, &index);
    if (err == EALREADY) {
      atomic_fetch_add(&shared->acted, 1);
      err = cr_barrier_open(b);
    }
    if (err != 0) _exit(err);
    atomic_fetch_or(&shared->seen[i], 1u << (index - 1));
  }
}

static void rounds(bool action) {
  struct child c[PARTIES];
  int complete = 0;
  make(PARTIES, action);
  for (int i = 0; i < PARTIES; i++) child_start(&c[i], meet, ROUNDS);
  for (int i = 0; i < PARTIES; i++) {
    ok(child_ends(&c[i], 60) && c[i].status == 0, "child %d ends well", i);
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  for (int i = 0; i < ROUNDS; i++)
    complete += atomic_load(&shared->seen[i]) == (1u << PARTIES) - 1;
  is(complete, ROUNDS, "every index once in each round");
  is(atomic_load(&shared->acted), action ? ROUNDS : 0, "one acts in each");
  drop();
}

static void wait_once(int unused) {
  uint32_t index;
  (void)unused;
  _exit(cr_barrier_wait(b, CR_FOREVER, &index));
}

static void gather(struct child *c, int n) {
  for (int i = 0; i < n; i++) child_start(&c[i], wait_once, i);
  int64_t until = cr_deadline(20);
  while (cr_barrier_waiting(b) < (uint32_t)n && cr_now() < until) sched_yield();
}

static void all_end_with(struct child *c, int n, int status, const char *how) {
  int good = 0;
  for (int i = 0; i < n; i++) {
    good += child_ends(&c[i], 20) && WIFEXITED(c[i].status) &&
            WEXITSTATUS(c[i].status) == status;
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  is(good, n, how);
}

static void breaking(void) {
  struct child c[PARTIES];
  uint32_t index;
  make(PARTIES, false);
  gather(c, 2);
  is(cr_barrier_waiting(b), 2, "two wait");
  is(cr_barrier_wait(b, cr_deadline(0.01), &index), 0, "the third opens it");
  all_end_with(c, 2, 0, "for both");
  gather(c, 2);
  cr_barrier_abort(b);
  all_end_with(c, 2, EPIPE, "abort wakes them up");
  cr_barrier_reset(b);
  gather(c, 2);
  cr_barrier_reset(b);
  all_end_with(c, 2, EPIPE, "reset wakes them up");
  ok(!cr_barrier_broken(b), "and the barrier is new");
  gather(c, 2);
  child_kill(&c[0]);
  all_end_with(&c[1], 1, EPIPE, "a death breaks it");
  ok(cr_barrier_broken(b), "and it is broken");
  child_reap(&c[0]);
  cr_barrier_reset(b);
  gather(c, 1);
  child_kill(&c[0]);
  child_reap(&c[0]);
  ok(cr_barrier_broken(b), "broken by the death of the only one");
  cr_barrier_reset(b);
  gather(c, 1);
  child_kill(&c[0]);
  is(cr_barrier_wait(b, CR_FOREVER, &index), EPIPE, "seen when one comes");
  child_reap(&c[0]);
  drop();
}

/* The one that acts is killed, or somebody resets or aborts meanwhile. */
static void act_and_die(int unused) {
  uint32_t index;
  (void)unused;
  if (cr_barrier_wait(b, CR_FOREVER, &index) == EALREADY)
    kill(getpid(), SIGKILL);
}

static void acting(void) {
  struct child c[PARTIES];
  uint32_t index;
  make(PARTIES, true);
  gather(c, 2);
  child_start(&c[2], act_and_die, 0);
  all_end_with(c, 2, EPIPE, "the death of the one that acts breaks it");
  child_kill(&c[2]);
  child_reap(&c[2]);
  cr_barrier_reset(b);
  gather(c, 2);
  is(cr_barrier_wait(b, CR_FOREVER, &index), EALREADY, "works again");
  cr_barrier_reset(b);
  is(cr_barrier_open(b), EPIPE, "reset while it acts");
  all_end_with(c, 2, EPIPE, "tells the others");
  drop();
}

static void churn(int unused) {
  (void)unused;
  for (;;) {
    uint32_t index;
    int err = cr_barrier_wait(b, CR_FOREVER, &index);
    if (err == EALREADY) {
      if (atomic_fetch_add(&shared->acted, 1) != 0)
        atomic_fetch_add(&shared->faults, 1);
      atomic_store(&shared->acted, 0);
      err = cr_barrier_open(b);
    }
    if (err == EPIPE) {
      atomic_fetch_add(&shared->broken, 1);
      /* Not one that somebody else has just reset: they would do so to ours. */
      if (cr_barrier_broken(b)) cr_barrier_reset(b);
      atomic_store(&shared->acted, 0);
    } else {
      atomic_fetch_add(&shared->seen[0], 1);
    }
  }
}

static void kills(bool action) {
  struct child c[PARTIES];
  bool stuck = false;
  int dead = 0;
  make(PARTIES, action);
  for (int i = 0; i < PARTIES; i++) child_start(&c[i], churn, i);
  for (; dead < 100 && !stuck; dead++) {
    child_kill(&c[dead % PARTIES]);
    struct child last = c[dead % PARTIES];
    child_start(&c[dead % PARTIES], churn, dead);
    uint32_t before = atomic_load(&shared->seen[0]);
    int64_t until = cr_deadline(15);
    while (atomic_load(&shared->seen[0]) - before < 9 && !stuck) {
      sched_yield();
      stuck = cr_now() > until;
    }
    child_reap(&last);
  }
  ok(!stuck, "goes on after each of %d kills (broken %u times)", dead,
     atomic_load(&shared->broken));
  for (int i = 0; i < PARTIES; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  cr_reap_all();
  drop();
}

/* One is about to sleep for the end of a round when the other ends it, and sleeps
** in the next one: the wake word looks as it did. */
static void meet_twice(int number) {
  if (number == 0) brink_stop();
  meet(2);
}

static void overtaken(void) {
  struct child c[2];
  make(2, false);
  brink_open();
  child_start(&c[0], meet_twice, 0);
  brink_await();
  child_start(&c[1], meet_twice, 1);
  ok(child_sleeps(&c[1], 10) && cr_barrier_waiting(b) == 1,
     "one waits in the second round");
  brink_leave();
  ok(child_ends(&c[0], 10) && child_ends(&c[1], 10),
     "the other one, about to sleep in the first, comes along");
  for (int i = 0; i < 2; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  drop();
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  shared = child_share(sizeof *shared);
  alone();
  rounds(false);
  rounds(true);
  breaking();
  acting();
  kills(false);
  kills(true);
  overtaken();
  cr_reap_all();
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
