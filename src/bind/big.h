/* Blocks of a heap that do not lie in its slabs: malloc's, or, when big, own
** mappings. Some freed mappings are kept, because fresh pages cost more than
** what most scripts do with them. */
#ifndef CR_BIG_H
#define CR_BIG_H

#include <stddef.h>

/* The address sanitizer watches malloc: it shall see as much as possible. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define CR_WATCHED 1
#else
#define CR_WATCHED 0
#endif

enum { CR_BIG_KEPT = 8 };

/* Freed mappings, the oldest first. All zeros is an empty one. */
struct cr_big {
  struct {
    void *block;
    size_t size;
  } kept[CR_BIG_KEPT];
  size_t count, bytes;
};

/* A lua_Alloc; `big` is a struct cr_big. */
void *cr_big_alloc(void *big, void *block, size_t old_size, size_t new_size);
/* Gives back what is kept. */
void cr_big_release(struct cr_big *b);

#endif
