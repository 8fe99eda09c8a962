/* Semaphore: a count, and a turnstile in front of it. See synch.h.
**
** Whoever has to wait queues at a robust lock, the turnstile; only its holder
** sleeps for the count. So a wake-up cannot be lost: when the holder dies, the
** next in the queue looks at the count itself.
*/
#include "synch.h"

#include <errno.h>
#include <string.h>

enum { STARVING = 2000000 }; /* ns after which others queue as well */

struct cr_semaphore {
  struct cr_block head;
  char site[CR_SITE_MAX];
  cr_word count;
  uint32_t limit;   /* highest count; r/o */
  uint32_t bounded; /* r/o */
  cr_word wake;     /* the turnstile's holder sleeps here */
  cr_word starving; /* 1: he has long slept, do not overtake */
  uint32_t unused;
  struct cr_rlock turnstile;
};

struct cr_semaphore *cr_semaphore_new(uint32_t value, bool bounded) {
  struct cr_semaphore *s = cr_alloc(sizeof *s);
  if (s == NULL) return NULL;
  memset((char *)s + sizeof s->head, 0, sizeof *s - sizeof s->head);
  atomic_store_explicit(&s->head.refs, 0, memory_order_relaxed);
  s->limit = bounded ? value : UINT32_MAX;
  s->bounded = bounded;
  atomic_store(&s->count, value);
  atomic_store(&s->head.type, CR_SEMAPHORE);
  return s;
}

static bool take(struct cr_semaphore *s) {
  uint32_t n = atomic_load(&s->count);
  while (n > 0)
    if (atomic_compare_exchange_weak(&s->count, &n, n - 1)) return true;
  return false;
}

static bool spin(struct cr_semaphore *s) {
  struct cr_spin spinning;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (atomic_load_explicit(&s->count, memory_order_relaxed) > 0 && take(s)) {
      cr_spin_won(&spinning);
      return true;
    }
  }
  return false;
}

/* Sleeps until the count is not 0 and takes one: 0, ETIMEDOUT, EINTR. */
static int wait_inside(struct cr_semaphore *s, int64_t deadline) {
  int64_t since = 0;
  for (;;) {
    if (take(s)) return 0;
    struct cr_wait w = {&s->wake, cr_wake_want(&s->wake, false)};
    if (take(s)) return 0;
    int64_t now = cr_now();
    if (since == 0)
      since = now;
    else if (now - since > STARVING)
      atomic_store(&s->starving, 1);
    int err = cr_sleep(&w, 1, deadline);
    if (err == 0) continue;
    return err == ETIMEDOUT && take(s) ? 0 : err;
  }
}

int cr_semaphore_acquire(struct cr_semaphore *s, int64_t deadline) {
  bool barred =
      deadline != 0 && atomic_load_explicit(&s->starving, memory_order_relaxed);
  if (!barred && take(s)) return 0;
  if (deadline == 0) return ETIMEDOUT;
  if (!barred && spin(s)) return 0;
  int err = cr_rlock_acquire(&s->turnstile, deadline);
  if (err != 0 && err != EOWNERDEAD)
    return err == ETIMEDOUT && take(s) ? 0 : err;
  err = wait_inside(s, deadline);
  atomic_store(&s->starving, 0); /* also what a dead holder left */
  atomic_store(&s->wake, 0);
  cr_rlock_release(&s->turnstile);
  return err;
}

int cr_semaphore_release(struct cr_semaphore *s, uint32_t n) {
  uint32_t old = atomic_load(&s->count);
  cr_wake_begin(&s->wake);
  do {
    if (n > s->limit - old) {
      cr_wake_cancel();
      return EOVERFLOW;
    }
  } while (!atomic_compare_exchange_weak(&s->count, &old, old + n));
  cr_wake_end(&s->wake);
  return 0;
}

uint32_t cr_semaphore_value(const struct cr_semaphore *s) {
  return atomic_load(&s->count);
}

bool cr_semaphore_bounded(const struct cr_semaphore *s) {
  return s->bounded != 0;
}
