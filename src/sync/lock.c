/* Lock and RLock: the robust lock as an object. See synch.h.
**
** The depth of an RLock belongs to its holder: it means nothing while the lock
** is free, and the next holder sets it.
*/
#include "synch.h"

#include <errno.h>
#include <string.h>

static bool recursive(const struct cr_lock *l) {
  return atomic_load_explicit(&l->head.type, memory_order_relaxed) == CR_RLOCK;
}

struct cr_lock *cr_lock_new(bool is_recursive) {
  struct cr_lock *l = cr_alloc(sizeof *l);
  if (l == NULL) return NULL;
  atomic_store_explicit(&l->head.refs, 0, memory_order_relaxed);
  l->site[0] = 0;
  l->depth = 0;
  memset(&l->lock, 0, sizeof l->lock);
  atomic_store(&l->head.type, is_recursive ? CR_RLOCK : CR_LOCK);
  return l;
}

int cr_lock_acquire(struct cr_lock *l, int64_t deadline) {
  if (recursive(l) && cr_rlock_mine(&l->lock)) {
    l->depth++;
    return 0;
  }
  int err = cr_rlock_acquire(&l->lock, deadline);
  if (err == 0 || err == EOWNERDEAD) l->depth = 1;
  return err;
}

int cr_lock_release(struct cr_lock *l) {
  if (!cr_rlock_mine(&l->lock)) return EPERM;
  if (--l->depth == 0) cr_rlock_release(&l->lock);
  return 0;
}

bool cr_lock_mine(const struct cr_lock *l) {
  return cr_rlock_mine(&l->lock);
}

struct cr_slot *cr_lock_holder(struct cr_lock *l) {
  return cr_rlock_holder(&l->lock);
}
