/* Lock and RLock between processes and threads, and after deaths. */
#include <pthread.h>

#include "lib/tap.h"
#include "lib/child.h"
#include "synch.h"

enum { CHILDREN = 3, ROUNDS = 20000 };

static struct cr_lock *l;
static uint32_t handle;
static struct {
  long count; /* under l */
  cr_word inside, violations, deaths;
} * shared;

static void make(bool recursive) {
  l = cr_lock_new(recursive);
  if (l == NULL || cr_handle_new(&l->head, &handle) != 0) exit(99);
}

static void drop(void) {
  cr_handle_drop(handle);
}

static void run(struct child *c, void (*body)(int), int number) {
  child_start(c, body, number);
  if (!child_ends(c, 20)) child_kill(c);
  child_reap(c);
}

static void release_it(int unused) {
  (void)unused;
  _exit(cr_lock_release(l));
}

static void basics(bool recursive) {
  struct child c;
  make(recursive);
  is(cr_lock_release(l), EPERM, "release when it is free");
  is(cr_lock_acquire(l, CR_FOREVER), 0, "acquire");
  ok(cr_lock_mine(l) && cr_lock_holder(l) == cr_self, "it is ours");
  run(&c, release_it, 0);
  is(WEXITSTATUS(c.status), EPERM, "release by another process");
  is(cr_lock_acquire(l, 0), recursive ? 0 : ETIMEDOUT, "try again");
  is(cr_lock_acquire(l, cr_deadline(0.01)), recursive ? 0 : ETIMEDOUT,
     "again, for a while");
  for (int i = 0; i < (recursive ? 3 : 1); i++) cr_lock_release(l);
  ok(!cr_lock_mine(l) && cr_lock_holder(l) == NULL, "free again");
  is(cr_lock_release(l), EPERM, "released once too often");
  drop();
}

static void hold_it(int depth) {
  while (depth-- > 0) cr_lock_acquire(l, CR_FOREVER);
  kill(getpid(), SIGKILL);
}

static void death_of_holder(bool recursive) {
  struct child c;
  make(recursive);
  run(&c, hold_it, recursive ? 3 : 1);
  ok(cr_lock_holder(l) == NULL, "the dead do not hold");
  is(cr_lock_acquire(l, CR_FOREVER), EOWNERDEAD, "acquire after a death");
  is(cr_lock_release(l), 0, "release");
  ok(!cr_lock_mine(l), "free, whatever depth the dead had");
  is(cr_lock_acquire(l, CR_FOREVER), 0, "told once");
  cr_lock_release(l);
  drop();
}

static void sleep_for_it(int unused) {
  (void)unused;
  _exit(cr_lock_acquire(l, CR_FOREVER));
}

static void death_while_waiting(void) {
  struct child a, b;
  make(false);
  cr_lock_acquire(l, CR_FOREVER);
  child_start(&a, sleep_for_it, 0);
  child_sleeps(&a, 10);
  child_start(&b, sleep_for_it, 0);
  child_sleeps(&b, 10);
  child_kill(&a);
  child_reap(&a);
  cr_lock_release(l);
  ok(child_ends(&b, 20), "a waiter behind a killed one gets in");
  child_reap(&b);
  is(cr_lock_acquire(l, cr_deadline(10)), EOWNERDEAD, "and ended with it");
  cr_lock_release(l);
  drop();
}

static void *end_with_it(void *slot) {
  struct cr_slot *s = slot;
  if (cr_slot_enter(s, atomic_load(&s->life.incarnation)) != 0) return NULL;
  cr_lock_acquire(l, CR_FOREVER);
  cr_slot_leave();
  return slot;
}

static void end_of_thread(void) {
  pthread_t t;
  void *result = NULL;
  struct cr_slot *s = cr_slot_new(true);
  uint32_t incarnation = atomic_load(&s->life.incarnation);
  make(false);
  pthread_create(&t, NULL, end_with_it, s);
  pthread_join(t, &result);
  ok(result != NULL, "a thread took it and ended");
  is(cr_lock_acquire(l, cr_deadline(10)), EOWNERDEAD, "it is free");
  cr_lock_release(l);
  cr_reap(s, incarnation);
  drop();
}

static void add(int rounds) {
  while (rounds-- > 0) {
    int err = cr_lock_acquire(l, CR_FOREVER);
    if (err == EOWNERDEAD) {
      atomic_fetch_add(&shared->deaths, 1);
      atomic_store(&shared->inside, 0);
    }
    if (atomic_exchange(&shared->inside, 1) != 0)
      atomic_fetch_add(&shared->violations, 1);
    shared->count++;
    atomic_store(&shared->inside, 0);
    cr_lock_release(l);
  }
}

static void contention(void) {
  struct child c[CHILDREN];
  make(false);
  memset(shared, 0, sizeof *shared);
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], add, ROUNDS);
  for (int i = 0; i < CHILDREN; i++) {
    ok(child_ends(&c[i], 60), "child %d ends", i);
    child_reap(&c[i]);
  }
  is(shared->count, CHILDREN * ROUNDS, "no update is lost");
  is(atomic_load(&shared->violations), 0, "one at a time");
  drop();
}

static void kills(void) {
  struct child c[CHILDREN];
  int dead = 0;
  make(false);
  memset(shared, 0, sizeof *shared);
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], add, INT32_MAX);
  for (int n = 0; n < 150; n++) {
    child_rest(200 + n % 7 * 100);
    int i = n % CHILDREN;
    child_kill(&c[i]);
    child_reap(&c[i]);
    dead++;
    child_start(&c[i], add, INT32_MAX);
  }
  for (int i = 0; i < CHILDREN; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  int err = cr_lock_acquire(l, cr_deadline(10));
  ok(err == 0 || err == EOWNERDEAD, "free after %d kills", dead);
  is(atomic_load(&shared->violations), 0, "one at a time all along");
  cr_lock_release(l);
  drop();
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  shared = child_share(sizeof *shared);
  size_t blocks = cr_arena_blocks();
  basics(false);
  basics(true);
  death_of_holder(false);
  death_of_holder(true);
  death_while_waiting();
  end_of_thread();
  contention();
  kills();
  cr_reap_all();
  ok(cr_arena_blocks() <= blocks + 1, "nothing is left behind");
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
