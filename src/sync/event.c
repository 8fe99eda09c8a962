/* Event: a flag that many wait for. See synch.h.
**
** The word holds the flag and how often it was set, so that a waiter who comes
** to look after set and clear still knows that it was. A waiter owes the others
** a wake-up from before he sleeps until he has passed it on: then neither the
** death of who sets nor of who is woken first leaves one asleep.
*/
#include "synch.h"

#include <errno.h>
#include <limits.h>

struct cr_event {
  struct cr_block head;
  char site[CR_SITE_MAX];
  cr_word64 state; /* times set << 1 | set now */
  cr_word wake;    /* a crowd sleeps here */
  uint32_t unused;
};

struct cr_event *cr_event_new(void) {
  struct cr_event *e = cr_alloc(sizeof *e);
  if (e == NULL) return NULL;
  atomic_store_explicit(&e->head.refs, 0, memory_order_relaxed);
  e->site[0] = 0;
  atomic_store(&e->state, 0);
  atomic_store(&e->wake, 0);
  atomic_store(&e->head.type, CR_EVENT);
  return e;
}

void cr_event_set(struct cr_event *e) {
  uint64_t v = atomic_load(&e->state);
  cr_wake_begin(&e->wake);
  while (!(v & 1) && !atomic_compare_exchange_weak(&e->state, &v, v + 3))
    ;
  cr_wake_end(&e->wake);
}

void cr_event_clear(struct cr_event *e) {
  atomic_fetch_and(&e->state, ~(uint64_t)1);
}

bool cr_event_is_set(const struct cr_event *e) {
  return atomic_load(&e->state) & 1;
}

/* Set now, or since the state was `before` (which was not set)? */
static bool was_set(const struct cr_event *e, uint64_t before) {
  return atomic_load(&e->state) != before;
}

static bool spin(const struct cr_event *e, uint64_t before) {
  struct cr_spin spinning;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (was_set(e, before)) {
      cr_spin_won(&spinning);
      return true;
    }
  }
  return false;
}

/* The lower half of the state, as a word (little endian): it changes whenever the
** event is set. Who sleeps watches it besides, since the wake word looks the same
** again as soon as somebody else waits after set and clear. */
static struct cr_wait set_word(struct cr_event *e, uint64_t before) {
  return (struct cr_wait){(cr_word *)&e->state, (uint32_t)before};
}

int cr_event_wait(struct cr_event *e, int64_t deadline) {
  uint64_t before = atomic_load(&e->state);
  if (before & 1) return 0;
  if (deadline == 0) return ETIMEDOUT;
  if (spin(e, before)) return 0;
  int err = 0;
  bool slept = false;
  cr_wake_begin(&e->wake);
  for (;;) {
    struct cr_wait w[] = {{&e->wake, cr_wake_want(&e->wake, true)},
                          set_word(e, before)};
    if (was_set(e, before)) break;
    if (err != 0) break;
    err = cr_sleep(w, 2, deadline);
    slept = true;
  }
  if (was_set(e, before)) {
    err = 0;
    if (slept) cr_wake(&e->wake, INT_MAX);
  }
  cr_wake_cancel();
  return err;
}

bool cr_event_ready(struct cr_event *e, struct cr_wait *wait) {
  if (!cr_event_is_set(e)) {
    if (wait == NULL) return false;
    *wait = (struct cr_wait){&e->wake, cr_wake_want(&e->wake, true)};
    if (!cr_event_is_set(e)) return false;
  }
  cr_wake_pass(&e->wake);
  return true;
}
