/* Pipes. See pipe.h.
**
** An end refers to the queue it reads and the queue it writes. Its destruction
** shuts both down: the other end then reads what is left and finds the end, and
** cannot send. A receiver that sleeps also watches one process that holds the
** other end; when that one dies it reaps, which may destroy the end.
*/
#include "pipe.h"

#include <errno.h>
#include <limits.h>

enum { EMBRYO_TIME = 1000000 }; /* ns until a child has entered its slot */

struct cr_pipe {
  struct cr_block head;
  struct cr_block *in, *out; /* references to queues, or NULL; r/o */
  struct cr_pipe *other;     /* not a reference: compared only; r/o */
  cr_word64 holder;          /* incarnation << 32 | slot that held it */
};

static struct cr_queue *queue(struct cr_block *b) {
  return (struct cr_queue *)b;
}

static void pipe_destroy(struct cr_block *b) {
  struct cr_pipe *e = (struct cr_pipe *)b;
  if (e->in != NULL) cr_queue_shutdown(queue(e->in), false);
  if (e->out != NULL) cr_queue_shutdown(queue(e->out), false);
  cr_ref_drop(&e->in);
  cr_ref_drop(&e->out);
  cr_free(e);
}

static void pipe_visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_pipe *e = (struct cr_pipe *)b;
  if (e->in != NULL) v->ref(e->in);
  if (e->out != NULL) v->ref(e->out);
}

static __attribute__((constructor)) void register_type(void) {
  cr_set_destroy(CR_PIPE, pipe_destroy);
  cr_set_visit(CR_PIPE, pipe_visit);
}

static struct cr_pipe *new_end(void) {
  struct cr_pipe *e = cr_alloc(sizeof *e);
  if (e == NULL) return NULL;
  e->in = e->out = NULL;
  e->other = NULL;
  atomic_store(&e->holder, 0);
  atomic_store(&e->head.refs, 0);
  cr_step();
  atomic_store(&e->head.type, CR_PIPE);
  return e;
}

/* A queue from a to b. It is in limbo until the first end refers to it. */
static int connect(struct cr_pipe *a, struct cr_pipe *b) {
  struct cr_block *q = (struct cr_block *)cr_queue_new(CR_FIFO, 0);
  if (q == NULL) return ENOMEM;
  cr_ref_first(&a->out, q);
  cr_ref_add(&b->in, NULL, q);
  return 0;
}

int cr_pipe_new(bool duplex, struct cr_pipe *ends[2]) {
  struct cr_pipe *a = new_end(), *b = a != NULL ? new_end() : NULL;
  if (b != NULL) {
    a->other = b;
    b->other = a;
  }
  if (b == NULL || connect(b, a) != 0 || (duplex && connect(a, b) != 0)) {
    if (b != NULL) cr_destroy(&b->head);
    if (a != NULL) cr_destroy(&a->head);
    return ENOMEM;
  }
  ends[0] = a;
  ends[1] = b;
  return 0;
}

bool cr_pipe_can_send(const struct cr_pipe *e) {
  return e->out != NULL;
}

bool cr_pipe_can_receive(const struct cr_pipe *e) {
  return e->in != NULL;
}

/* A process that holds the other end; before sending from memory, if it still
** lives. One that is dead is reaped, with which the end may be gone. */
static struct cr_slot *holder(struct cr_pipe *e, bool others) {
  uint64_t known = atomic_load_explicit(&e->holder, memory_order_relaxed);
  struct cr_slot *s = cr_slot_at((uint32_t)known);
  if (!others && known != 0 && cr_slot_alive(s, (uint32_t)(known >> 32)))
    return s;
  for (;;) {
    s = cr_handle_holder((struct cr_block *)e->other, others);
    /* Held by none: perhaps one died between letting go and closing it. */
    if (s == NULL && others) cr_reap_all();
    if (s == NULL || !cr_slot_dead(s)) break;
    cr_wake(&s->life.word, INT_MAX); /* the kernel wakes only one watcher */
    if (cr_reap_all() == 0) break;
  }
  uint64_t now =
      s == NULL ? 0
                : (uint64_t)atomic_load(&s->life.incarnation) << 32 | s->index;
  atomic_store_explicit(&e->holder, now, memory_order_relaxed);
  return s;
}

int cr_pipe_send(struct cr_pipe *e, struct cr_packet *p, int64_t deadline) {
  holder(e, false);
  return cr_queue_put(queue(e->out), p, deadline);
}

/* Asks the kernel to wake us when the holder dies. An embryo's word must not be
** touched: false. */
static bool watch_life(struct cr_slot *s, struct cr_wait *wait) {
  uint32_t v = atomic_load(&s->life.word);
  do {
    if (v == 0 || (v & CR_DIED)) return false;
  } while (!atomic_compare_exchange_weak(&s->life.word, &v, v | CR_WAITERS));
  *wait = (struct cr_wait){&s->life.word, v | CR_WAITERS};
  return true;
}

bool cr_pipe_ready(struct cr_pipe *e, struct cr_wait *wait, int *n) {
  *n = 0;
  if (cr_queue_ready(queue(e->in), wait)) return true;
  *n = 1;
  struct cr_slot *s = holder(e, true);
  if (cr_queue_ready(queue(e->in), NULL)) return true;
  if (s != NULL && watch_life(s, &wait[1])) *n = 2;
  return false;
}

/* Sleeps once for a message or the end: 0 (look again), ETIMEDOUT, EINTR. */
static int wait_for_message(struct cr_pipe *e, int64_t deadline) {
  struct cr_wait w[2];
  int n;
  if (cr_pipe_ready(e, w, &n)) return 0;
  int64_t until = deadline;
  if (n == 1 && holder(e, true) != NULL) {
    int64_t soon = cr_now() + EMBRYO_TIME;
    if (until > soon) until = soon;
  }
  int err = cr_sleep(w, n, until);
  if (n == 2 && (atomic_load(w[1].word) & CR_DIED)) holder(e, true);
  return err == ETIMEDOUT && until != deadline ? 0 : err;
}

int cr_pipe_receive(struct cr_pipe *e, struct cr_packet *p, int64_t deadline) {
  struct cr_spin spin;
  cr_spin_start(&spin);
  for (;;) {
    int err = cr_queue_get(queue(e->in), p, 0);
    if (err != EAGAIN || deadline == 0) return err;
    if (cr_spin(&spin)) continue;
    err = wait_for_message(e, deadline);
    if (err != 0) return err == ETIMEDOUT ? EAGAIN : err;
  }
}

int cr_pipe_wait(struct cr_pipe *e, int64_t deadline) {
  struct cr_wait w[2];
  int n, err = 0;
  while (!cr_pipe_ready(e, w, &n) && err == 0)
    err = deadline == 0 ? ETIMEDOUT : wait_for_message(e, deadline);
  return err == ETIMEDOUT ? EAGAIN : err;
}

int cr_pipe_unget(struct cr_pipe *e, struct cr_packet *p) {
  return cr_queue_unget(queue(e->in), p);
}
