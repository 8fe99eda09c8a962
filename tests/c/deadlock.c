/* Looks for deadlocks: what counts as able to go on. No Lua, so a report names
** threads and processes, and no lines. */
#include "deadlock.h"

#include <poll.h>
#include <sys/time.h>

#include "lib/child.h"
#include "lib/tap.h"

/* Ticks of the clock, 0.3 s each, that a test sleeps at most. */
enum { NEVER = 2, CERTAINLY = 100 };

static cr_word *word;
static char report[4096];
static int report_fd, ticks;

/* Wakes the test when there is a report, or its time is over. */
static void tick(int signal) {
  (void)signal;
  struct pollfd p = {.fd = report_fd, .events = POLLIN};
  if (--ticks > 0 && poll(&p, 1, 0) == 0) return;
  atomic_fetch_add(word, 1);
  cr_wake(word, 1);
}

static void set_clock(int us) {
  struct itimerval t = {{0, us}, {0, us}};
  setitimer(ITIMER_REAL, &t, NULL);
}

/* Sleeps until there is a report, so many ticks at most, and reads it. */
static void sleep_for(int most, const struct cr_wait *more) {
  struct cr_wait w[2] = {{word, atomic_load(word)}, {NULL, 0}};
  if (more != NULL) w[1] = *more;
  ticks = most;
  set_clock(300000);
  while (atomic_load(word) == w[0].value)
    cr_sleep(w, more != NULL ? 2 : 1, CR_FOREVER);
  set_clock(0);
  ssize_t n = read(report_fd, report, sizeof report - 1);
  report[n > 0 ? n : 0] = 0;
}

/* From now on what goes to stderr, of children too, goes to report_fd. */
static void catch_reports(void) {
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0) exit(99);
  dup2(pipes[1], STDERR_FILENO);
  close(pipes[1]);
  report_fd = pipes[0];
}

static bool reported(void) {
  return strstr(report, "cluarun: deadlock\n") == report;
}

static void test_alone(void) {
  char expected[200];
  sleep_for(CERTAINLY, NULL);
  snprintf(expected, sizeof expected,
           "cluarun: deadlock\n  MainThread (pid %d) waits for something\n",
           (int)getpid());
  ok(strcmp(report, expected) == 0, "one that waits alone is reported");
  if (strcmp(report, expected) != 0) printf("# %s", report);
}

static void test_off(void) {
  cr_deadlock_set(CR_DEADLOCK_OFF);
  sleep_for(NEVER, NULL);
  is(report[0], 0, "not when it is off");
  cr_deadlock_set(CR_DEADLOCK_REPORT);
}

static void run_program(int unused) {
  (void)unused;
  execlp("sleep", "sleep", "100", (char *)NULL);
  _exit(99);
}

static struct cr_wait life_of(const struct child *c) {
  return cr_wait_life(&c->birth.slot->life.word, c->birth.incarnation);
}

static void test_program(void) {
  struct child c;
  child_start(&c, run_program, 0);
  while (!cr_slot_dead(c.birth.slot)) sched_yield();
  struct cr_wait life = life_of(&c);
  sleep_for(NEVER, &life);
  is(report[0], 0, "a child that runs another program may end at any time");
  child_kill(&c);
  child_reap(&c);
}

static void wait_for_ever(int unused) {
  (void)unused;
  struct cr_wait w = {word, atomic_load(word)};
  for (;;) cr_sleep(&w, 1, CR_FOREVER);
}

static void poll_for_ever(int unused) {
  (void)unused;
  for (;;) pause();
}

static void test_child(void) {
  struct child c;
  child_start(&c, poll_for_ever, 0);
  struct cr_wait life = life_of(&c);
  sleep_for(NEVER, &life);
  is(report[0], 0, "a child that does not sleep in cr_sleep can go on");
  child_kill(&c);
  child_reap(&c);
  child_start(&c, wait_for_ever, 0);
  life = life_of(&c);
  sleep_for(CERTAINLY, &life);
  ok(reported(), "one that does cannot");
  child_kill(&c);
  child_reap(&c);
}

/* The dead are reaped by who looks: they say nothing for ever. */
static void test_corpse(void) {
  struct child c;
  child_start(&c, wait_for_ever, 0);
  child_kill(&c);
  sleep_for(CERTAINLY, NULL);
  ok(reported(), "the dead do not count");
  is(atomic_load(&c.birth.slot->state), CR_SLOT_FREE, "they are reaped");
}

static void test_raise(void) {
  static struct cr_rlock *lock;
  lock = cr_alloc(sizeof *lock);
  memset(lock, 0, sizeof *lock);
  cr_deadlock_set(CR_DEADLOCK_RAISE);
  is(cr_rlock_acquire(lock, CR_FOREVER), 0, "a lock is taken");
  is(cr_rlock_acquire(lock, CR_FOREVER), EDEADLK, "not twice");
  ok(cr_rlock_mine(lock), "it is still held");
  is(cr_rlock_acquire(lock, cr_deadline(0.3)), ETIMEDOUT, "or with a time-out");
  cr_rlock_release(lock);
  is(cr_rlock_acquire(lock, CR_FOREVER), 0, "it works as before");
  cr_rlock_release(lock);
  cr_free(lock);
}

int main(void) {
  struct sigaction action = {.sa_handler = tick};
  if (cr_arena_open() != 0) return 99;
  int saved = dup(STDERR_FILENO);
  catch_reports();
  word = cr_alloc(sizeof *word);
  atomic_store(word, 0);
  sigaction(SIGALRM, &action, NULL);
  cr_deadlock_set(CR_DEADLOCK_REPORT);
  test_alone();
  test_off();
  test_program();
  test_child();
  test_corpse();
  test_raise();
  dup2(saved, STDERR_FILENO);
  cr_free(word);
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
