/* Queue: unbounded or bounded, first in first out, or last in first out, or
** smallest first. Whole after the death of any user at any instruction.
**
** All functions return 0 or an errno value:
**   EAGAIN     nothing there / no room, and the deadline has passed (full, empty)
**   EPIPE      shut down
**   ENOMEM     shared memory exhausted (nothing was put)
**   EINTR      interrupted (nothing was put or taken)
**   EINVAL     task_done called too often
**   EDOM       PriorityQueue: keys that cannot be compared (nothing was put)
** Deadlines are ns on CLOCK_MONOTONIC; 0 is "do not wait", CR_FOREVER none.
** With 0 a call still waits a moment for who is at work on that side, since
** what is there must be got; with CR_AT_ONCE it gives up (EBUSY).
*/
#ifndef CR_QUEUE_H
#define CR_QUEUE_H

#include "message.h"

enum cr_queue_kind { CR_FIFO, CR_LIFO, CR_PRIORITY };

struct cr_queue;

/* A new queue in limbo, maxsize 0 for none; NULL when memory is exhausted. */
struct cr_queue *cr_queue_new(enum cr_queue_kind kind, uint32_t maxsize);

enum { CR_AT_ONCE = -1 };
int cr_queue_put(struct cr_queue *q, struct cr_packet *p, int64_t deadline);
int cr_queue_get(struct cr_queue *q, struct cr_packet *p, int64_t deadline);
/* Gives back a packet that was got and could not be read: it is the next one to
** be got. On success (0) the packet is the queue's. */
int cr_queue_unget(struct cr_queue *q, struct cr_packet *p);

uint32_t cr_queue_size(struct cr_queue *q);
uint32_t cr_queue_maxsize(const struct cr_queue *q);
enum cr_queue_kind cr_queue_kind(const struct cr_queue *q);
int cr_queue_task_done(struct cr_queue *q);
/* Waits until every item put was also reported done: 0, EAGAIN, EINTR. */
int cr_queue_join(struct cr_queue *q, int64_t deadline);
void cr_queue_shutdown(struct cr_queue *q, bool immediate);
bool cr_queue_is_shutdown(struct cr_queue *q);

/* For wait_any: is a get possible without waiting (or shut down)? If not and
** `wait` is given, fills in what to sleep on. */
bool cr_queue_ready(struct cr_queue *q, struct cr_wait *wait);

/* For what does a thread sleep on this word of the queue? */
enum cr_queue_need { CR_NEED_ITEM, CR_NEED_ROOM, CR_NEED_DONE };
enum cr_queue_need cr_queue_need(const struct cr_queue *q, const cr_word *word);

#endif
