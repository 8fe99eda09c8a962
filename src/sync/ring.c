/* Ring of segments. See ring.h. */
#include "ring.h"

#include <errno.h>
#include <string.h>

enum {
  GRANULES = 8192,  /* of 8 bytes in a segment */
  FIRST = 8,        /* the header takes 64 bytes */
  NUMBER_BITS = 19, /* of a position: segment number */
  KEEP = 4,         /* segments that are not given back */
  SEGMENT = 65536
};
#define NUMBER_MASK ((1u << NUMBER_BITS) - 1)
#define SKIP 0xffffffffu /* length: the rest is in the next one */

struct cr_segment {
  struct cr_block head;
  struct cr_segment *_Atomic next;
  uint32_t number; /* written before it is published */
  uint32_t unused[11];
};
_Static_assert(sizeof(struct cr_segment) == FIRST * 8, "segment header");

/* Before each message. */
struct entry {
  uint32_t length;
  uint32_t outside; /* 1: a block's address follows */
};

static uint32_t position(uint64_t end) {
  return (uint32_t)end;
}
static uint32_t number_of(uint32_t position) {
  return position / GRANULES;
}
static uint32_t first_of_next(uint32_t position) {
  return ((number_of(position) + 1) & NUMBER_MASK) * GRANULES + FIRST;
}
static struct entry *entry_at(struct cr_segment *s, uint32_t position) {
  return (struct entry *)((uint64_t *)s + position % GRANULES);
}
static struct cr_segment *next_of(struct cr_segment *s) {
  return atomic_load_explicit(&s->next, memory_order_acquire);
}
static uint32_t size_of(const struct entry *e) {
  return e->outside ? 2 : 1 + (e->length + 7) / 8;
}

static struct cr_segment *new_segment(void) {
  struct cr_segment *s = cr_alloc(SEGMENT);
  if (s != NULL) s->number = 0;
  return s;
}

int cr_ring_init(struct cr_ring *r, struct cr_log *log) {
  struct cr_segment *s = new_segment();
  if (s == NULL) return ENOMEM;
  atomic_store(&s->next, s);
  r->segments = 0;
  atomic_store(&r->tail, FIRST);
  atomic_store(&r->head, FIRST);
  cr_log_add(log, &r->writing, (uintptr_t)s);
  cr_log_add(log, &r->reading, (uintptr_t)s);
  cr_log_add32(log, &r->segments, 1);
  cr_log_link(log, s);
  cr_log_commit_as(log, NULL, NULL);
  cr_linked();
  return 0;
}

/* The caches `writing` and `reading` lag behind by at most what was published
** when a process died; the numbers tell. */
static struct cr_segment *segment_from(struct cr_segment *s, uint32_t number) {
  while (s->number != number) s = next_of(s);
  return s;
}

static struct cr_segment *reading(struct cr_ring *r) {
  return atomic_load_explicit(&r->reading, memory_order_acquire);
}

/* ---- growing and shrinking; under the write lock ---- */

static struct cr_segment *insert_segment(struct cr_ring *r,
                                         const struct cr_ring_side *side,
                                         struct cr_segment *after) {
  struct cr_segment *s = new_segment();
  if (s == NULL) return NULL;
  atomic_store(&s->next, next_of(after));
  s->number = (after->number - 1) & NUMBER_MASK; /* not the next one yet */
  cr_log_add(side->log, &after->next, (uintptr_t)s);
  cr_log_add32(side->log, &r->segments, r->segments + 1);
  cr_log_link(side->log, s);
  cr_log_commit_as(side->log, side->lock, side->wake);
  cr_linked();
  return s;
}

static void remove_segment(struct cr_ring *r, const struct cr_ring_side *side,
                           struct cr_segment *before) {
  struct cr_segment *s = next_of(before);
  cr_taken();
  cr_log_add(side->log, &before->next, (uintptr_t)next_of(s));
  cr_log_add32(side->log, &r->segments, r->segments - 1);
  cr_log_take(side->log, s);
  cr_log_commit_as(side->log, side->lock, side->wake);
  cr_free(s);
}

/* Removes drained segments behind `s` until few are left. */
static void shrink(struct cr_ring *r, const struct cr_ring_side *side,
                   struct cr_segment *s) {
  struct cr_segment *read = reading(r);
  while (r->segments > KEEP && next_of(s) != read &&
         next_of(next_of(s)) != read && next_of(s) != s)
    remove_segment(r, side, s);
}

static bool nearly_empty(struct cr_ring *r) {
  uint32_t t = number_of(position(cr_ring_tail(r)));
  uint32_t h = number_of(position(cr_ring_head(r)));
  return ((t - h) & NUMBER_MASK) <= 1;
}

static struct cr_segment *next_segment(struct cr_ring *r,
                                       const struct cr_ring_side *side,
                                       struct cr_segment *s) {
  if (next_of(s) == reading(r)) return insert_segment(r, side, s);
  if (r->segments > KEEP && nearly_empty(r)) shrink(r, side, s);
  return next_of(s);
}

void cr_ring_trim(struct cr_ring *r, const struct cr_ring_side *side) {
  uint32_t t = number_of(position(cr_ring_tail(r)));
  struct cr_segment *s =
      segment_from(atomic_load_explicit(&r->writing, memory_order_relaxed), t);
  if (nearly_empty(r)) shrink(r, side, s);
}

/* ---- putting ---- */

static void publish(struct cr_ring *r, const struct cr_ring_side *side,
                    const struct cr_packet *p, uint64_t tail) {
  cr_wake_begin(side->wake);
  if (p->block == NULL) {
    atomic_store(&r->tail, tail);
  } else {
    cr_log_link(side->log, p->block);
    cr_log_publish(side->log, &r->tail, tail);
    cr_log_commit_as(side->log, side->lock, side->wake);
  }
  cr_wake_end(side->wake);
  if (p->block != NULL) cr_linked();
}

int cr_ring_put(struct cr_ring *r, const struct cr_ring_side *side,
                const struct cr_packet *p) {
  uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  uint32_t at = position(tail);
  struct entry e = {(uint32_t)p->length, p->block != NULL};
  uint32_t size = size_of(&e);
  struct cr_segment *s = segment_from(
      atomic_load_explicit(&r->writing, memory_order_relaxed), number_of(at));
  if (at % GRANULES + size > GRANULES - 1) {
    struct cr_segment *next = next_segment(r, side, s);
    if (next == NULL) return ENOMEM;
    entry_at(s, at)->length = SKIP;
    at = first_of_next(at);
    next->number = number_of(at);
    s = next;
  }
  struct entry *to = entry_at(s, at);
  *to = e;
  if (p->block != NULL)
    memcpy(to + 1, &p->block, sizeof p->block);
  else if (p->length > 0)
    memcpy(to + 1, p->data, p->length);
  atomic_store_explicit(&r->writing, s, memory_order_relaxed);
  uint64_t items = cr_ring_items(tail) + 1;
  publish(r, side, p, items << 32 | (at + size));
  return 0;
}

/* ---- taking ---- */

/* The first entry at or behind a head; its position in *at. */
static struct entry *first_entry(struct cr_ring *r, uint32_t *at,
                                 struct cr_segment **segment) {
  struct cr_segment *s = segment_from(reading(r), number_of(*at));
  struct entry *e = entry_at(s, *at);
  if (e->length == SKIP) {
    *at = first_of_next(*at);
    s = segment_from(s, number_of(*at));
    e = entry_at(s, *at);
  }
  *segment = s;
  return e;
}

static struct cr_message *block_of(struct entry *e) {
  struct cr_message *m = NULL;
  if (e->outside) memcpy(&m, e + 1, sizeof m);
  return m;
}

void cr_ring_take(struct cr_ring *r, const struct cr_ring_side *side, bool wake,
                  unsigned char *buffer, struct cr_packet *out) {
  uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  uint32_t at = position(head);
  struct cr_segment *s;
  struct entry *e = first_entry(r, &at, &s);
  struct cr_message *m = block_of(e);
  uint64_t next = (uint64_t)(cr_ring_items(head) + 1) << 32 | (at + size_of(e));
  if (m != NULL)
    *out = (struct cr_packet){m->data, m->length, m};
  else
    *out = (struct cr_packet){buffer, e->length, NULL};
  if (m == NULL) memcpy(buffer, e + 1, e->length);
  if (m != NULL) cr_taken();
  if (wake) cr_wake_begin(side->wake);
  if (m != NULL) {
    cr_log_add(side->log, &r->head, next);
    cr_log_take(side->log, m);
    cr_log_commit_as(side->log, side->lock, side->wake);
  } else if (wake) {
    atomic_store(&r->head, next);
  } else {
    atomic_store_explicit(&r->head, next, memory_order_release);
  }
  if (wake) cr_wake_end(side->wake);
  if (s != reading(r))
    atomic_store_explicit(&r->reading, s, memory_order_release);
}

/* ---- destroying; nobody else can reach the ring ---- */

static void destroy_messages(struct cr_ring *r, struct cr_log *log) {
  struct cr_ring_side side = {NULL, log, NULL};
  unsigned char nowhere[1];
  while (cr_ring_items(cr_ring_head(r)) != cr_ring_items(cr_ring_tail(r))) {
    uint64_t head = cr_ring_head(r);
    uint32_t at = position(head);
    struct cr_segment *s;
    struct entry *e = first_entry(r, &at, &s);
    struct cr_packet p;
    if (e->outside) {
      cr_ring_take(r, &side, false, nowhere, &p);
      cr_packet_free(&p);
    } else {
      uint64_t items = cr_ring_items(head) + 1;
      atomic_store(&r->head, items << 32 | (at + size_of(e)));
      atomic_store(&r->reading, s);
    }
  }
}

void cr_ring_destroy(struct cr_ring *r, struct cr_log *put_log,
                     struct cr_log *take_log) {
  cr_log_replay(put_log);
  cr_log_replay(take_log);
  struct cr_segment *s = atomic_load(&r->writing);
  if (s == NULL) return;
  destroy_messages(r, take_log);
  struct cr_ring_side side = {NULL, put_log, NULL};
  while (next_of(s) != s) remove_segment(r, &side, s);
  cr_taken();
  cr_log_add(put_log, &r->writing, 0);
  cr_log_take(put_log, s);
  cr_log_commit_as(put_log, NULL, NULL);
  cr_free(s);
}

void cr_ring_visit(struct cr_ring *r, const struct cr_visit *v) {
  struct cr_segment *first = atomic_load(&r->writing), *s = first;
  if (first == NULL) return;
  do {
    v->block(s);
    s = next_of(s);
  } while (s != first);
  uint64_t head = cr_ring_head(r);
  while (cr_ring_items(head) != cr_ring_items(cr_ring_tail(r))) {
    uint32_t at = position(head);
    struct entry *e = first_entry(r, &at, &s);
    if (e->outside) v->block(block_of(e));
    head = (uint64_t)(cr_ring_items(head) + 1) << 32 | (at + size_of(e));
  }
}
