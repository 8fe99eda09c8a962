/* Pipe: both directions, its end, the death of who held the other end. */
#include "pipe.h"

#include "lib/child.h"
#include "lib/packet.h"
#include "lib/tap.h"

static struct cr_pipe *ends[2];
static uint32_t handle[2];
static cr_word *seen;

static void open_pipe(bool duplex) {
  if (cr_pipe_new(duplex, ends) != 0) exit(99);
  for (int i = 0; i < 2; i++)
    if (cr_handle_new((struct cr_block *)ends[i], &handle[i]) != 0) exit(99);
}

static int send_to(struct cr_pipe *e, uint32_t number) {
  struct packet_form f = {.length = 8};
  struct cr_packet p;
  int err = packet_make(number, &f, &p);
  if (err == 0) err = cr_pipe_send(e, &p, CR_FOREVER);
  if (err != 0) cr_packet_free(&p);
  return err;
}

/* The number, or PACKET_BAD + the error. */
static uint32_t receive(struct cr_pipe *e, int64_t deadline) {
  struct cr_packet p;
  int err = cr_pipe_receive(e, &p, deadline);
  if (err != 0) return PACKET_BAD + (uint32_t)err;
  uint32_t number = packet_number(&p);
  cr_packet_free(&p);
  return number;
}

static void test_duplex(void) {
  open_pipe(true);
  ok(cr_pipe_can_send(ends[0]) && cr_pipe_can_receive(ends[0]), "both ways");
  ok(send_to(ends[0], 1) == 0 && send_to(ends[0], 2) == 0, "there");
  is(send_to(ends[1], 3), 0, "and back");
  ok(receive(ends[1], 0) == 1 && receive(ends[1], 0) == 2, "in order");
  is(receive(ends[0], 0), 3, "not mixed");
  is(receive(ends[0], 0), PACKET_BAD + EAGAIN, "then nothing");
  int64_t start = cr_now();
  is(receive(ends[0], cr_deadline(0.03)), PACKET_BAD + EAGAIN, "if one waits");
  ok(cr_now() - start >= 30000000, "as long as was asked");
  cr_handle_drop(handle[0]);
  cr_handle_drop(handle[1]);
}

static void test_simplex(void) {
  open_pipe(false);
  ok(!cr_pipe_can_send(ends[0]) && cr_pipe_can_receive(ends[0]), "receives");
  ok(cr_pipe_can_send(ends[1]) && !cr_pipe_can_receive(ends[1]), "sends");
  send_to(ends[1], 1);
  cr_handle_drop(handle[1]);
  is(receive(ends[0], CR_FOREVER), 1, "after closing what was sent is there");
  is(receive(ends[0], CR_FOREVER), PACKET_BAD + EPIPE, "then comes the end");
  is(receive(ends[0], 0), PACKET_BAD + EPIPE, "for good");
  cr_handle_drop(handle[0]);
  open_pipe(false);
  cr_handle_drop(handle[0]);
  is(send_to(ends[1], 1), EPIPE, "sending to nobody");
  cr_handle_drop(handle[1]);
}

static void test_ready(void) {
  struct cr_wait w[CR_PIPE_WAITS];
  bool unborn;
  int n;
  open_pipe(false);
  ok(!cr_pipe_ready(ends[0], w, &n, &unborn) && n >= 1,
     "not ready: what to sleep on");
  send_to(ends[1], 1);
  ok(cr_pipe_ready(ends[0], w, &n, &unborn), "ready with a message");
  struct cr_packet p;
  cr_pipe_receive(ends[0], &p, 0);
  is(cr_pipe_unget(ends[0], &p), 0, "given back");
  is(receive(ends[0], 0), 1, "and got again");
  cr_handle_drop(handle[1]);
  ok(cr_pipe_ready(ends[0], w, &n, &unborn), "ready at the end");
  cr_handle_drop(handle[0]);
}

static void sit(int unused) {
  (void)unused;
  atomic_store(&seen[0], 1);
  for (;;) child_rest(1000);
}

static void receive_end(int unused) {
  (void)unused;
  cr_handle_drop(handle[1]);
  atomic_store(&seen[1], receive(ends[0], CR_FOREVER) - PACKET_BAD);
}

/* A holds the sending end, B sleeps at the other; A is killed. */
static void test_death(void) {
  struct child a, b;
  open_pipe(false);
  child_start(&a, sit, 0);
  child_start(&b, receive_end, 0);
  cr_handle_drop(handle[1]);
  ok(child_sleeps(&b, 10), "a receiver sleeps");
  child_kill(&a);
  ok(child_ends(&b, 10), "the death of the only sender ends its sleep");
  is(atomic_load(&seen[1]), EPIPE, "it finds the end");
  child_reap(&a);
  child_reap(&b);
  cr_handle_drop(handle[0]);
  open_pipe(false);
  child_start(&a, sit, 0);
  cr_handle_drop(handle[0]);
  is(send_to(ends[1], 1), 0, "somebody holds the receiving end");
  child_kill(&a);
  is(send_to(ends[1], 2), EPIPE, "nobody does");
  child_reap(&a);
  cr_handle_drop(handle[1]);
}

int main(void) {
  is(cr_arena_open(), 0, "the arena opens");
  seen = child_share(2 * sizeof *seen);
  open_pipe(false);
  cr_handle_drop(handle[0]);
  cr_handle_drop(handle[1]);
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  test_duplex();
  test_simplex();
  test_ready();
  test_death();
  is(cr_arena_blocks(), blocks, "nothing leaks");
  is(cr_arena_used(), used, "not a byte");
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
