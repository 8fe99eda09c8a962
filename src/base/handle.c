/* Handles: which objects a process holds. See slot.h.
**
** An object counts its references: one a handle, one a message or object that
** refers to it. A reference and its count change in one redo log under one
** lock, so no death can make them differ. The table is a list of chunks in the
** arena; their addresses are also kept in this process's private memory.
*/
#include "handle.h"

#include <errno.h>
#include <string.h>

#include "arena_impl.h"

enum { ENTRIES = 40, MAX_CHUNKS = 1 << 16 };

struct cr_handles {
  struct cr_block head;
  struct cr_handles *_Atomic next;
  uint32_t number; /* handle = number * ENTRIES + entry */
  uint32_t unused;
  struct cr_block *_Atomic entry[ENTRIES];
  cr_word units[ENTRIES]; /* int32_t */
};

/* Under ref lock. Common: the linker puts it after all other variables, which
** so share a page that a child has to copy. */
struct cr_handles *cr_chunks[MAX_CHUNKS] __attribute__((common));
static uint32_t chunk_count;
static uint32_t first_free; /* no free handle below (a hint) */

void cr_ref_lock(void) {
  if (cr_rlock_take(&cr_arena->ref) == EOWNERDEAD)
    cr_log_replay(&cr_arena->ref_log);
}

void cr_ref_unlock(void) {
  cr_rlock_release(&cr_arena->ref);
}

static struct cr_slot *leader(void) {
  return cr_slot_at(cr_self->leader);
}

static uint32_t refs_of(struct cr_block *b) {
  return atomic_load_explicit(&b->refs, memory_order_relaxed);
}

static struct cr_handles *new_chunk(uint32_t number) {
  struct cr_handles *c = cr_alloc(sizeof *c);
  if (c == NULL) return NULL;
  c->number = number;
  memset((char *)c->entry, 0, sizeof c->entry + sizeof c->units);
  return c;
}

/* Puts a chunk in limbo at the head of a slot's list. Under ref lock. */
static void link_chunk(struct cr_slot *s, struct cr_handles *c) {
  struct cr_log *log = &cr_arena->ref_log;
  atomic_store(&c->next, atomic_load(&s->handles));
  cr_log_add(log, &s->handles, (uintptr_t)c);
  cr_log_link(log, c);
  cr_log_commit(log);
  cr_linked();
}

cr_word *cr_handle_units(uint32_t handle) {
  return &cr_chunks[handle / ENTRIES]->units[handle % ENTRIES];
}

/* A free entry of the table, or NULL. Under ref lock. */
static struct cr_block *_Atomic *find_free(uint32_t *handle) {
  for (uint32_t h = first_free; h < chunk_count * ENTRIES; h++) {
    struct cr_block *_Atomic *e = &cr_chunks[h / ENTRIES]->entry[h % ENTRIES];
    if (atomic_load_explicit(e, memory_order_relaxed) != NULL) continue;
    first_free = h + 1;
    *handle = h;
    atomic_store_explicit(cr_handle_units(h), 0, memory_order_relaxed);
    return e;
  }
  return NULL;
}

/* Takes the ref lock and finds a free entry, growing the table if need be.
** NULL: no memory, and the lock is not held. */
static struct cr_block *_Atomic *lock_entry(uint32_t *handle) {
  for (;;) {
    cr_ref_lock();
    struct cr_block *_Atomic *e = find_free(handle);
    if (e != NULL) return e;
    uint32_t number = chunk_count;
    cr_ref_unlock();
    if (number >= MAX_CHUNKS) return NULL;
    struct cr_handles *c = new_chunk(number);
    if (c == NULL) return NULL;
    cr_ref_lock();
    bool ours = chunk_count == number; /* no other thread was faster */
    if (ours) {
      link_chunk(leader(), c);
      cr_chunks[chunk_count++] = c;
    }
    cr_ref_unlock();
    if (!ours) cr_free(c);
  }
}

int cr_handle_new(struct cr_block *object, uint32_t *handle) {
  struct cr_log *log = &cr_arena->ref_log;
  struct cr_block *_Atomic *e = lock_entry(handle);
  if (e == NULL) return ENOMEM;
  atomic_store(&object->refs, 1);
  cr_log_add(log, e, (uintptr_t)object);
  cr_log_link(log, object);
  cr_log_commit(log);
  cr_ref_unlock();
  cr_linked();
  return 0;
}

int cr_handle_add(struct cr_block *object, uint32_t *handle) {
  struct cr_log *log = &cr_arena->ref_log;
  struct cr_block *_Atomic *e = lock_entry(handle);
  if (e == NULL) return ENOMEM;
  cr_log_add(log, e, (uintptr_t)object);
  cr_log_add32(log, &object->refs, refs_of(object) + 1);
  cr_log_commit(log);
  cr_ref_unlock();
  return 0;
}

/* Empties a place that holds a counted reference; the object's last one
** destroys it. Called with the ref lock, returns without. */
static void drop_unlock(struct cr_block *_Atomic *place) {
  struct cr_log *log = &cr_arena->ref_log;
  struct cr_block *object = atomic_load(place);
  if (object == NULL) {
    cr_ref_unlock();
    return;
  }
  bool last = refs_of(object) == 1;
  if (last) cr_taken();
  cr_log_add(log, place, 0);
  cr_log_add32(log, &object->refs, refs_of(object) - 1);
  if (last) cr_log_take(log, object);
  cr_log_commit(log);
  cr_ref_unlock();
  if (last) cr_destroy(object);
}

static void drop(struct cr_block *_Atomic *place) {
  cr_ref_lock();
  drop_unlock(place);
}

void cr_handle_drop(uint32_t handle) {
  cr_ref_lock();
  if (handle < first_free) first_free = handle;
  drop_unlock(&cr_chunks[handle / ENTRIES]->entry[handle % ENTRIES]);
}

void cr_ref_add(struct cr_block **place, cr_word *count,
                struct cr_block *object) {
  struct cr_log *log = &cr_arena->ref_log;
  cr_ref_lock();
  cr_log_add(log, place, (uintptr_t)object);
  cr_log_add32(log, &object->refs, refs_of(object) + 1);
  if (count != NULL) cr_log_add32(log, count, atomic_load(count) + 1);
  cr_log_commit(log);
  cr_ref_unlock();
}

void cr_ref_first(struct cr_block **place, struct cr_block *object) {
  struct cr_log *log = &cr_arena->ref_log;
  cr_ref_lock();
  cr_log_add(log, place, (uintptr_t)object);
  cr_log_add32(log, &object->refs, 1);
  cr_log_link(log, object);
  cr_log_commit(log);
  cr_ref_unlock();
  cr_linked();
}

int cr_ref_to_handle(struct cr_block **place, uint32_t *handle) {
  struct cr_log *log = &cr_arena->ref_log;
  struct cr_block *_Atomic *e = lock_entry(handle);
  if (e == NULL) return ENOMEM;
  cr_log_add(log, e, (uintptr_t)*place);
  cr_log_add(log, place, 0);
  cr_log_commit(log);
  cr_ref_unlock();
  return 0;
}

void cr_ref_drop(struct cr_block **place) {
  drop((struct cr_block * _Atomic *)place);
}

/* ---- fork ---- */

static void copy_entries(struct cr_handles *from, struct cr_handles *to) {
  struct cr_log *log = &cr_arena->ref_log;
  for (int i = 0; i < ENTRIES; i++) {
    struct cr_block *object = atomic_load(&from->entry[i]);
    if (object == NULL) continue;
    cr_log_add(log, &to->entry[i], (uintptr_t)object);
    cr_log_add32(log, &object->refs, refs_of(object) + 1);
    cr_log_commit(log);
  }
}

static uint32_t count_chunks(void) {
  cr_ref_lock();
  uint32_t n = chunk_count; /* other threads may add some */
  cr_ref_unlock();
  return n;
}

int cr_handles_copy(struct cr_slot *child) {
  for (uint32_t n = 0; n < count_chunks(); n++) {
    struct cr_handles *c = new_chunk(n);
    if (c == NULL) return ENOMEM;
    cr_ref_lock();
    link_chunk(child, c);
    copy_entries(cr_chunks[n], c);
    cr_ref_unlock();
  }
  return 0;
}

void cr_handles_adopt(void) {
  struct cr_handles *c = atomic_load(&cr_self->handles);
  chunk_count = c != NULL ? c->number + 1 : 0;
  for (; c != NULL; c = atomic_load(&c->next)) cr_chunks[c->number] = c;
}

static void settle(struct cr_handles *c, bool killed) {
  for (int i = 0; i < ENTRIES; i++) {
    struct cr_block *object = atomic_load(&c->entry[i]);
    if (object != NULL && atomic_load(&object->type) == CR_SEMAPHORE)
      cr_on_units(object, &c->units[i], killed);
  }
}

void cr_handles_release(struct cr_slot *s) {
  bool killed = !atomic_load(&s->orderly);
  struct cr_log *log = &cr_arena->ref_log;
  struct cr_handles *c;
  for (c = atomic_load(&s->handles); c != NULL; c = atomic_load(&c->next))
    settle(c, killed);
  while ((c = atomic_load(&s->handles)) != NULL) {
    for (int i = 0; i < ENTRIES; i++) drop(&c->entry[i]);
    cr_taken();
    cr_ref_lock();
    cr_log_add(log, &s->handles, (uintptr_t)atomic_load(&c->next));
    cr_log_take(log, c);
    cr_log_commit(log);
    cr_ref_unlock();
    cr_free(c);
  }
}

static bool holds(struct cr_slot *s, const struct cr_block *object) {
  for (struct cr_handles *c = atomic_load(&s->handles); c != NULL;
       c = atomic_load(&c->next))
    for (int i = 0; i < ENTRIES; i++)
      if (atomic_load(&c->entry[i]) == object) return true;
  return false;
}

int cr_handle_holders(const struct cr_block *object, bool others,
                      struct cr_slot **out, int max) {
  int n = 0;
  cr_ref_lock();
  for (uint32_t i = 0; n < max && i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (!(others && s == leader()) && atomic_load(&s->state) != CR_SLOT_FREE &&
        holds(s, object))
      out[n++] = s;
  }
  cr_ref_unlock();
  return n;
}

void cr_handles_visit(struct cr_slot *s, const struct cr_visit *v) {
  for (struct cr_handles *c = atomic_load(&s->handles); c != NULL;
       c = atomic_load(&c->next)) {
    v->block(c);
    for (int i = 0; i < ENTRIES; i++)
      if (atomic_load(&c->entry[i]) != NULL) v->ref(atomic_load(&c->entry[i]));
  }
}
