/* Condition. See synch.h.
**
** A waiter says in his slot what he waits for, with a ticket, and sleeps on the
** note in his slot. Who notifies looks at all slots and writes on the note of
** the longest waiting one that is alive: the dead swallow nothing. A note that
** was written and whose reader died before he had the lock again is passed on
** by the reaper, or by the next waiter who looks.
**
** Slots are entered and left under the condition's lock; only the end of a
** wait (notified or given up) is decided without it, by one CAS on the note.
*/
#include "synch.h"

#include <errno.h>

#define WAITING CR_WAITERS
#define NOTED CR_DIED /* any bit that is not a thread id's */

struct cr_condition {
  struct cr_block head;
  char site[CR_SITE_MAX];
  struct cr_block *lock; /* counted */
  uint64_t ticket;       /* the last one given; under the lock */
};

struct cr_condition *cr_condition_new(struct cr_lock *lock) {
  struct cr_condition *c = cr_alloc(sizeof *c);
  if (c == NULL) return NULL;
  atomic_store_explicit(&c->head.refs, 0, memory_order_relaxed);
  c->site[0] = 0;
  c->lock = NULL;
  c->ticket = 0;
  atomic_store(&c->head.type, CR_CONDITION);
  cr_ref_add(&c->lock, NULL, &lock->head);
  return c;
}

struct cr_lock *cr_condition_lock(struct cr_condition *c) {
  return (struct cr_lock *)c->lock;
}

static bool cas(cr_word *word, uint32_t old, uint32_t new) {
  return atomic_compare_exchange_strong(word, &old, new);
}

static bool is_in(struct cr_slot *s, const struct cr_condition *c,
                  uint32_t note) {
  return atomic_load(&s->waits_in) == (uintptr_t)c &&
         atomic_load(&s->note) == note;
}

static bool alive(struct cr_slot *s) {
  return atomic_load(&s->state) == CR_SLOT_LIVE && !cr_slot_dead(s);
}

/* The live one that has waited longest, or NULL. */
static struct cr_slot *first_waiter(const struct cr_condition *c) {
  struct cr_slot *first = NULL;
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (is_in(s, c, WAITING) && alive(s) &&
        (first == NULL || s->ticket < first->ticket))
      first = s;
  }
  return first;
}

/* Tells it; false if it has just given up. */
static bool tell(struct cr_slot *s) {
  cr_wake_begin(&s->note);
  bool told = cas(&s->note, WAITING, NOTED);
  if (told) cr_wake(&s->note, 1);
  cr_wake_cancel();
  return told;
}

static bool tell_one(const struct cr_condition *c) {
  struct cr_slot *s;
  while ((s = first_waiter(c)) != NULL)
    if (tell(s)) return true;
  return false;
}

static void tell_all(const struct cr_condition *c) {
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    if (is_in(cr_slot_at(i), c, WAITING)) tell(cr_slot_at(i));
}

int cr_condition_notify(struct cr_condition *c, uint32_t n) {
  if (!cr_lock_mine(cr_condition_lock(c))) return EPERM;
  if (n == UINT32_MAX)
    tell_all(c);
  else
    while (n > 0 && tell_one(c)) n--;
  return 0;
}

uint32_t cr_condition_waiters(struct cr_condition *c) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    n += is_in(cr_slot_at(i), c, WAITING) && alive(cr_slot_at(i));
  return n;
}

void cr_condition_bereave(struct cr_condition *c, struct cr_slot *dead) {
  if (atomic_load(&dead->note) != NOTED) return;
  tell_one(c);
  atomic_store(&dead->note, 0);
}

/* Takes the note of one that died with it. While we look we pass for notified,
** so that the note is passed on should we die. */
static bool inherit(const struct cr_condition *c) {
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i), *me = cr_self;
    if (!is_in(s, c, NOTED) || !cr_slot_dead(s)) continue;
    if (!cas(&me->note, WAITING, NOTED)) return true;
    if (cas(&s->note, NOTED, 0)) return true;
    atomic_store(&me->note, WAITING);
  }
  return false;
}

static bool spin(struct cr_slot *me) {
  struct cr_spin spinning;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (atomic_load(&me->note) != WAITING) {
      cr_spin_won(&spinning);
      return true;
    }
  }
  return false;
}

/* Until the note is written: 0, ETIMEDOUT, EINTR. */
static int wait_note(const struct cr_condition *c, int64_t deadline) {
  struct cr_slot *me = cr_self;
  struct cr_wait w = {&me->note, WAITING};
  if (deadline != 0 && spin(me)) return 0;
  for (;;) {
    if (atomic_load(&me->note) != WAITING) return 0;
    int err = deadline == 0 ? ETIMEDOUT : cr_sleep(&w, 1, deadline);
    if (atomic_load(&me->note) != WAITING || inherit(c)) return 0;
    if (err != 0 && cas(&me->note, WAITING, 0)) return err;
  }
}

/* The lock must come back whatever happens: an interrupt waits. */
static int regain(struct cr_lock *l) {
  bool before = cr_patient;
  int err;
  cr_patient = true;
  do err = cr_rlock_acquire(&l->lock, CR_FOREVER);
  while (err != 0 && err != EOWNERDEAD);
  cr_patient = before;
  return err;
}

int cr_condition_wait(struct cr_condition *c, int64_t deadline) {
  struct cr_lock *l = cr_condition_lock(c);
  struct cr_slot *me = cr_self;
  if (!cr_lock_mine(l)) return EPERM;
  uint32_t depth = l->depth;
  me->ticket = ++c->ticket;
  atomic_store(&me->note, WAITING);
  atomic_store(&me->waits_in, (uintptr_t)c);
  cr_rlock_release(&l->lock);
  int err = wait_note(c, deadline);
  int owner = regain(l);
  l->depth = depth;
  atomic_store(&me->waits_in, 0);
  return err != 0 ? err : owner;
}

static void destroy(struct cr_block *b) {
  cr_ref_drop(&((struct cr_condition *)b)->lock);
  cr_free(b);
}

static void visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_condition *c = (struct cr_condition *)b;
  if (c->lock != NULL) v->ref(c->lock);
}

static __attribute__((constructor)) void register_type(void) {
  cr_on_death = cr_bereave;
  cr_set_destroy(CR_CONDITION, destroy);
  cr_set_visit(CR_CONDITION, visit);
}
