/* Locks, semaphores, conditions and barriers under random kills: mutual
** exclusion holds, nobody waits for ever, nothing leaks. What is protected lies
** in a mapping of the test's own, so that the arena's state is not believed.
** Usage: torture_synch [SECONDS]
*/
#include "../lib/crew.h"

#include "synch.h"

enum { WORKER, GIVER = WORKER, TAKER };

/* Not in the arena. Plain variables are protected by what is under test. */
static struct stage {
  int inside;                  /* who is in the critical section, + 1 */
  uint64_t first, second;      /* equal, unless their writer died */
  cr_word64 deaths;            /* EOWNERDEAD seen */
  cr_word64 gave, given, took; /* tokens: begun, done; done */
  int items;                   /* in the bounded buffer */
  cr_word round[CREW_MAX];     /* barrier: rounds that one has begun */
  cr_word passed, broken;
} * stage;

static uint32_t handles[8];
static int handle_count;

static void hold(void *object) {
  if (object == NULL || cr_handle_new(object, &handles[handle_count++]) != 0) {
    printf("Bail out! no memory\n");
    exit(99);
  }
}

static void let_go(void) {
  while (handle_count > 0) cr_handle_drop(handles[--handle_count]);
}

/* ---- Lock and RLock ---- */

static struct cr_lock *lock;

/* Enters; sees that nobody alive is inside, and mends what a dead one left. */
static void enter(int i, int err) {
  if (err == EOWNERDEAD) {
    atomic_fetch_add(&stage->deaths, 1);
    stage->inside = 0;
    stage->second = stage->first;
  } else if (err != 0) {
    _exit(3);
  }
  if (stage->inside != 0) crew_fault("two inside of a lock");
  stage->inside = i + 1;
}

static void leave(int i) {
  if (stage->inside != i + 1) crew_fault("somebody else came into the lock");
  stage->inside = 0;
}

static void locker(int i) {
  while (!crew_stopped()) {
    int err = cr_lock_acquire(lock, CR_FOREVER);
    enter(i, err);
    if (stage->first != stage->second) crew_fault("a half-done update");
    stage->first++;
    cr_step();
    stage->second++;
    leave(i);
    cr_lock_release(lock);
    crew_progress();
  }
}

static void rlocker(int i) {
  while (!crew_stopped()) {
    int err = cr_lock_acquire(lock, CR_FOREVER);
    enter(i, err);
    if (cr_lock_acquire(lock, CR_FOREVER) != 0) _exit(3);
    stage->first++;
    cr_step();
    cr_lock_release(lock);
    stage->second++;
    leave(i);
    cr_lock_release(lock);
    crew_progress();
  }
}

/* Some give up after a while, or do not wait at all. */
static void hasty(int i) {
  while (!crew_stopped()) {
    int64_t deadline = i % 2 ? 0 : cr_deadline(0.0005);
    int err = cr_lock_acquire(lock, deadline);
    if (err == ETIMEDOUT) continue;
    enter(i, err);
    leave(i);
    cr_lock_release(lock);
    crew_progress();
  }
}

static void lock_torture(double seconds) {
  lock = cr_lock_new(false);
  hold(lock);
  crew_add(4, WORKER, locker);
  crew_add(2, WORKER, hasty);
  crew_torture(seconds, 1 << WORKER);
}

static void rlock_torture(double seconds) {
  lock = cr_lock_new(true);
  hold(lock);
  crew_add(5, WORKER, rlocker);
  crew_torture(seconds, 1 << WORKER);
}

/* ---- Semaphore ---- */

static struct cr_semaphore *semaphore;

static void giver(int i) {
  (void)i;
  while (!crew_stopped()) {
    if (cr_semaphore_value(semaphore) > 100) {
      child_rest(50);
      continue;
    }
    atomic_fetch_add(&stage->gave, 1);
    if (cr_semaphore_release(semaphore, 1, NULL) != 0) _exit(3);
    atomic_fetch_add(&stage->given, 1);
  }
}

static void taker(int i) {
  while (!crew_stopped()) {
    atomic_store(&crew->in_call[i], 1);
    int err = cr_semaphore_acquire(semaphore, CR_FOREVER, NULL);
    if (err != 0) _exit(3);
    atomic_fetch_add(&stage->took, 1);
    atomic_store(&crew->in_call[i], 0);
    crew_progress();
  }
}

/* Tokens: those there and those taken are those given, but for what the dead
** were about to give or had just taken. */
static void semaphore_judge(void) {
  uint64_t there = cr_semaphore_value(semaphore) + atomic_load(&stage->took);
  if (there > atomic_load(&stage->gave)) crew_fail("tokens from nowhere");
  if (there + crew_kills_in_call < atomic_load(&stage->given))
    crew_fail("tokens lost");
}

static void semaphore_torture(double seconds) {
  semaphore = cr_semaphore_new(0, false);
  hold(semaphore);
  crew_add(2, GIVER, giver);
  crew_add(4, TAKER, taker);
  crew_torture(seconds, 1 << GIVER | 1 << TAKER);
  atomic_store(&crew->stop, 1);
  crew_join(GIVER);
  for (int i = 0; i < worker_count; i++)
    if (workers[i].child.pid != 0) crew_kill(i);
  cr_reap_all();
  semaphore_judge();
}

/* ---- Condition ---- */

enum { ROOM = 4 };
static struct cr_condition *changed;

static bool may(int group) {
  return group == GIVER ? stage->items < ROOM : stage->items > 0;
}

/* A bounded buffer with one condition. Everybody is notified of each change,
** for one that was notified may be killed before it acts. */
static void change(int i) {
  int group = workers[i].group, err;
  while (!crew_stopped()) {
    enter(i, cr_lock_acquire(lock, CR_FOREVER));
    while (!may(group) && !crew_stopped()) {
      leave(i);
      err = cr_condition_wait(changed, CR_FOREVER);
      enter(i, err);
    }
    stage->items += group == GIVER ? 1 : -1;
    if (cr_condition_notify(changed, UINT32_MAX) != 0) _exit(3);
    leave(i);
    cr_lock_release(lock);
    crew_progress();
  }
}

static void condition_torture(double seconds) {
  lock = cr_lock_new(true);
  hold(lock);
  changed = cr_condition_new(lock);
  hold(changed);
  crew_add(3, GIVER, change);
  crew_add(3, TAKER, change);
  crew_torture(seconds, 1 << GIVER | 1 << TAKER);
  atomic_store(&crew->stop, 1);
  int err = cr_lock_acquire(lock, cr_deadline(CREW_PATIENCE));
  if (err != 0 && err != EOWNERDEAD) crew_fail("the lock is stuck");
  cr_condition_notify(changed, UINT32_MAX);
  cr_lock_release(lock);
}

/* ---- Barrier ---- */

enum { PARTIES = 3 };
static struct cr_barrier *barrier;

/* Nobody passes before all have come: rounds differ by at most one. */
static void party(int i) {
  uint32_t index, mine = 0;
  int err;
  while (!crew_stopped()) {
    atomic_store(&stage->round[i], ++mine);
    err = cr_barrier_wait(barrier, CR_FOREVER, &index);
    if (err == EALREADY) err = cr_barrier_open(barrier);
    if (err == EPIPE) {
      atomic_fetch_add(&stage->broken, 1);
      return;
    } else if (err != 0) {
      _exit(3);
    }
    for (int k = 0; k < PARTIES; k++)
      if (atomic_load(&stage->round[k]) < mine) crew_fault("passed too soon");
    atomic_fetch_add(&stage->passed, 1);
    crew_progress();
  }
}

/* One is killed: the others must leave by themselves, all of them. */
static void barrier_torture(double seconds) {
  int64_t until = cr_deadline(seconds);
  barrier = cr_barrier_new(PARTIES, true, 0, NULL);
  hold(barrier);
  while (cr_now() < until && crew_error[0] == '\0') {
    for (int i = 0; i < PARTIES; i++) atomic_store(&stage->round[i], 0);
    worker_count = 0;
    crew_add(PARTIES, WORKER, party);
    child_rest((int)(crew_random() % CREW_PAUSE));
    crew_kill((int)(crew_random() % PARTIES));
    crew_reap_dead();
    /* One that was killed before it came leaves a barrier that is whole. */
    if (!cr_barrier_broken(barrier)) cr_barrier_abort(barrier);
    crew_join(WORKER);
    cr_barrier_reset(barrier);
  }
}

/* ---- campaigns ---- */

static const struct campaign {
  const char *name;
  void (*run)(double seconds);
} campaigns[] = {{"Lock", lock_torture},
                 {"RLock", rlock_torture},
                 {"Semaphore", semaphore_torture},
                 {"Condition", condition_torture},
                 {"Barrier", barrier_torture}};
enum { CAMPAIGNS = sizeof campaigns / sizeof *campaigns };

static void run(const struct campaign *c, double seconds) {
  if (cr_arena_open() != 0) exit(99);
  stage = child_share(sizeof *stage);
  hold(cr_alloc(sizeof(struct cr_block))); /* the handle table stays */
  uint32_t kept = handles[--handle_count];
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  crew_open();
  c->run(seconds);
  atomic_store(&crew->stop, 1);
  crew_join(WORKER);
  crew_join(TAKER);
  cr_reap_all();
  let_go();
  printf("# %s: %llu operations, %u kills, %llu deaths of an owner seen\n",
         c->name, (unsigned long long)atomic_load(&crew->progress), crew_kills,
         (unsigned long long)atomic_load(&stage->deaths));
  if (atomic_load(&crew->errors) > 0) crew_fail("exclusion violated");
  if (cr_arena_audit() != 0) crew_fail("audit");
  if (cr_arena_used() != used || cr_arena_blocks() != blocks)
    crew_fail("the arena has grown");
  cr_handle_drop(kept);
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 10;
  const char *only = argc > 2 ? argv[2] : "";
  cr_word *kills = child_share(sizeof *kills);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < CAMPAIGNS; i++) {
    int status;
    if (strstr(campaigns[i].name, only) == NULL) continue;
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run(&campaigns[i], seconds / (*only != '\0' ? 1 : CAMPAIGNS));
      atomic_fetch_add(kills, crew_all_kills);
      exit(crew_error[0] != '\0');
    }
    waitpid(p, &status, 0);
    ok(status == 0, "%s", campaigns[i].name);
  }
  printf("# %u kills\n", atomic_load(kills));
  return tap_end();
}
