/* Semaphore: counting, waiting, and waiters that are killed. */
#include "lib/tap.h"
#include "lib/child.h"
#include "synch.h"

enum { CHILDREN = 4, TOKENS = 2, ROUNDS = 10000 };

static struct cr_semaphore *s;
static uint32_t handle;
static cr_word *inside, *most;

static void make(uint32_t n, bool bounded) {
  s = cr_semaphore_new(n, bounded);
  if (s == NULL || cr_handle_new((struct cr_block *)s, &handle) != 0) exit(99);
}

static void counting(void) {
  make(2, false);
  is(cr_semaphore_acquire(s, 0, NULL), 0, "the first");
  is(cr_semaphore_acquire(s, CR_FOREVER, NULL), 0, "the second");
  is(cr_semaphore_acquire(s, 0, NULL), ETIMEDOUT, "none is left");
  is(cr_semaphore_acquire(s, cr_deadline(0.01), NULL), ETIMEDOUT, "nor soon");
  is(cr_semaphore_release(s, 5, NULL), 0, "release five");
  is(cr_semaphore_value(s), 5, "five are there");
  ok(!cr_semaphore_bounded(s), "not bounded");
  is(cr_semaphore_release(s, UINT32_MAX, NULL), EOVERFLOW, "too many");
  cr_handle_drop(handle);
  make(1, true);
  is(cr_semaphore_release(s, 1, NULL), EOVERFLOW, "beyond the bound");
  is(cr_semaphore_acquire(s, 0, NULL), 0, "acquire");
  is(cr_semaphore_release(s, 2, NULL), EOVERFLOW, "two are too many");
  is(cr_semaphore_value(s), 0, "nothing was released");
  is(cr_semaphore_release(s, 1, NULL), 0, "release");
  cr_handle_drop(handle);
}

static void take_one(int unused) {
  (void)unused;
  _exit(cr_semaphore_acquire(s, CR_FOREVER, NULL));
}

static void waiting(void) {
  struct child c[CHILDREN];
  make(0, false);
  for (int i = 0; i < CHILDREN; i++) {
    child_start(&c[i], take_one, i);
    child_sleeps(&c[i], 10);
  }
  child_kill(&c[0]);
  child_kill(&c[2]);
  cr_semaphore_release(s, 2, NULL);
  ok(child_ends(&c[1], 20) && child_ends(&c[3], 20),
     "killed waiters take no tokens and keep nobody");
  is(cr_semaphore_value(s), 0, "both tokens are taken");
  for (int i = 0; i < CHILDREN; i++) child_reap(&c[i]);
  cr_handle_drop(handle);
}

static void work(int rounds) {
  while (rounds-- > 0) {
    cr_semaphore_acquire(s, CR_FOREVER, NULL);
    uint32_t n = atomic_fetch_add(inside, 1) + 1;
    if (n > atomic_load(most)) atomic_store(most, n);
    atomic_fetch_sub(inside, 1);
    cr_semaphore_release(s, 1, NULL);
  }
}

static void contention(void) {
  struct child c[CHILDREN];
  make(TOKENS, true);
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], work, ROUNDS);
  for (int i = 0; i < CHILDREN; i++) {
    ok(child_ends(&c[i], 60), "child %d ends", i);
    child_reap(&c[i]);
  }
  ok(atomic_load(most) <= TOKENS, "never more than %d inside", TOKENS);
  is(cr_semaphore_value(s), TOKENS, "all tokens are back");
  cr_handle_drop(handle);
}

/* Takers are killed and the tokens replaced: somebody always gets on. */
static void take_all(int unused) {
  (void)unused;
  for (;;)
    if (cr_semaphore_acquire(s, CR_FOREVER, NULL) == 0)
      atomic_fetch_add(inside, 1);
}

static void kills(void) {
  struct child c[CHILDREN];
  int dead = 0;
  bool stuck = false;
  make(0, false);
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], take_all, i);
  for (int n = 0; n < 150 && !stuck; n++) {
    cr_semaphore_release(s, 1 + (uint32_t)n % 3, NULL);
    child_kill(&c[n % CHILDREN]);
    child_reap(&c[n % CHILDREN]);
    dead++;
    child_start(&c[n % CHILDREN], take_all, n);
    int64_t until = cr_deadline(10);
    while (cr_semaphore_value(s) > 0 && !stuck) {
      sched_yield();
      stuck = cr_now() > until;
    }
  }
  ok(!stuck, "tokens are taken after each of %d kills", dead);
  for (int i = 0; i < CHILDREN; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  cr_handle_drop(handle);
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  inside = child_share(2 * sizeof *inside);
  most = inside + 1;
  counting();
  waiting();
  contention();
  kills();
  cr_reap_all();
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
