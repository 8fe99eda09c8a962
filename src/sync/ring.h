/* Ring of segments: the store of a FIFO queue. For src/sync only.
**
** A ring of 64 KiB segments that grows when it is full and shrinks when it is
** not. `tail` and `head` are 64-bit words, items << 32 | position in granules
** of 8 bytes: one store publishes position and count. A position's upper part
** is the number of its segment. Messages up to CR_INLINE_MAX lie in the ring,
** others in blocks of their own, of which the ring holds the address.
**
** The caller holds the write lock for ring_put and ring_trim, the read lock for
** ring_take; never both.
*/
#ifndef CR_RING_H
#define CR_RING_H

#include "message.h"

struct cr_segment;

/* All-zero but for start-up by cr_ring_init; each side has its own line. */
struct cr_ring {
  _Alignas(64) cr_word64 tail; /* under write lock; read by all */
  cr_word64 head_seen; /* head as the writers saw it last; under write lock */
  struct cr_segment *_Atomic writing;
  uint32_t segments; /* under write lock */
  uint32_t unused;
  _Alignas(64) cr_word64 head; /* under read lock; read by all */
  cr_word64 tail_seen; /* tail as the readers saw it last; under read lock */
  struct cr_segment *_Atomic reading;
};

/* What a log or reader needs to know of the lock in use. */
struct cr_ring_side {
  struct cr_rlock *lock;
  struct cr_log *log;
  cr_word *wake; /* who sleeps for the other side's change */
};

int cr_ring_init(struct cr_ring *r, struct cr_log *log); /* 0 or ENOMEM */
/* Publishes the packet; wakes. 0 or ENOMEM (nothing changed). */
int cr_ring_put(struct cr_ring *r, const struct cr_ring_side *s,
                const struct cr_packet *p);
/* Takes the first message; the ring is not empty. Bytes of an inline one go to
** `buffer`. `wake`: somebody may wait for room. */
void cr_ring_take(struct cr_ring *r, const struct cr_ring_side *s, bool wake,
                  unsigned char *buffer, struct cr_packet *out);
/* Frees segments of an empty ring. Under the write lock. */
void cr_ring_trim(struct cr_ring *r, const struct cr_ring_side *s);
/* Frees everything; for the destroyer of the block that holds the ring. */
void cr_ring_destroy(struct cr_ring *r, struct cr_log *put_log,
                     struct cr_log *take_log);
void cr_ring_visit(struct cr_ring *r, const struct cr_visit *v);

static inline uint32_t cr_ring_items(uint64_t end) {
  return (uint32_t)(end >> 32);
}
static inline uint64_t cr_ring_tail(struct cr_ring *r) {
  return atomic_load(&r->tail);
}
static inline uint64_t cr_ring_head(struct cr_ring *r) {
  return atomic_load(&r->head);
}

/* What is known of the other end without a look at it, which costs both sides a
** cache miss: how many items there are at least, under the read lock; at most,
** under the write lock. */
static inline uint32_t cr_ring_between(cr_word64 *head, cr_word64 *tail) {
  uint64_t h = atomic_load_explicit(head, memory_order_relaxed);
  uint64_t t = atomic_load_explicit(tail, memory_order_relaxed);
  return cr_ring_items(t) - cr_ring_items(h);
}
static inline uint32_t cr_ring_at_least(struct cr_ring *r) {
  return cr_ring_between(&r->head, &r->tail_seen);
}
static inline uint32_t cr_ring_at_most(struct cr_ring *r) {
  return cr_ring_between(&r->head_seen, &r->tail);
}
/* The same after a look, which is kept. */
static inline uint32_t cr_ring_look_at_tail(struct cr_ring *r) {
  uint64_t tail = cr_ring_tail(r);
  atomic_store_explicit(&r->tail_seen, tail, memory_order_relaxed);
  return cr_ring_at_least(r);
}
static inline uint32_t cr_ring_look_at_head(struct cr_ring *r) {
  uint64_t head = cr_ring_head(r);
  atomic_store_explicit(&r->head_seen, head, memory_order_relaxed);
  return cr_ring_at_most(r);
}

#endif
