/* Sections, see section.c; for the pool's other files. */
#ifndef CR_SECTION_H
#define CR_SECTION_H

#include <lua.h>

#include "slot.h"

struct cr_section {
  cr_word changes;       /* rung when something has changed */
  cr_word free;          /* rung when a section is left that others wait for */
  struct cr_slot *owner; /* the thread inside; NULL: none */
  uint32_t sleepers;     /* threads that wait for their turn */
  uint32_t watchers;     /* so many sleep on `changes` unrung, or fewer */
  bool watched;          /* others may, too */
  bool broken;           /* an error came out of it */
};
struct cr_section *cr_check_section(lua_State *L, int arg);
/* As cr_sleep; the first of the waits is on `changes`. */
int cr_section_sleep(struct cr_section *s, const struct cr_wait *waits, int n,
                     int64_t deadline);

#endif
