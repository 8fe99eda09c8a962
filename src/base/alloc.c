/* The arena's allocator. See arena.h for the contract and arena_impl.h for the
** data.
**
** Everything happens under one lock that is held for tens of nanoseconds;
** queues take whole units, so it is no bottleneck. Each change of the truth
** is one store: a page map entry, or an owner word. Who dies inside leaves
** derived data half done; the next one in rebuilds it.
*/
#include "arena_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const uint32_t class_size[CR_CLASSES] = {
    32,  64,   96,   128,  192,  256,  384,  512,
    768, 1024, 1536, 2048, 3072, 4096, 8192, 16384 - 256};

enum {
  COLD = 1,          /* class of a free run without memory */
  POPULATE_MIN = 16, /* units from which cold memory is asked for */
  KEEP_UNITS = 2048  /* free memory kept warm: 128 MiB */
};

/* ---- derived data: bins of free runs, lists of slabs with room ---- */

static int bin_of(uint32_t length) {
  if (length < 16) return (int)length;
  return 16 + (31 - __builtin_clz(length)) - 4;
}

static void bin_add(uint32_t u, uint32_t length) {
  struct cr_arena *a = cr_arena;
  uint32_t *bin = &a->bin[bin_of(length)], head = *bin;
  a->bin_next[u] = head;
  a->bin_prev[u] = 0;
  if (head) a->bin_prev[head - 1] = u + 1;
  *bin = u + 1;
  a->free_units += length;
}

static void bin_remove(uint32_t u, uint32_t length) {
  struct cr_arena *a = cr_arena;
  uint32_t next = a->bin_next[u], prev = a->bin_prev[u];
  if (prev)
    a->bin_next[prev - 1] = next;
  else
    a->bin[bin_of(length)] = next;
  if (next) a->bin_prev[next - 1] = prev;
  a->free_units -= length;
}

static void partial_add(struct cr_slab *s) {
  uint32_t u = cr_unit_of(s), head = cr_arena->partial[s->class];
  s->next = head;
  s->prev = 0;
  if (head) ((struct cr_slab *)cr_unit_at(head - 1))->prev = u + 1;
  cr_arena->partial[s->class] = u + 1;
}

static void partial_remove(struct cr_slab *s) {
  if (s->prev)
    ((struct cr_slab *)cr_unit_at(s->prev - 1))->next = s->next;
  else
    cr_arena->partial[s->class] = s->next;
  if (s->next) ((struct cr_slab *)cr_unit_at(s->next - 1))->prev = s->prev;
}

/* The last unit of a longer run tells its length to the run behind it. */
static void mark_tail(uint32_t u, uint32_t length) {
  if (length > 1) cr_map_set(u + length - 1, cr_run(0, CR_TAIL, length, 0));
}

static void add_free(uint32_t u, uint32_t length, unsigned class) {
  cr_map_set(u, cr_run(CR_RUN_FREE, class, length, 0));
  mark_tail(u, length);
  bin_add(u, length);
}

/* ---- rebuilding ---- */

static uint32_t slab_count_free(const struct cr_slab *s) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->count; i++)
    if (atomic_load_explicit(&s->owner[i], memory_order_relaxed) == 0) n++;
  return n;
}

static bool is_unused(uint32_t u) {
  return cr_run_state(cr_map_get(u)) == CR_RUN_NONE;
}

static void rebuild_free(uint32_t u, uint32_t *length) {
  unsigned class = cr_run_class(cr_map_get(u));
  uint32_t v;
  while ((v = u + *length) < cr_arena->units &&
         cr_run_state(cr_map_get(v)) == CR_RUN_FREE) {
    class |= cr_run_class(cr_map_get(v));
    *length += cr_run_length(cr_map_get(v));
  }
  add_free(u, *length, class);
}

static void rebuild_slab(uint32_t u) {
  struct cr_slab *s = cr_unit_at(u);
  s->free = slab_count_free(s);
  s->hint = 0;
  cr_arena->blocks += s->count - s->free;
  if (s->free > 0) partial_add(s);
}

/* Slabs whose last object was freed by the one that died. */
static void rebuild_empty_slabs(void) {
  for (uint32_t u = 0; u < cr_arena->units && !is_unused(u);
       u += cr_run_length(cr_map_get(u))) {
    struct cr_slab *s = cr_unit_at(u);
    if (cr_run_state(cr_map_get(u)) == CR_RUN_SLAB &&
        slab_count_free(s) == s->count)
      cr_map_set(u, cr_run(CR_RUN_FREE, 0, 1, 0));
  }
}

static void rebuild(void) {
  struct cr_arena *a = cr_arena;
  memset(a->bin, 0, sizeof a->bin);
  memset(a->partial, 0, sizeof a->partial);
  a->used_units = a->blocks = a->free_units = 0;
  rebuild_empty_slabs();
  uint32_t u = 0, length;
  for (; u < a->units && !is_unused(u); u += length) {
    uint64_t e = cr_map_get(u);
    length = cr_run_length(e);
    if (cr_run_state(e) == CR_RUN_FREE) {
      rebuild_free(u, &length);
      continue;
    }
    a->used_units += length;
    mark_tail(u, length);
    if (cr_run_state(e) == CR_RUN_SLAB)
      rebuild_slab(u);
    else
      a->blocks++;
  }
  a->high_unit = u;
}

void cr_alloc_lock(void) {
  if (cr_rlock_take(&cr_arena->alloc) == EOWNERDEAD) rebuild();
}

void cr_alloc_unlock(void) {
  cr_rlock_release(&cr_arena->alloc);
}

/* ---- runs of units; under the lock ---- */

/* Writes what a slab needs before its unit becomes one. */
static void slab_prepare(uint32_t u, unsigned class) {
  struct cr_slab *s = cr_unit_at(u);
  uint32_t size = class_size[class];
  uint32_t n =
      (uint32_t)((CR_UNIT - sizeof *s - 64) / (size + sizeof(cr_word)));
  s->class = class;
  s->size = size;
  s->count = s->free = n;
  s->offset = (uint32_t)((sizeof *s + n * sizeof(cr_word) + 63) / 64 * 64);
  s->hint = 0;
  for (uint32_t i = 0; i < n; i++)
    atomic_store_explicit(&s->owner[i], 0, memory_order_relaxed);
}

static void run_commit(uint32_t u, uint64_t entry) {
  if (cr_run_state(entry) == CR_RUN_SLAB)
    slab_prepare(u, cr_run_class(entry));
  else
    atomic_store(&((struct cr_block *)cr_unit_at(u))->type, CR_NONE);
  cr_map_set(u, entry);
  mark_tail(u, cr_run_length(entry));
  cr_arena->used_units += cr_run_length(entry);
}

/* A run of the asked length becomes `entry`; *cold: it has no memory yet. */
static bool run_from_bins(uint32_t length, uint64_t entry, uint32_t *out,
                          bool *cold) {
  struct cr_arena *a = cr_arena;
  for (int b = bin_of(length); b < CR_BINS; b++) {
    for (uint32_t h = a->bin[b]; h != 0; h = a->bin_next[h - 1]) {
      uint32_t u = h - 1, have = cr_run_length(cr_map_get(u));
      unsigned class = cr_run_class(cr_map_get(u));
      if (have < length) continue;
      bin_remove(u, have);
      if (have > length) add_free(u + length, have - length, class);
      run_commit(u, entry);
      *out = u;
      *cold = class == COLD;
      return true;
    }
  }
  return false;
}

static bool run_alloc(uint32_t length, uint64_t entry, uint32_t *out,
                      bool *cold) {
  struct cr_arena *a = cr_arena;
  if (a->used_units + length > a->limit) return false;
  if (run_from_bins(length, entry, out, cold)) return true;
  uint32_t u = a->high_unit;
  if (length >= a->units - u) return false;
  cr_map_set(u + length, 0);
  run_commit(u, entry);
  a->high_unit = u + length;
  *out = u;
  *cold = true;
  return true;
}

/* The free run that ends just before u, if there is one. */
static bool free_before(uint32_t u, uint32_t *start) {
  if (u == 0) return false;
  uint64_t e = cr_map_get(u - 1);
  *start = u - 1;
  if (cr_run_state(e) == CR_RUN_NONE && cr_run_class(e) == CR_TAIL)
    *start = u - cr_run_length(e);
  return cr_run_state(cr_map_get(*start)) == CR_RUN_FREE;
}

static void run_free(uint32_t u, unsigned class) {
  struct cr_arena *a = cr_arena;
  uint32_t length = cr_run_length(cr_map_get(u)), v = u + length;
  a->used_units -= length;
  cr_map_set(u, cr_run(CR_RUN_FREE, class, length, 0)); /* commit */
  if (v < a->high_unit && cr_run_state(cr_map_get(v)) == CR_RUN_FREE) {
    uint64_t e = cr_map_get(v);
    bin_remove(v, cr_run_length(e));
    length += cr_run_length(e);
    class |= cr_run_class(e);
    cr_map_set(u, cr_run(CR_RUN_FREE, class, length, 0));
  }
  if (free_before(u, &v)) {
    uint64_t e = cr_map_get(v);
    bin_remove(v, cr_run_length(e));
    length += cr_run_length(e);
    class |= cr_run_class(e);
    u = v;
  }
  add_free(u, length, class);
}

/* ---- blocks ---- */

cr_word *cr_owner_of(const void *block) {
  uint32_t u = cr_unit_of(block);
  if (cr_run_state(cr_map_get(u)) == CR_RUN_SLAB) {
    struct cr_slab *s = cr_unit_at(u);
    return &s->owner[cr_slab_index(s, block)];
  }
  return (cr_word *)&cr_arena->map[u] + 1; /* upper half, little endian */
}

size_t cr_block_size(const void *block) {
  uint32_t u = cr_unit_of(block);
  uint64_t e = cr_map_get(u);
  if (cr_run_state(e) == CR_RUN_SLAB)
    return ((struct cr_slab *)cr_unit_at(u))->size;
  return cr_run_length(e) * CR_UNIT;
}

static struct cr_slab *slab_with_room(unsigned class) {
  uint32_t h = cr_arena->partial[class], u;
  uint64_t entry = cr_run(CR_RUN_SLAB, class, 1, CR_LINKED);
  bool cold;
  if (h != 0) return cr_unit_at(h - 1);
  if (!run_alloc(1, entry, &u, &cold)) return NULL;
  partial_add(cr_unit_at(u));
  return cr_unit_at(u);
}

static void *object_alloc(unsigned class, uint32_t owner) {
  struct cr_slab *s = slab_with_room(class);
  if (s == NULL) return NULL;
  uint32_t i = s->hint;
  while (atomic_load_explicit(&s->owner[i], memory_order_relaxed) != 0)
    if (++i == s->count) i = 0;
  struct cr_block *b = cr_slab_object(s, i);
  atomic_store_explicit(&b->type, CR_NONE, memory_order_relaxed);
  cr_step();
  atomic_store_explicit(&s->owner[i], owner, memory_order_release); /* commit */
  cr_step();
  s->hint = i + 1 == s->count ? 0 : i + 1;
  if (--s->free == 0) partial_remove(s);
  return b;
}

static uint32_t my_incarnation(void) {
  return atomic_load_explicit(&cr_self->life.incarnation, memory_order_relaxed);
}

/* Asks for memory that was never touched or was given back: an error here
** instead of a SIGBUS later, and cheaper than page by page. */
static bool populate(void *p, uint32_t length) {
#ifdef MADV_POPULATE_WRITE
  if (length >= POPULATE_MIN &&
      madvise(p, length * CR_UNIT, MADV_POPULATE_WRITE) != 0)
    return errno == EINVAL; /* a kernel that does not know it */
#else
  (void)p;
  (void)length;
#endif
  return true;
}

static void *small_alloc(size_t size) {
  unsigned class = 0;
  while (class_size[class] < size) class ++;
  cr_alloc_lock();
  void *p = object_alloc(class, my_incarnation());
  if (p != NULL) cr_arena->blocks++;
  cr_alloc_unlock();
  return p;
}

static void *big_alloc(size_t size) {
  size_t n = (size + CR_UNIT - 1) / CR_UNIT;
  if (n >= 0xffffff) return NULL;
  uint32_t u, length = (uint32_t)n;
  bool cold;
  cr_alloc_lock();
  bool ok = run_alloc(length, cr_run(CR_RUN_BLOCK, 0, length, my_incarnation()),
                      &u, &cold);
  if (ok) cr_arena->blocks++;
  cr_alloc_unlock();
  if (!ok) return NULL;
  if (!cold || populate(cr_unit_at(u), length)) return cr_unit_at(u);
  cr_taken(); /* cr_free takes it off again */
  cr_free(cr_unit_at(u));
  return NULL;
}

static void *alloc_once(size_t size) {
  return size <= class_size[CR_CLASSES - 1] ? small_alloc(size)
                                            : big_alloc(size);
}

void *cr_alloc(size_t size) {
  cr_taken();
  void *p = alloc_once(size);
  /* What the dead still hold may be what is missing. */
  if (p == NULL && !cr_rlock_mine(&cr_arena->reap) && cr_reap_all() > 0)
    p = alloc_once(size);
  if (p == NULL) cr_linked();
  return p;
}

static void object_free(struct cr_slab *s, const void *p) {
  uint32_t i = cr_slab_index(s, p);
  cr_step();
  atomic_store_explicit(&s->owner[i], 0, memory_order_release); /* commit */
  cr_step();
  if (s->free++ == 0) partial_add(s);
  if (s->free < s->count) return;
  partial_remove(s);
  run_free(cr_unit_of(s), 0);
}

void cr_free(void *block) {
  uint32_t u = cr_unit_of(block);
  uint64_t e = cr_map_get(u);
  if (cr_run_state(e) == CR_RUN_SLAB) {
    cr_alloc_lock();
    object_free(cr_unit_at(u), block);
  } else {
    uint32_t length = cr_run_length(e);
    bool cold = cr_arena->free_units + length > KEEP_UNITS &&
                madvise(block, length * CR_UNIT, MADV_REMOVE) == 0;
    cr_alloc_lock();
    run_free(u, cold ? COLD : 0);
  }
  cr_arena->blocks--;
  cr_alloc_unlock();
  cr_linked();
}

void cr_log_link(struct cr_log *log, void *block) {
  cr_log_add32(log, cr_owner_of(block), CR_LINKED);
}

void cr_log_take(struct cr_log *log, void *block) {
  cr_log_add32(log, cr_owner_of(block), my_incarnation());
}

void cr_linked(void) {
  cr_step();
  cr_self->limbo--;
  cr_step();
}

void cr_taken(void) {
  cr_step();
  cr_self->limbo++;
  cr_step();
}

/* ---- what the dead left ---- */

static struct cr_block *limbo_find(uint32_t who) {
  for (uint32_t u = 0; u < cr_arena->high_unit && !is_unused(u);
       u += cr_run_length(cr_map_get(u))) {
    uint64_t e = cr_map_get(u);
    if (cr_run_state(e) == CR_RUN_BLOCK && cr_run_owner(e) == who)
      return cr_unit_at(u);
    if (cr_run_state(e) != CR_RUN_SLAB) continue;
    struct cr_slab *s = cr_unit_at(u);
    for (uint32_t i = 0; i < s->count; i++)
      if (atomic_load_explicit(&s->owner[i], memory_order_relaxed) == who)
        return cr_slab_object(s, i);
  }
  return NULL;
}

struct cr_block *cr_limbo_take(uint32_t incarnation) {
  cr_alloc_lock();
  struct cr_block *b = limbo_find(incarnation);
  cr_alloc_unlock();
  if (b == NULL) return NULL;
  cr_taken();
  atomic_store(cr_owner_of(b), my_incarnation());
  return b;
}
