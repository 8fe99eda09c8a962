/* The interpreter lock. See gil.h.
**
** `locked` is taken by a compare-and-swap when nobody queues. Who gives the lock
** back lets whoever comes first have it and wakes the first of the queue (a hand
** over would make a convoy of threads that wait for each other in turns); only
** who is stopped hands it over.
*/
#include "gil.h"

#include <sched.h>
#include <stdlib.h>

#include "preempt.h"
#include "undo.h"

enum {
  INTERVAL = 5000000, /* ns that a thread runs while others want to compute */
  SOON = 100000,      /* ns, while one comes out of a wait */
  /* ns: a holder that has it for less often waits in the next moment. Who comes
  ** out of a wait looks for so long before it queues up, with a timer. */
  MOMENT = 50000,
  /* Those that come out of waits go first, but not for longer than so many
  ** intervals: then one that computes has a turn. */
  PATIENCE = 10,
  LEAVING = 1, /* seconds that a state which goes waits for its threads */
  SURELY = 60, /* the same for those that are sure to come */
  SOMETIMES = 100000000 /* ns between looks at them */
};

_Thread_local struct cr_thread *cr_thread_self;

/* The states of this process. */
static pthread_mutex_t states_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cr_gil *states;

/* ---- queues, under the mutex ---- */

static void enqueue(struct cr_queue_of_threads *q, struct cr_thread *t) {
  t->next_waiting = NULL;
  t->previous_waiting = q->last;
  *(q->last != NULL ? &q->last->next_waiting : &q->first) = t;
  q->last = t;
}

static void put_first(struct cr_queue_of_threads *q, struct cr_thread *t) {
  t->previous_waiting = NULL;
  t->next_waiting = q->first;
  *(q->first != NULL ? &q->first->previous_waiting : &q->last) = t;
  q->first = t;
}

static void dequeue(struct cr_queue_of_threads *q, struct cr_thread *t) {
  *(t->previous_waiting != NULL ? &t->previous_waiting->next_waiting
                                : &q->first) = t->next_waiting;
  *(t->next_waiting != NULL ? &t->next_waiting->previous_waiting : &q->last) =
      t->previous_waiting;
}

static struct cr_queue_of_threads *queue_of(struct cr_thread *t) {
  return t->woken ? &t->gil->woken : &t->gil->computing;
}

static void queue_up(struct cr_thread *t, bool woken) {
  t->woken = woken;
  t->granted = false;
  enqueue(queue_of(t), t);
  atomic_fetch_add(&t->gil->waiting, 1);
}

/* One that was stopped early, for one that woke, keeps its place. */
static void queue_again(struct cr_thread *t, int64_t now, bool early) {
  t->used += now - t->began;
  early = early && t->used < atomic_load(&t->gil->interval);
  if (!early) t->used = 0;
  t->woken = t->granted = false;
  (early ? put_first : enqueue)(queue_of(t), t);
  atomic_fetch_add(&t->gil->waiting, 1);
}

static void queue_leave(struct cr_thread *t) {
  dequeue(queue_of(t), t);
  atomic_fetch_sub(&t->gil->waiting, 1);
}

/* Who is to run next, or NULL. */
static struct cr_thread *next_in(const struct cr_gil *g, int64_t now) {
  struct cr_thread *woken = g->woken.first, *computing = g->computing.first;
  if (woken == NULL || computing == NULL)
    return woken != NULL ? woken : computing;
  int64_t limit = PATIENCE * atomic_load(&g->interval);
  return now - g->computed > limit ? computing : woken;
}

/* Has it look again: sets its word, and returns it, to be unparked once the mutex
** is free (a thread that is woken wants it at once). */
static cr_word *tell(struct cr_thread *t) {
  if (t == NULL) return NULL;
  cr_word *turn = t->turn;
  atomic_store(turn, 1);
  return turn;
}

static void unlock_and_wake(struct cr_gil *g, cr_word *turn) {
  pthread_mutex_unlock(&g->mutex);
  if (turn != NULL) cr_unpark(turn);
}

/* How long the holder may run while t waits. A holder whose stops are costly
** (deep stacks) is stopped less often. */
static int64_t slice(const struct cr_thread *t,
                     const struct cr_thread *holder) {
  int64_t interval = atomic_load(&t->gil->interval);
  int64_t ns = t->woken && interval > SOON ? SOON : interval;
  int64_t least = 10 * atomic_load(&holder->cost);
  return ns > least ? ns : least;
}

/* Has the holder stopped in time for the waiter t. */
static void ask(struct cr_thread *holder, const struct cr_thread *t,
                int64_t now) {
  if (holder->tid == 0) return; /* it does not run yet, and will look itself */
  int64_t ns = slice(t, holder), deadline = now + ns;
  if (holder->armed && holder->deadline <= deadline) return;
  holder->deadline = deadline;
  cr_preempt_arm(holder, ns);
}

/* t has the lock: has it stopped in time for the next. Without a timer that one
** sees to it. */
static void look_ahead(struct cr_thread *t, int64_t now) {
  struct cr_thread *next = next_in(t->gil, now);
  if (next == NULL) return;
  ask(t, next, now);
  if (t->armed && !t->has_timer) cr_unpark(tell(next));
}

/* Until when may the waiter t sleep? Whoever may be next, which changes with time,
** sees to a holder without a timer. */
static int64_t next_look(struct cr_thread *t, struct cr_thread *holder,
                         int64_t now) {
  if (holder == NULL || !holder->armed || holder->has_timer) return CR_FOREVER;
  if (queue_of(t)->first != t) return CR_FOREVER;
  if (holder->deadline <= now) {
    cr_preempt_poke(holder);
    holder->deadline = now + atomic_load(&t->gil->interval);
  }
  return holder->deadline;
}

/* ---- taking and giving ---- */

static void got(struct cr_thread *t) {
  t->drop = 0;
  t->backoff = 0;
  t->holding = 1; /* before its timer can ring */
  atomic_signal_fence(memory_order_seq_cst);
  if (cr_interrupted(t) || cr_dump_wanted == t->gil) cr_trap(t);
}

static void set_began(struct cr_thread *t, int64_t now) {
  t->began = now;
  atomic_store_explicit(&t->gil->since, now, memory_order_relaxed);
}

static bool closing(const struct cr_thread *t) {
  return atomic_load_explicit(&t->gil->closing, memory_order_acquire);
}

/* Threads that come for the lock of a state that is going end here. What lies on
** their stacks is not run to its end, but for what they must undo. */
static _Noreturn void end_here(struct cr_thread *t);

static bool try(struct cr_gil *g) {
  uint32_t open = 0;
  return atomic_compare_exchange_strong(&g->locked, &open, 1);
}

/* Called and left with the mutex; t is in a queue. Wakes another one meanwhile.
** False, and without the mutex: the state is going. */
static bool wait_turn(struct cr_thread *t, cr_word *other) {
  struct cr_gil *g = t->gil;
  for (;;) {
    if (t->granted) break; /* whoever handed over has taken us off the queue */
    bool ends = closing(t);
    if (ends || try(g)) {
      queue_leave(t);
      if (!ends) break;
      unlock_and_wake(g, other);
      return false;
    }
    struct cr_thread *holder = atomic_load(&g->holder);
    int64_t now = cr_now();
    if (holder != NULL) ask(holder, t, now);
    int64_t until = next_look(t, holder, now);
    atomic_store(t->turn, 0);
    unlock_and_wake(g, other);
    other = NULL;
    cr_park(t->turn, 0, until);
    pthread_mutex_lock(&g->mutex);
  }
  atomic_store(&g->holder, t);
  got(t);
  int64_t now = cr_now();
  set_began(t, now);
  if (!t->woken) g->computed = now;
  look_ahead(t, now);
  return true;
}

static bool acquire_slow(struct cr_thread *t, bool woken) {
  struct cr_gil *g = t->gil;
  pthread_mutex_lock(&g->mutex);
  queue_up(t, woken);
  if (!wait_turn(t, NULL)) return false;
  pthread_mutex_unlock(&g->mutex);
  return true;
}

/* Whoever wakes a thread often waits for it in the next moment. */
static bool try_for_a_moment(struct cr_gil *g) {
  if (atomic_load(&g->waiting) == 0 && try(g)) return true;
  bool good = false;
  atomic_fetch_add(&g->trying, 1);
  while (atomic_load(&g->waiting) == 0 && !atomic_load(&g->closing)) {
    good = try(g);
    int64_t since = atomic_load_explicit(&g->since, memory_order_relaxed);
    if (good || cr_now() - since > MOMENT) break;
    sched_yield();
  }
  atomic_fetch_sub(&g->trying, 1);
  return good;
}

bool cr_gil_try_acquire(struct cr_thread *t, bool woken) {
  struct cr_gil *g = t->gil;
  if (closing(t)) return pthread_equal(pthread_self(), g->closer);
  if (woken ? !try_for_a_moment(g) : atomic_load(&g->waiting) > 0 || !try(g))
    return acquire_slow(t, woken);
  atomic_store(&g->holder, t);
  t->woken = woken;
  set_began(t, cr_now());
  got(t);
  if (atomic_load(&g->waiting) == 0) return true;
  /* Somebody queued up before he could see who holds it. */
  pthread_mutex_lock(&g->mutex);
  look_ahead(t, cr_now());
  pthread_mutex_unlock(&g->mutex);
  return true;
}

void cr_gil_acquire(struct cr_thread *t, bool woken) {
  if (!cr_gil_try_acquire(t, woken)) end_here(t);
}

static void open_lock(struct cr_gil *g) {
  atomic_store(&g->holder, NULL);
  atomic_store(&g->locked, 0);
}

/* Wakes the next; one that is woken needlessly just looks again. */
static void unlock_for_next(struct cr_gil *g) {
  unlock_and_wake(g, tell(next_in(g, 0)));
}

void cr_gil_release(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  if (closing(t)) return; /* the closing thread keeps it */
  t->holding = 0;
  atomic_signal_fence(memory_order_seq_cst);
  bool quiet = atomic_load(&g->waiting) == 0 && !t->armed;
  if (quiet) {
    open_lock(g);
    if (atomic_load(&g->waiting) == 0) return;
  }
  pthread_mutex_lock(&g->mutex);
  if (!quiet) {
    if (t->armed) cr_preempt_disarm(t);
    open_lock(g);
  }
  unlock_for_next(g);
}

void cr_gil_yield(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  if (closing(t)) return;
  pthread_mutex_lock(&g->mutex);
  t->drop = 0;
  int64_t now = cr_now();
  if (!t->woken) g->computed = now; /* until now */
  struct cr_thread *next = next_in(g, now);
  if (next != NULL) {
    queue_leave(next);
    next->granted = true;
    t->holding = 0;
    atomic_signal_fence(memory_order_seq_cst);
    if (t->armed) cr_preempt_disarm(t);
    atomic_store(&g->holder, next);
    queue_again(t, now, next->woken);
    if (!wait_turn(t, tell(next))) end_here(t);
  }
  pthread_mutex_unlock(&g->mutex);
}

/* ---- threads ---- */

static struct cr_thread *new_record(struct cr_gil *g, lua_State *base) {
  struct cr_thread *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  t->gil = g;
  t->base = base;
  t->running = base;
  t->turn = &t->own_turn;
  atomic_fetch_add(&g->count, 1);
  atomic_fetch_add(&g->references, 1);
  return t;
}

void cr_thread_list(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  t->listed = true;
  t->next = g->threads;
  if (t->next != NULL) t->next->previous = t;
  g->threads = t;
}

struct cr_thread *cr_thread_new(struct cr_gil *g, lua_State *base) {
  struct cr_thread *t = new_record(g, base);
  if (t != NULL) cr_thread_list(t);
  return t;
}

static void drop_reference(struct cr_gil *g) {
  if (atomic_fetch_sub(&g->references, 1) > 1) return;
  pthread_mutex_destroy(&g->mutex);
  free(g);
}

static void unlist(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  atomic_fetch_sub(&g->count, 1);
  if (!t->listed) return; /* a guest that never got in */
  *(t->previous != NULL ? &t->previous->next : &g->threads) = t->next;
  if (t->next != NULL) t->next->previous = t->previous;
}

static void forget(struct cr_thread *t) {
  cr_preempt_forget(t);
  drop_reference(t->gil);
  free(t);
}

void cr_thread_discard(struct cr_thread *t) {
  unlist(t);
  forget(t);
}

/* The calling OS thread is t's. Under the mutex if others know t already. */
static void become(struct cr_thread *t) {
  cr_preempt_admit();
  t->tid = cr_slot_tid(cr_self);
  t->sleeping = &cr_sleeping;
  t->outer = cr_thread_self;
  atomic_store(&t->slot, cr_self);
  cr_thread_self = t;
}

void cr_thread_announce(struct cr_thread *t, cr_word *turn) {
  struct cr_gil *g = t->gil;
  if (turn != NULL) t->turn = turn;
  pthread_mutex_lock(&g->mutex);
  queue_up(t, true);
  struct cr_thread *holder = atomic_load(&g->holder);
  if (holder != NULL) {
    ask(holder, t, cr_now());
    if (holder->armed && !holder->has_timer) cr_unpark(tell(t));
  }
  pthread_mutex_unlock(&g->mutex);
}

void cr_thread_renounce(struct cr_thread *t) {
  pthread_mutex_lock(&t->gil->mutex);
  queue_leave(t);
  pthread_mutex_unlock(&t->gil->mutex);
}

void cr_thread_enter(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  pthread_mutex_lock(&g->mutex);
  become(t);
  if (!wait_turn(t, NULL)) end_here(t);
  pthread_mutex_unlock(&g->mutex);
}

/* From now on there is more than one: whoever waits and has kept the lock looks
** again, and gives it back. */
struct cr_thread *cr_thread_guest(struct cr_gil *g) {
  struct cr_thread *t = new_record(g, g->state);
  if (t == NULL) return NULL;
  t->guest = t->daemon = true;
  become(t);
  pthread_mutex_lock(&g->mutex);
  struct cr_thread *holder = atomic_load(&g->holder);
  if (holder != NULL) cr_thread_wake(holder);
  pthread_mutex_unlock(&g->mutex);
  return t;
}

static void unchain(struct cr_thread *t) {
  struct cr_thread **p = &cr_thread_self;
  while (*p != t) p = &(*p)->outer;
  *p = t->outer;
}

void cr_thread_abandon(struct cr_thread *t) {
  if (!t->holding && !cr_gil_try_acquire(t, false)) {
    cr_thread_dismiss(t);
    return;
  }
  unchain(t);
  cr_preempt_forget(t);
  if (t->vanished != NULL) t->vanished(t);
  t->abandoned = t->daemon = true;
  cr_gil_release(t);
}

void cr_thread_leave(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  unlist(t);
  unchain(t);
  t->holding = 0;
  atomic_signal_fence(memory_order_seq_cst);
  pthread_mutex_lock(&g->mutex);
  open_lock(g);
  unlock_for_next(g);
  forget(t);
}

/* While a state goes its threads leave the list in any order. */
static void forget_of_closed(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  pthread_mutex_lock(&g->mutex);
  unlist(t);
  if (g->main == t) g->main = NULL;
  atomic_fetch_add(&g->left, 1);
  cr_unpark(&g->left);
  pthread_mutex_unlock(&g->mutex);
  forget(t);
}

void cr_thread_dismiss(struct cr_thread *t) {
  unchain(t);
  forget_of_closed(t);
}

static _Noreturn void end_here(struct cr_thread *t) {
  jmp_buf *home = t->home;
  cr_word nothing = 0;
  cr_thread_self = NULL;
  cr_undo_all();
  forget_of_closed(t);
  if (home != NULL) longjmp(*home, 1);
  for (;;) cr_park(&nothing, 0, CR_FOREVER);
}

struct cr_thread *cr_thread_find(lua_State *L) {
  const void *registry = lua_topointer(L, LUA_REGISTRYINDEX);
  struct cr_thread *t = cr_thread_self;
  while (t != NULL && t->gil->registry != registry) t = t->outer;
  return t;
}

void cr_thread_wake(struct cr_thread *t) {
  struct cr_slot *slot = atomic_load(&t->slot);
  if (slot == NULL) return;
  cr_ring(&slot->alarm);
  if (atomic_load(&slot->polling)) cr_preempt_poke(t);
}

/* ---- states ---- */

/* The other threads of t's state are gone. */
static void vanish(struct cr_gil *g, struct cr_thread *t) {
  struct cr_thread *next;
  for (struct cr_thread *o = g->threads; o != NULL; o = next) {
    next = o->next;
    if (o == t) continue;
    if (o->vanished != NULL) o->vanished(o);
    free(o);
  }
  g->threads = g->main = t;
  g->stale = true;
  g->generation++;
  t->daemon = false;
  t->next = t->previous = NULL;
  atomic_store(&g->count, 1);
  atomic_store(&g->references, 2);
}

/* Of the threads of this process only the calling one is left in a child. */
static void in_child(void) {
  pthread_mutex_init(&states_mutex, NULL);
  for (struct cr_thread *t = cr_thread_self; t != NULL; t = t->outer) {
    struct cr_gil *g = t->gil;
    pthread_mutex_init(&g->mutex, NULL);
    g->woken = g->computing = (struct cr_queue_of_threads){NULL, NULL};
    atomic_store(&g->waiting, 0);
    atomic_store(&g->trying, 0);
    atomic_store(&g->locked, (uint32_t)t->holding);
    atomic_store(&g->holder, t->holding ? t : NULL);
    g->timers = 0;
    t->has_timer = false;
    t->armed = t->drop = 0;
    t->slot = cr_self;
    t->tid = cr_slot_tid(cr_self);
    if (atomic_load(&g->count) > 1 || g->main != t) vanish(g, t);
  }
}

static void prepare(void) {
  pthread_atfork(NULL, NULL, in_child);
  cr_preempt_open();
  cr_blocking_open();
}

struct cr_gil *cr_gil_find(lua_State *L) {
  const void *registry = lua_topointer(L, LUA_REGISTRYINDEX);
  pthread_mutex_lock(&states_mutex);
  struct cr_gil *g = states;
  while (g != NULL && g->registry != registry) g = g->next;
  pthread_mutex_unlock(&states_mutex);
  return g;
}

static void list_state(struct cr_gil *g) {
  pthread_mutex_lock(&states_mutex);
  g->next = states;
  states = g;
  pthread_mutex_unlock(&states_mutex);
}

static void unlist_state(struct cr_gil *g) {
  pthread_mutex_lock(&states_mutex);
  struct cr_gil **p = &states;
  while (*p != NULL && *p != g) p = &(*p)->next;
  if (*p != NULL) *p = g->next;
  pthread_mutex_unlock(&states_mutex);
}

static lua_State *main_state(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

struct cr_gil *cr_gil_open(lua_State *L) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  struct cr_gil *g = cr_gil_find(L);
  if (g != NULL) return g;
  pthread_once(&once, prepare);
  if (cr_guest_until_end() != 0) return NULL;
  g = calloc(1, sizeof *g);
  if (g == NULL) return NULL;
  pthread_mutex_init(&g->mutex, NULL);
  atomic_store(&g->interval, INTERVAL);
  atomic_store(&g->references, 1);
  g->registry = lua_topointer(L, LUA_REGISTRYINDEX);
  g->state = main_state(L);
  struct cr_thread *t = cr_thread_new(g, g->state);
  if (t == NULL) {
    drop_reference(g);
    return NULL;
  }
  g->main = t;
  become(t);
  cr_gil_acquire(t, false);
  cr_hooks_open(t->base);
  list_state(g);
  return g;
}

static void wake_all(const struct cr_queue_of_threads *q) {
  for (struct cr_thread *t = q->first; t != NULL; t = t->next_waiting)
    cr_unpark(tell(t));
}

/* Is a Thread there still, begun or not? Is one in a wait of ours, for what may
** lie in the state's memory? */
struct leavers {
  bool any, asleep;
  uint32_t left;
};

static struct leavers find_leavers(struct cr_gil *g,
                                   const struct cr_thread *me) {
  pthread_mutex_lock(&g->mutex);
  struct leavers l = {.left = atomic_load(&g->left)};
  for (const struct cr_thread *t = g->threads; t != NULL; t = t->next) {
    if (t == me || t == g->main || t->guest) continue;
    l.any = true;
    l.asleep |= t->sleeping != NULL && atomic_load(&t->sleeping->asleep);
  }
  pthread_mutex_unlock(&g->mutex);
  return l;
}

/* They come out of their waits at once, but for C code that blocks by itself; on
** a busy machine at once may be a while. */
static void wait_for_leavers(struct cr_gil *g, const struct cr_thread *me) {
  int64_t soon = cr_deadline(LEAVING), late = cr_deadline(SURELY);
  struct leavers l;
  while ((l = find_leavers(g, me)).any) {
    int64_t now = cr_now();
    if (now >= (l.asleep ? late : soon)) break;
    cr_park(&g->left, l.left, now < soon ? soon : now + SOMETIMES);
  }
}

void cr_gil_close(struct cr_gil *g) {
  if (atomic_load(&g->closing)) return;
  struct cr_thread *me = cr_thread_self;
  while (me != NULL && me->gil != g) me = me->outer;
  unlist_state(g);
  pthread_mutex_lock(&g->mutex);
  if (me != NULL) {
    me->holding = 0;
    atomic_signal_fence(memory_order_seq_cst);
    cr_preempt_disarm(me);
  }
  g->closer = pthread_self();
  atomic_store(&g->closing, true);
  wake_all(&g->woken);
  wake_all(&g->computing);
  for (struct cr_thread *t = g->threads; t != NULL; t = t->next)
    if (t != me) cr_thread_wake(t);
  pthread_mutex_unlock(&g->mutex);
  wait_for_leavers(g, me);
}

void cr_gil_free(struct cr_gil *g) {
  cr_gil_close(g);
  cr_hooks_free(g);
  struct cr_thread **p = &cr_thread_self, *t;
  pthread_mutex_lock(&g->mutex);
  t = g->main != NULL && g->main->abandoned ? g->main : NULL;
  pthread_mutex_unlock(&g->mutex);
  if (t != NULL) forget_of_closed(t);
  while ((t = *p) != NULL) {
    if (t->gil != g) {
      p = &t->outer;
      continue;
    }
    *p = t->outer;
    forget_of_closed(t);
  }
  drop_reference(g);
}
