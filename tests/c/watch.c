/* Watchers: many look at one thing, and sleep on its wake word.
**
** One is about to sleep. Another one looks, and what both wait for happens when
** he has done so many instructions: he finds it ready and goes, and the mark that
** he has made meanwhile must not put the first one to sleep.
*/
#include <signal.h>
#include <sys/ptrace.h>

#include "lib/brink.h"
#include "lib/packet.h"
#include "lib/tap.h"
#include "lib/trace.h"
#include "synch.h"
#include "tray.h"

enum { MOST = 4000 }; /* instructions of one look */

static struct cr_queue *q;
static struct cr_event *e;
static struct cr_tray *t;
static uint32_t handle;
static cr_word *done;

static void own(void *block) {
  if (block == NULL || cr_handle_new(block, &handle) != 0) exit(99);
}

static void make_queue(void) {
  own(q = cr_queue_new(CR_FIFO, 0));
}
static void make_event(void) {
  own(e = cr_event_new());
}
static void make_tray(void) {
  own(t = cr_tray_new(1));
}

static bool look_at_queue(struct cr_wait *wait) {
  return cr_queue_ready(q, wait);
}
static bool look_at_event(struct cr_wait *wait) {
  return cr_event_ready(e, wait);
}
static bool look_at_tray(struct cr_wait *wait) {
  return cr_tray_ready(t, wait);
}

static void put(void) {
  static const struct packet_form tiny = {.length = 8};
  if (packet_put(q, 1, &tiny, 0) != 0) exit(99);
}
static void shut(void) {
  cr_queue_shutdown(q, false);
}
static void set(void) {
  cr_event_set(e);
}
static void lay_down(void) {
  if (cr_lane_put(t, 0, 1, "x", 1) != 0) exit(99);
}

static const struct watched {
  const char *name;
  void (*make)(void);
  bool (*look)(struct cr_wait *);
  void (*happens)(void);
} all[] = {{"a put", make_queue, look_at_queue, put},
           {"a shutdown", make_queue, look_at_queue, shut},
           {"a set", make_event, look_at_event, set},
           {"a result", make_tray, look_at_tray, lay_down}},
  *now;

static void sleep_once(int unused) {
  struct cr_wait w;
  (void)unused;
  brink_stop();
  if (!now->look(&w)) cr_sleep(&w, 1, CR_FOREVER);
}

/* As above, but who sleeps for an item holds the queue's lock. */
static void get(int unused) {
  struct cr_packet p;
  (void)unused;
  brink_stop();
  if (cr_queue_get(q, &p, CR_FOREVER) == 0) cr_packet_free(&p);
}

static void look_slowly(int unused) {
  struct cr_wait w;
  (void)unused;
  ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  raise(SIGSTOP);
  now->look(&w);
  atomic_store(done, 1);
}

/* Starts one that looks, and leads it k instructions far: true if it has not
** come to its end. */
static bool lead(struct trace_run *r, int k) {
  atomic_store(done, 0);
  *r = (struct trace_run){.done = done};
  child_start(&r->child, look_slowly, 0);
  enum trace_stop stop = trace_wait(r);
  while (stop == TRACE_STEP && k-- > 0) stop = trace_step(r);
  return stop == TRACE_STEP;
}

static void let_go(struct trace_run *r) {
  if (r->child.pid == 0) return;
  ptrace(PTRACE_DETACH, r->child.pid, NULL, NULL);
  child_ends(&r->child, 10);
  child_kill(&r->child);
}

/* Returns whether the sleeper was woken; *more: there are more instructions. */
static bool try_at(int k, void (*role)(int), bool *more) {
  struct child sleeper;
  struct trace_run r;
  struct cr_wait w;
  now->make();
  brink_open();
  now->look(&w); /* a third one watches, too */
  child_start(&sleeper, role, 0);
  brink_await();
  *more = lead(&r, k);
  now->happens();
  let_go(&r);
  brink_leave();
  bool good = child_ends(&sleeper, 10);
  child_kill(&sleeper);
  child_reap(&sleeper);
  child_reap(&r.child);
  cr_handle_drop(handle);
  return good;
}

static void test(const struct watched *what, void (*role)(int),
                 const char *who) {
  bool good = true, more = true;
  int k = 0;
  now = what;
  for (; good && more && k < MOST; k++) good = try_at(k, role, &more);
  ok(good && !more, "%s wakes %s, whoever looks (%d)", what->name, who, k);
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  done = child_share(sizeof *done);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    test(&all[i], sleep_once, "who watches");
  test(&all[0], get, "who gets");
  test(&all[1], get, "who gets");
  cr_reap_all();
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
