/* Looking for deadlocks. See deadlock.h.
**
** Each record is read like a sequence lock's data: between two readings of a
** wait_number that are odd and equal, the thread was in that wait all the time.
** If all were, and all were asleep in the kernel meanwhile, nobody has woken
** anybody. A report has no false alarm, then; what is only about to move is
** looked at again a little later.
*/
#include "deadlock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena_impl.h"
#include "slot.h"

enum {
  MS = 1000000,
  SETTLED = 20 * MS,     /* a wait of this length is noted */
  FIRST_LOOK = 100 * MS, /* after that */
  SOON = 20 * MS,        /* to the next look when somebody is about to move */
  OFTEN = 25,            /* such looks in a row */
  LATER_LOOK = 400 * MS, /* to the next look when somebody can go on */
  SHOWN = 64             /* threads that a report lists */
};

void (*cr_describe)(const struct cr_wait *waits, int n);

/* This thread's untimed wait, which may be many sleeps. */
static _Thread_local struct {
  cr_word *word; /* the first that it sleeps on; NULL: there is no such wait */
  int64_t look;  /* when to look next, ns */
  int64_t begun; /* this sleep */
  int looks;     /* that found somebody about to move, in a row */
  bool noted, open, swept;
  bool cycle; /* it has closed a cycle of locks */
} wait;

static uint32_t mode(void) {
  return atomic_load_explicit(&cr_arena->deadlock_mode, memory_order_relaxed);
}

void cr_deadlock_set(enum cr_deadlock_mode m) {
  atomic_store(&cr_arena->deadlock_mode, (uint32_t)m);
}

void cr_deadlock_moved(struct cr_slot *s) {
  if (atomic_exchange(&s->untimed.reported, 0) != 0)
    atomic_store(&cr_arena->deadlock_moved, 1);
}

/* ---- who waits, and since when ---- */

static bool is_live(const struct cr_slot *s) {
  return atomic_load(&s->state) == CR_SLOT_LIVE && !cr_slot_dead(s);
}

static bool in_arena(const void *p) {
  uintptr_t at = (uintptr_t)p, base = (uintptr_t)cr_arena;
  return at >= base && at - base < cr_arena->size;
}

struct cr_slot *cr_slot_of_life(const cr_word *life) {
  uintptr_t first = (uintptr_t)&cr_arena->slot[0].life.word;
  uintptr_t word = (uintptr_t)life & ~(uintptr_t)1;
  uintptr_t i = (word - first) / sizeof(struct cr_slot);
  if (word < first || i >= cr_arena->slots) return NULL;
  struct cr_slot *s = cr_slot_at((uint32_t)i);
  return word == (uintptr_t)&s->life.word ? s : NULL;
}

/* Does it still live, that the sleep depends on? */
static bool lives(const struct cr_wait *w) {
  struct cr_slot *s = cr_slot_of_life(w->word);
  return s != NULL && cr_slot_alive(s, w->value);
}

static bool after(int64_t a, const struct cr_slot *s, int64_t b,
                  const struct cr_slot *than) {
  return a != b ? a > b : s->index > than->index;
}

/* Did it begin to wait after this thread? */
static bool is_later(struct cr_slot *s) {
  return after(atomic_load(&s->untimed.since), s,
               atomic_load(&cr_self->untimed.since), cr_self);
}

/* ---- a cycle of locks ---- */

/* The lock that a thread waits for without end; NULL: none. */
static struct cr_rlock *wanted(struct cr_slot *s, uint32_t *number) {
  *number = atomic_load(&s->wait_number);
  struct cr_rlock *l = atomic_load(&s->wants);
  cr_word *word = atomic_load(&s->untimed.wait[0].word);
  return (*number & 1) && l != NULL && word == &l->word ? l : NULL;
}

struct cycle {
  struct cr_slot *slot[SHOWN];
  int n, more;
  uint64_t sum;         /* of the wait numbers */
  struct cr_slot *last; /* to begin: he has closed it */
};

/* Goes from lock to holder until it comes back here; false: it does not. */
static bool walk(struct cycle *c) {
  struct cr_slot *s = cr_self;
  uint32_t number;
  *c = (struct cycle){.last = s};
  for (uint32_t hops = cr_slot_high(); hops > 0; hops--) {
    struct cr_rlock *l = wanted(s, &number);
    if (l == NULL) return false;
    c->sum = c->sum * 31 + number;
    if (c->n < SHOWN)
      c->slot[c->n++] = s;
    else
      c->more++;
    s = cr_rlock_holder(l);
    if (s == NULL || s == cr_self) return s != NULL;
    if (after(atomic_load(&s->wants_since), s,
              atomic_load(&c->last->wants_since), c->last))
      c->last = s;
  }
  return false;
}

/* Is this thread's wait part of a cycle? */
static bool in_cycle(struct cycle *c) {
  struct cycle again;
  return atomic_load(&cr_self->wants) != NULL && walk(c) && walk(&again) &&
         again.sum == c->sum;
}

/* Has it closed one? */
static bool closes_cycle(struct cycle *c) {
  return in_cycle(c) && c->last == cr_self;
}

/* ---- all wait ---- */

enum verdict {
  STILL,     /* nobody can go on */
  ABLE,      /* somebody can */
  UNSETTLED, /* somebody is about to */
  LATER      /* somebody began to wait after us, and will look */
};

/* One look at the wait numbers. */
static enum verdict scan(uint64_t *sum, bool *corpses) {
  bool able = false;
  *sum = 0;
  *corpses = false;
  for (uint32_t i = 0, high = cr_slot_high(); i < high; i++) {
    struct cr_slot *s = cr_slot_at(i);
    uint32_t state = atomic_load(&s->state);
    if (state == CR_SLOT_FREE) continue;
    if (cr_slot_dead(s) || (state == CR_SLOT_EMBRYO && cr_slot_stillborn(s))) {
      *corpses = true;
      continue;
    }
    uint32_t number = atomic_load(&s->wait_number);
    if (state == CR_SLOT_EMBRYO || !(number & 1))
      able = true;
    else if (s != cr_self && is_later(s))
      return LATER;
    *sum = (*sum ^ number ^ atomic_load(&s->life.both)) * 0x9e3779b97f4a7c15u;
  }
  return able ? ABLE : STILL;
}

/* Is there a /proc that tells of threads? */
static bool have_proc(void) {
  return access("/proc/self/stat", R_OK) == 0;
}

/* What a waiter slept on has changed: it was woken, or should have been. */
static enum verdict check_words(struct cr_slot *s, bool proc) {
  enum verdict v = STILL;
  uint32_t n = atomic_load(&s->untimed.n);
  for (uint32_t i = 0; i < n && i < CR_UNTIMED_MAX; i++) {
    struct cr_wait w = {atomic_load(&s->untimed.wait[i].word),
                        atomic_load(&s->untimed.wait[i].value)};
    if (cr_is_life(&w)) {
      if (!lives(&w)) return ABLE;
    } else if (!in_arena(w.word)) {
      if (!proc) return ABLE;
    } else if (atomic_load(w.word) != w.value) {
      cr_wake(w.word, INT_MAX);
      v = UNSETTLED;
    }
  }
  return v;
}

/* What the kernel says of a thread. */
struct view {
  char state; /* its letter; 0: there is no such thread */
  int parent; /* process */
  unsigned flags;
};

static void look_up(const char *path, struct view *v) {
  char text[512];
  *v = (struct view){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *end = strrchr(text, ')');
  if (end != NULL)
    sscanf(end + 1, " %c %d %*d %*d %*d %*d %u", &v->state, &v->parent,
           &v->flags);
}

/* A process that ends is dead for us before its children hear of it; those that
** end with it must not say that they are left waiting. */
static bool ends(int pid) {
  enum { EXITING = 4 }; /* the kernel's PF_EXITING */
  char path[32];
  struct view v;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  look_up(path, &v);
  return v.state != 0 && v.state != 'Z' && (v.flags & EXITING);
}

static enum verdict check_kernel(struct cr_slot *s) {
  char path[64];
  struct view v;
  snprintf(path, sizeof path, "/proc/%d/task/%u/stat", (int)cr_slot_pid(s),
           atomic_load(&s->life.word) & CR_TID);
  look_up(path, &v);
  if (ends(v.parent)) return UNSETTLED;
  if (s == cr_self) return STILL;
  switch (v.state) {
    case 'S': return STILL;
    case 'T':
    case 't':
    case 0: return ABLE;
    default: return UNSETTLED;
  }
}

static enum verdict check_all(bool proc, bool kernel) {
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (!is_live(s)) continue;
    enum verdict v = kernel ? check_kernel(s) : check_words(s, proc);
    if (v != STILL) return v;
  }
  return STILL;
}

/* The dead may have left something that lets others go on. We may be asleep for
** a lock, which the kernel must go on knowing. */
static void sweep(void) {
  struct cr_rnode *pending = cr_self->robust.pending;
  cr_reap_all();
  cr_step();
  cr_self->robust.pending = pending;
  cr_step();
}

static enum verdict look_at_all(void) {
  uint64_t sum, again;
  bool corpses, proc = have_proc();
  enum verdict v = scan(&sum, &corpses);
  if (v == STILL && corpses && !wait.swept) {
    sweep();
    wait.swept = true;
    return UNSETTLED;
  }
  if (v == STILL) v = check_all(proc, false);
  if (v == STILL && proc) v = check_all(proc, true);
  if (v == STILL && scan(&again, &corpses) != STILL) v = UNSETTLED;
  return v == STILL && again != sum ? UNSETTLED : v;
}

/* ---- reports ---- */

/* Marks the threads as reported and reports, unless another is faster. */
static void report(struct cycle *c, uint32_t count) {
  if (!atomic_compare_exchange_strong(&cr_arena->deadlocks, &count, count + 1))
    return;
  atomic_store(&cr_arena->deadlock_moved, 0);
  for (int i = 0; i < c->n; i++) atomic_store(&c->slot[i]->untimed.reported, 1);
  cr_report_deadlock(c->slot, c->n, c->more);
}

static void report_cycle(struct cycle *c) {
  uint32_t count = atomic_load(&cr_arena->deadlocks);
  if (!atomic_load(&cr_self->untimed.reported)) report(c, count);
}

/* A standstill that only follows from what was reported is no news. */
static void report_all(uint32_t count) {
  struct cycle all = {.n = 0};
  bool known = false;
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (!is_live(s)) continue;
    known |= atomic_load(&s->untimed.reported) != 0;
    if (all.n < SHOWN)
      all.slot[all.n++] = s;
    else
      all.more++;
  }
  if (!known || atomic_load(&cr_arena->deadlock_moved)) report(&all, count);
}

/* ---- around a sleep ---- */

static bool can_raise(void) {
  return mode() == CR_DEADLOCK_RAISE && !cr_patient;
}

/* With RAISE: has this wait closed a cycle? Then it is reported. If it was
** another's, that one shall look. */
static int refuse_cycle(void) {
  struct cycle c;
  if (!can_raise() || !in_cycle(&c)) return 0;
  if (c.last != cr_self) {
    struct cr_rlock *l = atomic_load(&c.last->wants);
    if (l != NULL) cr_wake(&l->word, INT_MAX);
    return 0;
  }
  report_cycle(&c);
  return EDEADLK;
}

static void note(const struct cr_wait *waits, int n, int64_t now) {
  struct cr_untimed *u = &cr_self->untimed;
  wait.noted = true;
  wait.look = now + FIRST_LOOK;
  atomic_store(&u->since, now);
  u->where[0] = 0;
  strcpy(u->what, "something");
  u->held = atomic_load(&cr_self->wants) != NULL;
  if (u->held) strcpy(u->what, "a lock");
  if (cr_describe != NULL) cr_describe(waits, n);
}

/* False: it counts as able to go on. */
static bool publish(const struct cr_wait *waits, int n) {
  struct cr_untimed *u = &cr_self->untimed;
  if (n > CR_UNTIMED_MAX) return false;
  for (int i = 0; i < n; i++) {
    if (cr_is_life(&waits[i]) && !lives(&waits[i])) return false;
    atomic_store(&u->wait[i].word, waits[i].word);
    atomic_store(&u->wait[i].value, waits[i].value);
  }
  atomic_store(&u->n, (uint32_t)n);
  atomic_fetch_add(&cr_self->wait_number, 1);
  return true;
}

int cr_untimed_begin(const struct cr_wait *waits, int n, int64_t now) {
  struct cr_slot *me = cr_self;
  if (me == NULL || mode() == CR_DEADLOCK_OFF) return 0;
  wait.begun = now;
  if (wait.word != waits[0].word) {
    wait.word = waits[0].word;
    wait.look = now + SETTLED;
    wait.looks = 0;
    wait.noted = wait.swept = wait.cycle = false;
    if (atomic_load_explicit(&me->untimed.reported, memory_order_relaxed))
      cr_deadlock_moved(me);
    return 0;
  }
  if (!wait.noted && now < wait.look) return 0;
  if (!wait.noted) note(waits, n, now);
  wait.open = publish(waits, n);
  return wait.open ? refuse_cycle() : 0;
}

int64_t cr_untimed_until(int64_t until) {
  return wait.word != NULL && wait.look < until ? wait.look : until;
}

/* How long to the next look. */
static int64_t pause_after(enum verdict v, int64_t until) {
  if (v != UNSETTLED) wait.looks = 0;
  if (v == UNSETTLED && wait.looks++ < OFTEN) return SOON;
  /* Others wait as well: looks when it wakes up anyway. */
  return v == LATER ? 2 * (until - wait.begun) : LATER_LOOK;
}

bool cr_untimed_look(int64_t until, int *err) {
  int64_t now = cr_now();
  if (!wait.open && wait.noted) wait.look = now + pause_after(UNSETTLED, until);
  if (!wait.open || (now < wait.look && now < until)) return false;
  if ((*err = refuse_cycle()) != 0) return false;
  struct cycle c;
  uint32_t count = atomic_load(&cr_arena->deadlocks);
  enum verdict v = look_at_all();
  now = cr_now();
  wait.look = now + pause_after(v, until);
  if (v == STILL) {
    report_all(count);
  } else if (closes_cycle(&c)) {
    /* Better as part of the whole, if all others are about to wait as well. */
    if (wait.cycle) report_cycle(&c);
    if (!wait.cycle) wait.look = now + SETTLED + FIRST_LOOK;
    wait.cycle = true;
  }
  return now < until;
}

void cr_untimed_end(bool lasts) {
  if (wait.open) atomic_fetch_add(&cr_self->wait_number, 1);
  wait.open = false;
  if (!lasts) wait.word = NULL;
}
