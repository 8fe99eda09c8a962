/* Event: everyone who waits is woken, whoever dies. */
#include "lib/tap.h"
#include "lib/brink.h"
#include "lib/child.h"
#include "synch.h"

enum { CHILDREN = 5 };

static struct cr_event *e;
static uint32_t handle;

static void make(void) {
  e = cr_event_new();
  if (e == NULL || cr_handle_new((struct cr_block *)e, &handle) != 0) exit(99);
}

static void basics(void) {
  struct cr_wait w = {NULL, 0};
  make();
  ok(!cr_event_is_set(e), "not set at first");
  is(cr_event_wait(e, 0), ETIMEDOUT, "look");
  is(cr_event_wait(e, cr_deadline(0.01)), ETIMEDOUT, "wait a while");
  ok(!cr_event_ready(e, &w) && w.word != NULL, "not ready: a word to sleep on");
  cr_event_set(e);
  ok(atomic_load(w.word) != w.value, "it changes when the event is set");
  cr_event_set(e);
  ok(cr_event_is_set(e) && cr_event_ready(e, &w), "set");
  is(cr_event_wait(e, CR_FOREVER), 0, "no need to wait");
  cr_event_clear(e);
  cr_event_clear(e);
  ok(!cr_event_is_set(e), "cleared");
  cr_handle_drop(handle);
}

static void await(int unused) {
  (void)unused;
  _exit(cr_event_wait(e, CR_FOREVER));
}

/* Set and cleared at once: everyone who slept was woken all the same. */
static void waiting(bool with_kills) {
  struct child c[CHILDREN];
  int woken = 0, expected = 0;
  make();
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], await, i);
  for (int i = 0; i < CHILDREN; i++) child_sleeps(&c[i], 10);
  for (int i = 0; with_kills && i < CHILDREN; i += 2) child_kill(&c[i]);
  cr_event_set(e);
  cr_event_clear(e);
  for (int i = 0; i < CHILDREN; i++) {
    if (c[i].pid == 0) continue;
    expected++;
    woken += child_ends(&c[i], 20) && c[i].status == 0;
    child_kill(&c[i]);
  }
  ok(woken == expected, "%d of %d wake up", woken, expected);
  for (int i = 0; i < CHILDREN; i++) child_reap(&c[i]);
  cr_handle_drop(handle);
}

/* Somebody is killed while setting it over and over. */
static void set_and_clear(int unused) {
  (void)unused;
  for (;;) {
    cr_event_set(e);
    cr_event_clear(e);
  }
}

static void kills(void) {
  struct child c, setter;
  int woken = 0;
  make();
  for (int i = 0; i < 100; i++) {
    child_start(&c, await, 0);
    child_start(&setter, set_and_clear, 0);
    woken += child_ends(&c, 20);
    child_kill(&c);
    child_kill(&setter);
    child_reap(&c);
    child_reap(&setter);
  }
  is(woken, 100, "a hundred waiters wake up");
  cr_handle_drop(handle);
}

/* One is about to sleep when the event is set and cleared, and another one waits
** anew: the wake word looks as it did. */
static void await_slowly(int number) {
  if (number == 0) brink_stop();
  await(number);
}

static void overtaken(void) {
  struct child c[2];
  make();
  brink_open();
  child_start(&c[0], await_slowly, 0);
  brink_await();
  cr_event_set(e);
  cr_event_clear(e);
  child_start(&c[1], await_slowly, 1);
  ok(child_sleeps(&c[1], 10), "one waits after set and clear");
  brink_leave();
  ok(child_ends(&c[0], 10), "one that was about to sleep before does not");
  for (int i = 0; i < 2; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  cr_handle_drop(handle);
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  basics();
  waiting(false);
  waiting(true);
  kills();
  overtaken();
  cr_reap_all();
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
