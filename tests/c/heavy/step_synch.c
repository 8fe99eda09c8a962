/* Killed after every instruction: semaphore, event, condition, barrier, RLock,
** Value, Array. See ../lib/step.h. */
#include "../lib/step.h"

#include <math.h>

#include "value.h"

static uint32_t handle, lock_handle;

static void hold(void *object) {
  must(object != NULL, "no memory");
  must(cr_handle_new(object, &handle) == 0, "no handle");
}

static void drop(bool done) {
  (void)done;
  cr_handle_drop(handle);
}

/* ---- RLock ---- */

static struct cr_lock *lock;

static void rlock_make(void) {
  lock = cr_lock_new(true);
  hold(lock);
}

static void rlock_op(void) {
  cr_lock_acquire(lock, CR_FOREVER);
  cr_lock_acquire(lock, CR_FOREVER);
  cr_lock_release(lock);
  cr_lock_release(lock);
}

static void rlock_early(bool done) {
  int err = cr_lock_acquire(lock, cr_deadline(5));
  must(err == 0 || (err == EOWNERDEAD && !done), "acquire gave %d", err);
  must(cr_lock_release(lock) == 0, "release");
  must(!cr_lock_mine(lock), "still held after one release");
}

/* ---- Semaphore ---- */

static struct cr_semaphore *sem;

static void sem_make(void) {
  sem = cr_semaphore_new(0, false);
  hold(sem);
}

static void sem_make_full(void) {
  sem = cr_semaphore_new(3, true);
  hold(sem);
}

static void sem_sleeper(int unused) {
  (void)unused;
  if (cr_semaphore_acquire(sem, CR_FOREVER, NULL) != 0) _exit(3);
  step_awake();
}

static void sem_attend(void) {
  step_sleeper(sem_sleeper);
  step_sleeper(sem_sleeper);
}

static void sem_acquire_op(void) {
  cr_semaphore_acquire(sem, CR_FOREVER, NULL);
}

static void sem_release_op(void) {
  cr_semaphore_release(sem, 1, NULL);
}

/* What was released must be taken without our help; then we release more. */
static void sem_release_early(bool done) {
  int64_t until = cr_deadline(5);
  while (cr_semaphore_value(sem) > 0) {
    must(cr_now() < until, "a token lies there, two sleep");
    sched_yield();
  }
  cr_semaphore_release(sem, done ? 1 : 2, NULL);
  step_all_awake("for a semaphore");
}

static void sem_free_early(bool done) {
  uint32_t n = cr_semaphore_value(sem);
  must(n == 2 || (n == 3 && !done), "count %u", n);
}

/* What is noted at the handle is given back. */
static void sem_units_op(void) {
  cr_word *units = cr_handle_units(handle);
  cr_semaphore_acquire(sem, CR_FOREVER, units);
  cr_semaphore_acquire(sem, CR_FOREVER, units);
  cr_semaphore_release(sem, 1, units);
}

static void sem_units_check(bool done) {
  uint32_t n = cr_semaphore_value(sem);
  must(n == 3, "count %u", n);
  drop(done);
}

/* The victim sleeps; then another one, then there is one token. */
static void sem_wake(void) {
  step_sleeper(sem_sleeper);
  cr_semaphore_release(sem, 1, NULL);
}

static void sem_wait_early(bool done) {
  (void)done;
  if (sleepers == 0) step_sleeper(sem_sleeper);
  if (atomic_load(&shared->awake) == 0) cr_semaphore_release(sem, 1, NULL);
  step_all_awake("behind one that was killed");
}

/* ---- Event ---- */

static struct cr_event *event;

static void event_make(void) {
  event = cr_event_new();
  hold(event);
}

static void event_sleeper(int unused) {
  (void)unused;
  if (cr_event_wait(event, CR_FOREVER) != 0) _exit(3);
  step_awake();
}

static void event_attend(void) {
  step_sleeper(event_sleeper);
  step_sleeper(event_sleeper);
  step_sleeper(event_sleeper);
}

static void event_set_op(void) {
  cr_event_set(event);
}

static void event_pulse_op(void) {
  cr_event_set(event);
  cr_event_clear(event);
}

static void event_set_early(bool done) {
  must(!done || cr_event_is_set(event), "set, and not set");
  if (!cr_event_is_set(event)) cr_event_set(event);
  step_all_awake("for an event");
}

static void event_pulse_early(bool done) {
  if (!done) cr_event_set(event);
  step_all_awake("for an event that was set and cleared");
}

static void event_wait_op(void) {
  cr_event_wait(event, CR_FOREVER);
}

static void event_wait_wake(void) {
  step_sleeper(event_sleeper);
  step_sleeper(event_sleeper);
  cr_event_set(event);
}

static void event_wait_early(bool done) {
  (void)done;
  cr_event_set(event);
  step_all_awake("beside one that was killed");
}

/* ---- Condition ---- */

static struct cr_condition *cond;

static void cond_make_on(bool recursive) {
  lock = cr_lock_new(recursive);
  must(lock != NULL && cr_handle_new(&lock->head, &lock_handle) == 0, "lock");
  cond = cr_condition_new(lock);
  hold(cond);
  cr_handle_drop(lock_handle);
}

static void cond_make(void) {
  cond_make_on(false);
}

static void cond_make_recursive(void) {
  cond_make_on(true);
}

static void cond_lock(void) {
  int err = cr_lock_acquire(lock, cr_deadline(10));
  must(err == 0 || err == EOWNERDEAD, "the lock is not to be had (%d)", err);
}

static void cond_sleeper(int number) {
  cond_lock();
  int err = cr_condition_wait(cond, CR_FOREVER);
  if (err != 0 && err != EOWNERDEAD) _exit(3);
  atomic_store(&shared->value[number], atomic_fetch_add(&shared->awake, 1) + 1);
  cr_lock_release(lock);
}

static void cond_attend_two(void) {
  step_sleeper(cond_sleeper);
  step_sleeper(cond_sleeper);
}

/* The victim comes in after the others have gone to sleep. */
static void cond_notify_op(void) {
  cr_lock_acquire(lock, CR_FOREVER);
  cr_condition_notify(cond, 1);
  cr_lock_release(lock);
}

static void cond_notify_all_op(void) {
  cr_lock_acquire(lock, CR_FOREVER);
  cr_condition_notify(cond, UINT32_MAX);
  cr_lock_release(lock);
}

static void cond_wake_rest(void) {
  cond_lock();
  cr_condition_notify(cond, UINT32_MAX);
  must(cr_condition_waiters(cond) == 0, "some still wait");
  cr_lock_release(lock);
  step_all_awake("in a condition");
}

static void cond_notify_early(bool done) {
  cond_lock();
  uint32_t n = cr_condition_waiters(cond);
  must(n == 1 || (n == 2 && !done), "%u wait", n);
  cr_lock_release(lock);
  must(n == 2 || child_ends(&sleeper[0], 5), "the first was not notified");
  cond_wake_rest();
}

static void cond_notify_all_early(bool done) {
  cond_lock();
  must(!done || cr_condition_waiters(cond) == 0, "some still wait");
  cr_lock_release(lock);
  cond_wake_rest();
}

/* The victim waits (twice locked), another one behind it, one is notified. */
static void cond_wait_op(void) {
  cr_lock_acquire(lock, CR_FOREVER);
  cr_condition_wait(cond, CR_FOREVER);
  cr_lock_release(lock);
}

static void cond_wait_wake(void) {
  step_sleeper(cond_sleeper);
  cond_lock();
  cr_condition_notify(cond, 1);
  cr_lock_release(lock);
}

static void cond_wait_check(bool done) {
  cond_lock();
  must(cr_condition_waiters(cond) ==
               (uint32_t)sleepers - atomic_load(&shared->awake) ||
           !done,
       "waiters");
  cr_lock_release(lock);
  cond_wake_rest();
  drop(done);
}

/* What it was told before its death is told to another by whoever reaps. */
static void cond_inherit_early(bool done) {
  struct cr_slot *s = step_victim.birth.slot;
  bool noted = atomic_load(&s->waits_in) == (uintptr_t)cond &&
               atomic_load(&s->note) == CR_DIED;
  must(!noted || !done, "still noted");
  child_reap(&step_victim);
  must(!noted || cr_condition_waiters(cond) == 0, "a note was swallowed");
}

static void cond_timeout_op(void) {
  cr_lock_acquire(lock, CR_FOREVER);
  cr_lock_acquire(lock, CR_FOREVER);
  cr_condition_wait(cond, 0);
  cr_lock_release(lock);
  cr_lock_release(lock);
}

static void cond_timeout_early(bool done) {
  (void)done;
  cond_lock();
  must(cr_condition_waiters(cond) == 0, "the dead wait");
  must(cr_lock_release(lock) == 0 && !cr_lock_mine(lock), "depth");
}

static void cond_life_op(void) {
  cond_make_on(true);
  drop(true);
}

/* ---- Barrier ---- */

static struct cr_barrier *barrier;

static void barrier_make_with(uint32_t parties, bool action) {
  barrier = cr_barrier_new(parties, action, INFINITY, NULL);
  hold(barrier);
}

static void barrier_make(void) {
  barrier_make_with(3, false);
}

static void barrier_make_acting(void) {
  barrier_make_with(3, true);
}

/* value[0] counts those who passed, value[1] those to whom it broke. */
static void barrier_sleeper(int unused) {
  uint32_t index;
  (void)unused;
  int err = cr_barrier_wait(barrier, CR_FOREVER, &index);
  if (err == EALREADY) err = cr_barrier_open(barrier);
  if (err != 0 && err != EPIPE) _exit(3);
  atomic_fetch_add(&shared->value[err != 0], 1);
  step_awake();
}

static void barrier_attend(void) {
  step_sleeper(barrier_sleeper);
  step_sleeper(barrier_sleeper);
}

static void barrier_wait_op(void) {
  uint32_t index;
  if (cr_barrier_wait(barrier, CR_FOREVER, &index) == EALREADY)
    cr_barrier_open(barrier);
}

/* Either all go on or it is broken for all; if the victim had not come, they
** are still there. */
static void barrier_early(bool done) {
  int64_t until = cr_deadline(0.2);
  uint32_t n = (uint32_t)sleepers;
  while (atomic_load(&shared->awake) < n && !cr_barrier_broken(barrier) &&
         cr_barrier_waiting(barrier) < n && cr_now() < until)
    sched_yield();
  bool there = cr_barrier_waiting(barrier) == n;
  must(!there || !done, "those it passed still wait");
  if (there) cr_barrier_abort(barrier);
  step_all_awake("in a barrier");
  uint32_t passed = atomic_load(&shared->value[0]);
  must(passed == 0 || passed == n, "%u of %u have passed", passed, n);
  must(passed == n || !done, "broken by one that has passed");
}

/* While the action runs its death is found within a second. */
static void barrier_acting_early(bool done) {
  if (!done && cr_barrier_broken(barrier)) cr_barrier_abort(barrier);
  barrier_early(done);
}

static void barrier_again(bool done) {
  uint32_t index;
  (void)done;
  if (cr_barrier_broken(barrier)) cr_barrier_reset(barrier);
  for (int i = 0; i < sleepers; i++) child_reap(&sleeper[i]);
  sleepers = 0;
  atomic_store(&shared->awake, 0);
  barrier_attend();
  int err = cr_barrier_wait(barrier, cr_deadline(10), &index);
  if (err == EALREADY) err = cr_barrier_open(barrier);
  must(err == 0, "the next round ends with %d", err);
  step_all_awake("in the next round");
  for (int i = 0; i < sleepers; i++) child_reap(&sleeper[i]);
  sleepers = 0;
  drop(done);
}

/* The victim comes first, sleeps, and the other two come. */
static void barrier_wait_wake(void) {
  step_sleeper(barrier_sleeper);
  child_start(&sleeper[sleepers], barrier_sleeper, sleepers);
  sleepers++;
}

static void barrier_waiter_early(bool done) {
  uint32_t n = (uint32_t)sleepers;
  if (n == 0) {
    must(!done, "done alone");
    return;
  }
  int64_t until = cr_deadline(0.5);
  while (atomic_load(&shared->awake) < n && cr_now() < until) sched_yield();
  /* Killed before it had come, or after they had passed. */
  if (atomic_load(&shared->awake) == 0) cr_barrier_abort(barrier);
  step_all_awake("in a barrier with a dead one");
  uint32_t passed = atomic_load(&shared->value[0]);
  must(passed == 0 || passed == n, "%u of %u have passed", passed, n);
}

static void barrier_abort_op(void) {
  cr_barrier_abort(barrier);
}

static void barrier_reset_op(void) {
  cr_barrier_reset(barrier);
}

static void barrier_abort_early(bool done) {
  if (!done) cr_barrier_abort(barrier);
  step_all_awake("in a barrier that was broken");
  must(atomic_load(&shared->value[1]) == 2, "not all know");
}

/* ---- Value ---- */

static struct cr_value *value;
static char text[] = "a text of some length", other[] = "another, longer text "
                                                        "of some length";

static struct cr_scalar string(char *s) {
  return (struct cr_scalar){.kind = CR_STRING, .string = {s, strlen(s)}};
}

static struct cr_scalar integer(int64_t n) {
  return (struct cr_scalar){.kind = CR_INTEGER, .integer = n};
}

static void value_make(struct cr_scalar first) {
  value = cr_value_new(&first);
  hold(value);
}

static void value_make_number(void) {
  value_make(integer(1));
}

static void value_make_text(void) {
  value_make(string(text));
}

static void value_set(struct cr_scalar s) {
  cr_value_set(value, &s);
}

static void value_text_op(void) {
  value_set(string(other));
}

static void value_number_op(void) {
  value_set(integer(2));
}

static void value_wide_op(void) {
  value_set(integer(INT64_MAX));
}

static void value_add_op(void) {
  struct cr_scalar n = integer(INT64_MAX - 1), out;
  cr_value_add(value, &n, &out);
}

static bool value_is(struct cr_scalar s) {
  char room[100];
  struct cr_scalar v = {.string = {room, sizeof room}};
  must(cr_value_get(value, &v) == 0, "get");
  if (v.kind != s.kind) return false;
  if (v.kind == CR_INTEGER) return v.integer == s.integer;
  return v.string.length == s.string.length &&
         memcmp(v.string.bytes, s.string.bytes, s.string.length) == 0;
}

static void value_was(struct cr_scalar old, struct cr_scalar new, bool done) {
  must(value_is(new) || (value_is(old) && !done), "neither old nor new");
}

static void text_to_text_early(bool done) {
  value_was(string(text), string(other), done);
}

static void text_to_number_early(bool done) {
  value_was(string(text), integer(2), done);
}

static void text_to_wide_early(bool done) {
  value_was(string(text), integer(INT64_MAX), done);
}

static void number_to_text_early(bool done) {
  value_was(integer(1), string(other), done);
}

static void number_to_wide_early(bool done) {
  value_was(integer(1), integer(INT64_MAX), done);
}

static void value_check(bool done) {
  value_set(string(text));
  must(value_is(string(text)), "text");
  value_set(integer(7));
  must(value_is(integer(7)), "number");
  drop(done);
}

static void value_life_op(void) {
  value_make_text();
  drop(true);
}

/* ---- Array ---- */

static struct cr_array *array;

static void array_make(void) {
  array = cr_array_new(3);
  hold(array);
}

static void array_op(void) {
  struct cr_scalar wide = integer(INT64_MIN), one = integer(1);
  cr_array_set(array, 2, &wide);
  cr_array_set(array, 2, &one);
}

static void array_early(bool done) {
  struct cr_scalar s;
  must(cr_array_get(array, 2, &s) == 0 && s.kind == CR_INTEGER, "get");
  must(s.integer == 1 || (!done && (s.integer == 0 || s.integer == INT64_MIN)),
       "neither old nor new");
  s.integer = INT64_MAX;
  cr_array_set(array, 2, &s);
  cr_array_get(array, 2, &s);
  must(s.integer == INT64_MAX, "cannot be written");
}

static const struct step steps[] = {
    {.name = "RLock, twice",
     .setup = rlock_make,
     .op = rlock_op,
     .early = rlock_early,
     .check = drop},
    {.name = "semaphore acquire",
     .setup = sem_make_full,
     .op = sem_acquire_op,
     .early = sem_free_early,
     .check = drop},
    {.name = "semaphore release, two sleepers",
     .setup = sem_make,
     .attend = sem_attend,
     .op = sem_release_op,
     .early = sem_release_early,
     .check = drop},
    {.name = "semaphore acquire, asleep",
     .setup = sem_make,
     .op = sem_acquire_op,
     .wake = sem_wake,
     .early = sem_wait_early,
     .check = drop},
    {.name = "event set, three sleepers",
     .setup = event_make,
     .attend = event_attend,
     .op = event_set_op,
     .early = event_set_early,
     .check = drop},
    {.name = "event set and clear, three sleepers",
     .setup = event_make,
     .attend = event_attend,
     .op = event_pulse_op,
     .early = event_pulse_early,
     .check = drop},
    {.name = "semaphore, units of a handle",
     .setup = sem_make_full,
     .op = sem_units_op,
     .check = sem_units_check},
    {.name = "event wait, asleep",
     .setup = event_make,
     .op = event_wait_op,
     .wake = event_wait_wake,
     .early = event_wait_early,
     .check = drop},
    {.name = "condition notify, two sleepers",
     .setup = cond_make,
     .attend = cond_attend_two,
     .op = cond_notify_op,
     .early = cond_notify_early,
     .check = drop},
    {.name = "condition notify_all, two sleepers",
     .setup = cond_make,
     .attend = cond_attend_two,
     .op = cond_notify_all_op,
     .early = cond_notify_all_early,
     .check = drop},
    {.name = "condition wait, asleep",
     .setup = cond_make,
     .op = cond_wait_op,
     .wake = cond_wait_wake,
     .early = cond_inherit_early,
     .check = cond_wait_check},
    {.name = "condition wait, time-out, RLock",
     .setup = cond_make_recursive,
     .op = cond_timeout_op,
     .early = cond_timeout_early,
     .check = drop},
    {.name = "condition made and dropped", .op = cond_life_op},
    {.name = "barrier, the last of three",
     .setup = barrier_make,
     .attend = barrier_attend,
     .op = barrier_wait_op,
     .early = barrier_early,
     .check = barrier_again},
    {.name = "barrier, the last of three acts",
     .setup = barrier_make_acting,
     .attend = barrier_attend,
     .op = barrier_wait_op,
     .early = barrier_acting_early,
     .check = barrier_again},
    {.name = "barrier, the first of three",
     .setup = barrier_make,
     .op = barrier_wait_op,
     .wake = barrier_wait_wake,
     .early = barrier_waiter_early,
     .check = barrier_again},
    {.name = "barrier abort, two sleepers",
     .setup = barrier_make,
     .attend = barrier_attend,
     .op = barrier_abort_op,
     .early = barrier_abort_early,
     .check = barrier_again},
    {.name = "barrier reset, two sleepers",
     .setup = barrier_make,
     .attend = barrier_attend,
     .op = barrier_reset_op,
     .early = barrier_abort_early,
     .check = barrier_again},
    {.name = "value: text to text",
     .setup = value_make_text,
     .op = value_text_op,
     .early = text_to_text_early,
     .check = value_check},
    {.name = "value: text to number",
     .setup = value_make_text,
     .op = value_number_op,
     .early = text_to_number_early,
     .check = value_check},
    {.name = "value: text to wide integer",
     .setup = value_make_text,
     .op = value_wide_op,
     .early = text_to_wide_early,
     .check = value_check},
    {.name = "value: number to text",
     .setup = value_make_number,
     .op = value_text_op,
     .early = number_to_text_early,
     .check = value_check},
    {.name = "value: number to wide integer",
     .setup = value_make_number,
     .op = value_wide_op,
     .early = number_to_wide_early,
     .check = value_check},
    {.name = "value: add up to a wide integer",
     .setup = value_make_number,
     .op = value_add_op,
     .early = number_to_wide_early,
     .check = value_check},
    {.name = "value made and dropped", .op = value_life_op},
    {.name = "array, wide and narrow",
     .setup = array_make,
     .op = array_op,
     .early = array_early,
     .check = drop},
};

/* ---- double faults ---- */

static const struct step text_first = {.name =
                                           "value: text to text, first victim",
                                       .setup = value_make_text,
                                       .op = value_text_op};
static const struct step text_again = {.name =
                                           "value written after: text to text",
                                       .first = step_first,
                                       .setup = value_make_text,
                                       .op = value_number_op,
                                       .check = value_check};
static const struct step text_reap = {.name = "reaper of: value, text to text",
                                      .first = step_first,
                                      .setup = value_make_text,
                                      .op = step_reap_op,
                                      .check = value_check,
                                      .cold = true};
static const struct step units_first = {.name = "semaphore units, first victim",
                                        .setup = sem_make_full,
                                        .op = sem_units_op};
static const struct step units_reap = {.name = "reaper of: semaphore units",
                                       .first = step_first,
                                       .setup = sem_make_full,
                                       .op = step_reap_op,
                                       .check = sem_units_check,
                                       .cold = true};
static const struct step life_first = {
    .name = "value made and dropped, first victim",
    .setup = value_make_text,
    .op = value_life_op};
static const struct step life_reap = {.name =
                                          "reaper of: value made and dropped",
                                      .first = step_first,
                                      .setup = value_make_text,
                                      .op = step_reap_op,
                                      .check = drop,
                                      .cold = true};

int main(int argc, char **argv) {
  (void)argc;
  step_main();
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    if (step_wanted(argv, steps[i].name)) step_all(&steps[i]);
  if (step_wanted(argv, "double")) {
    if (argv[2] == NULL) step_double(&text_first, &text_again, 11);
    step_double(&text_first, &text_reap, 97);
    step_double(&units_first, &units_reap, 97);
    step_double(&life_first, &life_reap, 397);
  }
  return step_end();
}
