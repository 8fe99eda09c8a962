/* Tray: where the workers of a pool lay down their results, one by one.
**
** Each worker has a lane: a ring of bytes that it alone fills and the pool's
** owner alone empties. A result is there with the one store that publishes it,
** so the death of a worker at any instruction leaves exactly the results of the
** items that it had done. The owner sleeps on one bell for all lanes; a worker
** whose lane is full sleeps until there is room.
**
** The lane also says since when the item in work runs; who wants to end it for
** taking too long and the worker that comes to its end decide by one swap whose
** it is.
*/
#ifndef CR_TRAY_H
#define CR_TRAY_H

#include "slot.h"

struct cr_tray;

enum { CR_LANES_MAX = 1024 };
enum { CR_ENTRY_MAX = 4096 }; /* bytes of one entry */

/* An entry: of what kind is the users' business. */
struct cr_entry {
  uint32_t length, kind;
  unsigned char data[];
};

/* A new tray in limbo with lanes 0 to n - 1; NULL: shared memory exhausted. */
struct cr_tray *cr_tray_new(uint32_t n);
uint32_t cr_tray_lanes(const struct cr_tray *t);

/* For the worker. Lays down an entry: 0, or EINTR while it waits for room. */
int cr_lane_put(struct cr_tray *t, uint32_t lane, uint32_t kind,
                const void *data, size_t length);
/* Says that an item is begun; that it has ended: false if it was given up
** meanwhile, and with it the worker. */
void cr_lane_begin(struct cr_tray *t, uint32_t lane);
bool cr_lane_end(struct cr_tray *t, uint32_t lane);

/* For the owner. The next entry or NULL; it stays until it is dropped. */
const struct cr_entry *cr_lane_peek(struct cr_tray *t, uint32_t lane);
void cr_lane_drop(struct cr_tray *t, uint32_t lane);
/* When the item in work was begun (ns); 0: no timed one is. */
int64_t cr_lane_begun(struct cr_tray *t, uint32_t lane);
/* Gives up the item that was begun then: false if it has ended. */
bool cr_lane_doom(struct cr_tray *t, uint32_t lane, int64_t begun);
/* For a new worker, when the old one is dead. */
void cr_lane_reset(struct cr_tray *t, uint32_t lane);

/* Is there an entry in any lane? If not and `wait` is given, fills in what to
** sleep on. */
bool cr_tray_ready(struct cr_tray *t, struct cr_wait *wait);

#endif
