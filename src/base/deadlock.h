/* Deadlocks: found by those who wait, and reported on stderr.
**
** A wait without a deadline that lasts a while is noted in its thread's slot:
** what it sleeps on, where, for what. The thread that began last looks now and
** then, while it goes on sleeping: is every thread of every related process in
** such a wait, with words that nobody has changed since and asleep in the kernel?
** Then nothing can go on. A cycle of locks whose holders wait for each other is
** found the same way, even if others can.
**
** A wait with a deadline, a sleep, any call that does not sleep in cr_sleep and
** a stopped process count as able to go on. What this does when nothing lasts:
** two stores a wait.
*/
#ifndef CR_DEADLOCK_H
#define CR_DEADLOCK_H

#include "futex.h"

struct cr_slot;

/* Of all related processes. RAISE: the wait for a lock that closed a cycle also
** ends, with EDEADLK, unless cr_patient. */
enum cr_deadlock_mode {
  CR_DEADLOCK_OFF,
  CR_DEADLOCK_REPORT,
  CR_DEADLOCK_RAISE
};
void cr_deadlock_set(enum cr_deadlock_mode mode);

/* One on whose life a sleep depends: the child that is waited for. That is not
** slept on; it tells a look for a deadlock that this one is gone (or runs
** another program), of which the sleeper will hear in another way. */
static inline struct cr_wait cr_wait_life(cr_word *life, uint32_t incarnation) {
  return (struct cr_wait){(cr_word *)((uintptr_t)life | 1), incarnation};
}
static inline bool cr_is_life(const struct cr_wait *w) {
  return (uintptr_t)w->word & 1;
}
/* The slot that a life word is in (as cr_wait_life gives it, or slept on), or
** NULL. */
struct cr_slot *cr_slot_of_life(const cr_word *word);

/* What the layer above knows of this thread's wait: writes where, what and held
** in its slot's record. Called before the sleep, with the interpreter lock; a
** wait that ends soon comes without. */
extern void (*cr_describe)(const struct cr_wait *waits, int n);

/* For cr_sleep, around an untimed sleep. begin: 0, or EDEADLK: do not sleep. */
int cr_untimed_begin(const struct cr_wait *waits, int n, int64_t now);
/* The time of the next look, if it comes before `until`. */
int64_t cr_untimed_until(int64_t until);
/* That time has come: true to sleep on; *err may become EDEADLK. */
bool cr_untimed_look(int64_t until, int *err);
/* `lasts`: nothing has ended it, so that the same wait may begin again. */
void cr_untimed_end(bool lasts);

/* A thread that was in a report moves again, or has died. */
void cr_deadlock_moved(struct cr_slot *s);

/* report.c: a line of text, "MainThread (pid 12) at x.lua:3 waits for WHAT, held
** by ...". `where` may be "", `what` NULL; `held`: it waits for a lock. Returns
** its length, less than `size`. */
int cr_report_line(char *text, int size, struct cr_slot *s, const char *where,
                   const char *what, bool held);
/* Writes the report about the n threads. */
void cr_report_deadlock(struct cr_slot *const *slots, int n, int more);

#endif
