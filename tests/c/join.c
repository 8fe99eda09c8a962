/* Threads of a host: they join the arena by themselves and leave it when they
** end, the leader of a process among them. */
#include <pthread.h>

#include "lib/child.h"
#include "lib/tap.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

enum { MANY = 8 };

static struct shared {
  struct cr_block head;
  struct cr_rlock lock;
  cr_word count; /* under lock */
} * object;
static uint32_t handle;
static cr_word *seen;
static int at_rest; /* slots in use when only main runs */

static void make_object(void) {
  object = cr_alloc(sizeof *object);
  if (object == NULL || cr_handle_new(&object->head, &handle) != 0) exit(99);
  memset(&object->lock, 0, sizeof object->lock);
  atomic_store(&object->count, 0);
}

static void in_thread(void *(*body)(void *), int n) {
  pthread_t t[MANY];
  for (int i = 0; i < n; i++)
    if (pthread_create(&t[i], NULL, body, NULL) != 0) exit(99);
  for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
}

/* Slots in use, after the dead have been reaped. */
static int slots_in_use(void) {
  int n = 0;
  cr_reap_all();
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    n += atomic_load(&cr_slot_at(i)->state) != CR_SLOT_FREE;
  return n;
}

static void add_one(void) {
  int err = cr_rlock_acquire(&object->lock, CR_FOREVER);
  if (err != 0 && err != EOWNERDEAD) return;
  atomic_store_explicit(
      &object->count,
      atomic_load_explicit(&object->count, memory_order_relaxed) + 1,
      memory_order_relaxed);
  cr_rlock_release(&object->lock);
}

/* What a thread of a host does: takes locks, memory, handles. */
static void *work(void *unused) {
  uint32_t h;
  if (cr_slot_join() != 0 || cr_slot_join() != 0) return NULL;
  for (int i = 0; i < 200; i++) {
    void *block = cr_alloc(100);
    add_one();
    cr_free(block);
    if (cr_handle_add(&object->head, &h) == 0) cr_handle_drop(h);
  }
  if (cr_self->leader_incarnation == cr_leader->leader_incarnation)
    atomic_fetch_add(&seen[0], 1);
  return unused;
}

static void test_threads(void) {
  in_thread(work, MANY);
  is(atomic_load(&seen[0]), MANY, "all threads are of this process");
  is(atomic_load(&object->count), MANY * 200, "and could take locks");
  is(slots_in_use(), at_rest, "when they end, their slots are free");
}

static void *join_only(void *unused) {
  if (cr_slot_join() == 0) atomic_fetch_add(&seen[0], 1);
  return unused;
}

static void test_many(void) {
  atomic_store(&seen[0], 0);
  uint32_t high = cr_slot_high();
  for (int i = 0; i < 500; i++) in_thread(join_only, 1);
  is(atomic_load(&seen[0]), 500, "500 threads, one after the other");
  ok(cr_slot_high() <= high + 2, "use %u slots", cr_slot_high());
}

/* At the end a thread gives up its locks. */
static void *take_lock(void *unused) {
  cr_slot_join();
  cr_rlock_take(&object->lock);
  return unused;
}

static void test_lock_given_up(void) {
  in_thread(take_lock, 1);
  is(cr_rlock_acquire(&object->lock, cr_deadline(10)), EOWNERDEAD,
     "a thread's locks are free when it has ended");
  cr_rlock_release(&object->lock);
}

/* ---- fork ---- */

static void *fork_one(void *unused) {
  pid_t pid = fork();
  if (pid == 0) {
    uint32_t h;
    bool good = cr_self != NULL && cr_leader == cr_self &&
                atomic_load(&object->head.refs) >= 2 &&
                cr_handle_add(&object->head, &h) == 0;
    if (good) cr_handle_drop(handle);
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  if (status == 0) atomic_fetch_add(&seen[0], 1);
  return unused;
}

static void test_fork(void) {
  atomic_store(&seen[0], 0);
  for (int i = 0; i < 10; i++) in_thread(fork_one, MANY);
  is(atomic_load(&seen[0]), 10 * MANY,
     "a thread without a slot forks: the child holds what its parent holds");
  is(slots_in_use(), at_rest, "and lets go");
  is(atomic_load(&object->head.refs), 1, "of everything");
}

/* ---- the leader ends ---- */

/* Robust, held by the leader: who gets it knows that the leader has ended. (To
** join a child's main thread is an error to the address sanitizer.) */
static pthread_mutex_t leader_lives;

/* In a thread of a process whose leader has ended. */
static void *after_leader(void *unused) {
  if (pthread_mutex_lock(&leader_lives) != EOWNERDEAD) _exit(98);
  bool good = cr_slot_join() == 0 && cr_self != cr_leader &&
              cr_slot_alive(cr_leader, cr_leader->leader_incarnation) &&
              cr_slot_pid(cr_leader) == getpid();
  add_one();
  in_thread(join_only, 2);
  cr_reap_all();
  good = good && atomic_load(&object->head.refs) == 2;
  atomic_store(&seen[1], good);
  atomic_store(&seen[2], 1);
  while (atomic_load(&seen[3]) == 0) child_rest(1000);
  return unused;
}

/* Its main thread is the leader and ends first; the process ends with the last
** thread. */
static void end_leader(int unused) {
  (void)unused;
  pthread_t t;
  pthread_mutexattr_t robust;
  pthread_mutexattr_init(&robust);
  pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&leader_lives, &robust);
  pthread_mutex_lock(&leader_lives);
  if (pthread_create(&t, NULL, after_leader, NULL) != 0) _exit(99);
  pthread_exit(NULL);
}

static void start_leaderless(struct child *c) {
  for (int i = 0; i < 4; i++) atomic_store(&seen[i], 0);
  child_start(c, end_leader, 0);
  int64_t until = cr_deadline(20);
  while (atomic_load(&seen[2]) == 0 && cr_now() < until) child_rest(1000);
}

static void test_leader(void) {
  struct child c;
  start_leaderless(&c);
  ok(atomic_load(&seen[1]), "a process goes on when its leader has ended");
  cr_reap_all();
  ok(cr_slot_alive(c.birth.slot, c.birth.incarnation),
     "for others it is alive");
  is(atomic_load(&object->head.refs), 2, "and holds what it held");
  atomic_store(&seen[3], 1);
  ok(child_ends(&c, 20), "it ends with its last thread");
  is(c.status, 0, "well");
  ok(cr_slot_dead(c.birth.slot), "its death is noticed");
  is(slots_in_use(), at_rest, "all its slots are free");
  start_leaderless(&c);
  child_kill(&c);
  ok(cr_slot_dead(c.birth.slot), "also when it is killed");
  is(slots_in_use(), at_rest, "all its slots are free again");
  is(atomic_load(&object->head.refs), 1, "it holds nothing any more");
}

/* ---- killed at any time ---- */

static void *come_and_go(void *unused) {
  for (;;) {
    if (cr_slot_join() != 0) _exit(98);
    void *block = cr_alloc(100);
    add_one();
    cr_free(block);
    cr_slot_leave();
    atomic_fetch_add(&seen[0], 1);
  }
  return unused;
}

static void come_and_go_together(int unused) {
  (void)unused;
  in_thread(come_and_go, 3);
}

static void test_killed(void) {
  unsigned seed = 1;
  int wedged = 0;
  for (int i = 0; i < 150; i++) {
    struct child c;
    atomic_store(&seen[0], 0);
    child_start(&c, come_and_go_together, 0);
    seed = seed * 1103515245 + 12345;
    uint32_t rounds = seed / 65536 % 300;
    int64_t until = cr_deadline(20);
    while (atomic_load(&seen[0]) < rounds && cr_now() < until) sched_yield();
    child_kill(&c);
    int err = cr_rlock_acquire(&object->lock, cr_deadline(20));
    wedged += err != 0 && err != EOWNERDEAD;
    cr_rlock_release(&object->lock);
  }
  /* One that was killed before it had entered its slot gets some time for it,
  ** which the test makes pass at once. */
  for (uint32_t i = 0; i < cr_slot_high(); i++) cr_slot_at(i)->born = 0;
  int left = slots_in_use() - at_rest;
  is(wedged, 0, "killed while threads come and go: no lock is lost");
  is(left, 0, "no slot");
}

/* The leader of the test's own process has ended, too. */
static void *open_arena(void *unused) {
  if (cr_arena_open() == 0) atomic_store(&seen[0], 1);
  make_object();
  return unused;
}

int main(void) {
  seen = child_share(4 * sizeof *seen);
  in_thread(open_arena, 1);
  ok(atomic_load(&seen[0]) && cr_self == NULL, "a thread opens the arena");
  is(cr_arena_open(), 0, "when it has ended main joins");
  at_rest = slots_in_use();
  is(at_rest, 2, "somebody keeps the leader's slot");
  atomic_store(&seen[0], 0);
  test_threads();
  test_many();
  test_lock_given_up();
  test_fork();
  /* The thread sanitizer cannot follow threads of a fork's child. */
#if !__has_feature(thread_sanitizer)
  test_leader();
  test_killed();
#else
  (void)test_leader;
  (void)test_killed;
#endif
  cr_handle_drop(handle);
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
