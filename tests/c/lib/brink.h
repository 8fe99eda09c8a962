/* A child that stands still when it is about to sleep for the first time: it has
** looked, and has told others that it sleeps, but the kernel does not know yet.
*/
#ifndef BRINK_H
#define BRINK_H

#include "child.h"

static cr_word *brink; /* 1: it stands there; 2: it may go on */

static int brink_before(int64_t deadline) {
  (void)deadline;
  if (atomic_load(brink) > 0) return 0;
  atomic_store(brink, 1);
  while (atomic_load(brink) == 1) sched_yield();
  return 0;
}

static int brink_after(void) {
  return 0;
}

static bool brink_crowded(void) {
  return false;
}

/* By the parent, before the children are started: none of them looks again by
** itself after a sleep that nobody ended. */
static void brink_open(void) {
  if (brink == NULL) brink = child_share(sizeof *brink);
  atomic_store(brink, 0);
  cr_sleepers(1 << 20);
}

/* By the child that is to stand still. */
static void brink_stop(void) {
  static const struct cr_sleep_hook hook = {brink_before, brink_after,
                                            brink_crowded};
  cr_sleep_hook = &hook;
}

/* By the parent: until it stands there; lets it go on. */
static void brink_await(void) {
  while (atomic_load(brink) == 0) sched_yield();
}

static void brink_leave(void) {
  atomic_store(brink, 2);
}

#endif
