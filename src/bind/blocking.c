/* What a wait does with the interpreter lock: cr_sleep's hook.
**
** An OS thread that is in several states gives all their locks back, and takes
** them again in the order of their addresses, as every other one does.
*/
#include <errno.h>

#include "gil.h"
#include "state.h"

/* May it give the lock back? Where nobody else is, there is no need to; in a
** finalizer the others would run without a collector. */
static bool must_keep(const struct cr_thread *t) {
  return !t->holding || atomic_load(&t->gil->count) == 1;
}

void cr_let_go(struct cr_thread *t, bool keep) {
  t->kept = keep || !t->holding;
  if (t->kept) return;
  if (cr_in_finalizer(t)) t->finalizing = t->gil->finalizer_waits = true;
  cr_gil_release(t);
}

static void take_back(struct cr_thread *t) {
  if (!t->kept) cr_gil_acquire(t, true);
  t->kept = false;
  if (t->finalizing) t->finalizing = t->gil->finalizer_waits = false;
  cr_dump_if_wanted(t);
}

/* A wait without end in a finalizer, for what perhaps only the others can do,
** is refused, unless it has to be (cr_patient). */
static bool refuses(struct cr_thread *t, int64_t deadline) {
  t->refused = deadline == CR_FOREVER && !cr_patient && !must_keep(t) &&
               cr_in_finalizer(t);
  return t->refused;
}

static int before(int64_t deadline) {
  struct cr_thread *t;
  for (t = cr_thread_self; t != NULL; t = t->outer)
    if ((cr_interrupted(t) && !cr_patient) || refuses(t, deadline))
      return EINTR;
  for (t = cr_thread_self; t != NULL; t = t->outer)
    cr_let_go(t,
              must_keep(t) || (deadline != CR_FOREVER && cr_in_finalizer(t)));
  return 0;
}

/* This OS thread's record whose lock comes next after that one. */
static struct cr_thread *next_after(const struct cr_gil *g) {
  struct cr_thread *best = NULL;
  for (struct cr_thread *t = cr_thread_self; t != NULL; t = t->outer)
    if (t->gil > g && (best == NULL || t->gil < best->gil)) best = t;
  return best;
}

void cr_take_back(void) {
  struct cr_thread *t = cr_thread_self;
  if (t != NULL && t->outer == NULL)
    take_back(t);
  else
    for (t = next_after(NULL); t != NULL; t = next_after(t->gil)) take_back(t);
}

static int after(void) {
  cr_take_back();
  return cr_interrupt_pending() && !cr_patient ? EINTR : 0;
}

static bool crowded(void) {
  const struct cr_thread *t = cr_thread_self;
  if (t == NULL) return false;
  const struct cr_gil *g = t->gil;
  return atomic_load_explicit(&g->waiting, memory_order_relaxed) > 0 ||
         atomic_load_explicit(&g->trying, memory_order_relaxed) > 0;
}

void cr_blocking_open(void) {
  static const struct cr_sleep_hook hook = {before, after, crowded};
  cr_sleep_hook = &hook;
}
