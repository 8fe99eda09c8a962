/* The one place where a thread goes to sleep.
**
** A sleeper names one or more words and the values it saw in them; it wakes
** when one of them is woken, when its alarm rings, at its deadline, and now
** and then by itself. It never means that the condition holds: every caller
** looks again. What surrounds a sleep (the interpreter lock, interrupts) is
** installed by the layer above as a hook; nothing here knows Lua.
*/
#ifndef CR_FUTEX_H
#define CR_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic(uint32_t) cr_word; /* a futex word, or half of a pair */
typedef _Atomic(uint64_t) cr_word64;

/* A word and the value with which it is worth sleeping. (Not the first of
** several may be what cr_wait_life makes.) */
struct cr_wait {
  cr_word *word;
  uint32_t value;
};

/* What the layer above does around a sleep that may last until `deadline`.
** `before` may refuse it with an errno value; `after` may turn a wake-up into
** one (EINTR: a pending interrupt). `crowded`: does another thread wait to run
** that can only when this one sleeps? Then it does not spin first. */
struct cr_sleep_hook {
  int (*before)(int64_t deadline);
  int (*after)(void);
  bool (*crowded)(void);
};
extern const struct cr_sleep_hook *cr_sleep_hook;

/* While this is true the thread's sleeps must not be interrupted (a condition's
** lock has to come back first): `before` does not refuse, `after` does not
** turn the wake-up into an error, the interrupt stays pending. */
extern _Thread_local bool cr_patient;

/* This thread's alarm: cr_sleep also ends when the word changes. NULL: none. */
extern _Thread_local cr_word *cr_alarm;

/* What a thread sleeps for in cr_sleep. Others may read it while they keep the
** thread from coming out of there. */
struct cr_sleeping {
  const struct cr_wait *waits;
  int n;
  atomic_bool asleep; /* other threads look at it */
};
extern _Thread_local struct cr_sleeping cr_sleeping;

enum { CR_WAIT_MAX = 126 };  /* words that one sleep can watch */
#define CR_FOREVER INT64_MAX /* deadline: none */

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t cr_now(void);

/* The deadline (ns, CLOCK_MONOTONIC) that lies `seconds` ahead, capped at
** CR_FOREVER. Zero and negative give a deadline that has passed. */
int64_t cr_deadline(double seconds);

/* Sleeps while every waits[i] still has its value, until `deadline` (ns).
** Returns 0 (look again), ETIMEDOUT, what the hook says (EINTR), or EDEADLK (see
** deadlock.h; only from a wait for a lock).
** n is at most CR_WAIT_MAX; with n == 0 only alarm and deadline end it. */
int cr_sleep(const struct cr_wait *waits, int n, int64_t deadline);

/* How many threads there may be that sleep: with many, each looks again by itself
** more rarely. */
void cr_sleepers(uint32_t n);

/* The same for one word and internal locks that are held for nanoseconds:
** no hook, no alarm, no deadline but a second. */
void cr_sleep_short(cr_word *word, uint32_t value);

/* For words of one process that one thread sleeps on: sleeps while the word has
** the value, with no hook, or returns at once; and wakes it, which does not touch
** the word: it may be gone. A sleep may end early. */
void cr_park(cr_word *word, uint32_t value, int64_t deadline);
void cr_unpark(cr_word *word);

/* Sleeps until one of the files is ready or the deadline comes. For a process
** that runs no script: no hook. */
struct pollfd;
void cr_wait_files(struct pollfd *files, int n, int64_t deadline);

/* Wakes up to n sleepers of the word; returns how many. Signal-safe. */
int cr_wake(cr_word *word, int n);

/* Changes the word and wakes everyone who sleeps on it. Signal-safe. */
void cr_ring(cr_word *word);

/* Keeps the compiler from moving stores over this point. A killed process
** leaves exactly the stores made before the instruction it died at, so the
** order of the machine code is the order that recovery can rely on. */
#define cr_step() atomic_signal_fence(memory_order_seq_cst)

#endif
