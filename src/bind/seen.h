/* Which tables, functions and upvalues a message already holds: a hash table
** from addresses to where they lie. It is emptied in constant time and its
** memory is kept for the next message.
*/
#ifndef CR_SEEN_H
#define CR_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cr_seen_entry {
  const void *key;
  uint64_t at;    /* where it lies in the message */
  uint32_t round; /* the entry counts in this round only */
  uint16_t extra; /* upvalues: their number */
  uint8_t kind;   /* the user's */
};

/* All-zero is an empty one. */
struct cr_seen {
  struct cr_seen_entry *entry;
  size_t mask, count; /* capacity - 1; used in this round */
  uint32_t round;
};

/* Forgets everything (and gives back memory after an unusually big message). */
void cr_seen_clear(struct cr_seen *s);
/* The entry of a key; a new one has kind 0. NULL: out of memory. It is valid
** until the next call. */
struct cr_seen_entry *cr_seen_at(struct cr_seen *s, const void *key);
/* The same, but NULL when there is none. */
struct cr_seen_entry *cr_seen_find(const struct cr_seen *s, const void *key);
void cr_seen_free(struct cr_seen *s);

#endif
