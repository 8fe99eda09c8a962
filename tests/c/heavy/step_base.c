/* Killed after every instruction: allocator, handles, locks, fork and reaping.
** See ../lib/step.h. */
#include "../lib/step.h"

static struct cr_lock_block {
  struct cr_block head;
  struct cr_rlock lock;
  cr_word count; /* under lock */
} * object;
static uint32_t handle;

/* ---- a plain object with a lock in it ---- */

static void object_make(void) {
  object = cr_alloc(sizeof *object);
  must(object != NULL, "no memory");
  memset((char *)object + sizeof object->head, 0,
         sizeof *object - sizeof object->head);
  must(cr_handle_new(&object->head, &handle) == 0, "no handle");
}

static void object_drop(bool done) {
  (void)done;
  cr_handle_drop(handle);
}

/* ---- allocator ---- */

static void blocks_op(void) {
  void *a = cr_alloc(100), *b = cr_alloc(200000), *c = cr_alloc(70000);
  cr_free(b);
  cr_free(a);
  cr_free(c);
}

static void new_slab_op(void) {
  cr_free(cr_alloc(12000));
}

static void object_op(void) {
  uint32_t h;
  struct cr_block *b = cr_alloc(sizeof *b);
  if (b != NULL && cr_handle_new(b, &h) == 0) cr_handle_drop(h);
}

/* ---- handles ---- */

enum { MANY = 400 };
static uint32_t many[MANY];
static int held; /* of many[]; as many as make a chunk full */
static bool counted;

/* Finds out how many handles fit before the table grows. */
static void handles_count(void) {
  size_t blocks = cr_arena_blocks();
  held = 0;
  while (cr_arena_blocks() == blocks && held < MANY)
    cr_handle_add(&object->head, &many[held++]);
  must(held < MANY, "the handle table does not grow");
  cr_handle_drop(many[--held]);
  for (int i = 0; i < held; i++) cr_handle_drop(many[i]);
  counted = true;
}

static void handles_setup(void) {
  object_make();
  if (!counted) handles_count();
  for (int i = 0; i < held; i++) cr_handle_add(&object->head, &many[i]);
}

static void handles_drop(bool done) {
  for (int i = 0; i < held; i++) cr_handle_drop(many[i]);
  object_drop(done);
}

static void handle_op(void) {
  uint32_t h;
  if (cr_handle_add(&object->head, &h) == 0) cr_handle_drop(h);
}

/* The table grows: this child's is as full as its parent's, but it may have
** grown with room left. */
static void handles_op(void) {
  uint32_t h;
  cr_handle_add(&object->head, &h);
  cr_handle_add(&object->head, &h);
}

/* ---- locks ---- */

static void lock_op(void) {
  cr_rlock_acquire(&object->lock, CR_FOREVER);
  atomic_store(&object->count, 1);
  cr_rlock_release(&object->lock);
}

static void lock_early(bool done) {
  int err = cr_rlock_acquire(&object->lock, cr_deadline(5));
  must(err == 0 || (err == EOWNERDEAD && !done), "acquire gave %d", err);
  cr_rlock_release(&object->lock);
  must(cr_rlock_try(&object->lock) == 0, "not free after release");
  cr_rlock_release(&object->lock);
}

static void lock_take(void) {
  cr_rlock_acquire(&object->lock, CR_FOREVER);
}

static void unlock_op(void) {
  cr_rlock_release(&object->lock);
}

static void lock_sleeper(int number) {
  (void)number;
  int err = cr_rlock_acquire(&object->lock, CR_FOREVER);
  if (err != 0 && err != EOWNERDEAD) _exit(3);
  atomic_fetch_add(&object->count, 1);
  cr_rlock_release(&object->lock);
  step_awake();
}

static void lock_attend(void) {
  step_sleeper(lock_sleeper);
  step_sleeper(lock_sleeper);
}

static void unlock_early(bool done) {
  (void)done;
  step_all_awake("the lock");
  must(atomic_load(&object->count) == 2, "%u sleepers got in",
       atomic_load(&object->count));
}

/* The victim sleeps for the lock, with another one behind it. */
static void locked_make(void) {
  object_make();
  lock_take();
}

/* Another one goes to sleep behind it; then the lock is free. */
static void locked_wake(void) {
  step_sleeper(lock_sleeper);
  cr_rlock_release(&object->lock);
}

/* The same, but this process takes the lock again before the one that was
** woken can: whether that one dies or sleeps again, those behind it must not be
** forgotten. */
static void barge(void) {
  if (sleepers == 0) {
    locked_wake();
    cr_rlock_try(&object->lock);
  } else if (cr_rlock_mine(&object->lock)) {
    cr_rlock_release(&object->lock);
  }
}

static void locked_early(bool done) {
  if (cr_rlock_mine(&object->lock)) cr_rlock_release(&object->lock);
  lock_early(done);
  step_all_awake("behind a victim that waited");
}

/* ---- fork and reaping ---- */

static void fork_op(void) {
  if (cr_before_fork() != 0) return;
  pid_t p = fork();
  if (p == 0) _exit(0);
  if (p > 0) waitpid(p, NULL, 0);
  cr_reap(cr_birth.slot, cr_birth.incarnation);
}

/* Grandchildren come to this process when the victim dies. */
static void fork_early(bool done) {
  (void)done;
  int64_t until = cr_deadline(10);
  while (waitpid(-1, NULL, WNOHANG) >= 0 && cr_now() < until) sched_yield();
}

/* An unborn child's slot is given up after a while: all children have ended, so
** the test makes that while pass at once. */
static void fork_check(bool done) {
  (void)done;
  uint32_t busy = 0;
  for (uint32_t i = 0; i < cr_slot_high(); i++) cr_slot_at(i)->born = 0;
  cr_reap_all();
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    busy += atomic_load(&cr_slot_at(i)->state) != CR_SLOT_FREE;
  must(busy == 1, "%u slots are in use", busy);
}

static void fork_object_check(bool done) {
  fork_check(done);
  object_drop(done);
}

static void fork_handles_check(bool done) {
  fork_check(done);
  handles_drop(done);
}

/* ---- threads of a host ---- */

static void leave_op(void) {
  cr_slot_leave();
}

static void join_op(void) {
  must(cr_slot_join() == 0, "no slot");
}

static void rejoin(void) {
  cr_slot_leave();
  cr_slot_join();
}

static void join_object_op(void) {
  join_op();
  lock_op();
}

static const struct step steps[] = {
    {.name = "alloc and free: object and runs", .op = blocks_op},
    {.name = "alloc and free: new slab", .op = new_slab_op, .cold = true},
    {.name = "new object with a handle, dropped", .op = object_op},
    {.name = "handle added and dropped",
     .setup = object_make,
     .op = handle_op,
     .check = object_drop},
    {.name = "handle table grows",
     .setup = handles_setup,
     .op = handles_op,
     .check = handles_drop},
    {.name = "lock and unlock",
     .setup = object_make,
     .op = lock_op,
     .early = lock_early,
     .check = object_drop},
    {.name = "unlock, two sleepers",
     .setup = object_make,
     .enter = lock_take,
     .attend = lock_attend,
     .op = unlock_op,
     .early = unlock_early,
     .check = object_drop},
    {.name = "lock that is held, another sleeper",
     .setup = locked_make,
     .op = lock_op,
     .wake = locked_wake,
     .early = locked_early,
     .check = object_drop},
    {.name = "lock that is held, overtaken when woken",
     .setup = locked_make,
     .op = lock_op,
     .wake = barge,
     .again = 1,
     .early = locked_early,
     .check = object_drop},
    {.name = "fork, wait, reap (parent killed)",
     .setup = object_make,
     .op = fork_op,
     .early = fork_early,
     .check = fork_object_check,
     .cold = true},
    {.name = "fork with a long handle table",
     .setup = handles_setup,
     .op = fork_op,
     .early = fork_early,
     .check = fork_handles_check,
     .cold = true},
    {.name = "the leader leaves to a guard",
     .setup = object_make,
     .op = leave_op,
     .check = fork_object_check,
     .cold = true,
     .alone = true},
    {.name = "a thread joins and uses a lock",
     .setup = object_make,
     .enter = leave_op,
     .op = join_object_op,
     .early = lock_early,
     .check = fork_object_check,
     .cold = true},
    {.name = "a thread leaves",
     .setup = object_make,
     .enter = rejoin,
     .op = leave_op,
     .check = fork_object_check,
     .cold = true},
};

/* ---- double faults ---- */

static const struct step reap_blocks = {.name = "reaper of: alloc and free",
                                        .first = step_first,
                                        .cold = true,
                                        .op = step_reap_op};
static const struct step again_blocks = {.name =
                                             "alloc and free after: the same",
                                         .first = step_first,
                                         .cold = true,
                                         .op = blocks_op};
static const struct step reap_handles = {.name =
                                             "reaper of: handle table grows",
                                         .first = step_first,
                                         .cold = true,
                                         .setup = handles_setup,
                                         .op = step_reap_op,
                                         .check = handles_drop};
static const struct step again_join = {.name = "a thread joins after: the same",
                                       .first = step_first,
                                       .cold = true,
                                       .enter = leave_op,
                                       .op = join_op,
                                       .check = fork_check};
static const struct step again_lock = {.name = "lock after: the same",
                                       .first = step_first,
                                       .cold = true,
                                       .setup = object_make,
                                       .op = lock_op,
                                       .check = object_drop};

int main(int argc, char **argv) {
  (void)argc;
  const struct step join = {
      .name = "a thread joins", .enter = leave_op, .op = join_op};
  step_main();
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    if (step_wanted(argv, steps[i].name)) step_all(&steps[i]);
  if (step_wanted(argv, "double")) {
    step_double(&steps[0], &reap_blocks, 61);
    step_double(&steps[0], &again_blocks, 97);
    step_double(&steps[4], &reap_handles, 23);
    step_double(&steps[5], &again_lock, 3);
    step_double(&join, &again_join, 23);
  }
  return step_end();
}
