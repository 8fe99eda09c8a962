/* Queue: order, bounds, growth, sleepers, task_done, shutdown. */
#include "lib/brink.h"
#include "lib/child.h"
#include "lib/packet.h"
#include "lib/tap.h"

static struct cr_queue *q;
static uint32_t handle;
static cr_word *seen;

static const struct packet_form tiny = {.length = 8};

static void open_queue(uint32_t maxsize) {
  q = cr_queue_new(CR_FIFO, maxsize);
  if (q == NULL || cr_handle_new((struct cr_block *)q, &handle) != 0) exit(99);
}

static void close_queue(void) {
  cr_handle_drop(handle);
}

static int put(uint32_t number) {
  return packet_put(q, number, &tiny, 0);
}

static uint32_t get(void) {
  uint32_t number;
  int err = packet_get(q, &number, 0);
  return err != 0 ? PACKET_BAD + (uint32_t)err : number;
}

static void test_order(void) {
  static const size_t lengths[] = {4,     8,     100,   5000,   15000,
                                   16000, 16001, 70000, 1000000};
  enum { N = sizeof lengths / sizeof *lengths };
  bool whole = true;
  open_queue(0);
  is(get(), PACKET_BAD + EAGAIN, "a new queue is empty");
  for (uint32_t i = 0; i < N; i++) {
    struct packet_form f = {.length = lengths[i], .block = i % 2};
    if (packet_put(q, i, &f, 0) != 0) whole = false;
  }
  is(cr_queue_size(q), N, "all are in it");
  for (uint32_t i = 0; i < N; i++) whole = get() == i && whole;
  ok(whole, "messages of all lengths arrive whole and in order");
  struct cr_packet p = {.data = (const unsigned char *)"", .length = 0};
  is(cr_queue_put(q, &p, 0), 0, "an empty message is put");
  is(cr_queue_get(q, &p, 0), 0, "and got");
  is(p.length, 0, "and is empty");
  close_queue();
}

static void test_growth(void) {
  enum { N = 100000 };
  bool good = true;
  size_t used;
  open_queue(0);
  for (uint32_t i = 0; i < N; i++) good = put(i) == 0 && good;
  used = cr_arena_used();
  for (uint32_t i = 0; i < N; i++) good = get() == i && good;
  ok(good, "%d messages at once", N);
  ok(cr_arena_used() < used / 2, "a drained queue gives memory back");
  for (uint32_t i = 0; i < N; i++) good = put(i) == 0 && get() == i && good;
  ok(good, "the ring goes round");
  close_queue();
}

static void test_bound(void) {
  open_queue(2);
  ok(put(0) == 0 && put(1) == 0, "a bounded queue takes as many");
  is(put(2), EAGAIN, "and no more");
  int64_t start = cr_now();
  is(packet_put(q, 2, &tiny, cr_deadline(0.03)), EAGAIN, "even if one waits");
  ok(cr_now() - start >= 30000000, "as long as was asked");
  is(get(), 0, "with one taken");
  is(put(2), 0, "there is room");
  ok(get() == 1 && get() == 2, "order is kept");
  close_queue();
}

static void test_unget(void) {
  struct cr_packet p;
  open_queue(0);
  put(1);
  put(2);
  is(cr_queue_get(q, &p, 0), 0, "a message is got");
  is(cr_queue_unget(q, &p), 0, "and given back");
  is(cr_queue_size(q), 2, "it counts again");
  ok(get() == 1 && get() == 2, "it comes first");
  close_queue();
}

static void take_one(int unused) {
  uint32_t number = 0;
  (void)unused;
  int err = packet_get(q, &number, CR_FOREVER);
  atomic_store(&seen[0], (uint32_t)err);
  atomic_store(&seen[1], number);
}

static void put_one(int unused) {
  (void)unused;
  atomic_store(&seen[0], (uint32_t)packet_put(q, 7, &tiny, CR_FOREVER));
}

static void test_sleepers(void) {
  struct child c;
  open_queue(1);
  child_start(&c, take_one, 0);
  ok(child_sleeps(&c, 10), "a consumer sleeps");
  put(5);
  ok(child_ends(&c, 10) && seen[0] == 0 && seen[1] == 5, "a put wakes it");
  child_reap(&c);
  put(6);
  child_start(&c, put_one, 0);
  ok(child_sleeps(&c, 10), "a producer sleeps");
  is(get(), 6, "a get makes room");
  ok(child_ends(&c, 10) && seen[0] == 0, "and wakes it");
  child_reap(&c);
  is(get(), 7, "its message is there");
  child_start(&c, take_one, 0);
  child_sleeps(&c, 10);
  child_kill(&c);
  is(put(8), 0, "a consumer that was killed asleep");
  is(get(), 8, "is in nobody's way");
  child_reap(&c);
  close_queue();
}

static void test_tasks(void) {
  open_queue(0);
  is(cr_queue_join(q, 0), 0, "nothing to wait for");
  is(cr_queue_task_done(q), EINVAL, "nothing was to be done");
  put(1);
  is(cr_queue_join(q, 0), EAGAIN, "an item was put");
  get();
  is(cr_queue_join(q, 0), EAGAIN, "and got");
  is(cr_queue_task_done(q), 0, "and done");
  is(cr_queue_join(q, 0), 0, "join ends");
  close_queue();
}

static void test_shutdown(void) {
  struct child c;
  open_queue(0);
  child_start(&c, take_one, 0);
  child_sleeps(&c, 10);
  cr_queue_shutdown(q, false);
  ok(child_ends(&c, 10) && seen[0] == EPIPE, "shutdown wakes a consumer");
  child_reap(&c);
  is(put(1), EPIPE, "nothing can be put");
  close_queue();
  open_queue(0);
  put(1);
  put(2);
  cr_queue_shutdown(q, false);
  is(get(), 1, "what is there can be got");
  cr_queue_shutdown(q, true);
  is(get(), PACKET_BAD + EPIPE, "not after an immediate shutdown");
  is(cr_queue_join(q, 0), EAGAIN, "what was got is not done");
  is(cr_queue_task_done(q), 0, "now it is");
  is(cr_queue_join(q, 0), 0, "and nobody waits for the rest");
  is(cr_queue_task_done(q), EINVAL, "nor is that to be done");
  close_queue();
}

static void test_memory(void) {
  struct packet_form big = {.length = 8 << 20};
  int n = 0, err;
  open_queue(0);
  while ((err = packet_put(q, (uint32_t)n, &big, 0)) == 0 && n < 100) n++;
  is(err, ENOMEM, "the limit of shared memory is an error");
  is(cr_queue_size(q), n, "that puts nothing");
  bool whole = true;
  for (uint32_t i = 0; i < (uint32_t)n; i++) whole = get() == i && whole;
  ok(whole, "what was put before is there");
  ok(put(1) == 0 && get() == 1, "the queue goes on");
  close_queue();
}

/* An interrupt is pending, while a getter that is stopped holds the lock. */
static int before_sleep(int64_t deadline) {
  (void)deadline;
  return cr_patient ? 0 : EINTR;
}

static void get_slowly(int unused) {
  brink_stop();
  take_one(unused);
}

static void test_interrupted(void) {
  static const struct cr_sleep_hook hook = {before_sleep, brink_after,
                                            brink_crowded};
  struct child c;
  open_queue(0);
  brink_open();
  child_start(&c, get_slowly, 0);
  brink_await();
  put(1);
  cr_sleep_hook = &hook;
  cr_queue_shutdown(q, true);
  cr_sleep_hook = NULL;
  is(cr_queue_join(q, 0), 0, "an interrupted shutdown: all counts as done");
  brink_leave();
  ok(child_ends(&c, 10), "the getter goes on");
  child_kill(&c);
  child_reap(&c);
  close_queue();
}

int main(void) {
  setenv("CLUARUN_SHARED_LIMIT", "64M", 1);
  is(cr_arena_open(), 0, "the arena opens");
  seen = child_share(2 * sizeof *seen);
  open_queue(0);
  close_queue();
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  test_order();
  test_growth();
  test_bound();
  test_unget();
  test_sleepers();
  test_tasks();
  test_shutdown();
  test_interrupted();
  test_memory();
  is(cr_arena_blocks(), blocks, "nothing leaks");
  is(cr_arena_used(), used, "not a byte");
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
