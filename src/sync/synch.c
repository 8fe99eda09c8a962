/* What the death of somebody who waits means. See synch.h. */
#include "synch.h"

char *cr_site(struct cr_block *b) {
  uint32_t type = atomic_load_explicit(&b->type, memory_order_relaxed);
  bool sited = type >= CR_LOCK && type <= CR_PIPE;
  return sited ? ((struct cr_sited *)b)->site : NULL;
}

void cr_bereave(struct cr_slot *dead) {
  uintptr_t in = atomic_load(&dead->waits_in);
  struct cr_block *b = (struct cr_block *)in;
  if (b == NULL) return;
  uint32_t type = atomic_load(&b->type);
  if (type == CR_CONDITION)
    cr_condition_bereave((struct cr_condition *)b, dead);
  else if (type == CR_BARRIER)
    cr_barrier_bereave((struct cr_barrier *)b, dead);
}
