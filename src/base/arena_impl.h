/* Inside of the arena: its layout and allocator state. For src/base only.
**
** The mapping: header, slots, page map, free-list links, units of 64 KiB. The
** page map has one entry for the first unit of each run; for runs and for
** objects in slabs the owner word is the truth, the rest is derived.
*/
#ifndef CR_ARENA_IMPL_H
#define CR_ARENA_IMPL_H

#include "arena.h"
#include "slot.h"

#define CR_UNIT ((size_t)65536)
#define CR_LINKED 0xffffffffu /* owner word: part of a structure */

/* Page map entry: state 2 bits | class 6 | length in units 24 | owner 32. */
enum cr_run_state { CR_RUN_NONE, CR_RUN_FREE, CR_RUN_SLAB, CR_RUN_BLOCK };
enum { CR_CLASSES = 16, CR_TAIL = 63, CR_BINS = 40 };

static inline uint64_t cr_run(unsigned state, unsigned class, uint32_t length,
                              uint32_t owner) {
  return (uint64_t)state | (uint64_t) class << 2 | (uint64_t)length << 8 |
         (uint64_t)owner << 32;
}
static inline unsigned cr_run_state(uint64_t e) {
  return e & 3;
}
static inline unsigned cr_run_class(uint64_t e) {
  return (e >> 2) & 63;
}
static inline uint32_t cr_run_length(uint64_t e) {
  return (e >> 8) & 0xffffff;
}
static inline uint32_t cr_run_owner(uint64_t e) {
  return (uint32_t)(e >> 32);
}

/* One unit cut into equal objects. owner[] is the truth, next to it size and
** count, written before the unit becomes a slab; all else is derived. */
struct cr_slab {
  uint32_t class, count, size, offset;
  uint32_t free, hint;
  uint32_t next, prev; /* partial list, unit + 1 */
  cr_word owner[];
};

struct cr_arena {
  size_t size;
  uint32_t units, slots; /* how many fit; r/o */
  uint32_t limit;        /* units that may be used; r/o */
  int memfd;
  cr_word unique;
  cr_word slot_high; /* slots ever used */
  cr_word slot_hint; /* none below is free (a hint) */
  /* Under `alloc`; derived from the page map. */
  struct cr_rlock alloc;
  uint32_t high_unit;           /* first never used unit */
  uint32_t partial[CR_CLASSES]; /* slabs with room, unit + 1 */
  uint32_t bin[CR_BINS];        /* free runs by length, unit + 1 */
  uint64_t used_units, blocks, free_units;
  struct cr_rlock ref; /* handles and reference counts */
  struct cr_log ref_log;
  struct cr_rlock reap;   /* making and reaping slots */
  cr_word deadlock_mode;  /* enum cr_deadlock_mode */
  cr_word deadlocks;      /* how many were reported */
  cr_word deadlock_moved; /* one that was in a report has moved */
  struct cr_slot *slot;
  cr_word64 *map;
  uint32_t *bin_next, *bin_prev;
  unsigned char *unit;
};
extern struct cr_arena *cr_arena;

static inline void *cr_unit_at(uint32_t u) {
  return cr_arena->unit + (size_t)u * CR_UNIT;
}
static inline uint32_t cr_unit_of(const void *p) {
  return (uint32_t)((size_t)((const unsigned char *)p - cr_arena->unit) /
                    CR_UNIT);
}
static inline uint64_t cr_map_get(uint32_t u) {
  return atomic_load_explicit(&cr_arena->map[u], memory_order_relaxed);
}
static inline void cr_map_set(uint32_t u, uint64_t e) {
  cr_step();
  atomic_store_explicit(&cr_arena->map[u], e, memory_order_release);
  cr_step();
}
static inline void *cr_slab_object(struct cr_slab *s, uint32_t i) {
  return (unsigned char *)s + s->offset + (size_t)i * s->size;
}
static inline uint32_t cr_slab_index(const struct cr_slab *s, const void *p) {
  return (uint32_t)((size_t)((const unsigned char *)p -
                             (const unsigned char *)s - s->offset) /
                    s->size);
}

/* The owner word of a block. */
cr_word *cr_owner_of(const void *block);
/* Takes the allocator's lock, rebuilding derived data after a death. */
void cr_alloc_lock(void);
void cr_alloc_unlock(void);
/* Takes the lock of handles and counts, finishing what a dead one began. */
void cr_ref_lock(void);
void cr_ref_unlock(void);
/* The first block that a dead thread held in limbo, now held by the caller;
** NULL when there is none. */
struct cr_block *cr_limbo_take(uint32_t incarnation);
/* Makes slot 0 the calling thread's, in a fresh arena; installs fork handlers.
** Returns 0 or an errno value. */
int cr_slot_first(void);
/* Makes an embryo, of the leader's process or (NULL) of a new one; NULL when no
** slot is free. */
struct cr_slot *cr_slot_conceive(uint32_t parent, const struct cr_slot *leader);
/* The calling thread's robust list, for the kernel. */
void cr_set_robust(void *head);
/* join.c. Hands the calling thread's slot to a new thread that only keeps it.
** Returns 0 or an errno value. */
int cr_slot_guard(void);
/* Leaves the slot when the calling thread ends. Returns 0 or an errno value. */
int cr_slot_until_end(void);

#endif
