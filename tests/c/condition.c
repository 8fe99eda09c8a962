/* Condition: who is notified, and what becomes of the notes of the dead. */
#include "lib/tap.h"
#include "lib/child.h"
#include "synch.h"

enum { CHILDREN = 4 };

static struct cr_lock *l;
static struct cr_condition *c;
static uint32_t lock_handle, handle;
static struct {
  long items, taken;       /* under l */
  cr_word order[CHILDREN]; /* who woke up when */
  cr_word next;
} * shared;

static void make(bool recursive) {
  memset(shared, 0, sizeof *shared);
  l = cr_lock_new(recursive);
  if (l == NULL || cr_handle_new(&l->head, &lock_handle) != 0) exit(99);
  c = cr_condition_new(l);
  if (c == NULL || cr_handle_new((struct cr_block *)c, &handle) != 0) exit(99);
  cr_handle_drop(lock_handle); /* the condition keeps it */
}

static int lock(void) {
  return cr_lock_acquire(l, CR_FOREVER);
}

static void basics(void) {
  make(true);
  ok(cr_condition_lock(c) == l, "its lock");
  is(cr_condition_wait(c, 0), EPERM, "wait without the lock");
  is(cr_condition_notify(c, 1), EPERM, "notify without the lock");
  lock();
  lock();
  is(cr_condition_wait(c, 0), ETIMEDOUT, "do not wait");
  is(cr_condition_wait(c, cr_deadline(0.01)), ETIMEDOUT, "wait a while");
  is(cr_condition_notify(c, 1), 0, "notify nobody");
  is(cr_condition_wait(c, cr_deadline(0.01)), ETIMEDOUT, "it is not kept");
  is(l->depth, 2, "the lock comes back as deep as it was");
  cr_lock_release(l);
  cr_lock_release(l);
  ok(!cr_lock_mine(l), "and is free then");
  cr_handle_drop(handle);
}

static void wait_turn(int number) {
  if (lock() != 0) _exit(1);
  if (cr_condition_wait(c, CR_FOREVER) != 0) _exit(2);
  atomic_store(&shared->order[number], atomic_fetch_add(&shared->next, 1) + 1);
  _exit(cr_lock_release(l));
}

static void start(struct child *child) {
  for (int i = 0; i < CHILDREN; i++) {
    child_start(&child[i], wait_turn, i);
    for (uint32_t n = 0; n <= (uint32_t)i; sched_yield()) {
      lock();
      n = cr_condition_waiters(c);
      cr_lock_release(l);
    }
  }
}

static void end(struct child *child) {
  for (int i = 0; i < CHILDREN; i++) {
    child_kill(&child[i]);
    child_reap(&child[i]);
  }
  cr_handle_drop(handle);
}

static void notify(uint32_t n) {
  lock();
  cr_condition_notify(c, n);
  cr_lock_release(l);
}

static void order(void) {
  struct child child[CHILDREN];
  make(false);
  start(child);
  notify(1);
  ok(child_ends(&child[0], 20), "the first is notified first");
  notify(1);
  ok(child_ends(&child[1], 20), "the second next");
  lock();
  is(cr_condition_waiters(c), CHILDREN - 2, "the others wait");
  cr_lock_release(l);
  notify(UINT32_MAX);
  ok(child_ends(&child[2], 20) && child_ends(&child[3], 20), "notify all");
  end(child);
}

static void the_dead(void) {
  struct child child[CHILDREN];
  make(false);
  start(child);
  child_kill(&child[0]);
  child_kill(&child[1]);
  child_reap(&child[1]);
  notify(1);
  ok(child_ends(&child[2], 20), "a note goes to the first that is alive");
  /* This one is notified and dies before it has the lock. */
  child_start(&child[0], wait_turn, 0);
  child_start(&child[1], wait_turn, 1);
  for (uint32_t n = 0; n < 3; sched_yield()) {
    lock();
    n = cr_condition_waiters(c);
    cr_lock_release(l);
  }
  lock();
  cr_condition_notify(c, 1);
  child_kill(&child[3]);
  cr_lock_release(l);
  child_reap(&child[3]);
  int64_t until = cr_deadline(20);
  while (atomic_load(&shared->next) < 2 && cr_now() < until) sched_yield();
  is(atomic_load(&shared->next), 2, "the note of one that dies is passed on");
  lock();
  is(cr_condition_waiters(c), 1, "once");
  cr_condition_notify(c, 1);
  ok(cr_condition_waiters(c) == 0, "and the last is notified");
  cr_lock_release(l);
  ok(child_ends(&child[0], 20) && child_ends(&child[1], 20), "all have ended");
  end(child);
}

static void note_unreaped(void) {
  struct child child[CHILDREN];
  make(false);
  start(child);
  lock();
  cr_condition_notify(c, 2);
  child_kill(&child[0]);
  child_kill(&child[1]);
  cr_lock_release(l);
  ok(child_ends(&child[2], 20) && child_ends(&child[3], 20),
     "those who wait look for the notes of the dead themselves");
  end(child);
}

/* Consumers that are killed anywhere, one item and one note at a time. */
static void consume(int unused) {
  (void)unused;
  lock();
  for (;;) {
    while (shared->items == 0) cr_condition_wait(c, CR_FOREVER);
    shared->items--;
    shared->taken++;
  }
}

static void kills(void) {
  struct child child[CHILDREN];
  bool stuck = false;
  make(true);
  for (int i = 0; i < CHILDREN; i++) child_start(&child[i], consume, i);
  for (int n = 0; n < 150 && !stuck; n++) {
    int64_t until = cr_deadline(15);
    lock();
    shared->items++;
    cr_condition_notify(c, 1);
    cr_lock_release(l);
    child_kill(&child[n % CHILDREN]);
    child_reap(&child[n % CHILDREN]);
    child_start(&child[n % CHILDREN], consume, n);
    for (long items = 1; items > 0 && !stuck; sched_yield()) {
      lock();
      items = shared->items;
      cr_lock_release(l);
      stuck = cr_now() > until;
    }
  }
  ok(!stuck, "every item is taken, whoever is killed");
  end(child);
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  shared = child_share(sizeof *shared);
  basics();
  order();
  the_dead();
  note_unreaped();
  kills();
  cr_reap_all();
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
