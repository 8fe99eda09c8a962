/* Semaphore: a count, and a turnstile in front of it. See synch.h.
**
** Whoever has to wait queues at a robust lock, the turnstile; only its holder
** sleeps for the count. So a wake-up cannot be lost: when the holder dies, the
** next in the queue looks at the count itself.
**
** What a process has taken and not given back, its units, is noted at its handle.
** Both numbers change together, at whatever instruction it is killed: under a
** lock, whose next holder finishes what was begun. Then the units are given back,
** but the count never rises above the first one by that: who only takes, as one
** that waits for a signal, holds nothing. And once somebody has released what he
** had not acquired, nobody knows who holds what: nothing is given back then.
*/
#include "synch.h"

#include <errno.h>
#include <string.h>

enum {
  STARVING = 2000000, /* ns after which others queue as well */
  OFTEN = 50000000    /* ns between looks for the dead */
};

struct cr_semaphore {
  struct cr_block head;
  char site[CR_SITE_MAX];
  cr_word count;    /* changes under the lock */
  uint32_t first;   /* count; r/o */
  uint32_t bounded; /* r/o: the first is the highest, too */
  cr_word wake;     /* the turnstile's holder sleeps here */
  cr_word starving; /* 1: he has long slept, do not overtake */
  cr_word handed;   /* 1: units were released by others than who took them */
  /* The change in work, under the lock. */
  cr_word begun;
  uint32_t new_count, new_units;
  cr_word *_Atomic units; /* NULL: nobody's */
  struct cr_rlock lock;
  struct cr_rlock turnstile;
};

struct cr_semaphore *cr_semaphore_new(uint32_t value, bool bounded) {
  struct cr_semaphore *s = cr_alloc(sizeof *s);
  if (s == NULL) return NULL;
  memset((char *)s + sizeof s->head, 0, sizeof *s - sizeof s->head);
  atomic_store_explicit(&s->head.refs, 0, memory_order_relaxed);
  s->first = value;
  s->bounded = bounded;
  atomic_store(&s->count, value);
  atomic_store(&s->head.type, CR_SEMAPHORE);
  return s;
}

/* ---- the count ---- */

static void apply(struct cr_semaphore *s) {
  cr_word *units = atomic_load_explicit(&s->units, memory_order_relaxed);
  if (units != NULL)
    atomic_store_explicit(units, s->new_units, memory_order_relaxed);
  atomic_store(&s->count, s->new_count);
  cr_step();
  atomic_store_explicit(&s->begun, 0, memory_order_relaxed);
}

static void change(struct cr_semaphore *s, uint32_t count, cr_word *units,
                   uint32_t n) {
  s->new_count = count;
  s->new_units = n;
  atomic_store_explicit(&s->units, units, memory_order_relaxed);
  cr_step();
  atomic_store_explicit(&s->begun, 1, memory_order_relaxed);
  cr_step();
  apply(s);
}

static void lock(struct cr_semaphore *s) {
  if (cr_rlock_take(&s->lock) != EOWNERDEAD) return;
  cr_wake_begin(&s->wake);
  if (atomic_load(&s->begun)) apply(s);
  cr_wake_end(&s->wake);
}

static void unlock(struct cr_semaphore *s) {
  cr_rlock_release(&s->lock);
}

static uint32_t units_of(cr_word *units) {
  return units != NULL ? atomic_load(units) : 0;
}

static bool take(struct cr_semaphore *s, cr_word *units) {
  if (atomic_load(&s->count) == 0) return false;
  lock(s);
  uint32_t count = atomic_load(&s->count);
  if (count > 0) change(s, count - 1, units, units_of(units) + 1);
  unlock(s);
  return count > 0;
}

/* The count rises by n. */
static void put(struct cr_semaphore *s, uint32_t n, cr_word *units,
                uint32_t left) {
  cr_wake_begin(&s->wake);
  change(s, atomic_load(&s->count) + n, units, left);
  cr_wake_end(&s->wake);
}

/* ---- the units of the dead ---- */

static void give_back(struct cr_block *b, cr_word *units, bool killed) {
  struct cr_semaphore *s = (struct cr_semaphore *)b;
  lock(s); /* finishes what the dead one had begun */
  uint32_t count = atomic_load(&s->count), held = atomic_load(units);
  uint32_t room = count < s->first ? s->first - count : 0;
  if (killed && (int32_t)held > 0 && !atomic_load(&s->handed))
    put(s, held < room ? held : room, units, 0);
  unlock(s);
}

static __attribute__((constructor)) void register_units(void) {
  cr_on_units = give_back;
}

/* In vain? Perhaps one that was killed has some; from time to time that is worth
** a look. */
static bool take_of_dead(struct cr_semaphore *s, cr_word *units) {
  static _Atomic(int64_t) looked;
  int64_t now = cr_now(), last = atomic_load(&looked);
  if (now - last < OFTEN ||
      !atomic_compare_exchange_strong(&looked, &last, now))
    return false;
  cr_reap_all();
  return take(s, units);
}

/* ---- acquire and release ---- */

static bool spin(struct cr_semaphore *s, cr_word *units) {
  struct cr_spin spinning;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (atomic_load_explicit(&s->count, memory_order_relaxed) > 0 &&
        take(s, units)) {
      cr_spin_won(&spinning);
      return true;
    }
  }
  return false;
}

/* Sleeps until the count is not 0 and takes one: 0, ETIMEDOUT, EINTR. */
static int wait_inside(struct cr_semaphore *s, int64_t deadline,
                       cr_word *units) {
  int64_t since = 0;
  for (;;) {
    if (take(s, units)) return 0;
    struct cr_wait w = {&s->wake, cr_wake_want(&s->wake, false)};
    if (take(s, units)) return 0;
    int64_t now = cr_now();
    if (since == 0)
      since = now;
    else if (now - since > STARVING)
      atomic_store(&s->starving, 1);
    int err = cr_sleep(&w, 1, deadline);
    if (err == EINTR) return err;
    if (take(s, units) || take_of_dead(s, units)) return 0;
    if (err != 0) return err;
  }
}

int cr_semaphore_acquire(struct cr_semaphore *s, int64_t deadline,
                         cr_word *units) {
  bool barred =
      deadline != 0 && atomic_load_explicit(&s->starving, memory_order_relaxed);
  if (!barred && take(s, units)) return 0;
  if (deadline == 0) return take_of_dead(s, units) ? 0 : ETIMEDOUT;
  if (!barred && spin(s, units)) return 0;
  int err = cr_rlock_acquire(&s->turnstile, deadline);
  if (err != 0 && err != EOWNERDEAD)
    return err == ETIMEDOUT && take(s, units) ? 0 : err;
  err = wait_inside(s, deadline, units);
  atomic_store(&s->starving, 0); /* also what a dead holder left */
  atomic_store(&s->wake, 0);
  cr_rlock_release(&s->turnstile);
  return err;
}

int cr_semaphore_release(struct cr_semaphore *s, uint32_t n, cr_word *units) {
  lock(s);
  uint32_t limit = s->bounded ? s->first : UINT32_MAX;
  bool fits = n <= limit - atomic_load(&s->count);
  if (fits && units != NULL && (int32_t)(units_of(units) - n) < 0)
    atomic_store(&s->handed, 1);
  if (fits) put(s, n, units, units_of(units) - n);
  unlock(s);
  return fits ? 0 : EOVERFLOW;
}

uint32_t cr_semaphore_value(const struct cr_semaphore *s) {
  return atomic_load(&s->count);
}

bool cr_semaphore_bounded(const struct cr_semaphore *s) {
  return s->bounded != 0;
}
