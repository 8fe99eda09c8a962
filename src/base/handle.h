/* Handle tables: what slot.c needs of them. For src/base only. */
#ifndef CR_HANDLE_H
#define CR_HANDLE_H

#include "slot.h"

/* Gives an embryo a copy of this process's table: 0 or ENOMEM (what was copied
** stays and is released with the slot). */
int cr_handles_copy(struct cr_slot *child);
/* In a fork's child: its own table is now that of its slot. */
void cr_handles_adopt(void);
/* Drops everything that a dead process held. */
void cr_handles_release(struct cr_slot *leader);

/* For the audit. */
void cr_handles_visit(struct cr_slot *s, const struct cr_visit *v);

#endif
