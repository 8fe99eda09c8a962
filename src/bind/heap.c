/* The memory of one Lua state.
**
** Small blocks lie in one reserved stretch of addresses; the rest is big.c's.
** One thread at a time uses a heap: no locks.
**
** The stretch begins with the heap itself and its young blocks: carved one after
** the other, whatever their size, so that all that a small script has fits in a
** few pages. Every page in use costs a fork three times: to share it, and to
** copy it on either side. Later blocks come from slabs, each cut into blocks of
** one size, on huge pages: that makes forking many times cheaper.
**
** A block of a table's size has a slot of 64 bytes whose last four hold the
** epoch of its allocation, 0 when it is free.
*/
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "big.h"
#include "state.h"

/* The leak sanitizer must look into slabs: they may point to what it watches.
*/
#if CR_WATCHED
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_register_root_region(p, n) ((void)0)
#endif

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define YOUNG (256 * KIB) /* from the heap's start: itself, young blocks */
#define SLAB (64 * KIB)
#define HUGE (2 * MIB)
#define RESERVE (64 * 1024 * MIB) /* addresses, not memory */
#define LEAST (4 * MIB)
#define HUGE_FROM (4 * MIB) /* no huge pages for small scripts */
#define FIRST_STEP MIB      /* what is made usable at first */
#define LONGEST_STEP (64 * MIB)

enum {
  TABLE = 56, /* bytes of Lua's Table */
  TABLE_SLOT = 64,
  STAMP = 56,   /* where in the slot the epoch stands */
  SMALL = 8192, /* longest block in a slab */
  GRAIN = 8,
  FINE = 256, /* classes in steps of GRAIN up to here */
  PAGE = 4096,
  CLASSES = 64,
  TABLES = 0, /* the class of tables */
  CARVED = 4  /* young tables at a time: they must be aligned */
};

struct slab {
  void *free; /* list through the free blocks */
  struct slab *next, *prev;
  uint16_t used; /* blocks handed out */
  uint16_t cut;  /* GRAINs that have been cut into blocks */
  uint8_t class;
  bool listed; /* in its class's list: has room */
};

/* Lies where its addresses begin, aligned to HUGE. All sizes are bytes. */
struct cr_heap {
  unsigned char *place; /* the whole mapping */
  size_t place_size;
  size_t usable, span; /* so far is it usable, reserved */
  size_t step;
  void *state; /* adopted: the state's own block */
  struct slab *room[CLASSES];
  struct slab *empty;
  struct slab *slab; /* one for each SLAB bytes; not those of YOUNG */
  size_t end;        /* so far goes what is young or in slabs */
  bool only_tables;
  lua_Alloc other; /* for everything else */
  void *other_ud;
  struct cr_big big;
  size_t carved;        /* so far has YOUNG been handed out */
  void *young[CLASSES]; /* lists through the free young blocks */
  uint64_t table[YOUNG / TABLE_SLOT / 64]; /* bits: where young tables lie */
};

static uint8_t class_of[SMALL / GRAIN + 1];
static uint16_t class_size[CLASSES];
static _Atomic(uint32_t) epoch;

/* Steps of 8 bytes to 256, then four to each doubling. */
static void make_classes(void) {
  size_t size = 0;
  unsigned class = TABLES;
  class_size[TABLES] = TABLE_SLOT;
  for (size_t step = GRAIN; size < SMALL;) {
    size += step;
    class_size[++class] = (uint16_t)size;
    if (size >= FINE && (size & (size - 1)) == 0) step = size / 4;
  }
  class = 1;
  for (size_t i = 1; i <= SMALL / GRAIN; i++) {
    if (i * GRAIN > class_size[class]) class ++;
    class_of[i] = (uint8_t) class;
  }
}

/* Also in parent and child of every fork. */
static void new_epoch(void) {
  atomic_store_explicit(&epoch, cr_unique(), memory_order_relaxed);
}

static void prepare(void) {
  make_classes();
  new_epoch();
  pthread_atfork(NULL, new_epoch, new_epoch);
}

/* Slabs. */

static unsigned char *slab_bytes(struct cr_heap *h, const struct slab *s) {
  return (unsigned char *)h + (size_t)(s - h->slab) * SLAB;
}

static void list_add(struct cr_heap *h, struct slab *s) {
  struct slab **head = &h->room[s->class];
  s->listed = true;
  s->prev = NULL;
  s->next = *head;
  if (*head != NULL) (*head)->prev = s;
  *head = s;
}

static void list_remove(struct cr_heap *h, struct slab *s) {
  s->listed = false;
  if (s->next != NULL) s->next->prev = s->prev;
  if (s->prev != NULL)
    s->prev->next = s->next;
  else
    h->room[s->class] = s->next;
}

static size_t whole_pages(size_t size) {
  return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static size_t slabs_size(const struct cr_heap *h) {
  return whole_pages(h->span / SLAB * sizeof(struct slab));
}

/* Mapped anew rather than unprotected, so that valgrind sees it as well. */
static bool make_usable(void *at, size_t size) {
  return mmap(at, size, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
              0) != MAP_FAILED;
}

/* Makes the next stretch usable. */
static bool extend(struct cr_heap *h) {
  size_t step = h->step;
  if (step > h->span - h->usable) step = h->span - h->usable;
  if (step < SLAB) return false;
  unsigned char *at = (unsigned char *)h + h->usable;
  if (!make_usable(at, step)) return false;
  if (h->usable >= HUGE_FROM) madvise(at, step, MADV_HUGEPAGE);
  __lsan_register_root_region(at, step);
  h->usable += step;
  if (h->step < LONGEST_STEP && h->usable > FIRST_STEP) h->step *= 2;
  return true;
}

static bool map_slabs(struct cr_heap *h) {
  void *p = mmap(NULL, slabs_size(h), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  h->slab = p;
  return true;
}

/* An empty one or the next; NULL out of memory. */
static struct slab *find_slab(struct cr_heap *h) {
  struct slab *s = h->empty;
  if (s != NULL) {
    h->empty = s->next;
    return s;
  }
  if (h->slab == NULL && !map_slabs(h)) return NULL;
  if (h->end + SLAB > h->usable && !extend(h)) return NULL;
  s = &h->slab[h->end / SLAB];
  h->end += SLAB;
  return s;
}

static struct slab *new_slab(struct cr_heap *h, unsigned class) {
  struct slab *s = find_slab(h);
  if (s == NULL) return NULL;
  s->free = NULL;
  s->used = s->cut = 0;
  s->class = (uint8_t) class;
  list_add(h, s);
  return s;
}

/* Cuts a page's worth of blocks: memory is touched as it is needed. */
static bool cut_more(struct cr_heap *h, struct slab *s) {
  size_t size = class_size[s->class];
  unsigned char *bytes = slab_bytes(h, s);
  size_t cut = (size_t)s->cut * GRAIN;
  size_t end = cut + (size > PAGE ? size : PAGE / size * size);
  if (end > SLAB) end = SLAB / size * size;
  if (cut >= end) return false;
  for (size_t at = end; at > cut;) {
    at -= size;
    *(void **)(void *)(bytes + at) = s->free;
    s->free = bytes + at;
    if (s->class == TABLES) *(uint32_t *)(void *)(bytes + at + STAMP) = 0;
  }
  s->cut = (uint16_t)(end / GRAIN);
  return true;
}

/* A slab of the class that has a free block; NULL out of memory. */
static struct slab *slab_with_room(struct cr_heap *h, unsigned class) {
  struct slab *s;
  while ((s = h->room[class]) != NULL) {
    if (s->free != NULL || cut_more(h, s)) return s;
    list_remove(h, s);
  }
  s = new_slab(h, class);
  if (s != NULL) cut_more(h, s);
  return s;
}

/* Young blocks. They stay of their class for ever. */

static inline bool is_young(const struct cr_heap *h, const void *block) {
  return (uintptr_t)block - (uintptr_t)h < YOUNG;
}

static inline void give_young(struct cr_heap *h, unsigned class, void *block) {
  *(void **)block = h->young[class];
  h->young[class] = block;
}

static void carve_tables(struct cr_heap *h) {
  for (int i = 0; i < CARVED; i++) {
    size_t slot = h->carved / TABLE_SLOT;
    h->table[slot / 64] |= (uint64_t)1 << slot % 64;
    if (i > 0) give_young(h, TABLES, (unsigned char *)h + h->carved);
    h->carved += TABLE_SLOT;
  }
}

/* A young block that is new; NULL when there is no room left. */
static void *carve(struct cr_heap *h, unsigned class) {
  size_t size = class_size[class];
  if (class == TABLES) {
    size *= CARVED;
    h->carved = (h->carved + TABLE_SLOT - 1) & ~(size_t)(TABLE_SLOT - 1);
  }
  if (h->carved + size > YOUNG) return NULL;
  void *block = (unsigned char *)h + h->carved;
  if (class == TABLES)
    carve_tables(h);
  else
    h->carved += size;
  return block;
}

/* Blocks of either kind. */

/* Out of line: there was no free block at hand. */
static void *take_new(struct cr_heap *h, unsigned class) {
  void *block = carve(h, class);
  if (block != NULL) return block;
  struct slab *s = slab_with_room(h, class);
  if (s == NULL) return NULL;
  block = s->free;
  s->free = *(void **)block;
  s->used++;
  return block;
}

static inline void *take(struct cr_heap *h, unsigned class) {
  struct slab *s = h->room[class];
  void *block = h->young[class];
  if (block != NULL) {
    h->young[class] = *(void **)block;
  } else if (s != NULL && s->free != NULL) {
    block = s->free;
    s->free = *(void **)block;
    s->used++;
  } else {
    block = take_new(h, class);
    if (block == NULL) return NULL;
  }
  if (class == TABLES)
    *(uint32_t *)(void *)((unsigned char *)block + STAMP) =
        atomic_load_explicit(&epoch, memory_order_relaxed);
  return block;
}

/* An empty slab can become one of any class; each class keeps its last. */
static void slab_emptied(struct cr_heap *h, struct slab *s) {
  if (s->listed && s->next == NULL && s->prev == NULL) return;
  if (s->listed) list_remove(h, s);
  s->next = h->empty;
  h->empty = s;
}

static inline bool is_ours(const struct cr_heap *h, const void *block) {
  return (uintptr_t)block - (uintptr_t)h < h->end;
}

static inline struct slab *slab_of(const struct cr_heap *h, const void *block) {
  return &h->slab[((uintptr_t)block - (uintptr_t)h) / SLAB];
}

static inline void give(struct cr_heap *h, unsigned class, void *block) {
  if (class == TABLES)
    *(uint32_t *)(void *)((unsigned char *)block + STAMP) = 0;
  if (is_young(h, block)) {
    give_young(h, class, block);
    return;
  }
  struct slab *s = slab_of(h, block);
  *(void **)block = s->free;
  s->free = block;
  if (--s->used == 0)
    slab_emptied(h, s);
  else if (!s->listed)
    list_add(h, s);
}

static inline bool is_small(const struct cr_heap *h, size_t size) {
  return size == TABLE || (size <= SMALL && !h->only_tables);
}

static inline unsigned class_for(size_t size) {
  return size == TABLE ? TABLES : class_of[(size + GRAIN - 1) / GRAIN];
}

/* Out of line: the block changes its kind or its class. */
static void *move(struct cr_heap *h, void *block, size_t old_size,
                  size_t new_size) {
  bool ours = is_ours(h, block), small = is_small(h, new_size);
  if (!ours && !small) return h->other(h->other_ud, block, old_size, new_size);
  void *p = small ? take(h, class_for(new_size)) : NULL;
  if (p == NULL) p = h->other(h->other_ud, NULL, 0, new_size);
  if (p == NULL) return NULL;
  memcpy(p, block, old_size < new_size ? old_size : new_size);
  if (ours)
    give(h, class_for(old_size), block);
  else
    h->other(h->other_ud, block, old_size, 0);
  return p;
}

void *cr_heap_alloc(void *heap, void *block, size_t old_size, size_t new_size) {
  struct cr_heap *h = heap;
  if (block == NULL) {
    if (new_size == 0) return NULL;
    void *p = is_small(h, new_size) ? take(h, class_for(new_size)) : NULL;
    return p != NULL ? p : h->other(h->other_ud, NULL, old_size, new_size);
  }
  bool ours = is_ours(h, block);
  if (new_size == 0) {
    if (!ours) return h->other(h->other_ud, block, old_size, 0);
    give(h, class_for(old_size), block);
    return NULL;
  }
  if (ours && is_small(h, new_size) &&
      class_for(old_size) == class_for(new_size))
    return block;
  return move(h, block, old_size, new_size);
}

/* The state's own block is the last to go. */
static void *alloc_adopted(void *heap, void *block, size_t old_size,
                           size_t new_size) {
  struct cr_heap *h = heap;
  if (block == NULL || block != h->state || new_size > 0)
    return cr_heap_alloc(heap, block, old_size, new_size);
  lua_Alloc other = h->other;
  void *ud = h->other_ud;
  cr_heap_free(h);
  return other(ud, block, old_size, 0);
}

/* Does a table's slot begin here? */
static bool is_slot(struct cr_heap *h, const void *address) {
  size_t offset = (uintptr_t)address - (uintptr_t)h;
  if (!is_ours(h, address) || offset % TABLE_SLOT != 0) return false;
  size_t slot = offset / TABLE_SLOT;
  if (offset < YOUNG) return h->table[slot / 64] >> slot % 64 & 1;
  const struct slab *s = slab_of(h, address);
  return s->class == TABLES && offset % SLAB < (size_t)s->cut * GRAIN;
}

uint32_t cr_heap_epoch(lua_State *L, const void *address) {
  void *ud;
  lua_Alloc f = lua_getallocf(L, &ud);
  if (f != cr_heap_alloc && f != alloc_adopted) return 0;
  if (!is_slot(ud, address)) return 0;
  uint32_t stamp =
      *(const uint32_t *)(const void *)((const unsigned char *)address + STAMP);
  return stamp != atomic_load_explicit(&epoch, memory_order_relaxed) ? stamp
                                                                     : 0;
}

/* Making and freeing heaps. */

/* Under a limit on addresses the most of them is left for others. */
static size_t most_addresses(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      limit.rlim_cur / 4 >= RESERVE)
    return RESERVE;
  return limit.rlim_cur / 4 & ~(HUGE - 1);
}

/* What alignment leaves over stays reserved: it costs nothing. */
static struct cr_heap *reserve(size_t span) {
  unsigned char *p = mmap(NULL, span + HUGE, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)p & (HUGE - 1);
  struct cr_heap *h = (void *)(p + before);
  if (!make_usable(h, FIRST_STEP)) {
    munmap(p, span + HUGE);
    return NULL;
  }
  __lsan_register_root_region(h, FIRST_STEP);
  h->place = p;
  h->place_size = span + HUGE;
  h->span = span;
  return h;
}

static struct cr_heap *new_heap(lua_Alloc other, void *ud, bool only_tables) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  struct cr_heap *h = NULL;
  size_t span = most_addresses();
  while (span >= LEAST && (h = reserve(span)) == NULL)
    span = span / 2 & ~(HUGE - 1);
  if (h == NULL) return NULL;
  h->end = YOUNG;
  h->usable = h->step = FIRST_STEP;
  h->carved = sizeof *h;
  h->only_tables = only_tables;
  h->other = other;
  h->other_ud = ud;
  return h;
}

struct cr_heap *cr_heap_new(void) {
  struct cr_heap *h = new_heap(cr_big_alloc, NULL, CR_WATCHED);
  if (h != NULL) h->other_ud = &h->big;
  return h;
}

void cr_heap_adopt(lua_State *L) {
  void *ud;
  lua_Alloc f = lua_getallocf(L, &ud);
  if (f == cr_heap_alloc || f == alloc_adopted) return;
  struct cr_heap *h = new_heap(f, ud, true);
  if (h == NULL) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  h->state = lua_getextraspace(lua_tothread(L, -1));
  lua_pop(L, 1);
  lua_setallocf(L, alloc_adopted, h);
}

void cr_heap_free(struct cr_heap *h) {
  cr_big_release(&h->big);
  if (h->slab != NULL) munmap(h->slab, slabs_size(h));
  munmap(h->place, h->place_size);
}
