/* Killed after every instruction: Queue, LifoQueue, PriorityQueue, Pipe. See
** ../lib/step.h. */
#include "../lib/step.h"

#include "../lib/packet.h"
#include "cell.h"
#include "pipe.h"

/* The queue under test holds messages first, first + 1 ... next - 1. */
static struct cr_queue *q;
static uint32_t q_handle;
static uint32_t first, next;
static struct packet_form form; /* of its messages */

static const struct packet_form tiny = {.length = 8};
static const struct packet_form page = {.length = 8000};
static const struct packet_form wide = {.length = 1900}; /* no room for it */
static const struct packet_form block = {.length = 200, .block = true};
static const struct packet_form keyed = {.length = 8, .keyed = true};

static void queue_make(enum cr_queue_kind kind, uint32_t maxsize) {
  q = cr_queue_new(kind, maxsize);
  must(q != NULL, "no memory");
  must(cr_handle_new((struct cr_block *)q, &q_handle) == 0, "no handle");
  first = next = 0;
  form = kind == CR_PRIORITY ? keyed : tiny;
}

static void queue_drop(bool done) {
  (void)done;
  cr_handle_drop(q_handle);
}

static void fill(uint32_t n) {
  while (n-- > 0)
    must(packet_put(q, next++, &form, cr_deadline(5)) == 0, "put failed");
}

static void skip(uint32_t n) {
  uint32_t got;
  while (n-- > 0) {
    must(packet_get(q, &got, cr_deadline(5)) == 0, "get failed");
    must(got == first, "got %u instead of %u", got, first);
    first++;
  }
}

static uint32_t expect(uint32_t wanted) {
  uint32_t got = PACKET_BAD;
  int err = packet_get(q, &got, cr_deadline(5));
  must(err == 0, "get gave %d instead of message %u", err, wanted);
  must(got == wanted, "got message %x instead of %x", got, wanted);
  return got;
}

static void expect_empty(void) {
  uint32_t got = PACKET_BAD;
  must(packet_get(q, &got, 0) == EAGAIN, "message %x too many", got);
  must(cr_queue_size(q) == 0, "empty, but size is %u", cr_queue_size(q));
}

/* The queue works as if nothing had happened. */
static void expect_usable(void) {
  for (uint32_t i = 0; i < 3; i++)
    must(packet_put(q, 9000 + i, &form, cr_deadline(5)) == 0, "later put");
  bool lifo = cr_queue_kind(q) == CR_LIFO;
  for (uint32_t i = 0; i < 3; i++) expect(lifo ? 9002 - i : 9000 + i);
  expect_empty();
}

/* ---- put and get ---- */

static void put_op(void) {
  packet_put(q, next, &form, CR_FOREVER);
}

/* All messages are there in order, and the victim's if it had got through. */
static void put_check(bool done) {
  uint32_t n = cr_queue_size(q) - (next - first);
  must(n == 1 || (n == 0 && !done), "size %u", cr_queue_size(q));
  bool lifo = cr_queue_kind(q) == CR_LIFO;
  for (uint32_t end = next + n; first < end; lifo ? end-- : first++)
    expect(lifo ? end - 1 : first);
  expect_empty();
  expect_usable();
  queue_drop(done);
}

/* The next user comes before the reaper: the victim's message may appear at
** any time, but once. */
static void put_early(bool done) {
  uint32_t got, late = 0, i = 0;
  for (; first < next; first++) expect(first);
  if (packet_get(q, &got, 0) == 0) {
    must(got == next, "got message %x", got);
    done = false;
    late++;
  }
  must(!done, "a finished put is lost");
  for (i = 0; i < 3; i++)
    must(packet_put(q, 9000 + i, &form, cr_deadline(5)) == 0, "later put");
  for (i = 0; i < 3;) {
    must(packet_get(q, &got, cr_deadline(5)) == 0, "later get");
    if (got == next && late++ == 0) continue;
    must(got == 9000 + i, "got message %x instead of %x", got, 9000 + i);
    i++;
  }
}

static void drop_empty(bool done) {
  expect_empty();
  expect_usable();
  queue_drop(done);
}

/* Takes what there is; there may be nothing left. */
static void try_op(void) {
  uint32_t got;
  packet_get(q, &got, 0);
}

static void get_op(void) {
  uint32_t got;
  packet_get(q, &got, CR_FOREVER);
}

/* At most the one that the victim took is missing: the first. */
static void get_check(bool done) {
  uint32_t n = next - first - cr_queue_size(q);
  must(n == 1 || (n == 0 && !done), "size %u", cr_queue_size(q));
  if (cr_queue_kind(q) == CR_LIFO) {
    for (uint32_t end = next - n; end > first; end--) expect(end - 1);
  } else {
    for (first += n; first < next; first++) expect(first);
  }
  expect_empty();
  expect_usable();
  queue_drop(done);
}

static void small_setup(void) {
  queue_make(CR_FIFO, 0);
  fill(3);
}

static void block_setup(void) {
  queue_make(CR_FIFO, 0);
  form = block;
  fill(2);
}

/* ---- growing and shrinking ---- */

/* How many puts or gets come before the one that changes the memory in use:
** found out once by trying. */
static uint32_t puts_until(int sign) {
  static uint32_t known[2]; /* plus 1 */
  uint32_t *n = &known[sign > 0];
  if (*n != 0) return *n - 1;
  size_t used;
  uint32_t start = next;
  do {
    used = cr_arena_used();
    fill(1);
    must(next - start < 1000, "memory never changes");
  } while (sign > 0 ? cr_arena_used() <= used : cr_arena_used() >= used);
  *n = next - start;
  return *n - 1;
}

static void growing_setup(void) {
  for (int i = 0; i < 2; i++) { /* the first time only counts */
    queue_make(CR_FIFO, 0);
    form = page;
    uint32_t n = puts_until(1);
    if (next == 0) {
      fill(n);
      form = wide;
      return;
    }
    queue_drop(true);
  }
}

enum { LONG = 120 }; /* messages of a page: many segments */

/* Grown, then drained but for one message: the put that reaches the next
** segment gives those behind it back. */
static void shrinking_setup(void) {
  queue_make(CR_FIFO, 0);
  form = page;
  fill(LONG);
  skip(LONG - 1);
  uint32_t n = puts_until(-1);
  if (next == LONG) {
    fill(n);
    form = wide;
    return;
  }
  queue_drop(true);
  shrinking_setup();
}

/* The get that drains a grown queue trims it. */
static void trimming_setup(void) {
  queue_make(CR_FIFO, 0);
  form = page;
  fill(LONG - 1);
  form = tiny;
  fill(1);
  skip(LONG - 1);
}

/* The get that crosses into the next segment. */
static void crossing_setup(void) {
  growing_setup();
  uint32_t n = next;
  fill(4);
  skip(n);
}

/* ---- sleepers ---- */

/* What consumers got, added up so that two may differ. */
static void get_sleeper(int number) {
  uint32_t got;
  if (packet_get(q, &got, CR_FOREVER) != 0) _exit(3);
  atomic_store(&shared->value[number], got);
  step_awake();
}

static void get_attend(void) {
  step_sleeper(get_sleeper);
}

static void empty_setup(void) {
  queue_make(CR_FIFO, 0);
}

static void empty_block_setup(void) {
  queue_make(CR_FIFO, 0);
  form = block;
}

/* Published means awake, without help; else the next put wakes. */
static void wake_get_early(bool done) {
  if (done || cr_queue_size(q) > 0 || step_some_awake() > 0) {
    step_all_awake("a message");
    must(atomic_load(&shared->value[0]) == 0, "got another message");
    return;
  }
  if (atomic_load(&shared->at) % 2) return; /* first the reaper, then a put */
  must(packet_put(q, 1000, &form, cr_deadline(5)) == 0, "put failed");
  step_all_awake("the next message");
}

static void wake_get_check(bool done) {
  uint32_t got;
  if (!done && atomic_load(&shared->awake) == 0 && cr_queue_size(q) == 0 &&
      step_some_awake() == 0)
    must(packet_put(q, 1000, &form, cr_deadline(5)) == 0, "put failed");
  step_all_awake("a message after reaping");
  /* The victim's message may have come late, behind ours in a LifoQueue. */
  uint32_t other = atomic_load(&shared->value[0]) == 0 ? 1000 : 0;
  if (packet_get(q, &got, 0) == 0)
    must(got == other && (got == 1000 || cr_queue_kind(q) == CR_LIFO),
         "got message %x", got);
  drop_empty(done);
}

static void put_sleeper(int number) {
  (void)number;
  if (packet_put(q, 777, &form, CR_FOREVER) != 0) _exit(3);
  step_awake();
}

static void put_attend(void) {
  step_sleeper(put_sleeper);
}

static void full_setup(void) {
  queue_make(CR_FIFO, 3);
  fill(3);
}

static void full_block_setup(void) {
  queue_make(CR_FIFO, 3);
  form = block;
  fill(3);
}

/* Room means awake; else the next get makes room. */
static void wake_put_early(bool done) {
  if (done || cr_queue_size(q) < 3 || step_some_awake() > 0)
    step_all_awake("room");
}

/* Full: either the victim took nothing, or the producer has put already. */
static void wake_put_check(bool done) {
  uint32_t got;
  if (cr_queue_size(q) == 3) {
    must(packet_get(q, &got, cr_deadline(5)) == 0, "get failed");
    must(got == first + 1 || (got == first && !done), "got message %x", got);
    first = got + 1;
  }
  step_all_awake("room after reaping");
  must(packet_get(q, &got, cr_deadline(5)) == 0, "get failed");
  must(got == first || got == first + 1, "got message %x", got);
  for (first = got + 1; first < next; first++) expect(first);
  expect(777);
  drop_empty(done);
}

/* The victim itself sleeps and is woken. */
static void wake_by_put(void) {
  must(packet_put(q, next++, &form, CR_FOREVER) == 0, "put failed");
}

/* A message that was put while the victim slept may have been taken by it. */
static void slept_get_check(bool done) {
  if (next == 0) fill(1);
  must(cr_queue_size(q) <= 1, "size %u", cr_queue_size(q));
  if (cr_queue_size(q) == 1) {
    must(!done, "a finished get took nothing");
    skip(1);
  }
  drop_empty(done);
}

static void wake_by_get(void) {
  skip(1);
}

static void slept_put_op(void) {
  packet_put(q, 777, &form, CR_FOREVER);
}

static void slept_put_check(bool done) {
  uint32_t got;
  skip(next - first);
  if (packet_get(q, &got, 0) == 0)
    must(got == 777, "got message %x", got);
  else
    must(!done, "a finished put is lost");
  drop_empty(done);
}

/* ---- messages that carry a queue ---- */

static struct cr_queue *inner;
static uint32_t inner_handle;

static void carry_setup(void) {
  queue_make(CR_FIFO, 0);
  struct cr_queue *outer = q;
  uint32_t h = q_handle;
  queue_make(CR_FIFO, 0);
  inner = q;
  inner_handle = q_handle;
  fill(1);
  q = outer;
  q_handle = h;
  form.object = (struct cr_block *)inner;
  next = 0;
}

static void carry_get_setup(void) {
  carry_setup();
  fill(1);
}

/* Takes what the message carries into the handle table, and lets go of it. */
static void carry_get_op(void) {
  struct cr_packet p;
  uint32_t h;
  if (cr_queue_get(q, &p, 0) != 0) return;
  if (cr_ref_to_handle(&p.block->object[0], &h) == 0) cr_handle_drop(h);
  cr_packet_free(&p);
}

/* In half of the cases the message is destroyed with its queue. */
static void carry_check(bool done) {
  struct cr_packet p;
  uint32_t got, h;
  must(cr_arena_audit() == 0, "audit with objects on their way");
  cr_handle_drop(inner_handle);
  must(cr_arena_audit() == 0, "audit with objects on their way");
  if (step_now->op == put_op && done) must(cr_queue_size(q) == 1, "put lost");
  if (atomic_load(&shared->at) % 2 && cr_queue_get(q, &p, 0) == 0) {
    must(p.block != NULL && p.block->objects == 1, "no object in the message");
    struct cr_queue *o = (struct cr_queue *)p.block->object[0];
    must(o == inner, "another object");
    must(cr_ref_to_handle(&p.block->object[0], &h) == 0, "no handle");
    must(packet_get(o, &got, 0) == 0 && got == 0, "inner message lost");
    cr_packet_free(&p);
    cr_handle_drop(h);
  }
  queue_drop(done);
}

/* ---- making and destroying ---- */

static void make_op(void) {
  uint32_t h;
  struct cr_queue *n = cr_queue_new(CR_FIFO, 0);
  if (n != NULL) cr_handle_new((struct cr_block *)n, &h);
}

static void nest_op(void) {
  carry_setup();
  fill(1);
  form = block;
  fill(1);
  cr_handle_drop(inner_handle);
  cr_handle_drop(q_handle);
}

static void heap_op(void) {
  queue_make(CR_PRIORITY, 0);
  fill(2);
  cr_handle_drop(q_handle);
}

/* ---- unget, task_done, join, shutdown ---- */

static void unget_op(void) {
  struct cr_packet p;
  if (cr_queue_get(q, &p, 0) == 0) cr_queue_unget(q, &p);
}

/* The first message may be with the dead one; else it is the first again. */
static void unget_check(bool done) {
  must(cr_queue_size(q) == 3 || !done, "size %u", cr_queue_size(q));
  first = 3 - cr_queue_size(q);
  must(first <= 1, "size %u", cr_queue_size(q));
  for (; first < next; first++) expect(first);
  drop_empty(done);
}

static void returned_setup(void) {
  small_setup();
  unget_op();
}

static void join_sleeper(int number) {
  (void)number;
  if (cr_queue_join(q, CR_FOREVER) != 0) _exit(3);
  step_awake();
}

static void join_attend(void) {
  step_sleeper(join_sleeper);
  step_sleeper(join_sleeper);
}

static void join_setup(void) {
  queue_make(CR_FIFO, 0);
  fill(1);
  skip(1);
}

static void task_done_op(void) {
  cr_queue_task_done(q);
}

static void join_early(bool done) {
  bool joined = cr_queue_join(q, 0) == 0;
  must(joined || !done, "task_done had no effect");
  if (!joined) must(cr_queue_task_done(q) == 0, "task_done failed");
  step_all_awake("join");
  must(cr_queue_task_done(q) == EINVAL, "task_done counted twice");
}

static void shutdown_sleeper(int number) {
  (void)number;
  uint32_t got;
  if (packet_get(q, &got, CR_FOREVER) != EPIPE) _exit(3);
  step_awake();
}

static void shutdown_attend(void) {
  step_sleeper(shutdown_sleeper);
  step_sleeper(shutdown_sleeper);
}

static void shutdown_op(void) {
  cr_queue_shutdown(q, false);
}

static void shutdown_early(bool done) {
  bool shut = cr_queue_is_shutdown(q);
  must(shut || !done, "shutdown had no effect");
  if (!shut) cr_queue_shutdown(q, false);
  step_all_awake("shutdown");
}

static void shutdown_now_op(void) {
  cr_queue_shutdown(q, true);
}

/* Before and after: messages are all there, or some, then ShutDown. */
static void shutdown_now_check(bool done) {
  uint32_t got = PACKET_BAD;
  bool shut = cr_queue_is_shutdown(q);
  must(shut || !done, "shutdown had no effect");
  uint32_t rest = shut ? 0 : next - first;
  skip(rest);
  while (rest-- > 0) cr_queue_task_done(q);
  must(packet_get(q, &got, 0) == (shut ? EPIPE : EAGAIN), "message %x", got);
  cr_queue_shutdown(q, true);
  must(cr_queue_size(q) == 0, "size %u after shutdown", cr_queue_size(q));
  must(cr_queue_join(q, 0) == 0, "join after shutdown");
  queue_drop(done);
}

/* ---- LifoQueue and PriorityQueue ---- */

static void lifo_setup(void) {
  queue_make(CR_LIFO, 0);
  fill(3);
}

static void priority_setup(void) {
  queue_make(CR_PRIORITY, 0);
  next = 8;
  while (next-- > 0) put_op();
  next = 8;
}

/* A small number that rises to the top. */
static void priority_put_setup(void) {
  queue_make(CR_PRIORITY, 0);
  for (next = 8; next > 1; next--) put_op();
  put_op();
  next = 0;
}

static void priority_put_check(bool done) {
  uint32_t n = cr_queue_size(q);
  must(n == 9 || (n == 8 && !done), "size %u", n);
  for (first = 9 - n; first < 9; first++) expect(first);
  drop_empty(done);
}

/* How many messages fit into the first array of the heap: when it grows, the
** new one lies in a larger block, behind the messages. */
static uint32_t heap_room(void) {
  size_t used = cr_arena_used();
  while (cr_arena_used() == used) {
    fill(1);
    must(next < 500, "the heap does not grow");
  }
  return next - 1;
}

static void heap_growing_setup(void) {
  static uint32_t room;
  queue_make(CR_LIFO, 0);
  fill(1);
  if (room == 0) {
    room = heap_room();
    queue_drop(true);
    heap_growing_setup();
    return;
  }
  fill(room - 1);
}

static void heap_wake_setup(void) {
  queue_make(CR_LIFO, 0);
}

static void heap_full_setup(void) {
  queue_make(CR_PRIORITY, 3);
  fill(3);
}

/* What a dead one has decided, but not written, the next user writes. */

static void heap_one_setup(void) {
  queue_make(CR_LIFO, 0);
  fill(1);
}

/* The next consumer has the message, or sleeps. */
static void heap_one_early(bool done) {
  struct child *c = &sleeper[sleepers];
  child_start(c, get_sleeper, sleepers++);
  while (child_state(c->pid) != 'S' && child_state(c->pid) != 'Z')
    sched_yield();
  must(packet_put(q, 1000, &form, cr_deadline(5)) == 0, "put failed");
  step_all_awake("the next message");
  must(atomic_load(&shared->value[0]) == 1000 || !done, "got what was taken");
}

static void heap_one_check(bool done) {
  uint32_t got;
  if (packet_get(q, &got, 0) == 0) {
    must(got == 1000, "got message %x", got);
    must(atomic_load(&shared->value[0]) == 0, "got it twice");
  }
  drop_empty(done);
}

static void heap_room_setup(void) {
  queue_make(CR_LIFO, 3);
  fill(2);
}

static void heap_room_early(bool done) {
  int err = packet_put(q, 777, &form, 0);
  must(err == EAGAIN || (err == 0 && !done), "put gave %d", err);
  must(cr_queue_size(q) == 3, "size %u", cr_queue_size(q));
}

static void heap_room_check(bool done) {
  uint32_t got;
  must(cr_queue_size(q) == 3, "size %u after reaping", cr_queue_size(q));
  must(packet_get(q, &got, 0) == 0, "get failed");
  must(got == 777 || got == next, "got message %x", got);
  while (first < next) expect(--next);
  drop_empty(done);
}

/* ---- Pipe ---- */

static struct cr_pipe *ends[2];
static uint32_t end_handle[2];

static void pipe_setup(void) {
  must(cr_pipe_new(true, ends) == 0, "no memory");
  for (int i = 0; i < 2; i++)
    must(cr_handle_new((struct cr_block *)ends[i], &end_handle[i]) == 0,
         "no handle");
  first = next = 0;
}

static void pipe_drop(bool done) {
  (void)done;
  for (int i = 0; i < 2; i++) cr_handle_drop(end_handle[i]);
}

static void pipe_send(uint32_t number) {
  struct cr_packet p;
  if (packet_make(number, &tiny, &p) != 0) return;
  if (cr_pipe_send(ends[0], &p, CR_FOREVER) != 0) cr_packet_free(&p);
}

static int pipe_receive(uint32_t *number, int64_t deadline) {
  struct cr_packet p;
  int err = cr_pipe_receive(ends[1], &p, deadline);
  if (err != 0) return err;
  *number = packet_number(&p);
  cr_packet_free(&p);
  return 0;
}

static void pipe_send_setup(void) {
  pipe_setup();
  pipe_send(0);
}

static void pipe_send_op(void) {
  pipe_send(1);
}

static void pipe_receive_op(void) {
  uint32_t got;
  pipe_receive(&got, CR_FOREVER);
}

static void pipe_send_check(bool done) {
  uint32_t got;
  must(pipe_receive(&got, 0) == 0 && got == 0, "first message lost");
  if (pipe_receive(&got, 0) == 0)
    must(got == 1, "got message %x", got);
  else
    must(!done, "a finished send is lost");
  must(pipe_receive(&got, 0) == EAGAIN, "message %x too many", got);
  pipe_send(2);
  must(pipe_receive(&got, 0) == 0 && got == 2, "unusable afterwards");
  pipe_drop(done);
}

static void pipe_receive_check(bool done) {
  uint32_t got;
  if (pipe_receive(&got, 0) == 0)
    must(!done && got == 0, "got message %x", got);
  must(pipe_receive(&got, 0) == EAGAIN, "message %x too many", got);
  pipe_send(2);
  must(pipe_receive(&got, 0) == 0 && got == 2, "unusable afterwards");
  pipe_drop(done);
}

static void pipe_sleeper(int number) {
  uint32_t got = 0;
  atomic_store(&shared->value[number],
               (uint32_t)pipe_receive(&got, CR_FOREVER));
  step_awake();
}

static void pipe_wake_attend(void) {
  step_sleeper(pipe_sleeper);
}

/* A message or the sender's other copies keep the receiver going. */
static void pipe_wake_check(bool done) {
  uint32_t got;
  struct cr_wait w[CR_PIPE_WAITS];
  bool unborn;
  int n;
  if (!done && !cr_pipe_ready(ends[1], w, &n, &unborn) &&
      step_some_awake() == 0)
    pipe_send(2);
  step_all_awake("a message");
  must(atomic_load(&shared->value[0]) == 0, "receive gave %u",
       atomic_load(&shared->value[0]));
  while (pipe_receive(&got, 0) == 0) must(got == 2, "got message %x", got);
  pipe_drop(done);
}

/* The victim alone holds the sending end: closing it, and dying, is the end. */
static void pipe_close_attend(void) {
  cr_handle_drop(end_handle[0]);
  step_sleeper(pipe_sleeper);
}

/* The same, but this process lets go when the receiver sleeps already. */
static void pipe_leave_sleeper(int number) {
  cr_handle_drop(end_handle[0]);
  pipe_sleeper(number);
}

static void pipe_leave_attend(void) {
  step_sleeper(pipe_leave_sleeper);
  cr_handle_drop(end_handle[0]);
}

static void pipe_close_op(void) {
  cr_handle_drop(end_handle[0]);
}

static void pipe_close_early(bool done) {
  (void)done;
  step_all_awake("a pipe without a sender");
  must(atomic_load(&shared->value[0]) == EPIPE, "receive gave %u",
       atomic_load(&shared->value[0]));
}

static void pipe_close_check(bool done) {
  (void)done;
  cr_handle_drop(end_handle[1]);
}

static void pipe_make_op(void) {
  pipe_setup();
  pipe_send(0);
  pipe_drop(true);
}

/* ---- the cell for a child's result ---- */

static struct cr_cell *cell;
static uint32_t cell_handle;

static void cell_setup(void) {
  cell = cr_cell_new();
  must(cell != NULL, "no memory");
  must(cr_handle_new((struct cr_block *)cell, &cell_handle) == 0, "no handle");
}

static void cell_put_op(void) {
  struct cr_packet p;
  if (packet_make(5, &block, &p) == 0)
    cr_cell_put(cell, CR_CELL_VALUES, p.block);
}

static void cell_drop_op(void) {
  cell_setup();
  cell_put_op();
  cr_handle_drop(cell_handle);
}

static void cell_put_check(bool done) {
  bool full = cr_cell_kind(cell) == CR_CELL_VALUES;
  must(full || !done, "the result is lost");
  struct cr_message *m = cr_cell_message(cell);
  must((m != NULL) == full, "kind and message disagree");
  if (m != NULL) {
    struct cr_packet p = {m->data, m->length, m};
    must(packet_number(&p) == 5, "another result");
  }
  cr_handle_drop(cell_handle);
}

/* ---- the list ---- */

static const struct step steps[] = {
    {.name = "put, small",
     .setup = small_setup,
     .op = put_op,
     .check = put_check},
    {.name = "put, small; next user before the reaper",
     .setup = small_setup,
     .op = put_op,
     .early = put_early,
     .check = drop_empty},
    {.name = "put, block",
     .setup = block_setup,
     .op = put_op,
     .check = put_check},
    {.name = "put, block; next user before the reaper",
     .setup = block_setup,
     .op = put_op,
     .early = put_early,
     .check = drop_empty},
    {.name = "put, new segment",
     .setup = growing_setup,
     .op = put_op,
     .check = put_check},
    {.name = "put, new segment; next user before the reaper",
     .setup = growing_setup,
     .op = put_op,
     .early = put_early,
     .check = drop_empty},
    {.name = "put, ring shrinks",
     .setup = shrinking_setup,
     .op = put_op,
     .check = put_check},
    {.name = "get, small",
     .setup = small_setup,
     .op = get_op,
     .check = get_check},
    {.name = "get, block",
     .setup = block_setup,
     .op = get_op,
     .check = get_check},
    {.name = "get, next segment",
     .setup = crossing_setup,
     .op = get_op,
     .check = get_check},
    {.name = "get, ring trimmed",
     .setup = trimming_setup,
     .op = get_op,
     .check = get_check},
    {.name = "put wakes a consumer",
     .setup = empty_setup,
     .attend = get_attend,
     .op = put_op,
     .early = wake_get_early,
     .check = wake_get_check},
    {.name = "put of a block wakes a consumer",
     .setup = empty_block_setup,
     .attend = get_attend,
     .op = put_op,
     .early = wake_get_early,
     .check = wake_get_check},
    {.name = "get wakes a producer",
     .setup = full_setup,
     .attend = put_attend,
     .op = get_op,
     .early = wake_put_early,
     .check = wake_put_check},
    {.name = "get of a block wakes a producer",
     .setup = full_block_setup,
     .attend = put_attend,
     .op = get_op,
     .early = wake_put_early,
     .check = wake_put_check},
    {.name = "get that sleeps",
     .setup = empty_setup,
     .op = get_op,
     .wake = wake_by_put,
     .check = slept_get_check},
    {.name = "put that sleeps",
     .setup = full_setup,
     .op = slept_put_op,
     .wake = wake_by_get,
     .check = slept_put_check},
    {.name = "put of a queue in a message",
     .setup = carry_setup,
     .op = put_op,
     .check = carry_check},
    {.name = "get of a queue in a message",
     .setup = carry_get_setup,
     .op = carry_get_op,
     .check = carry_check},
    {.name = "queue made", .op = make_op},
    {.name = "nested queues made and destroyed", .op = nest_op},
    {.name = "PriorityQueue made and destroyed", .op = heap_op},
    {.name = "get and unget",
     .setup = small_setup,
     .op = unget_op,
     .check = unget_check},
    {.name = "get of a returned message",
     .setup = returned_setup,
     .op = get_op,
     .check = get_check},
    {.name = "task_done, two in join",
     .setup = join_setup,
     .attend = join_attend,
     .op = task_done_op,
     .early = join_early,
     .check = drop_empty},
    {.name = "shutdown, two consumers",
     .setup = empty_setup,
     .attend = shutdown_attend,
     .op = shutdown_op,
     .early = shutdown_early,
     .check = queue_drop},
    {.name = "immediate shutdown",
     .setup = block_setup,
     .op = shutdown_now_op,
     .check = shutdown_now_check},
    {.name = "LifoQueue put",
     .setup = lifo_setup,
     .op = put_op,
     .check = put_check},
    {.name = "LifoQueue put, growing",
     .setup = heap_growing_setup,
     .op = put_op,
     .check = put_check},
    {.name = "LifoQueue get",
     .setup = lifo_setup,
     .op = get_op,
     .check = get_check},
    {.name = "LifoQueue get of the last; next user before the reaper",
     .setup = heap_one_setup,
     .op = get_op,
     .early = heap_one_early,
     .check = heap_one_check},
    {.name = "LifoQueue put of the last; next user before the reaper",
     .setup = heap_room_setup,
     .op = put_op,
     .early = heap_room_early,
     .check = heap_room_check},
    {.name = "LifoQueue put wakes a consumer",
     .setup = heap_wake_setup,
     .attend = get_attend,
     .op = put_op,
     .early = wake_get_early,
     .check = wake_get_check},
    {.name = "LifoQueue get that sleeps",
     .setup = heap_wake_setup,
     .op = get_op,
     .wake = wake_by_put,
     .check = slept_get_check},
    {.name = "PriorityQueue put",
     .setup = priority_put_setup,
     .op = put_op,
     .check = priority_put_check},
    {.name = "PriorityQueue get",
     .setup = priority_setup,
     .op = get_op,
     .check = get_check},
    {.name = "PriorityQueue get wakes a producer",
     .setup = heap_full_setup,
     .attend = put_attend,
     .op = get_op,
     .early = wake_put_early,
     .check = wake_put_check},
    {.name = "Pipe made and destroyed", .op = pipe_make_op},
    {.name = "Pipe send",
     .setup = pipe_send_setup,
     .op = pipe_send_op,
     .check = pipe_send_check},
    {.name = "Pipe receive",
     .setup = pipe_send_setup,
     .op = pipe_receive_op,
     .check = pipe_receive_check},
    {.name = "Pipe send wakes a receiver",
     .setup = pipe_setup,
     .attend = pipe_wake_attend,
     .op = pipe_send_op,
     .check = pipe_wake_check},
    {.name = "Pipe closed under a receiver",
     .setup = pipe_setup,
     .attend = pipe_close_attend,
     .op = pipe_close_op,
     .early = pipe_close_early,
     .check = pipe_close_check},
    {.name = "Pipe left by one, then closed under a receiver",
     .setup = pipe_setup,
     .attend = pipe_leave_attend,
     .op = pipe_close_op,
     .early = pipe_close_early,
     .check = pipe_close_check},
    {.name = "result left in a cell",
     .setup = cell_setup,
     .op = cell_put_op,
     .check = cell_put_check},
    {.name = "a cell made, filled and given up", .op = cell_drop_op},
};

static const struct step *find(const char *name) {
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    if (strcmp(steps[i].name, name) == 0) return &steps[i];
  abort();
}

/* ---- double faults ---- */

/* Whatever the two did: what is left is in order, and nothing twice. */
static void both_check(bool done) {
  (void)done;
  uint32_t got, last = 0, n = 0;
  for (; packet_get(q, &got, 0) == 0; last = got, n++) {
    must(got >= first && got <= next, "got message %x", got);
    must(n == 0 || got > last || (got == next && last == next),
         "got message %x behind %x", got, last);
  }
  must(n + 2 >= next - first && n <= next - first + 2, "%u messages", n);
  drop_empty(true);
}

static const struct {
  const char *first; /* what the first one does */
  void (*op)(void);  /* the second; NULL: it reaps */
  int stride;
} doubles[] = {
    {"put, small", put_op, 7},
    {"put, small", try_op, 11},
    {"put, new segment", put_op, 17},
    {"put, block", NULL, 29},
    {"put, block", put_op, 17},
    {"get, block", NULL, 29},
    {"get, block", try_op, 13},
    {"put, ring shrinks", put_op, 97},
    {"get, ring trimmed", try_op, 97},
    {"put of a queue in a message", NULL, 61},
    {"get of a queue in a message", NULL, 61},
    {"nested queues made and destroyed", NULL, 397},
};

static void run_double(const char *name, void (*op)(void), int stride) {
  const struct step *a = find(name);
  char text[100];
  snprintf(text, sizeof text, "%s of: %s",
           op == NULL     ? "reaper"
           : op == put_op ? "next put"
                          : "next get",
           name);
  struct step b = {.name = text,
                   .setup = a->setup,
                   .first = step_first,
                   .cold = true,
                   .op = op == NULL ? step_reap_op : op,
                   .check = a->check == carry_check ? carry_check
                            : a->setup != NULL      ? both_check
                                                    : NULL};
  step_double(a, &b, stride);
}

int main(int argc, char **argv) {
  (void)argc;
  step_main();
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
    if (step_wanted(argv, steps[i].name)) step_all(&steps[i]);
  if (!step_wanted(argv, "double")) return step_end();
  for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
    run_double(doubles[i].first, doubles[i].op, doubles[i].stride);
  return step_end();
}
