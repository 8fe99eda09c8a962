/* The shared arena: memory that every related process maps at one address.
**
** It is mapped once, before the first fork, and never moves, so plain pointers
** into it mean the same everywhere. A block has one owner word: free, held by
** one thread ("in limbo", freed by the reaper when that thread dies), or
** linked into a structure. Allocating, freeing and handing a block over is the
** store of that word; free lists and counters are derived from these words and
** rebuilt after a death.
*/
#ifndef CR_ARENA_H
#define CR_ARENA_H

#include <stddef.h>

#include "rlock.h"

/* Kinds of blocks; what lies in a block says how it is destroyed. */
enum cr_type {
  CR_NONE = 0, /* plain memory */
  CR_HANDLES,  /* chunk of a process's handle table */
  CR_MESSAGE,
  CR_LOCK,
  CR_RLOCK,
  CR_SEMAPHORE,
  CR_EVENT,
  CR_CONDITION,
  CR_BARRIER,
  CR_QUEUE,
  CR_LIFO_QUEUE,
  CR_PRIORITY_QUEUE,
  CR_PIPE, /* one end */
  CR_VALUE,
  CR_ARRAY,
  CR_CELL, /* where a child leaves its result */
  CR_TYPES
};

/* How every block begins. */
struct cr_block {
  cr_word type; /* enum cr_type */
  cr_word refs; /* handles and messages; under ref lock */
};

/* How objects begin that are waited for: CR_LOCK to CR_PIPE. */
enum { CR_SITE_MAX = 72 }; /* bytes of "FILE:LINE", with its final 0 */
struct cr_sited {
  struct cr_block head;
  char site[CR_SITE_MAX]; /* where it was made; by its maker, before others */
};

/* Maps the arena and makes this thread its first member; later calls do
** nothing. Returns 0 or an errno value. */
int cr_arena_open(void);

/* A block of at least `size` bytes, uninitialised but for its type CR_NONE, in
** limbo: freed if this thread dies. NULL when the shared limit is reached. */
void *cr_alloc(size_t size);
/* Frees a block that is in limbo with the calling thread. */
void cr_free(void *block);
/* Bytes that the block can hold. */
size_t cr_block_size(const void *block);

/* Hand-over, as entries of a log: the block now belongs to the structure that
** the log changes, or to the calling thread. Call cr_linked() after a commit
** for each block that was linked, cr_taken() before one for each taken. */
void cr_log_link(struct cr_log *log, void *block);
void cr_log_take(struct cr_log *log, void *block);
void cr_linked(void);
void cr_taken(void);

/* Registers what destroying a block of a type means: it must free the block
** itself, be restartable, and is called by its one owner. */
void cr_set_destroy(enum cr_type type, void (*destroy)(struct cr_block *));
/* Destroys a block in limbo with the calling thread. */
void cr_destroy(struct cr_block *block);

/* For the audit: a type's visitor calls `block` for each block that its own
** block owns, and `ref` for each counted reference in it. */
struct cr_visit {
  void (*block)(void *block);
  void (*ref)(struct cr_block *object);
};
void cr_set_visit(enum cr_type type,
                  void (*visit)(struct cr_block *, const struct cr_visit *));
void cr_visit_block(struct cr_block *block, const struct cr_visit *visit);

/* Limit in bytes for what the arena may hold, and what it holds now. */
size_t cr_arena_limit(void);
size_t cr_arena_used(void);
/* Number of blocks alive, for leak checks. */
size_t cr_arena_blocks(void);

/* A number that no other call in any related process returns, never 0. */
uint32_t cr_unique(void);

/* For tests, while nobody else uses the arena: checks every invariant, prints
** each violation on stderr, returns their number. */
int cr_arena_audit(void);

#endif
