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
  char site[CR_SITE_MAX];
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
  e->site[0] = 0;
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

/* Processes that hold the other end; the dead among them are reaped first, with
** which the end may be gone. */
static int holders(struct cr_pipe *e, bool others, struct cr_slot **out,
                   int max) {
  for (;;) {
    bool dead = false;
    int n = cr_handle_holders((struct cr_block *)e->other, others, out, max);
    for (int i = 0; i < n; i++) {
      uint32_t life = atomic_load(&out[i]->life.word);
      if (life != 0 && !(life & CR_DIED)) continue;
      dead = true; /* or unborn, perhaps never to be born */
      cr_wake(&out[i]->life.word, INT_MAX); /* the kernel woke only one */
    }
    /* Held by none: perhaps one died between letting go and closing it. */
    if ((n > 0 && !dead) || cr_reap_all() == 0) return n;
  }
}

/* Notices that nobody holds the other end. Who held it last time is remembered:
** while that one lives there is nothing to look for. */
static void check_peer(struct cr_pipe *e) {
  uint64_t known = atomic_load_explicit(&e->holder, memory_order_relaxed);
  struct cr_slot *s = cr_slot_at((uint32_t)known);
  if (known != 0 && cr_slot_alive(s, (uint32_t)(known >> 32))) return;
  uint64_t now = 0;
  if (holders(e, false, &s, 1) > 0)
    now = (uint64_t)atomic_load(&s->life.incarnation) << 32 | s->index;
  atomic_store_explicit(&e->holder, now, memory_order_relaxed);
}

int cr_pipe_send(struct cr_pipe *e, struct cr_packet *p, int64_t deadline) {
  check_peer(e);
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

bool cr_pipe_ready(struct cr_pipe *e, struct cr_wait *wait, int *n,
                   bool *unborn) {
  struct cr_slot *holder[CR_PIPE_WAITS - 1];
  *n = 0;
  *unborn = false;
  if (cr_queue_ready(queue(e->in), wait)) return true;
  *n = 1;
  int found = holders(e, true, holder, CR_PIPE_WAITS - 1);
  if (cr_queue_ready(queue(e->in), NULL)) return true;
  for (int i = 0; i < found; i++) {
    if (watch_life(holder[i], &wait[*n]))
      ++*n;
    else
      *unborn = true;
  }
  return false;
}

/* Sleeps once for a message or the end: 0 (look again), ETIMEDOUT, EINTR. */
static int wait_for_message(struct cr_pipe *e, int64_t deadline) {
  struct cr_wait w[CR_PIPE_WAITS];
  bool unborn;
  int n;
  if (cr_pipe_ready(e, w, &n, &unborn)) return 0;
  int64_t soon = unborn ? cr_now() + EMBRYO_TIME : CR_FOREVER;
  int64_t until = deadline < soon ? deadline : soon;
  int err = cr_sleep(w, n, until);
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
  struct cr_wait w[CR_PIPE_WAITS];
  bool unborn;
  int n, err = 0;
  while (!cr_pipe_ready(e, w, &n, &unborn) && err == 0)
    err = deadline == 0 ? ETIMEDOUT : wait_for_message(e, deadline);
  return err == ETIMEDOUT ? EAGAIN : err;
}

int cr_pipe_unget(struct cr_pipe *e, struct cr_packet *p) {
  return cr_queue_unget(queue(e->in), p);
}
