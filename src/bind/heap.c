/* The memory of one Lua state.
**
** Small blocks come from slabs of 64 KiB, each cut into blocks of one size, in
** one reserved stretch of addresses; the rest comes from malloc or, when big,
** straight from the system. One thread at a time uses a heap: no locks.
**
** A block of a table's size has a slot of 64 bytes whose last four hold the
** epoch of its allocation, 0 when it is free. Once a heap has grown it lies on
** huge pages, which makes forking it many times cheaper.
*/
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "state.h"

/* The address sanitizer watches malloc: it gets all but the tables, and is told
** that these may point to what it watches. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define ONLY_TABLES true
#else
#define ONLY_TABLES false
#define __lsan_register_root_region(p, n) ((void)0)
#endif

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define SLAB (64 * KIB)
#define HUGE (2 * MIB)
#define RESERVE (64 * 1024 * MIB) /* addresses, not memory */
#define LEAST (4 * MIB)
#define HUGE_FROM (4 * MIB) /* no huge pages for small scripts */
#define FIRST_STEP MIB      /* what is made usable at first */
#define LONGEST_STEP (64 * MIB)
#define BIG (256 * KIB) /* from here on straight from the system */

enum {
  TABLE = 56, /* bytes of Lua's Table */
  TABLE_SLOT = 64,
  STAMP = 56,   /* where in the slot the epoch stands */
  SMALL = 8192, /* longest block in a slab */
  GRAIN = 8,
  FINE = 256, /* classes in steps of GRAIN up to here */
  PAGE = 4096,
  CLASSES = 64,
  TABLES = 0 /* the class of tables */
};

struct slab {
  void *free;    /* list through the free blocks */
  uint32_t used; /* blocks handed out */
  uint32_t cut;  /* bytes that have been cut into blocks */
  uint32_t class;
  bool listed; /* in its class's list: has room */
  struct slab *next, *prev;
};

struct cr_heap {
  unsigned char *base; /* of the slabs, aligned to HUGE */
  size_t usable, span; /* bytes from base: usable, reserved */
  size_t step;
  uint32_t high; /* slabs ever used */
  bool only_tables;
  struct slab *empty;
  struct slab *room[CLASSES];
  struct slab *slab; /* one for each SLAB bytes */
  lua_Alloc other;   /* for everything else */
  void *other_ud;
  void *state; /* adopted: the state's own block */
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

void cr_heap_new_epoch(void) {
  atomic_store_explicit(&epoch, cr_unique(), memory_order_relaxed);
}

static void prepare(void) {
  make_classes();
  cr_heap_new_epoch();
  pthread_atfork(NULL, cr_heap_new_epoch, cr_heap_new_epoch);
}

/* Blocks from BIG on: own mappings, on huge pages when they fill some. */

static void *map_big(size_t size) {
  size_t extra = size >= HUGE ? HUGE : 0;
  unsigned char *p = mmap(NULL, size + extra, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  if (extra == 0) return p;
  size_t before = -(uintptr_t)p & (HUGE - 1);
  if (before > 0) munmap(p, before);
  if (extra > before) munmap(p + before + size, extra - before);
  madvise(p + before, size, MADV_HUGEPAGE);
  return p + before;
}

static size_t whole_pages(size_t size) {
  return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* In place if possible, else the pages move to an aligned place. */
static void *remap_big(void *block, size_t old_size, size_t new_size) {
  void *p = mremap(block, old_size, new_size, 0);
  if (p != MAP_FAILED) return p;
  if (new_size < HUGE) {
    p = mremap(block, old_size, new_size, MREMAP_MAYMOVE);
    return p != MAP_FAILED ? p : NULL;
  }
  void *place = map_big(new_size);
  if (place == NULL) return NULL;
  p = mremap(block, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  if (p == MAP_FAILED) {
    munmap(place, new_size);
    return NULL;
  }
  madvise(p, new_size, MADV_HUGEPAGE);
  return p;
}

static bool is_big(size_t size) {
  return size >= BIG && !ONLY_TABLES;
}

/* What is not small, as a lua_Alloc. */
static void *alloc_other(void *ud, void *block, size_t old_size,
                         size_t new_size) {
  (void)ud;
  bool was_big = block != NULL && is_big(old_size);
  if (new_size > PTRDIFF_MAX - HUGE) return NULL;
  if (new_size == 0) {
    if (was_big)
      munmap(block, whole_pages(old_size));
    else
      free(block);
    return NULL;
  }
  if (!is_big(new_size) && !was_big) return realloc(block, new_size);
  if (is_big(new_size) && was_big)
    return remap_big(block, whole_pages(old_size), whole_pages(new_size));
  void *p =
      is_big(new_size) ? map_big(whole_pages(new_size)) : malloc(new_size);
  if (p == NULL || block == NULL) return p;
  memcpy(p, block, old_size < new_size ? old_size : new_size);
  alloc_other(ud, block, old_size, 0);
  return p;
}

/* Slabs. */

static unsigned char *slab_bytes(const struct cr_heap *h,
                                 const struct slab *s) {
  return h->base + (size_t)(s - h->slab) * SLAB;
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

/* Makes the next stretch usable. */
static bool extend(struct cr_heap *h) {
  size_t step = h->step;
  if (step > h->span - h->usable) step = h->span - h->usable;
  if (step < SLAB) return false;
  if (mprotect(h->base + h->usable, step, PROT_READ | PROT_WRITE) != 0)
    return false;
  if (h->usable >= HUGE_FROM) madvise(h->base + h->usable, step, MADV_HUGEPAGE);
  __lsan_register_root_region(h->base + h->usable, step);
  h->usable += step;
  if (h->step < LONGEST_STEP && h->usable > FIRST_STEP) h->step *= 2;
  return true;
}

static struct slab *new_slab(struct cr_heap *h, unsigned class) {
  struct slab *s = h->empty;
  if (s != NULL) {
    h->empty = s->next;
  } else {
    if ((h->high + 1) * SLAB > h->usable && !extend(h)) return NULL;
    s = &h->slab[h->high++];
  }
  s->free = NULL;
  s->used = s->cut = 0;
  s->class = class;
  list_add(h, s);
  return s;
}

/* Cuts a page's worth of blocks: memory is touched as it is needed. */
static bool cut_more(struct cr_heap *h, struct slab *s) {
  size_t size = class_size[s->class];
  unsigned char *bytes = slab_bytes(h, s);
  size_t end = s->cut + (size > PAGE ? size : PAGE / size * size);
  if (end > SLAB) end = SLAB / size * size;
  if (s->cut >= end) return false;
  for (size_t at = end; at > s->cut;) {
    at -= size;
    *(void **)(void *)(bytes + at) = s->free;
    s->free = bytes + at;
    if (s->class == TABLES) *(uint32_t *)(void *)(bytes + at + STAMP) = 0;
  }
  s->cut = (uint32_t)end;
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
  if (s->listed && s->next == NULL && s->prev == NULL) return;
  if (s->listed) list_remove(h, s);
  s->next = h->empty;
  h->empty = s;
}

static inline struct slab *slab_of(struct cr_heap *h, const void *block) {
  size_t offset = (uintptr_t)block - (uintptr_t)h->base;
  return offset < h->usable ? &h->slab[offset / SLAB] : NULL;
}

static inline void give(struct cr_heap *h, struct slab *s, void *block) {
  if (s->class == TABLES)
    *(uint32_t *)(void *)((unsigned char *)block + STAMP) = 0;
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
  if (offset % TABLE_SLOT != 0 || offset >= s->cut) return 0;
  return *(const uint32_t *)(const void *)(slot + STAMP);
}

/* Making and freeing heaps. */

static size_t slabs_size(size_t span) {
  return whole_pages(span / SLAB * sizeof(struct slab));
}

/* Under a limit on addresses the most of them is left for others. */
static size_t most_addresses(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      limit.rlim_cur / 4 >= RESERVE)
    return RESERVE;
  return limit.rlim_cur / 4 & ~(HUGE - 1);
}

static bool reserve(struct cr_heap *h, size_t span) {
  unsigned char *p = mmap(NULL, span + HUGE, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  void *slabs = mmap(NULL, slabs_size(span), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  size_t before = -(uintptr_t)p & (HUGE - 1);
  if (before > 0) munmap(p, before);
  if (before < HUGE) munmap(p + before + span, HUGE - before);
  if (slabs == MAP_FAILED) {
    munmap(p + before, span);
    return false;
  }
  h->base = p + before;
  h->slab = slabs;
  h->span = span;
  return true;
}

static struct cr_heap *new_heap(lua_Alloc other, void *ud, bool only_tables) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  struct cr_heap *h = calloc(1, sizeof *h);
  if (h == NULL) return NULL;
  size_t span = most_addresses();
  while (span >= LEAST && !reserve(h, span)) span = span / 2 & ~(HUGE - 1);
  if (span < LEAST) {
    free(h);
    return NULL;
  }
  h->step = FIRST_STEP;
  h->only_tables = only_tables;
  h->other = other;
  h->other_ud = ud;
  return h;
}

struct cr_heap *cr_heap_new(void) {
  return new_heap(alloc_other, NULL, ONLY_TABLES);
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
  munmap(h->base, h->span);
  munmap(h->slab, slabs_size(h->span));
  free(h);
}
