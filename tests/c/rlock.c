/* The robust lock, its log, and wake words, between processes. */
#include "lib/child.h"
#include "lib/tap.h"
#include "rlock.h"

/* Of no use to others: lies in a block with a handle, as all locks do. */
static struct object {
  struct cr_block head;
  cr_word wake; /* the kernel wants it 16 bytes in */
  uint32_t unused[5];
  struct cr_rlock lock;
  struct cr_log log;
  uint64_t count; /* under lock */
  uint64_t a, b;  /* change together */
} * o;

static cr_word *seen; /* what a child found out */

static void test_alone(void) {
  is(cr_rlock_try(&o->lock), 0, "try takes a free lock");
  ok(cr_rlock_mine(&o->lock), "it is mine");
  ok(cr_rlock_holder(&o->lock) == cr_self, "I am its holder");
  is(cr_rlock_try(&o->lock), EBUSY, "try on one that is held");
  cr_rlock_release(&o->lock);
  ok(!cr_rlock_mine(&o->lock), "released");
  ok(cr_rlock_holder(&o->lock) == NULL, "nobody holds it");
  is(cr_rlock_acquire(&o->lock, 0), 0, "acquire without waiting");
  cr_rlock_release(&o->lock);
}

static void acquire_in_vain(int unused) {
  (void)unused;
  int64_t start = cr_now();
  atomic_store(&seen[0], (uint32_t)cr_rlock_acquire(&o->lock, 0));
  atomic_store(&seen[1],
               (uint32_t)cr_rlock_acquire(&o->lock, cr_deadline(0.05)));
  atomic_store(&seen[2], cr_now() - start >= 50000000);
  atomic_store(&seen[3], cr_rlock_mine(&o->lock));
}

static void test_deadline(void) {
  struct child c;
  cr_rlock_acquire(&o->lock, CR_FOREVER);
  child_start(&c, acquire_in_vain, 0);
  ok(child_ends(&c, 10), "a child cannot take a lock that is held");
  is(atomic_load(&seen[0]), ETIMEDOUT, "not without waiting");
  is(atomic_load(&seen[1]), ETIMEDOUT, "nor with a deadline");
  ok(atomic_load(&seen[2]), "the deadline is not early");
  ok(!atomic_load(&seen[3]), "a child does not hold its parent's lock");
  child_reap(&c);
  cr_rlock_release(&o->lock);
}

static void die_inside(int unused) {
  (void)unused;
  cr_rlock_acquire(&o->lock, CR_FOREVER);
  raise(SIGKILL);
}

static void test_owner_died(void) {
  struct child c;
  child_start(&c, die_inside, 0);
  ok(child_ends(&c, 10), "a holder is killed");
  ok(cr_rlock_holder(&o->lock) == NULL, "then nobody holds the lock");
  is(cr_rlock_acquire(&o->lock, CR_FOREVER), EOWNERDEAD, "the next is told");
  cr_rlock_release(&o->lock);
  is(cr_rlock_acquire(&o->lock, CR_FOREVER), 0, "the one after is not");
  cr_rlock_release(&o->lock);
  child_reap(&c);
}

enum { TIMES = 20000, WORKERS = 3 };

static void count(int unused) {
  (void)unused;
  for (int i = 0; i < TIMES; i++) {
    cr_rlock_acquire(&o->lock, CR_FOREVER);
    o->count++;
    cr_rlock_release(&o->lock);
  }
}

static void test_exclusion(void) {
  struct child c[WORKERS];
  bool ended = true;
  for (int i = 0; i < WORKERS; i++) child_start(&c[i], count, i);
  for (int i = 0; i < WORKERS; i++) {
    ended = child_ends(&c[i], 60) && ended;
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  ok(ended, "all get through");
  is(o->count, TIMES * WORKERS, "one is inside at a time");
}

/* Two children that have slept for the lock. The parent frees it: the first is
** woken, and may be interrupted at that moment. */
enum { INTERRUPTED, NAPS, RESULT };

static int count_naps(int64_t deadline) {
  if (deadline != CR_FOREVER) atomic_fetch_add(&seen[NAPS], 1);
  return 0;
}

static int after_first(void) {
  return atomic_load(&seen[INTERRUPTED]) ? EINTR : 0;
}

static int after_second(void) {
  return 0;
}

static bool not_crowded(void) {
  return false;
}

static void take_turn(int number) {
  struct cr_sleep_hook hook = {
      count_naps, number == 0 ? after_first : after_second, not_crowded};
  cr_sleep_hook = &hook;
  cr_sleepers(1 << 20); /* no looking again by themselves */
  int err = cr_rlock_acquire(&o->lock, CR_FOREVER);
  if (number == 0) atomic_store(&seen[RESULT], (uint32_t)err);
  if (err == 0) cr_rlock_release(&o->lock);
}

static void two_take_turns(bool interrupted, bool starving, const char *what) {
  struct child c[2];
  bool ready = true, ended = true;
  cr_rlock_acquire(&o->lock, CR_FOREVER);
  memset((void *)seen, 0, 4 * sizeof *seen);
  for (int i = 0; i < 2; i++) {
    child_start(&c[i], take_turn, i);
    ready = child_sleeps(&c[i], 10) && ready;
  }
  ok(ready, "two sleep for the lock");
  if (starving) atomic_store(&o->lock.starve, c[1].birth.slot->index + 1);
  atomic_store(&seen[INTERRUPTED], interrupted);
  cr_rlock_release(&o->lock);
  for (int i = 0; i < 2; i++) {
    ended = child_ends(&c[i], 10) && ended;
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  ok(ended, what);
}

static void test_turns(void) {
  two_take_turns(true, false, "a wake-up that an interrupted one got goes on");
  is(atomic_load(&seen[RESULT]), EINTR, "that one is told");
  two_take_turns(false, true, "the first goes first, though the other starves");
  is(atomic_load(&seen[NAPS]), 0, "and does not stay off");
}

static void test_log(void) {
  cr_log_add(&o->log, &o->a, 1);
  cr_log_add32(&o->log, &o->b, 2);
  cr_log_commit(&o->log);
  ok(o->a == 1 && o->b == 2, "a log is applied");
  cr_log_add(&o->log, &o->a, 3); /* never committed */
  cr_log_replay(&o->log);
  is(o->a, 1, "what was not committed is not replayed");
  cr_log_add(&o->log, &o->a, 4);
  cr_log_publish(&o->log, &o->b, 5);
  atomic_store(&o->log.n, o->log.filled);
  o->a = 7;
  o->b = 5; /* it got as far as that, others went on */
  cr_log_replay(&o->log);
  is(o->a, 7, "what was published is not replayed");
  cr_log_add(&o->log, &o->a, 8);
  cr_log_publish(&o->log, &o->b, 9);
  atomic_store(&o->log.n, o->log.filled);
  cr_log_replay(&o->log);
  ok(o->a == 8 && o->b == 9, "what was not published is");
}

static void sleep_on(int unused) {
  (void)unused;
  struct cr_wait w = {&o->wake, cr_wake_want(&o->wake, true)};
  while (o->a != 100) cr_sleep(&w, 1, CR_FOREVER);
}

static void test_wake(void) {
  struct child c[2];
  bool asleep = true, ended = true;
  for (int i = 0; i < 2; i++) child_start(&c[i], sleep_on, i);
  for (int i = 0; i < 2; i++) asleep = child_sleeps(&c[i], 10) && asleep;
  ok(asleep, "two sleep on a wake word");
  cr_wake_begin(&o->wake);
  o->a = 100;
  cr_wake_end(&o->wake);
  for (int i = 0; i < 2; i++) {
    ended = child_ends(&c[i], 10) && ended;
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  ok(ended, "both wake");
  is(atomic_load(&o->wake), 0, "the word is clear again");
}

int main(void) {
  uint32_t h;
  is(cr_arena_open(), 0, "the arena opens");
  seen = child_share(4 * sizeof *seen);
  o = cr_alloc(sizeof *o);
  memset((char *)o + sizeof o->head, 0, sizeof *o - sizeof o->head);
  cr_handle_new(&o->head, &h);
  test_alone();
  test_deadline();
  test_owner_died();
  test_exclusion();
  test_turns();
  test_log();
  test_wake();
  cr_handle_drop(h);
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
