/* Tray. See tray.h.
**
** `tail` and `taken` are running byte positions in a lane, each written by one
** side only. Either side looks at the other's only when what it saw the last
** time is used up, and the owner gives room back for many entries at once: each
** look, and each store that the other one sees, costs both a cache miss. An
** entry does not wrap around: where the end of the ring is too near, a filler
** comes first. Who wakes may die at it: the bell is a wake word (rlock.h), and
** the death of a worker wakes its parent anyway.
*/
#include "tray.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { RING = 1 << 15 };  /* bytes of a lane */
#define FILLER UINT32_MAX /* kind */
#define DOOMED INT64_MAX

struct lane {
  _Alignas(64) cr_word tail;  /* by the worker */
  uint32_t taken_seen;        /* its own: `taken` as it saw it last */
  _Atomic(int64_t) begun;     /* ns; 0: nothing timed runs; DOOMED */
  _Alignas(64) cr_word taken; /* by the owner */
  cr_word next;               /* its own: what comes next; `taken` lags */
  uint32_t tail_seen;         /* its own: `tail` as it saw it last */
  cr_word room;               /* the worker sleeps here when the ring is full */
  _Alignas(64) unsigned char ring[RING];
};

struct cr_tray {
  struct cr_block head;
  uint32_t lanes;
  cr_word bell; /* the owner's threads sleep here */
  _Alignas(64) struct lane lane[];
};

static void lane_init(struct lane *l) {
  atomic_store(&l->tail, 0);
  atomic_store(&l->taken, 0);
  atomic_store(&l->next, 0);
  atomic_store(&l->room, 0);
  atomic_store(&l->begun, 0);
  l->taken_seen = l->tail_seen = 0;
}

struct cr_tray *cr_tray_new(uint32_t n) {
  struct cr_tray *t =
      cr_alloc(offsetof(struct cr_tray, lane) + n * sizeof(struct lane));
  if (t == NULL) return NULL;
  atomic_store(&t->head.refs, 0);
  t->lanes = n;
  atomic_store(&t->bell, 0);
  for (uint32_t i = 0; i < n; i++) lane_init(&t->lane[i]);
  cr_step();
  atomic_store(&t->head.type, CR_TRAY);
  return t;
}

static void tray_destroy(struct cr_block *b) {
  cr_free(b);
}

static __attribute__((constructor)) void register_type(void) {
  cr_set_destroy(CR_TRAY, tray_destroy);
}

uint32_t cr_tray_lanes(const struct cr_tray *t) {
  return t->lanes;
}

void cr_lane_reset(struct cr_tray *t, uint32_t lane) {
  lane_init(&t->lane[lane]);
}

/* ---- the worker ---- */

static uint32_t space_of(size_t length) {
  return (uint32_t)((offsetof(struct cr_entry, data) + length + 7) & ~7u);
}

static struct cr_entry *entry_at(struct lane *l, uint32_t place) {
  return (struct cr_entry *)(void *)(l->ring + place % RING);
}

/* Bytes that an entry at `tail` takes, with the filler in front of it. */
static uint32_t need_of(uint32_t tail, uint32_t space) {
  uint32_t left = RING - tail % RING;
  return left < space ? left + space : space;
}

static bool had_room(const struct lane *l, uint32_t tail, uint32_t need) {
  return RING - (tail - l->taken_seen) >= need;
}

static bool has_room(struct lane *l, uint32_t tail, uint32_t need) {
  if (had_room(l, tail, need)) return true;
  l->taken_seen = atomic_load(&l->taken);
  return had_room(l, tail, need);
}

static int wait_for_room(struct lane *l, uint32_t tail, uint32_t need) {
  int err = 0;
  while (err == 0 && !has_room(l, tail, need)) {
    struct cr_wait w = {&l->room, cr_wake_want(&l->room, false)};
    if (has_room(l, tail, need)) break;
    err = cr_sleep(&w, 1, CR_FOREVER);
  }
  return err;
}

static void fill_in(struct cr_entry *e, uint32_t kind, const void *data,
                    size_t length) {
  e->length = (uint32_t)length;
  e->kind = kind;
  if (length > 0) memcpy(e->data, data, length);
}

int cr_lane_put(struct cr_tray *t, uint32_t lane, uint32_t kind,
                const void *data, size_t length) {
  struct lane *l = &t->lane[lane];
  uint32_t tail = atomic_load_explicit(&l->tail, memory_order_relaxed);
  uint32_t space = space_of(length), need = need_of(tail, space);
  int err = wait_for_room(l, tail, need);
  if (err != 0) return err;
  if (need > space) {
    uint32_t filler = need - space;
    fill_in(entry_at(l, tail), FILLER, NULL, 0);
    entry_at(l, tail)->length = filler;
  }
  fill_in(entry_at(l, tail + need - space), kind, data, length);
  cr_wake_begin(&t->bell);
  atomic_store(&l->tail, tail + need); /* seq_cst: pairs with cr_tray_ready */
  cr_wake_end(&t->bell);
  return 0;
}

void cr_lane_begin(struct cr_tray *t, uint32_t lane) {
  atomic_store(&t->lane[lane].begun, cr_now());
}

bool cr_lane_end(struct cr_tray *t, uint32_t lane) {
  return atomic_exchange(&t->lane[lane].begun, 0) != DOOMED;
}

/* ---- the owner ---- */

static uint32_t next_of(const struct lane *l) {
  return atomic_load_explicit(&l->next, memory_order_relaxed);
}

static bool has_entry(struct lane *l) {
  return atomic_load(&l->tail) != next_of(l);
}

/* Gives the worker the room of what was taken; wakes it when that is enough for
** many entries. */
static void give_room(struct lane *l, uint32_t taken) {
  atomic_store(&l->taken, taken);
  if (atomic_load(&l->room) == 0) return;
  if (atomic_load(&l->tail) - taken > RING / 2) return;
  cr_wake_begin(&l->room);
  cr_wake_end(&l->room);
}

static uint32_t taken_of(const struct lane *l) {
  return atomic_load_explicit(&l->taken, memory_order_relaxed);
}

static void advance(struct lane *l, uint32_t next) {
  atomic_store_explicit(&l->next, next, memory_order_relaxed);
  if (next - taken_of(l) >= RING / 4) give_room(l, next);
}

const struct cr_entry *cr_lane_peek(struct cr_tray *t, uint32_t lane) {
  struct lane *l = &t->lane[lane];
  for (;;) {
    uint32_t next = next_of(l);
    if (l->tail_seen == next) l->tail_seen = atomic_load(&l->tail);
    if (l->tail_seen == next) {
      if (next != taken_of(l)) give_room(l, next);
      return NULL;
    }
    const struct cr_entry *e = entry_at(l, next);
    if (e->kind != FILLER) return e;
    advance(l, next + e->length);
  }
}

void cr_lane_drop(struct cr_tray *t, uint32_t lane) {
  struct lane *l = &t->lane[lane];
  uint32_t next = next_of(l);
  advance(l, next + space_of(entry_at(l, next)->length));
}

int64_t cr_lane_begun(struct cr_tray *t, uint32_t lane) {
  int64_t begun = atomic_load(&t->lane[lane].begun);
  return begun == DOOMED ? 0 : begun;
}

bool cr_lane_doom(struct cr_tray *t, uint32_t lane, int64_t begun) {
  return atomic_compare_exchange_strong(&t->lane[lane].begun, &begun, DOOMED);
}

static bool any_entry(struct cr_tray *t) {
  for (uint32_t i = 0; i < t->lanes; i++)
    if (has_entry(&t->lane[i])) return true;
  return false;
}

bool cr_tray_ready(struct cr_tray *t, struct cr_wait *wait) {
  if (!any_entry(t)) {
    if (wait == NULL) return false;
    *wait = (struct cr_wait){&t->bell, cr_wake_want(&t->bell, true)};
    if (!any_entry(t)) return false;
  }
  cr_wake_pass(&t->bell);
  return true;
}
