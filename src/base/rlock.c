/* Robust lock, redo log and wake words. See rlock.h.
**
** Invariant: from before the first attempt on a lock until it is linked into
** (or unlinked from) the holder's robust list, the slot's `pending` names it;
** so at every instruction the kernel knows which words a dying thread may hold
** or owe a wake-up for.
*/
#include "rlock.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

#include "slot.h"

#if defined(__x86_64__) || defined(__i386__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() cr_step()
#endif

enum {
  STARVING = 2000000, /* ns asleep after which others stay off */
  POLITE = 1000000    /* ns that one stays off */
};

static int spin_pauses = 200;
static int spin_yields = 3;

void cr_spin_limit(int pauses, int yields) {
  spin_pauses = pauses;
  spin_yields = yields;
}

/* Budget: twice the moving average of what sufficed; every 16th wait tries the
** whole cap, so that the average can recover. */
void cr_spin_start(struct cr_spin *s) {
  struct cr_slot *me = cr_self;
  const struct cr_sleep_hook *hook = cr_sleep_hook;
  s->spun = 0;
  if (hook != NULL && hook->crowded()) {
    s->max = s->yields = 0;
    return;
  }
  s->yields = spin_yields;
  s->max = spin_pauses;
  if ((me->spin_count++ & 15) == 0) return;
  int budget = me->spin_average ? (int)me->spin_average * 2 + 16 : 0;
  if (budget < s->max) s->max = budget;
}

void cr_spin_pause(int pauses) {
  while (pauses-- > 0) pause_cpu();
}

bool cr_spin(struct cr_spin *s) {
  struct cr_slot *me = cr_self;
  if (s->spun < s->max) {
    s->spun++;
    pause_cpu();
    return true;
  }
  if (s->yields <= 0) return false;
  if (s->yields == spin_yields && s->max > 0)
    me->spin_average -= (me->spin_average + 7) / 8;
  s->yields--;
  sched_yield();
  return true;
}

void cr_spin_won(struct cr_spin *s) {
  struct cr_slot *me = cr_self;
  if (s->spun == 0 || s->yields != spin_yields) return;
  uint32_t n = (uint32_t)s->spun;
  me->spin_average = me->spin_average ? (me->spin_average * 3 + n + 3) / 4 : n;
}

static uint32_t thread_id(const struct cr_slot *s) {
  return atomic_load_explicit(&s->life.word, memory_order_relaxed) & CR_TID;
}

static void set_pending(struct cr_slot *s, struct cr_rnode *n) {
  cr_step();
  s->robust.pending = n;
  cr_step();
}

/* Into the robust list, behind the life word, which stays first: the kernel
** must mark a thread dead before it frees the locks it held. */
static void list_add(struct cr_slot *s, struct cr_rlock *l) {
  struct cr_rnode *after = &s->life.node, *end = (struct cr_rnode *)&s->robust;
  l->node.next = after->next;
  l->node.prev = after;
  if (after->next != end) after->next->prev = &l->node;
  cr_step();
  after->next = &l->node;
  cr_step();
}

static void list_remove(struct cr_slot *s, struct cr_rlock *l) {
  struct cr_rnode *next = l->node.next, *prev = l->node.prev;
  prev->next = next;
  cr_step();
  if (next != (struct cr_rnode *)&s->robust) next->prev = prev;
  cr_step();
}

static void own(struct cr_slot *s, struct cr_rlock *l) {
  atomic_store_explicit(&l->owner, s->index, memory_order_relaxed);
  list_add(s, l);
  set_pending(s, NULL);
}

static bool swap(cr_word *w, uint32_t old, uint32_t new) {
  return atomic_compare_exchange_strong(w, &old, new);
}

/* Somebody who has slept long asked the others to stay off. Is he still there? */
static bool is_starved(struct cr_rlock *l) {
  uint32_t who = atomic_load_explicit(&l->starve, memory_order_relaxed);
  if (who == 0) return false;
  struct cr_slot *s = cr_slot_at(who - 1);
  if (atomic_load(&s->wants) == l && !cr_slot_dead(s)) return true;
  swap(&l->starve, who, 0);
  return false;
}

static void starve_end(struct cr_slot *s, struct cr_rlock *l) {
  if (atomic_load(&s->wants) == NULL) return;
  atomic_store(&s->wants, NULL);
  swap(&l->starve, s->index + 1, 0);
}

/* State of one slow acquisition. */
struct attempt {
  struct cr_rlock *lock;
  int64_t deadline, since;
  uint32_t slept; /* CR_WAITERS once we have slept */
  bool internal;
  struct cr_spin spin;
};

/* The lock is free: 0, EOWNERDEAD, or EAGAIN (lost a race, look again). */
static int grab(struct cr_slot *s, struct attempt *a, uint32_t v) {
  if (!swap(&a->lock->word, v, thread_id(s) | (v & CR_WAITERS) | a->slept))
    return EAGAIN;
  cr_spin_won(&a->spin);
  return v & CR_DIED ? EOWNERDEAD : 0;
}

/* Sleeps until the word changes: 0, ETIMEDOUT, EINTR. */
static int lock_sleep(struct cr_slot *s, struct attempt *a, uint32_t v,
                      int64_t deadline) {
  struct cr_rlock *l = a->lock;
  if (!(v & CR_WAITERS) && !swap(&l->word, v, v | CR_WAITERS)) return 0;
  v |= CR_WAITERS;
  a->slept = CR_WAITERS;
  if (a->internal) {
    cr_sleep_short(&l->word, v);
    return 0;
  }
  atomic_store(&s->wants, l);
  int64_t now = cr_now();
  if (a->since == 0) {
    a->since = now;
    atomic_store(&s->wants_since, now);
  } else if (now - a->since > STARVING) {
    swap(&l->starve, 0, s->index + 1);
  }
  struct cr_wait w = {&l->word, v};
  return cr_sleep(&w, 1, deadline);
}

/* Who has not slept yet would overtake those that were woken and are on their
** way: while one of them starves it sleeps as well. Those that have slept come
** in the order in which the kernel wakes them. */
static bool is_barred(const struct attempt *a, uint32_t v) {
  return !a->slept && !(v & CR_DIED) && !a->internal && a->deadline != 0 &&
         is_starved(a->lock);
}

/* Not for long: who starves may be stopped. Then the bar is lifted. */
static int stay_off(struct cr_slot *s, struct attempt *a, uint32_t v) {
  struct cr_rlock *l = a->lock;
  uint32_t who = atomic_load(&l->starve);
  int64_t until = cr_now() + POLITE;
  bool last = a->deadline <= until;
  int err = lock_sleep(s, a, v, last ? a->deadline : until);
  if (err != ETIMEDOUT) return err;
  if (!(atomic_load(&l->word) & CR_TID)) swap(&l->starve, who, 0);
  return last ? ETIMEDOUT : 0;
}

/* One that leaves without the lock may have got the wake-up that was meant for
** whoever takes it. */
static void pass_on(struct cr_rlock *l) {
  uint32_t v = atomic_load(&l->word);
  if (!(v & CR_TID) && (v & CR_WAITERS)) cr_wake(&l->word, 1);
}

static __attribute__((noinline)) int acquire_slow(struct cr_slot *s,
                                                  struct attempt *a) {
  struct cr_rlock *l = a->lock;
  int err;
  cr_spin_start(&a->spin);
  for (;;) {
    uint32_t v = atomic_load_explicit(&l->word, memory_order_relaxed);
    if (!(v & CR_TID) && is_barred(a, v)) {
      if ((err = stay_off(s, a, v)) != 0) break;
    } else if (!(v & CR_TID)) {
      if ((err = grab(s, a, v)) != EAGAIN) break;
    } else if (a->deadline == 0) {
      err = ETIMEDOUT;
      break;
    } else if (!cr_spin(&a->spin)) {
      if ((err = lock_sleep(s, a, v, a->deadline)) != 0) break;
    }
  }
  starve_end(s, l);
  if (err == 0 || err == EOWNERDEAD) {
    own(s, l);
    return err;
  }
  if (a->slept) pass_on(l);
  set_pending(s, NULL);
  return err;
}

static inline int acquire(struct cr_rlock *l, int64_t deadline, bool internal) {
  struct cr_slot *s = cr_self;
  set_pending(s, &l->node);
  if (atomic_load_explicit(&l->starve, memory_order_relaxed) == 0 &&
      swap(&l->word, 0, thread_id(s))) {
    own(s, l);
    return 0;
  }
  struct attempt a = {.lock = l, .deadline = deadline, .internal = internal};
  return acquire_slow(s, &a);
}

int cr_rlock_acquire(struct cr_rlock *l, int64_t deadline) {
  return acquire(l, deadline, false);
}

int cr_rlock_take(struct cr_rlock *l) {
  return acquire(l, CR_FOREVER, true);
}

int cr_rlock_try(struct cr_rlock *l) {
  struct cr_slot *s = cr_self;
  set_pending(s, &l->node);
  uint32_t v = atomic_load(&l->word);
  bool barred = !(v & CR_DIED) && is_starved(l);
  if (!(v & CR_TID) && !barred &&
      swap(&l->word, v, thread_id(s) | (v & CR_WAITERS))) {
    own(s, l);
    return v & CR_DIED ? EOWNERDEAD : 0;
  }
  set_pending(s, NULL);
  return EBUSY;
}

/* With sleepers the word keeps its waiters bit, tid 0, until a wake-up finds
** nobody: a woken sleeper that is killed, or overtaken, must not leave the
** others asleep on a lock that looks uncontended. */
void cr_rlock_release(struct cr_rlock *l) {
  struct cr_slot *s = cr_self;
  set_pending(s, &l->node);
  list_remove(s, l);
  if (!swap(&l->word, thread_id(s), 0)) {
    atomic_store(&l->word, CR_WAITERS);
    if (cr_wake(&l->word, 1) == 0 && swap(&l->word, CR_WAITERS, 0))
      cr_wake(&l->word, 1);
  }
  set_pending(s, NULL);
}

bool cr_rlock_mine(const struct cr_rlock *l) {
  uint32_t v = atomic_load_explicit(&l->word, memory_order_relaxed);
  return (v & CR_TID) == thread_id(cr_self) && !(v & CR_DIED) &&
         atomic_load_explicit(&l->owner, memory_order_relaxed) ==
             cr_self->index;
}

struct cr_slot *cr_rlock_holder(struct cr_rlock *l) {
  uint32_t v = atomic_load(&l->word);
  if (!(v & CR_TID) || (v & CR_DIED)) return NULL;
  struct cr_slot *s = cr_slot_at(atomic_load(&l->owner));
  return thread_id(s) == (v & CR_TID) && !cr_slot_dead(s) ? s : NULL;
}

enum { LOG_32 = 1, LOG_PUBLISHES = 2 }; /* in an entry's address */

void cr_log_add(struct cr_log *log, void *address, uint64_t value) {
  uint32_t i = log->filled++;
  log->entry[i].address = (uintptr_t)address;
  log->entry[i].value = value;
}

void cr_log_add32(struct cr_log *log, void *address, uint32_t value) {
  uint32_t i = log->filled++;
  log->entry[i].address = (uintptr_t)address | LOG_32;
  log->entry[i].value = value;
}

void cr_log_publish(struct cr_log *log, void *address, uint64_t value) {
  uint32_t i = log->filled++;
  log->entry[i].address = (uintptr_t)address | LOG_PUBLISHES;
  log->entry[i].value = value;
}

static void log_apply(struct cr_log *log, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    uintptr_t a = log->entry[i].address & ~(uintptr_t)(LOG_32 | LOG_PUBLISHES);
    uint64_t v = log->entry[i].value;
    if (log->entry[i].address & LOG_32)
      atomic_store((cr_word *)a, (uint32_t)v);
    else
      atomic_store_explicit((cr_word64 *)a, v, memory_order_release);
  }
  cr_step();
}

/* Was it applied up to its last entry, on which others may have acted? */
static bool log_published(const struct cr_log *log, uint32_t n) {
  uintptr_t a = log->entry[n - 1].address;
  return (a & LOG_PUBLISHES) &&
         atomic_load((cr_word64 *)(a & ~(uintptr_t)LOG_PUBLISHES)) ==
             log->entry[n - 1].value;
}

void cr_log_commit(struct cr_log *log) {
  uint32_t n = log->filled;
  cr_step();
  atomic_store_explicit(&log->n, n, memory_order_release);
  cr_step();
  log_apply(log, n);
  atomic_store(&log->n, 0); /* seq_cst: cr_wake_end looks after it */
  cr_step();
  log->filled = 0;
}

void cr_log_commit_as(struct cr_log *log, struct cr_rlock *l, cr_word *wake) {
  struct cr_slot *s = cr_self;
  s->log_lock = l;
  s->log_wake = wake;
  cr_step();
  atomic_store_explicit(&s->log, log, memory_order_release);
  cr_step();
  cr_log_commit(log);
  atomic_store_explicit(&s->log, NULL, memory_order_release);
  cr_step();
}

void cr_log_replay(struct cr_log *log) {
  uint32_t n = atomic_load(&log->n);
  if (n != 0) {
    if (!log_published(log, n)) log_apply(log, n);
    atomic_store(&log->n, 0);
  }
  cr_step();
  log->filled = 0;
}

void cr_wake_begin(cr_word *wake) {
  set_pending(cr_self, (struct cr_rnode *)((char *)wake - CR_FUTEX_OFFSET));
}

/* A crowd stays marked until all of it is woken: when the waker dies before,
** the kernel wakes one, who sees the mark and passes the wake-up on. */
void cr_wake_end(cr_word *wake) {
  uint32_t v = atomic_load(wake);
  while (v != 0 && !atomic_compare_exchange_weak(wake, &v, v & CR_CROWD))
    ;
  cr_step();
  if (v & CR_CROWD) {
    cr_wake(wake, INT_MAX);
    swap(wake, CR_CROWD, 0);
  } else if (v != 0) {
    cr_wake(wake, 1);
  }
  set_pending(cr_self, NULL);
}

void cr_wake_cancel(void) {
  set_pending(cr_self, NULL);
}

void cr_log_recover(struct cr_log *log, cr_word *wake) {
  if (wake != NULL) cr_wake_begin(wake);
  cr_log_replay(log);
  if (wake == NULL) return;
  atomic_fetch_or(wake, CR_CROWD);
  cr_wake_end(wake);
}

uint32_t cr_wake_want(cr_word *wake, bool crowd) {
  uint32_t bits = crowd ? CR_WAITERS | CR_CROWD : CR_WAITERS;
  return atomic_fetch_or(wake, bits) | bits;
}

void cr_wake_pass(cr_word *wake) {
  if (!(atomic_load(wake) & CR_CROWD)) return;
  cr_wake_begin(wake);
  cr_wake_end(wake);
}
