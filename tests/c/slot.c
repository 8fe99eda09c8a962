/* Slots and handles: birth, death, reaping, what a process holds. */
#include "lib/child.h"
#include "lib/tap.h"

static struct cr_block *object;
static cr_word *seen;

static struct cr_block *make(uint32_t *handle) {
  struct cr_block *b = cr_alloc(sizeof *b);
  if (b == NULL || cr_handle_new(b, handle) != 0) exit(99);
  return b;
}

static uint32_t refs(const struct cr_block *b) {
  return atomic_load(&b->refs);
}

static void look_around(int unused) {
  (void)unused;
  atomic_store(&seen[0], cr_self == cr_birth.slot);
  atomic_store(&seen[1], cr_slot_pid(cr_self) == getpid());
  atomic_store(&seen[2], cr_slot_alive(cr_slot_at(0), cr_self->parent));
  atomic_store(&seen[3], refs(object));
}

static void test_birth(void) {
  struct child c;
  child_start(&c, look_around, 0);
  ok(child_ends(&c, 10), "a child ends");
  ok(atomic_load(&seen[0]), "it was in the slot that fork told its parent");
  ok(atomic_load(&seen[1]), "its slot knows its pid");
  ok(atomic_load(&seen[2]), "and its parent");
  is(atomic_load(&seen[3]), 2, "it holds what its parent holds");
  ok(cr_slot_dead(c.birth.slot), "its slot is dead");
  ok(!cr_slot_alive(c.birth.slot, c.birth.incarnation), "and not alive");
  is(refs(object), 2, "before reaping its holds count");
  child_reap(&c);
  is(refs(object), 1, "afterwards they do not");
  is(atomic_load(&c.birth.slot->state), CR_SLOT_FREE, "its slot is free");
  child_reap(&c);
  is(refs(object), 1, "reaping twice does nothing");
}

/* The pid of a raw fork is not told to anybody. */
static void test_raw_fork(void) {
  fflush(stdout);
  pid_t p = fork();
  if (p == 0) _exit(0);
  waitpid(p, NULL, 0);
  is(cr_reap_all(), 1, "the child of a raw fork is found dead");
  is(refs(object), 1, "and lets go");
}

static void exit_at_once(int unused) {
  (void)unused;
}

static void test_reuse(void) {
  struct child c;
  uint32_t high = cr_slot_high(), last = 0;
  bool grows = true;
  for (int i = 0; i < 50; i++) {
    child_start(&c, exit_at_once, 0);
    grows = grows && c.birth.incarnation != last;
    last = c.birth.incarnation;
    child_ends(&c, 10);
    child_reap(&c);
  }
  ok(cr_slot_high() <= high + 1, "slots are used again");
  ok(grows, "incarnations are not");
}

static void test_handles(void) {
  enum { MANY = 200 };
  uint32_t h[MANY], one;
  size_t blocks = cr_arena_blocks();
  struct cr_block *b = make(&one);
  for (int i = 0; i < MANY; i++) cr_handle_add(b, &h[i]);
  is(refs(b), MANY + 1, "many handles of one object");
  struct child c;
  child_start(&c, exit_at_once, 0);
  is(refs(b), 2 * MANY + 2, "a child gets them all");
  child_ends(&c, 10);
  child_reap(&c);
  for (int i = 0; i < MANY; i++) cr_handle_drop(h[i]);
  is(refs(b), 1, "all but one are dropped");
  size_t table = cr_arena_blocks() - blocks - 1;
  cr_handle_drop(one);
  is(cr_arena_blocks() - blocks, table, "the last one destroys the object");
}

static void hold_object(int unused) {
  (void)unused;
  atomic_store(&seen[0], 1);
  for (;;) child_rest(1000);
}

static struct cr_slot *holder(struct cr_block *b, bool others) {
  struct cr_slot *s;
  return cr_handle_holders(b, others, &s, 1) > 0 ? s : NULL;
}

static void test_holder(void) {
  struct child c;
  ok(holder(object, true) == NULL, "nobody else holds the object");
  ok(holder(object, false) == cr_self, "but this process does");
  atomic_store(&seen[0], 0);
  child_start(&c, hold_object, 0);
  ok(holder(object, true) == c.birth.slot, "a child does");
  child_kill(&c);
  child_reap(&c);
  ok(holder(object, true) == NULL, "not any more");
}

/* A message in limbo that refers to the object. */
static void test_references(void) {
  struct place {
    struct cr_block head;
    struct cr_block *to;
    cr_word count;
  } *p = cr_alloc(sizeof *p);
  uint32_t h;
  p->to = NULL;
  atomic_store(&p->count, 0);
  cr_ref_add(&p->to, &p->count, object);
  ok(p->to == object && p->count == 1 && refs(object) == 2, "a reference");
  is(cr_ref_to_handle(&p->to, &h), 0, "becomes a handle");
  ok(p->to == NULL && refs(object) == 2, "and is still one");
  cr_handle_drop(h);
  cr_ref_add(&p->to, NULL, object);
  cr_ref_drop(&p->to);
  ok(p->to == NULL && refs(object) == 1, "or is dropped");
  cr_ref_drop(&p->to);
  is(refs(object), 1, "once");
  cr_free(p);
}

int main(void) {
  uint32_t h;
  is(cr_arena_open(), 0, "the arena opens");
  seen = child_share(4 * sizeof *seen);
  object = make(&h);
  test_birth();
  test_raw_fork();
  test_reuse();
  test_handles();
  test_holder();
  test_references();
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
