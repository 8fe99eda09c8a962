/* Array of messages as a stack or a binary heap: the store of LifoQueue and
** PriorityQueue. For src/sync only.
**
** One lock; every change is one redo log, whose length is the depth of the heap.
** What is compared is the sort key at the front of a message's data: elements
**   'i' int64   'f' double   's' uint64 length, bytes   '(' elements ')'   'x'
** where 'x' has no order (comparing with it is an error); equal keys keep their
** order of arrival.
*/
#ifndef CR_SYNC_HEAP_H
#define CR_SYNC_HEAP_H

#include "message.h"

struct cr_heap_array;

struct cr_message_heap {
  struct cr_rlock lock;
  struct cr_log log;
  struct cr_heap_array *_Atomic array;
  cr_word count;  /* messages in it */
  cr_word puts;   /* messages ever put, mod 2^32 */
  uint64_t order; /* number of the next arrival */
  bool sorted;    /* r/o */
};

/* All return 0 or an errno value. The wake words are those of a queue: what
** getters and putters sleep on. */
struct cr_heap_wakes {
  cr_word *get, *put;
};
/* How many there are may be seen wrong before: a dead one's last change is made
** by whoever takes the lock next. So room and items are looked for here. */
/* Up to `maxsize` (0: no bound). EAGAIN: full. ENOMEM; EDOM: a key that cannot be
** compared with one on its way. */
int cr_heap_put(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                struct cr_message *m, uint32_t maxsize);
/* One that was taken, in the place that it had. ENOMEM, EDOM. */
int cr_heap_put_again(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                      struct cr_message *m);
/* EAGAIN: empty. */
int cr_heap_take(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                 bool wake, struct cr_message **out);
/* How many were ever taken and not put again, mod 2^32. */
uint32_t cr_heap_takes(struct cr_message_heap *h,
                       const struct cr_heap_wakes *w);
void cr_heap_destroy(struct cr_message_heap *h);
void cr_heap_visit(struct cr_message_heap *h, const struct cr_visit *v);

/* Compares two keys: negative, 0, positive; *comparable is set to false when
** they have no order (the result is then some total order). */
int cr_key_compare(const unsigned char *a, size_t an, const unsigned char *b,
                   size_t bn, bool *comparable);

#endif
