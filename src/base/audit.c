/* Audit of the arena, for tests: walks everything and compares.
**
** Every linked block must be reached exactly once as owned, every object as
** often as it counts references; no block may be in limbo; derived data must
** agree with the truth. Nobody else may use the arena meanwhile.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena_impl.h"
#include "handle.h"

/* Open-addressed table: block -> times owned and times referred to. */
struct seen {
  void *block;
  uint32_t owned, refs;
};
static struct seen *table;
static size_t room, used;
static int errors;

static void fail(const char *what, const void *p, uint64_t a, uint64_t b) {
  const struct cr_block *block = p;
  fprintf(stderr, "audit: %s: block %p type %u: %llu, %llu\n", what, p,
          p != NULL ? atomic_load(&block->type) : 0, (unsigned long long)a,
          (unsigned long long)b);
  errors++;
}

static struct seen *find(void *block) {
  size_t i = (uintptr_t)block / 32 * 0x9e3779b97f4a7c15u % room;
  while (table[i].block != NULL && table[i].block != block) i = (i + 1) % room;
  return &table[i];
}

static void grow(void) {
  struct seen *old = table;
  size_t n = room;
  room = room ? room * 2 : 1024;
  table = calloc(room, sizeof *table);
  if (table == NULL) abort();
  for (size_t i = 0; i < n; i++)
    if (old[i].block != NULL) *find(old[i].block) = old[i];
  free(old);
}

static struct seen *note(void *block) {
  if (used * 2 >= room) grow();
  struct seen *s = find(block);
  if (s->block == NULL) {
    s->block = block;
    used++;
  }
  return s;
}

static bool is_linked(void *block) {
  return atomic_load(cr_owner_of(block)) == CR_LINKED;
}

static void see_block(void *block);
static void see_ref(struct cr_block *object);
static const struct cr_visit visit = {see_block, see_ref};

static void see_block(void *block) {
  struct seen *s = note(block);
  if (s->owned++ > 0) {
    fail("owned twice", block, s->owned, 0);
    return;
  }
  if (!is_linked(block)) fail("not linked", block, *cr_owner_of(block), 0);
  cr_visit_block(block, &visit);
}

static void see_ref(struct cr_block *object) {
  if (note(object)->refs++ > 0) return;
  if (!is_linked(object)) fail("not linked", object, *cr_owner_of(object), 0);
  cr_visit_block(object, &visit);
}

static void check_block(void *block, uint32_t owner) {
  if (room == 0) grow();
  struct seen *s = find(block);
  if (owner != CR_LINKED)
    fail("in limbo", block, owner, 0);
  else if (s->block == NULL)
    fail("leaked", block, 0, 0);
  else if (s->owned == 0 &&
           atomic_load(&((struct cr_block *)block)->refs) != s->refs)
    fail("references (counted, found)", block,
         atomic_load(&((struct cr_block *)block)->refs), s->refs);
}

static uint64_t check_slab(struct cr_slab *s) {
  uint32_t busy = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    uint32_t owner = atomic_load(&s->owner[i]);
    if (owner == 0) continue;
    busy++;
    check_block(cr_slab_object(s, i), owner);
  }
  if (s->count - busy != s->free)
    fail("slab's free count", NULL, s->free, s->count - busy);
  return busy;
}

static void check_map(void) {
  const struct cr_arena *a = cr_arena;
  uint64_t units = 0, blocks = 0;
  uint32_t u = 0;
  bool after_free = false;
  while (u < a->high_unit) {
    uint64_t e = cr_map_get(u);
    unsigned state = cr_run_state(e);
    if (cr_run_length(e) == 0) {
      fail("map entry", NULL, u, e);
      return;
    }
    bool is_free = state == CR_RUN_FREE;
    if (is_free && after_free) fail("free runs not joined", NULL, u, 0);
    after_free = is_free;
    if (!is_free) units += cr_run_length(e);
    if (state == CR_RUN_SLAB) blocks += check_slab(cr_unit_at(u));
    if (state == CR_RUN_BLOCK) {
      blocks++;
      check_block(cr_unit_at(u), cr_run_owner(e));
    }
    u += cr_run_length(e);
  }
  if (units != a->used_units) fail("used units", NULL, a->used_units, units);
  if (blocks != a->blocks) fail("blocks", NULL, a->blocks, blocks);
}

int cr_arena_audit(void) {
  errors = 0;
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (atomic_load(&s->state) != CR_SLOT_FREE)
      cr_handles_visit(s, &visit);
    else if (atomic_load(&s->handles) != NULL)
      fail("free slot has handles", NULL, i, 0);
  }
  check_map();
  free(table);
  table = NULL;
  room = used = 0;
  return errors;
}
