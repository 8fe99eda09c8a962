/* Queues. See queue.h.
**
** Two robust locks, for putting and for getting, never held both. Whoever must
** sleep for an item holds the get lock while asleep (for room: the put lock),
** so that each wake word has one sleeper besides watchers: no wake-up is lost,
** and when it dies the kernel hands the lock to the next, who looks again.
*/
#include "queue.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "heap.h"
#include "ring.h"

enum { SHUT = 1, IMMEDIATE = 2, COUNTED = 4 }; /* bits of state */
enum {
  BUSY_TIME = 10000000,    /* ns that a no-wait call waits for a lock that is in
                             use, not slept on */
  BUSY_LOOK = 100000,      /* ns until it looks again, at first */
  DRAIN_TIME = 1000000000, /* ns that a shutdown does */
  GATHER = 100,            /* pauses: a microsecond or two */
  GATHER_TRY = 64,         /* one in so many finds out whether it is worth it */
  GATHER_WORTH = 4         /* items */
};

struct cr_queue {
  struct cr_block head;
  char site[CR_SITE_MAX];
  uint32_t kind, maxsize; /* r/o */
  cr_word state;
  cr_word done;                        /* task_done calls, mod 2^32 */
  cr_word taken;                       /* ever got, mod 2^32; if COUNTED */
  cr_word done_wake;                   /* who waits in join */
  cr_word get_wake, put_wake;          /* who waits for an item, for room */
  struct cr_message *_Atomic returned; /* given back; under get lock */
  cr_word returned_count;
  _Alignas(64) struct cr_rlock put_lock;
  struct cr_log put_log;
  _Alignas(64) struct cr_rlock get_lock;
  uint32_t looks; /* under get lock: how often an item came to who looked */
  bool gathers;   /* under get lock */
  struct cr_log get_log;
  union {
    struct cr_ring ring;
    struct cr_message_heap heap;
  };
};

static const enum cr_type type_of[] = {CR_QUEUE, CR_LIFO_QUEUE,
                                       CR_PRIORITY_QUEUE};

static bool is_ring(const struct cr_queue *q) {
  return q->kind == CR_FIFO;
}

static uint32_t state_of(struct cr_queue *q) {
  return atomic_load_explicit(&q->state, memory_order_acquire);
}

static struct cr_heap_wakes wakes_of(struct cr_queue *q) {
  return (struct cr_heap_wakes){&q->get_wake, &q->put_wake};
}

/* ---- life ---- */

static void queue_destroy(struct cr_block *b) {
  struct cr_queue *q = (struct cr_queue *)b;
  struct cr_message *m;
  cr_log_replay(&q->get_log);
  cr_log_replay(&q->put_log);
  while ((m = atomic_load(&q->returned)) != NULL) {
    cr_taken();
    cr_log_add(&q->get_log, &q->returned, (uintptr_t)m->next);
    cr_log_take(&q->get_log, m);
    cr_log_commit_as(&q->get_log, NULL, NULL);
    cr_destroy(&m->head);
  }
  if (is_ring(q))
    cr_ring_destroy(&q->ring, &q->put_log, &q->get_log);
  else
    cr_heap_destroy(&q->heap);
  cr_free(q);
}

static void queue_visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_queue *q = (struct cr_queue *)b;
  struct cr_message *m = atomic_load(&q->returned);
  for (; m != NULL; m = m->next) v->block(m);
  if (is_ring(q))
    cr_ring_visit(&q->ring, v);
  else
    cr_heap_visit(&q->heap, v);
}

static __attribute__((constructor)) void register_types(void) {
  for (int i = 0; i <= CR_PRIORITY; i++) {
    cr_set_destroy(type_of[i], queue_destroy);
    cr_set_visit(type_of[i], queue_visit);
  }
}

struct cr_queue *cr_queue_new(enum cr_queue_kind kind, uint32_t maxsize) {
  struct cr_queue *q = cr_alloc(sizeof *q);
  if (q == NULL) return NULL;
  memset((char *)q + sizeof q->head, 0, sizeof *q - sizeof q->head);
  q->kind = kind;
  q->maxsize = maxsize;
  if (kind == CR_PRIORITY) q->heap.sorted = true;
  cr_step();
  atomic_store(&q->head.type, type_of[kind]);
  cr_step();
  if (kind == CR_FIFO && cr_ring_init(&q->ring, &q->put_log) != 0) {
    cr_destroy(&q->head);
    return NULL;
  }
  return q;
}

uint32_t cr_queue_maxsize(const struct cr_queue *q) {
  return q->maxsize;
}

enum cr_queue_kind cr_queue_kind(const struct cr_queue *q) {
  return (enum cr_queue_kind)q->kind;
}

/* Head first: a size that is read while others work may be too big, and never
** wraps below zero. */
static uint32_t stored(struct cr_queue *q) {
  if (!is_ring(q)) return atomic_load(&q->heap.count);
  uint32_t head = cr_ring_items(cr_ring_head(&q->ring));
  return cr_ring_items(cr_ring_tail(&q->ring)) - head;
}

static uint32_t returned_count(struct cr_queue *q) {
  return atomic_load_explicit(&q->returned_count, memory_order_relaxed);
}

uint32_t cr_queue_size(struct cr_queue *q) {
  return stored(q) + returned_count(q);
}

/* Items ever put, mod 2^32. */
static uint32_t puts_of(struct cr_queue *q) {
  return is_ring(q) ? cr_ring_items(cr_ring_tail(&q->ring))
                    : atomic_load(&q->heap.puts);
}

/* ---- the two sides ---- */

/* One side of the queue: its lock, its log, and what it sleeps on and wakes. */
struct side {
  struct cr_rlock *lock;
  struct cr_log *log;
  cr_word *sleeps, *wakes;
  bool (*ready)(struct cr_queue *);
};

static bool can_get(struct cr_queue *q) {
  return cr_queue_size(q) > 0 || state_of(q) != 0;
}

static bool can_put(struct cr_queue *q) {
  return q->maxsize == 0 || cr_queue_size(q) < q->maxsize || state_of(q) != 0;
}

static struct side getting(struct cr_queue *q) {
  return (struct side){&q->get_lock, &q->get_log, &q->get_wake, &q->put_wake,
                       can_get};
}

static struct side putting(struct cr_queue *q) {
  return (struct side){&q->put_lock, &q->put_log, &q->put_wake, &q->get_wake,
                       can_put};
}

/* For a call that does not want to wait: it waits for a lock that is merely in
** use. Who has it may also go to sleep with it, of which nobody is told: so it
** looks now and then whether there is something left to come for. */
static int lock_in_use(struct cr_queue *q, const struct side *s) {
  int64_t now = cr_now(), until = now + BUSY_TIME, slice = BUSY_LOOK;
  int err = ETIMEDOUT;
  while (err == ETIMEDOUT && now < until && s->ready(q)) {
    err = cr_rlock_acquire(s->lock, now + slice);
    slice *= 2;
    now = cr_now();
  }
  return err;
}

/* Takes a side's lock: 0, EAGAIN (deadline), EINTR. */
static int side_lock(struct cr_queue *q, const struct side *s,
                     int64_t deadline) {
  int err = cr_rlock_try(s->lock);
  if (err == EBUSY && deadline == CR_AT_ONCE) return EBUSY;
  if (err == EBUSY)
    err =
        deadline == 0 ? lock_in_use(q, s) : cr_rlock_acquire(s->lock, deadline);
  if (err == EOWNERDEAD) {
    cr_log_recover(s->log, s->wakes);
    err = 0;
  }
  return err == ETIMEDOUT ? EAGAIN : err;
}

/* An item has come while its getter was looking. Who takes each at once slows the
** one who puts many down, each time, by a cache miss: so where a short delay
** brings several at once it is made again. */
static void gather(struct cr_queue *q) {
  if (!is_ring(q)) return;
  if (!q->gathers && ++q->looks % GATHER_TRY != 0) return;
  cr_spin_pause(GATHER);
  q->gathers = cr_ring_look_at_tail(&q->ring) >= GATHER_WORTH;
}

/* Holding the side's lock: until ready. 0, EAGAIN, EINTR. */
static int side_wait(struct cr_queue *q, const struct side *s,
                     int64_t deadline) {
  if (s->ready(q)) return 0;
  if (deadline <= 0) return EAGAIN;
  struct cr_spin spin;
  int err = 0;
  cr_spin_start(&spin);
  while (cr_spin(&spin)) {
    if (!s->ready(q)) continue;
    cr_spin_won(&spin);
    if (s->lock == &q->get_lock) gather(q);
    return 0;
  }
  for (;;) {
    struct cr_wait w = {s->sleeps, cr_wake_want(s->sleeps, false)};
    if (s->ready(q)) break;
    err = cr_sleep(&w, 1, deadline);
    if (s->ready(q)) err = 0;
    if (err != 0 || s->ready(q)) break;
  }
  /* Nobody of this side sleeps any more: spares the other a wake-up. Watchers
  ** keep their mark. */
  uint32_t alone = CR_WAITERS;
  atomic_compare_exchange_strong(s->sleeps, &alone, 0);
  cr_wake_pass(s->sleeps);
  return err == ETIMEDOUT ? EAGAIN : err;
}

/* ---- putting ---- */

/* Holding the put lock. EAGAIN: there was no room after all. */
static int store(struct cr_queue *q, struct cr_packet *p) {
  if (state_of(q) != 0) return EPIPE;
  if (is_ring(q)) {
    struct cr_ring_side s = {&q->put_lock, &q->put_log, &q->get_wake};
    return cr_ring_put(&q->ring, &s, p);
  }
  struct cr_heap_wakes w = wakes_of(q);
  return cr_heap_put(&q->heap, &w, p->block, q->maxsize);
}

/* LifoQueue and PriorityQueue keep blocks only. */
static int ensure_block(struct cr_queue *q, struct cr_packet *p) {
  if (is_ring(q) || p->block != NULL) return 0;
  struct cr_message *m = cr_message_copy(p->data, p->length);
  if (m == NULL) return ENOMEM;
  *p = (struct cr_packet){m->data, m->length, m};
  return 0;
}

/* Holding the put lock. Is there room, without a look at what those who get
** write, if not without one? */
static bool has_room(struct cr_queue *q) {
  if (q->maxsize == 0) return true;
  if (!is_ring(q)) return false;
  uint32_t returned = returned_count(q);
  return cr_ring_at_most(&q->ring) + returned < q->maxsize ||
         cr_ring_look_at_head(&q->ring) + returned < q->maxsize;
}

static int wait_and_store(struct cr_queue *q, const struct side *s,
                          struct cr_packet *p, int64_t deadline) {
  int err;
  while ((err = side_wait(q, s, deadline)) == 0)
    if ((err = store(q, p)) != EAGAIN) break;
  return err;
}

int cr_queue_put(struct cr_queue *q, struct cr_packet *p, int64_t deadline) {
  struct side s = putting(q);
  bool made = p->block == NULL;
  int err = ensure_block(q, p);
  if (err == 0) err = side_lock(q, &s, deadline);
  if (err == 0) {
    err = has_room(q) ? store(q, p) : wait_and_store(q, &s, p, deadline);
    cr_rlock_release(&q->put_lock);
  }
  if (err != 0 && made) cr_packet_free(p);
  return err;
}

/* ---- getting ---- */

static void take_returned(struct cr_queue *q, struct cr_packet *p) {
  struct cr_message *m = atomic_load(&q->returned);
  cr_taken();
  cr_log_add(&q->get_log, &q->returned, (uintptr_t)m->next);
  cr_log_add32(&q->get_log, &q->returned_count,
               atomic_load(&q->returned_count) - 1);
  cr_log_take(&q->get_log, m);
  if (q->maxsize) cr_wake_begin(&q->put_wake);
  cr_log_commit_as(&q->get_log, &q->get_lock, &q->put_wake);
  if (q->maxsize) cr_wake_end(&q->put_wake);
  *p = (struct cr_packet){m->data, m->length, m};
}

static bool has_returned(struct cr_queue *q) {
  return atomic_load_explicit(&q->returned, memory_order_relaxed) != NULL;
}

static int take_from_ring(struct cr_queue *q, struct cr_packet *p) {
  unsigned char *buffer = cr_reader_buffer();
  if (buffer == NULL) return ENOMEM;
  struct cr_ring_side s = {&q->get_lock, &q->get_log, &q->put_wake};
  cr_ring_take(&q->ring, &s, q->maxsize != 0, buffer, p);
  return 0;
}

/* Takes the next item, holding the get lock. EAGAIN: there was none after all,
** but one that a dead consumer had taken. EPIPE: there will be none. */
static int fetch(struct cr_queue *q, struct cr_packet *p) {
  bool shut = state_of(q) != 0;
  if (has_returned(q)) {
    take_returned(q, p);
    return 0;
  }
  uint32_t n = is_ring(q) ? cr_ring_look_at_tail(&q->ring) : stored(q);
  if (n == 0) return shut ? EPIPE : EAGAIN;
  if (is_ring(q)) return take_from_ring(q, p);
  struct cr_heap_wakes w = wakes_of(q);
  struct cr_message *m = NULL;
  int err = cr_heap_take(&q->heap, &w, q->maxsize != 0, &m);
  if (err == 0) *p = (struct cr_packet){m->data, m->length, m};
  return err;
}

/* A queue that was drained gives memory back, if no putter is at work. */
static void trim(struct cr_queue *q) {
  if (!is_ring(q) || q->ring.segments <= 4 || stored(q) > 0) return;
  struct side s = putting(q);
  int err = cr_rlock_try(s.lock);
  if (err == EBUSY) return;
  if (err == EOWNERDEAD) cr_log_recover(s.log, s.wakes);
  struct cr_ring_side r = {&q->put_lock, &q->put_log, &q->get_wake};
  cr_ring_trim(&q->ring, &r);
  cr_rlock_release(s.lock);
}

/* Holding the get lock. Is the next item there, without a look at what those who
** put write? */
static bool is_known(struct cr_queue *q) {
  return is_ring(q) && cr_ring_at_least(&q->ring) > 0 && !has_returned(q) &&
         !(state_of(q) & IMMEDIATE);
}

static int wait_and_fetch(struct cr_queue *q, const struct side *s,
                          struct cr_packet *p, int64_t deadline) {
  int err;
  while ((err = side_wait(q, s, deadline)) == 0) {
    err = state_of(q) & IMMEDIATE ? EPIPE : fetch(q, p);
    if (err != EAGAIN) break;
  }
  return err;
}

int cr_queue_get(struct cr_queue *q, struct cr_packet *p, int64_t deadline) {
  struct side s = getting(q);
  int err = side_lock(q, &s, deadline);
  if (err != 0) return err;
  err = is_known(q) ? take_from_ring(q, p) : wait_and_fetch(q, &s, p, deadline);
  bool last = !is_known(q);
  cr_rlock_release(&q->get_lock);
  if (last) trim(q);
  return err;
}

/* Of a queue that is shut down at once: it goes with what was queued. */
static int drop_returned(struct cr_queue *q, struct cr_packet *p) {
  cr_wake_begin(&q->done_wake);
  atomic_fetch_sub(&q->taken, 1);
  cr_wake_end(&q->done_wake);
  cr_packet_free(p);
  return 0;
}

int cr_queue_unget(struct cr_queue *q, struct cr_packet *p) {
  if (state_of(q) & COUNTED) return drop_returned(q, p);
  struct cr_message *m = p->block;
  if (m == NULL) m = cr_message_copy(p->data, p->length);
  if (m == NULL) return ENOMEM;
  struct side s = getting(q);
  if (!is_ring(q)) {
    struct cr_heap_wakes w = wakes_of(q);
    int err = cr_heap_put_again(&q->heap, &w, m);
    if (err == 0) p->block = NULL;
    return err;
  }
  bool before = cr_patient;
  cr_patient = true;
  while (side_lock(q, &s, CR_FOREVER) != 0)
    ;
  cr_patient = before;
  if (state_of(q) & COUNTED) { /* meanwhile */
    cr_rlock_release(&q->get_lock);
    p->block = m;
    return drop_returned(q, p);
  }
  m->next = atomic_load(&q->returned);
  cr_log_add(&q->get_log, &q->returned, (uintptr_t)m);
  cr_log_add32(&q->get_log, &q->returned_count,
               atomic_load(&q->returned_count) + 1);
  cr_log_link(&q->get_log, m);
  cr_wake_begin(&q->get_wake);
  cr_log_commit_as(&q->get_log, &q->get_lock, &q->get_wake);
  cr_wake_end(&q->get_wake);
  cr_rlock_release(&q->get_lock);
  cr_linked();
  p->block = NULL;
  return 0;
}

/* ---- task_done, join, shutdown ---- */

/* Items ever got and not given back, mod 2^32. */
static uint32_t gets_of(struct cr_queue *q) {
  struct cr_heap_wakes w = wakes_of(q);
  if (!is_ring(q)) return cr_heap_takes(&q->heap, &w);
  return cr_ring_items(cr_ring_head(&q->ring)) -
         atomic_load(&q->returned_count);
}

/* Of how many items, ever put, is it to be reported that they are done? After
** an immediate shutdown of those that were got. */
static uint32_t due(struct cr_queue *q) {
  uint32_t state = state_of(q);
  if (state & COUNTED) return atomic_load(&q->taken);
  return state & IMMEDIATE ? gets_of(q) : puts_of(q);
}

/* (What was never got may have been reported.) */
static bool is_finished(struct cr_queue *q, uint32_t done) {
  return (int32_t)(due(q) - done) <= 0;
}

static bool all_finished(struct cr_queue *q) {
  return is_finished(q, atomic_load(&q->done));
}

int cr_queue_task_done(struct cr_queue *q) {
  uint32_t done = atomic_load(&q->done);
  cr_wake_begin(&q->done_wake);
  do {
    if (is_finished(q, done)) {
      cr_wake_end(&q->done_wake);
      return EINVAL;
    }
  } while (!atomic_compare_exchange_weak(&q->done, &done, done + 1));
  cr_wake_end(&q->done_wake);
  return 0;
}

int cr_queue_join(struct cr_queue *q, int64_t deadline) {
  int err = 0;
  while (!all_finished(q) && err == 0) {
    struct cr_wait w = {&q->done_wake, cr_wake_want(&q->done_wake, true)};
    if (all_finished(q)) break;
    if (deadline == 0)
      err = ETIMEDOUT;
    else
      err = cr_sleep(&w, 1, deadline);
  }
  if (err == 0) cr_wake_pass(&q->done_wake);
  return err == ETIMEDOUT ? EAGAIN : err;
}

static void wake_all(cr_word *wake) {
  cr_wake_begin(wake);
  atomic_fetch_or(wake, CR_CROWD);
  cr_wake_end(wake);
}

/* Throws away what is queued, also when an interrupt comes: nobody is to report
** it as done. What a getter that is stopped keeps from us nobody gets. */
static void drain(struct cr_queue *q) {
  struct side s = getting(q);
  struct cr_packet p;
  bool before = cr_patient;
  cr_patient = true;
  int err = side_lock(q, &s, cr_now() + DRAIN_TIME);
  cr_patient = before;
  if (err == 0 && !(state_of(q) & COUNTED)) {
    atomic_store(&q->taken, due(q));
    atomic_fetch_or(&q->state, COUNTED);
  }
  while (err == 0 && cr_queue_size(q) > 0 && fetch(q, &p) == 0)
    cr_packet_free(&p);
  if (err == 0) cr_rlock_release(&q->get_lock);
  wake_all(&q->done_wake);
  trim(q);
}

void cr_queue_shutdown(struct cr_queue *q, bool immediate) {
  cr_wake_begin(&q->get_wake);
  atomic_fetch_or(&q->state, immediate ? SHUT | IMMEDIATE : SHUT);
  wake_all(&q->get_wake);
  wake_all(&q->put_wake);
  if (immediate) drain(q);
}

bool cr_queue_is_shutdown(struct cr_queue *q) {
  return state_of(q) != 0;
}

enum cr_queue_need cr_queue_need(const struct cr_queue *q,
                                 const cr_word *word) {
  if (word == &q->done_wake) return CR_NEED_DONE;
  bool put = word == &q->put_wake || word == &q->put_lock.word;
  return put ? CR_NEED_ROOM : CR_NEED_ITEM;
}

bool cr_queue_ready(struct cr_queue *q, struct cr_wait *wait) {
  if (!can_get(q)) {
    if (wait == NULL) return false;
    *wait = (struct cr_wait){&q->get_wake, cr_wake_want(&q->get_wake, true)};
    if (!can_get(q)) return false;
  }
  cr_wake_pass(&q->get_wake);
  return true;
}
