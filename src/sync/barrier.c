/* Barrier. See synch.h.
**
** One word says it all: the round, how it stands, how many have arrived, and
** how the last rounds ended (for who comes late to look). Each change is one
** CAS on it. Who has arrived says so in his slot first, and unsays it only
** after the round is over: a round that counts more than there are live slots
** in it, or in which a dead slot is, has lost one and is broken.
**
** The last to arrive runs the action and holds the lock `acting` meanwhile: if
** it is not held, he has died.
*/
#include "synch.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* State: count 22 bits | phase 2 | history 8 | round 32. Bit i of the history:
** the (i + 1)th last round was broken or reset. */
enum phase { FILLING, ACTING, BROKEN };
enum { COUNT_BITS = 22, HISTORY_BITS = 8 };

struct cr_barrier {
  struct cr_block head;
  char site[CR_SITE_MAX];
  uint32_t parties; /* r/o */
  uint32_t action;  /* r/o: is there one? */
  cr_word64 state;
  cr_word wake; /* a crowd sleeps here */
  uint32_t unused;
  double timeout;        /* r/o */
  struct cr_block *code; /* counted, or NULL */
  struct cr_rlock acting;
};

static uint64_t make(uint32_t round, uint32_t history, enum phase p,
                     uint32_t count) {
  return (uint64_t)round << 32 | (uint64_t)(history & 0xff) << 24 |
         (uint64_t)p << COUNT_BITS | count;
}
static uint32_t round_of(uint64_t v) {
  return (uint32_t)(v >> 32);
}
static uint32_t history_of(uint64_t v) {
  return (v >> 24) & 0xff;
}
static enum phase phase_of(uint64_t v) {
  return (v >> COUNT_BITS) & 3;
}
static uint32_t count_of(uint64_t v) {
  return v & CR_PARTIES_MAX;
}

/* The state with which the next round begins. */
static uint64_t next_round(uint64_t v, bool broken) {
  return make(round_of(v) + 1, history_of(v) << 1 | broken, FILLING, 0);
}

static uint64_t as_phase(uint64_t v, enum phase p) {
  return make(round_of(v), history_of(v), p, count_of(v));
}

static bool cas(struct cr_barrier *b, uint64_t old, uint64_t new) {
  return atomic_compare_exchange_strong(&b->state, &old, new);
}

struct cr_barrier *cr_barrier_new(uint32_t parties, bool action, double timeout,
                                  struct cr_block *code) {
  struct cr_barrier *b = cr_alloc(sizeof *b);
  if (b == NULL) return NULL;
  memset((char *)b + sizeof b->head, 0, sizeof *b - sizeof b->head);
  atomic_store_explicit(&b->head.refs, 0, memory_order_relaxed);
  b->parties = parties;
  b->action = action;
  b->timeout = timeout;
  atomic_store(&b->head.type, CR_BARRIER);
  if (code != NULL) cr_ref_add(&b->code, NULL, code);
  return b;
}

static bool is_in(struct cr_slot *s, const struct cr_barrier *b,
                  uint32_t round) {
  return atomic_load(&s->waits_in) == (uintptr_t)b &&
         atomic_load(&s->note) == round;
}

/* Has one died in this round? `others`: how many are counted, but us. */
static bool lost_one(struct cr_barrier *b, uint64_t v, uint32_t others) {
  uint32_t live = 0;
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    struct cr_slot *s = cr_slot_at(i);
    if (!is_in(s, b, round_of(v))) continue;
    if (cr_slot_dead(s)) return true;
    live += s != cr_self;
  }
  return phase_of(v) == ACTING ? cr_rlock_holder(&b->acting) == NULL
                               : live < others;
}

/* Has one died in that round, who perhaps was to wake us all? */
static bool has_dead(const struct cr_barrier *b, uint32_t round) {
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    if (is_in(cr_slot_at(i), b, round) && cr_slot_dead(cr_slot_at(i)))
      return true;
  return false;
}

static void enter(struct cr_barrier *b, uint64_t v) {
  cr_wake_begin(&b->wake); /* should we die, one comes to look */
  atomic_store(&cr_self->note, round_of(v));
  atomic_store(&cr_self->waits_in, (uintptr_t)b);
}

static void leave(void) {
  atomic_store(&cr_self->waits_in, 0);
  cr_wake_cancel();
}

static bool spin(const struct cr_barrier *b, uint32_t round) {
  struct cr_spin spinning;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (round_of(atomic_load(&b->state)) != round) {
      cr_spin_won(&spinning);
      return true;
    }
  }
  return false;
}

/* The upper half of the state, as a word (little endian). Who sleeps watches it
** besides: the wake word of a round that is over looks the same again as soon as
** somebody sleeps in the next one. */
static struct cr_wait round_word(struct cr_barrier *b, uint32_t round) {
  return (struct cr_wait){(cr_word *)&b->state + 1, round};
}

/* Waits until the round is over: 0. EPIPE: it is broken; ETIMEDOUT and EINTR:
** we broke it. While the action runs nobody's time runs out. */
static int wait_round(struct cr_barrier *b, uint32_t round, int64_t deadline,
                      bool counted) {
  int err = 0;
  bool slept = false;
  if (deadline != 0 && spin(b, round)) return 0;
  for (;;) {
    struct cr_wait w[] = {{&b->wake, cr_wake_want(&b->wake, true)},
                          round_word(b, round)};
    uint64_t v = atomic_load(&b->state);
    bool acting = phase_of(v) == ACTING;
    if (round_of(v) != round || phase_of(v) == BROKEN) {
      err = round_of(v) != round ? 0 : EPIPE;
      break;
    }
    if (lost_one(b, v, count_of(v) - counted)) {
      cas(b, v, as_phase(v, BROKEN));
      continue;
    }
    if (err != 0 && !(err == ETIMEDOUT && acting)) {
      if (cas(b, v, as_phase(v, BROKEN))) break;
      continue;
    }
    err = cr_sleep(w, 2, acting ? CR_FOREVER : deadline);
    slept = true;
  }
  /* Not in any case: others sleep in the next round already. */
  if (slept && has_dead(b, round)) cr_wake(&b->wake, INT_MAX);
  return err;
}

/* Counts us in: 0, EALREADY (we are the last and act), EPIPE, or EAGAIN: it
** has changed meanwhile. */
static int count_in(struct cr_barrier *b, uint64_t v) {
  bool last = count_of(v) + 1 == b->parties;
  if (last && lost_one(b, v, count_of(v))) {
    cas(b, v, as_phase(v, BROKEN));
    cr_wake_end(&b->wake);
    return EAGAIN;
  }
  if (!last) return cas(b, v, v + 1) ? 0 : EAGAIN;
  if (b->action) return cas(b, v, as_phase(v + 1, ACTING)) ? EALREADY : EAGAIN;
  if (!cas(b, v, next_round(v, false))) return EAGAIN;
  cr_wake_end(&b->wake);
  return 0;
}

/* As count_in, whatever changes meanwhile. On 0 and EALREADY *v is what we
** were counted in, and on 0 we are in. */
static int arrive(struct cr_barrier *b, uint64_t *v) {
  int err;
  do {
    *v = atomic_load(&b->state);
    if (phase_of(*v) == BROKEN) return EPIPE;
    if (phase_of(*v) == ACTING) {
      cr_wake_begin(&b->wake);
      err = wait_round(b, round_of(*v), CR_FOREVER, false);
      cr_wake_end(&b->wake);
      if (err != 0) return err;
      err = EAGAIN;
      continue;
    }
    bool acts = b->action && count_of(*v) + 1 == b->parties;
    if (acts && cr_rlock_mine(&b->acting)) return EPIPE;
    if (acts) cr_rlock_take(&b->acting);
    enter(b, *v);
    err = count_in(b, *v);
    if (err != 0) leave();
    if (acts && err != EALREADY) cr_rlock_release(&b->acting);
  } while (err == EAGAIN);
  return err;
}

/* How did that round end, as far as we remember? */
static int outcome(const struct cr_barrier *b, uint32_t round) {
  uint64_t v = atomic_load(&b->state);
  uint32_t ago = round_of(v) - round;
  if (ago == 0 || ago > HISTORY_BITS) return 0;
  return history_of(v) >> (ago - 1) & 1 ? EPIPE : 0;
}

int cr_barrier_wait(struct cr_barrier *b, int64_t deadline, uint32_t *index) {
  uint64_t v;
  int err = arrive(b, &v);
  *index = count_of(v) + 1;
  if (err != 0) return err;
  err = wait_round(b, round_of(v), deadline, true);
  if (err == 0) err = outcome(b, round_of(v));
  atomic_store(&cr_self->waits_in, 0);
  if (err == 0)
    cr_wake_cancel();
  else
    cr_wake_end(&b->wake); /* all that are in the broken round */
  return err;
}

/* Ends the action that we ran. */
static int end_action(struct cr_barrier *b, bool good) {
  int err = EPIPE;
  uint64_t v = atomic_load(&b->state);
  enter(b, v);
  while (phase_of(v) == ACTING && err != 0)
    if (atomic_compare_exchange_weak(
            &b->state, &v, good ? next_round(v, false) : as_phase(v, BROKEN)))
      err = 0;
  cr_wake_end(&b->wake);
  leave();
  cr_rlock_release(&b->acting);
  return err;
}

int cr_barrier_open(struct cr_barrier *b) {
  return cr_rlock_mine(&b->acting) ? end_action(b, true) : EPIPE;
}

/* Breaks that round, unless it is over. */
static void break_round(struct cr_barrier *b, uint64_t v) {
  uint32_t round = round_of(v);
  cr_wake_begin(&b->wake);
  while (round_of(v) == round && phase_of(v) != BROKEN &&
         !atomic_compare_exchange_weak(&b->state, &v, as_phase(v, BROKEN)))
    ;
  cr_wake_end(&b->wake);
}

void cr_barrier_abort(struct cr_barrier *b) {
  if (cr_rlock_mine(&b->acting))
    end_action(b, false);
  else
    break_round(b, atomic_load(&b->state));
}

void cr_barrier_reset(struct cr_barrier *b) {
  uint64_t v = atomic_load(&b->state);
  cr_wake_begin(&b->wake);
  while ((phase_of(v) != FILLING || count_of(v) > 0) &&
         !atomic_compare_exchange_weak(&b->state, &v, next_round(v, true)))
    ;
  cr_wake_end(&b->wake);
}

bool cr_barrier_acts(const struct cr_barrier *b) {
  return b->action != 0;
}

double cr_barrier_timeout(const struct cr_barrier *b) {
  return b->timeout;
}

struct cr_block *cr_barrier_code(const struct cr_barrier *b) {
  return b->code;
}

uint32_t cr_barrier_parties(const struct cr_barrier *b) {
  return b->parties;
}

uint32_t cr_barrier_waiting(struct cr_barrier *b) {
  if (cr_barrier_broken(b)) return 0;
  return count_of(atomic_load(&b->state));
}

bool cr_barrier_broken(struct cr_barrier *b) {
  uint64_t v = atomic_load(&b->state);
  if (phase_of(v) == BROKEN) return true;
  if (count_of(v) == 0 || !lost_one(b, v, count_of(v))) return false;
  break_round(b, v);
  return phase_of(atomic_load(&b->state)) == BROKEN;
}

void cr_barrier_bereave(struct cr_barrier *b, struct cr_slot *dead) {
  uint64_t v = atomic_load(&b->state);
  if (round_of(v) == atomic_load(&dead->note)) {
    break_round(b, v);
    return;
  }
  cr_wake_begin(&b->wake); /* it has ended the round, and was to wake all */
  cr_wake_end(&b->wake);
}

static void destroy(struct cr_block *b) {
  cr_ref_drop(&((struct cr_barrier *)b)->code);
  cr_free(b);
}

static void visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_barrier *barrier = (struct cr_barrier *)b;
  if (barrier->code != NULL) v->ref(barrier->code);
}

static __attribute__((constructor)) void register_type(void) {
  cr_on_death = cr_bereave;
  cr_set_destroy(CR_BARRIER, destroy);
  cr_set_visit(CR_BARRIER, visit);
}
