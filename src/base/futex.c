/* Sleeping and waking on shared words. See futex.h. */
#include "futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "deadlock.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* <linux/futex.h> has these only since Linux 5.16. */
struct waitv {
  uint64_t value, address;
  uint32_t flags, reserved;
};
enum { WAITV_32 = 2 };

enum {
  SECOND = 1000000000,
  /* A lost wake-up (two deaths in the same microsecond, an old kernel) is
  ** healed by looking again after this long, and longer where so many threads
  ** look that it would cost. */
  LOOK_AGAIN = SECOND,
  FEW_THREADS = 128,
  /* Without futex_waitv only the first word can be slept on. */
  LOOK_AGAIN_BLIND = 5000000
};

const struct cr_sleep_hook *cr_sleep_hook;
_Thread_local cr_word *cr_alarm;
_Thread_local bool cr_patient;
_Thread_local struct cr_sleeping cr_sleeping;
static atomic_bool have_waitv = true;
static _Atomic(int64_t) look_again = LOOK_AGAIN;

void cr_sleepers(uint32_t n) {
  atomic_store_explicit(&look_again,
                        LOOK_AGAIN * (1 + n / (int64_t)FEW_THREADS),
                        memory_order_relaxed);
}

int64_t cr_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

int64_t cr_deadline(double seconds) {
  if (!(seconds > 0)) return 0;
  if (isinf(seconds)) return CR_FOREVER;
  const int64_t longest = CR_FOREVER - 1; /* it has an end, though */
  if (seconds >= 9e9) return longest;
  int64_t now = cr_now();
  int64_t ns = (int64_t)ceil(seconds * SECOND);
  return ns > longest - now ? longest : now + ns;
}

static struct timespec to_timespec(int64_t ns) {
  return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

/* 0 or an errno value. The time is absolute, CLOCK_MONOTONIC. */
static int wait_one(cr_word *word, uint32_t value, int64_t until) {
  struct timespec t = to_timespec(until);
  long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &t, NULL,
                   FUTEX_BITSET_MATCH_ANY);
  return r < 0 ? errno : 0;
}

static int wait_many(const struct waitv *v, int n, int64_t until) {
  struct timespec t = to_timespec(until);
  long r = syscall(SYS_futex_waitv, v, n, 0, &t, CLOCK_MONOTONIC);
  return r < 0 ? errno : 0;
}

static int wait_words(const struct cr_wait *waits, int n, cr_word *alarm,
                      uint32_t rang, int64_t until) {
  struct waitv v[CR_WAIT_MAX + 1];
  int k = 0;
  for (int i = 0; i < n; i++)
    if (!cr_is_life(&waits[i]))
      v[k++] =
          (struct waitv){waits[i].value, (uintptr_t)waits[i].word, WAITV_32, 0};
  if (alarm != NULL)
    v[k++] = (struct waitv){rang, (uintptr_t)alarm, WAITV_32, 0};
  if (k > 0 && atomic_load_explicit(&have_waitv, memory_order_relaxed)) {
    int err = wait_many(v, k, until);
    if (err != ENOSYS && err != EPERM) return err;
    atomic_store_explicit(&have_waitv, false, memory_order_relaxed);
  }
  cr_word nothing = 0;
  if (k == 1 && n == 1) return wait_one(waits[0].word, waits[0].value, until);
  int64_t soon = cr_now() + LOOK_AGAIN_BLIND;
  if (until > soon) until = soon;
  if (n > 0) return wait_one(waits[0].word, waits[0].value, until);
  return alarm != NULL ? wait_one(alarm, rang, until)
                       : wait_one(&nothing, 0, until);
}

/* Was the sleep ended by something else than its words? */
static bool unchanged(const struct cr_wait *waits, int n) {
  for (int i = 0; i < n; i++)
    if (!cr_is_life(&waits[i]) && atomic_load(waits[i].word) != waits[i].value)
      return false;
  return true;
}

static int sleep_between_hooks(const struct cr_wait *waits, int n,
                               int64_t deadline) {
  cr_word *alarm = cr_alarm;
  /* Read before the hook looks for pending interrupts: one that comes later
  ** has changed the word by the time the kernel compares it. */
  uint32_t rang = alarm != NULL ? atomic_load(alarm) : 0;
  bool untimed = deadline == CR_FOREVER && n > 0;
  int64_t now = cr_now();
  int64_t until = now + atomic_load_explicit(&look_again, memory_order_relaxed);
  int err = 0, why = 0;
  if (untimed)
    err = cr_untimed_begin(waits, n, now);
  else
    cr_untimed_end(false);
  const struct cr_sleep_hook *hook = cr_sleep_hook;
  if (err == 0 && hook != NULL) err = hook->before(deadline);
  if (err != 0) {
    if (untimed) cr_untimed_end(false);
    return err;
  }
  bool last = deadline <= until;
  if (last) until = deadline > 0 ? deadline : 0;
  do
    why = wait_words(waits, n, alarm, rang,
                     untimed ? cr_untimed_until(until) : until);
  while (untimed && why == ETIMEDOUT && cr_untimed_look(until, &err));
  if (untimed) cr_untimed_end(err == 0 && unchanged(waits, n));
  int interrupted = hook != NULL ? hook->after() : 0;
  if (interrupted != 0) {
    if (untimed) cr_untimed_end(false);
    return interrupted;
  }
  if (err != 0) return err;
  return why == ETIMEDOUT && last && cr_now() >= deadline ? ETIMEDOUT : 0;
}

int cr_sleep(const struct cr_wait *waits, int n, int64_t deadline) {
  cr_sleeping.waits = waits;
  cr_sleeping.n = n;
  atomic_store_explicit(&cr_sleeping.asleep, true, memory_order_release);
  int err = sleep_between_hooks(waits, n, deadline);
  atomic_store_explicit(&cr_sleeping.asleep, false, memory_order_release);
  return err;
}

void cr_sleep_short(cr_word *word, uint32_t value) {
  wait_one(word, value, cr_now() + LOOK_AGAIN);
}

void cr_park(cr_word *word, uint32_t value, int64_t deadline) {
  struct timespec t = to_timespec(deadline);
  syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
          deadline == CR_FOREVER ? NULL : &t, NULL, FUTEX_BITSET_MATCH_ANY);
}

void cr_unpark(cr_word *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void cr_wait_files(struct pollfd *files, int n, int64_t deadline) {
  int64_t left;
  do {
    left = deadline == CR_FOREVER ? CR_FOREVER : deadline - cr_now();
    struct timespec t = to_timespec(left > 0 ? left : 0);
    if (ppoll(files, (nfds_t)n, deadline == CR_FOREVER ? NULL : &t, NULL) >= 0)
      return;
  } while (errno == EINTR);
}

int cr_wake(cr_word *word, int n) {
  return (int)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

void cr_ring(cr_word *word) {
  atomic_fetch_add(word, 1);
  cr_wake(word, INT_MAX);
}
