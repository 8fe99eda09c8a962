/* The memory of one Lua state.
**
** Small blocks come from slabs, each cut into blocks of one size, in one
** reserved stretch of addresses; the rest is big.c's. One thread at a time
** uses a heap: no locks.
**
** The heap lies in its own first pages, and there its first slabs have 1 KiB:
** all that a small script has fits in a few pages, and every page in use costs
** a fork three times: to share it, and to copy it on either side. Later slabs
** have 64 KiB and lie on huge pages, which makes forking many times cheaper.
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
#define YOUNG (256 * KIB) /* from the heap's start: itself, small slabs */
#define YOUNG_SLAB KIB
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
  YOUNG_SLABS = YOUNG / YOUNG_SLAB
};

struct slab {
  void *free; /* list through the free blocks */
  struct slab *next, *prev;
  uint16_t used; /* blocks handed out */
  uint16_t cut;  /* GRAINs that have been cut into blocks */
  uint8_t class;
  bool listed; /* in its class's list: has room */
};

/* Lies where its addresses begin, aligned to HUGE. */
struct cr_heap {
  size_t end;          /* bytes from here on that may be in slabs */
  size_t usable, span; /* bytes: usable, reserved */
  size_t step;
  bool only_tables;
  lua_Alloc other; /* for everything else */
  void *other_ud;
  struct slab *room[CLASSES];
  struct slab *empty;   /* of the old slabs */
  struct slab *old;     /* one for each SLAB bytes, from the first such on */
  uint32_t young_high;  /* young slabs ever used */
  void *state;          /* adopted: the state's own block */
  unsigned char *place; /* the whole mapping */
  size_t place_size;
  struct cr_big big;
  struct slab young[YOUNG_SLABS]; /* one for each YOUNG_SLAB bytes */
};

enum { FIRST_SLAB = (sizeof(struct cr_heap) + YOUNG_SLAB - 1) / YOUNG_SLAB };

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

void cr_heap_new_epoch(void) {
  atomic_store_explicit(&epoch, cr_unique(), memory_order_relaxed);
}

static void prepare(void) {
  make_classes();
  cr_heap_new_epoch();
  pthread_atfork(NULL, cr_heap_new_epoch, cr_heap_new_epoch);
}

/* Slabs. */

static bool is_young(const struct cr_heap *h, const struct slab *s) {
  return (uintptr_t)s - (uintptr_t)h->young < sizeof h->young;
}

static size_t slab_size(const struct cr_heap *h, const struct slab *s) {
  return is_young(h, s) ? YOUNG_SLAB : SLAB;
}

static unsigned char *slab_bytes(struct cr_heap *h, const struct slab *s) {
  size_t offset = is_young(h, s) ? (size_t)(s - h->young) * YOUNG_SLAB
                                 : (size_t)(s - h->old) * SLAB;
  return (unsigned char *)h + offset;
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

static size_t old_slabs_size(const struct cr_heap *h) {
  return whole_pages(h->span / SLAB * sizeof(struct slab));
}

/* Makes the next stretch usable. */
static bool extend(struct cr_heap *h) {
  size_t step = h->step;
  if (step > h->span - h->usable) step = h->span - h->usable;
  if (step < SLAB) return false;
  unsigned char *at = (unsigned char *)h + h->usable;
  if (mprotect(at, step, PROT_READ | PROT_WRITE) != 0) return false;
  if (h->usable >= HUGE_FROM) madvise(at, step, MADV_HUGEPAGE);
  __lsan_register_root_region(at, step);
  h->usable += step;
  if (h->step < LONGEST_STEP && h->usable > FIRST_STEP) h->step *= 2;
  return true;
}

/* A young slab that is new or empty. Those that were emptied stay in their
** classes' lists: mostly the same class fills them again. */
static struct slab *young_slab(struct cr_heap *h) {
  if (h->young_high < YOUNG_SLABS) return &h->young[h->young_high++];
  for (unsigned i = FIRST_SLAB; i < YOUNG_SLABS; i++) {
    struct slab *s = &h->young[i];
    if (s->used > 0) continue;
    if (s->listed) list_remove(h, s);
    return s;
  }
  return NULL;
}

static bool map_old_slabs(struct cr_heap *h) {
  void *p = mmap(NULL, old_slabs_size(h), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  h->old = p;
  return true;
}

static struct slab *old_slab(struct cr_heap *h) {
  struct slab *s = h->empty;
  if (s != NULL) {
    h->empty = s->next;
    return s;
  }
  if (h->old == NULL && !map_old_slabs(h)) return NULL;
  if (h->end + SLAB > h->usable && !extend(h)) return NULL;
  s = &h->old[h->end / SLAB];
  h->end += SLAB;
  return s;
}

/* While all is young, blocks that are too long for young slabs are not for
** slabs at all. */
static struct slab *new_slab(struct cr_heap *h, unsigned class) {
  bool fits = class_size[class] <= YOUNG_SLAB;
  struct slab *s = fits ? young_slab(h) : NULL;
  if (s == NULL && (fits || h->old != NULL)) s = old_slab(h);
  if (s == NULL) return NULL;
  s->free = NULL;
  s->used = s->cut = 0;
  s->class = (uint8_t) class;
  list_add(h, s);
  return s;
}

/* Cuts a page's worth of blocks: memory is touched as it is needed. */
static bool cut_more(struct cr_heap *h, struct slab *s) {
  size_t size = class_size[s->class], all = slab_size(h, s);
  unsigned char *bytes = slab_bytes(h, s);
  size_t cut = (size_t)s->cut * GRAIN;
  size_t end = cut + (size > PAGE ? size : PAGE / size * size);
  if (end > all) end = all / size * size;
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

static inline void *take(struct cr_heap *h, unsigned class) {
  struct slab *s = h->room[class];
  if (s == NULL || s->free == NULL) {
    s = slab_with_room(h, class);
    if (s == NULL) return NULL;
  }
  void *block = s->free;
  s->free = *(void **)block;
  s->used++;
  if (class == TABLES)
    *(uint32_t *)(void *)((unsigned char *)block + STAMP) =
        atomic_load_explicit(&epoch, memory_order_relaxed);
  return block;
}

/* An empty slab can become one of any class; each class keeps its last. */
static void slab_emptied(struct cr_heap *h, struct slab *s) {
  if ((s->next == NULL && s->prev == NULL) || is_young(h, s)) return;
  list_remove(h, s);
  s->next = h->empty;
  h->empty = s;
}

static inline struct slab *slab_of(struct cr_heap *h, const void *block) {
  size_t offset = (uintptr_t)block - (uintptr_t)h;
  if (offset < YOUNG) return &h->young[offset / YOUNG_SLAB];
  return offset < h->end ? &h->old[offset / SLAB] : NULL;
}

static inline void give(struct cr_heap *h, struct slab *s, void *block) {
  if (s->class == TABLES)
    *(uint32_t *)(void *)((unsigned char *)block + STAMP) = 0;
  *(void **)block = s->free;
  s->free = block;
  if (!s->listed) list_add(h, s);
  if (--s->used == 0) slab_emptied(h, s);
}

static inline bool is_small(const struct cr_heap *h, size_t size) {
  return size == TABLE || (size <= SMALL && !h->only_tables);
}

static inline unsigned class_for(size_t size) {
  return size == TABLE ? TABLES : class_of[(size + GRAIN - 1) / GRAIN];
}

/* Out of line: the block changes its kind or its class. */
static void *move(struct cr_heap *h, void *block, struct slab *s,
                  size_t old_size, size_t new_size) {
  bool small = is_small(h, new_size);
  if (s == NULL && !small)
    return h->other(h->other_ud, block, old_size, new_size);
  void *p = small ? take(h, class_for(new_size)) : NULL;
  if (p == NULL) p = h->other(h->other_ud, NULL, 0, new_size);
  if (p == NULL) return NULL;
  memcpy(p, block, old_size < new_size ? old_size : new_size);
  if (s != NULL)
    give(h, s, block);
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
  struct slab *s = slab_of(h, block);
  if (new_size == 0) {
    if (s == NULL) return h->other(h->other_ud, block, old_size, 0);
    give(h, s, block);
    return NULL;
  }
  if (s != NULL && is_small(h, new_size) && s->class == class_for(new_size))
    return block;
  return move(h, block, s, old_size, new_size);
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

uint32_t cr_heap_epoch(lua_State *L, const void *address) {
  void *ud;
  lua_Alloc f = lua_getallocf(L, &ud);
  if (f != cr_heap_alloc && f != alloc_adopted) return 0;
  struct cr_heap *h = ud;
  struct slab *s = slab_of(h, address);
  if (s == NULL || s->class != TABLES) return 0;
  const unsigned char *slot = address;
  size_t offset = (size_t)(slot - slab_bytes(h, s));
  if (offset % TABLE_SLOT != 0 || offset / GRAIN >= s->cut) return 0;
  return *(const uint32_t *)(const void *)(slot + STAMP);
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
  if (mprotect(h, FIRST_STEP, PROT_READ | PROT_WRITE) != 0) {
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
  h->young_high = FIRST_SLAB;
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
  if (h->old != NULL) munmap(h->old, old_slabs_size(h));
  munmap(h->place, h->place_size);
}
