/* Blocks too long for slabs. See big.h.
**
** The size of a mapping follows from the size of its block, in eight steps to
** each doubling, so that one can serve the next block of about its size. What
** is kept is bounded: a script that drops its data gives the memory back.
*/
#include "big.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define HUGE (2 * MIB)
#define BIG (256 * KIB)
#define MOST_KEPT (16 * MIB)
#define LONGEST_KEPT (MOST_KEPT / 2)

enum { STEPS = 8 };

static bool is_big(size_t size) {
  return size >= BIG && !CR_WATCHED;
}

static size_t mapped_size(size_t size) {
  int bits = 63 - __builtin_clzll(size);
  size_t step = ((size_t)1 << bits) / STEPS;
  return (size + step - 1) & ~(step - 1);
}

/* On huge pages when it fills some. */
static void *map(size_t size) {
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

/* In place if possible, else the pages move to an aligned place. */
static void *remap(void *block, size_t old_size, size_t new_size) {
  if (new_size == old_size) return block;
  void *p = mremap(block, old_size, new_size, 0);
  if (p != MAP_FAILED) return p;
  if (new_size < HUGE) {
    p = mremap(block, old_size, new_size, MREMAP_MAYMOVE);
    return p != MAP_FAILED ? p : NULL;
  }
  void *place = map(new_size);
  if (place == NULL) return NULL;
  p = mremap(block, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  if (p == MAP_FAILED) {
    munmap(place, new_size);
    return NULL;
  }
  madvise(p, new_size, MADV_HUGEPAGE);
  return p;
}

static void *remove_kept(struct cr_big *b, size_t i) {
  void *block = b->kept[i].block;
  b->bytes -= b->kept[i].size;
  b->count--;
  memmove(&b->kept[i], &b->kept[i + 1], (b->count - i) * sizeof b->kept[0]);
  return block;
}

static void drop_oldest(struct cr_big *b) {
  size_t size = b->kept[0].size;
  munmap(remove_kept(b, 0), size);
}

void cr_big_release(struct cr_big *b) {
  while (b->count > 0) drop_oldest(b);
}

static void keep(struct cr_big *b, void *block, size_t size) {
  if (size > LONGEST_KEPT) {
    munmap(block, size);
    return;
  }
  while (b->count == CR_BIG_KEPT || b->bytes + size > MOST_KEPT) drop_oldest(b);
  b->kept[b->count].block = block;
  b->kept[b->count].size = size;
  b->count++;
  b->bytes += size;
}

/* The youngest of the size, which the caches may still know; else a new one. */
static void *take(struct cr_big *b, size_t size) {
  for (size_t i = b->count; i-- > 0;)
    if (b->kept[i].size == size) return remove_kept(b, i);
  return map(size);
}

static void release_block(struct cr_big *b, void *block, size_t size) {
  if (is_big(size))
    keep(b, block, mapped_size(size));
  else
    free(block);
}

static void *resize(struct cr_big *b, void *block, size_t old_size,
                    size_t new_size) {
  bool big = is_big(new_size), was_big = block != NULL && is_big(old_size);
  if (!big && !was_big) return realloc(block, new_size);
  if (big && was_big)
    return remap(block, mapped_size(old_size), mapped_size(new_size));
  void *p = big ? take(b, mapped_size(new_size)) : malloc(new_size);
  if (p == NULL || block == NULL) return p;
  memcpy(p, block, old_size < new_size ? old_size : new_size);
  release_block(b, block, old_size);
  return p;
}

void *cr_big_alloc(void *big, void *block, size_t old_size, size_t new_size) {
  struct cr_big *b = big;
  if (new_size == 0) {
    if (block != NULL) release_block(b, block, old_size);
    return NULL;
  }
  if (new_size > PTRDIFF_MAX / 2) return NULL;
  void *p = resize(b, block, old_size, new_size);
  if (p != NULL || b->count == 0) return p;
  cr_big_release(b);
  return resize(b, block, old_size, new_size);
}
