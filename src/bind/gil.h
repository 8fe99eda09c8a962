/* The interpreter lock: of the OS threads in a Lua state one runs at a time.
**
** A thread runs until it waits for something, or until another one asks: a
** kernel timer, armed only while somebody waits for the lock, sends the holder
** a signal whose handler sets a hook; at its next instruction, or a few later,
** the holder hands the lock over and queues up. A thread that comes out of a
** wait asks after a short time and goes before those that were computing.
**
** An OS thread has one record in each state that it is in.
*/
#ifndef CR_GIL_H
#define CR_GIL_H

#include <lua.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <time.h>

#include "slot.h"

struct cr_hooks; /* hook.c */

struct cr_queue_of_threads {
  struct cr_thread *first, *last;
};

struct cr_gil {
  cr_word locked;         /* 1: somebody has it */
  cr_word waiting;        /* how many queue for it; written under mutex */
  cr_word trying;         /* how many look for it, and may queue up yet */
  _Atomic(int64_t) since; /* when the holder got it (ns); by the holder */
  pthread_mutex_t mutex;  /* held for moments, never while asleep */
  /* Under mutex. */
  struct cr_queue_of_threads woken, computing; /* who queues */
  struct cr_thread *_Atomic holder;
  int64_t computed; /* when one that computes last had a turn */
  int timers;       /* how many threads have one */
  /* Under the lock itself. */
  struct cr_thread *threads; /* all that are in this state */
  struct cr_thread *main;
  uint32_t made; /* Threads made that have no name but a number */
  bool stale;    /* after a fork: Threads that vanished are still kept alive */
  bool finalizer_waits;      /* one in a __gc waits: the others are in none */
  uint32_t generation;       /* counts the forks in which threads vanished */
  atomic_int count;          /* how many; read by all */
  atomic_int references;     /* records, and the state */
  int64_t reclaim_after;     /* reclaim.c: ns; no collection before that */
  _Atomic(int64_t) interval; /* ns that a thread may run while others want to */
  atomic_bool closing; /* the state is going: nobody but the closer may run */
  pthread_t closer;    /* set before it */
  cr_word left;        /* rung whenever a thread has left the closing state */
  struct cr_hooks *hooks;
  const void *registry; /* tells states apart; r/o */
  lua_State *state;     /* the main one; r/o */
  struct cr_gil *next;  /* of all in this process */
};

/* An OS thread in a state. Its own but where said. */
struct cr_thread {
  struct cr_gil *gil;
  lua_State *volatile running; /* what it runs; see cr_switch */
  lua_State *volatile found;   /* what it runs untold; see hook.c */
  lua_State *base;             /* a Thread's first state; the main one */
  lua_State *shielded;         /* interrupts wait until it runs another one */
  /* Read and written in signal handlers of this thread, too. */
  volatile sig_atomic_t holding;
  volatile sig_atomic_t drop;  /* asked to let another one run */
  volatile sig_atomic_t armed; /* its timer runs */
  /* Interrupts that it has not come to yet: by Ctrl-C; by a thread, under the
  ** lock (see interrupt.c). */
  volatile sig_atomic_t signalled;
  bool asked;
  uint32_t raised; /* how many it has come to */
  bool deferred;   /* in a section (section.c): they come after it */
  bool kept;       /* a wait did not release the lock */
  bool refused;    /* a wait was refused: inside a finalizer */
  bool finalizing; /* it waits inside a finalizer, without the lock */
  bool daemon;
  bool listed;    /* among the state's threads */
  bool abandoned; /* its OS thread has ended */
  bool guest;     /* a host's OS thread that came in by cluarun_lock */
  struct cr_slot *_Atomic slot; /* NULL: its OS thread has not begun */
  struct cr_slot *place;        /* a Thread's slot to be, and its incarnation */
  uint32_t incarnation;
  const struct cr_sleeping *sleeping; /* its own variable, see cr_sleep */
  /* Under gil->mutex. */
  cr_word *turn; /* changes when it has to look again */
  cr_word own_turn;
  bool granted; /* the lock was handed to it */
  bool woken;   /* it comes out of a wait */
  int64_t deadline;
  int64_t began, used; /* when it got the lock; ns of its turn before that */
  struct cr_thread *next_waiting, *previous_waiting;
  timer_t timer;
  bool has_timer;
  int backoff;
  pid_t tid;
  _Atomic(int64_t) cost; /* ns that the last signal took */
  /* Under the lock. */
  struct cr_thread *next, *previous; /* in gil->threads */
  jmp_buf *home; /* where its OS thread goes when the state is gone; or NULL */
  void *object;  /* a Thread's userdata */
  /* Called in a fork's child for a thread that is not there any more. */
  void (*vanished)(struct cr_thread *t);
  struct cr_thread *outer; /* this OS thread's record in another state */
};

/* The calling OS thread's record in the state that it entered last. */
extern _Thread_local struct cr_thread *cr_thread_self;

/* Makes the lock of a state, held by the calling OS thread, whose record is its
** main thread's; the same one when it is called again. NULL: no memory. */
struct cr_gil *cr_gil_open(lua_State *L);
/* The lock of L's state, or NULL. By any thread; does not touch L. */
struct cr_gil *cr_gil_find(lua_State *L);
/* The state is going, by the holder: from now on nobody else gets the lock, and
** threads that come for it end. cr_gil_free does this, too; it comes last. */
void cr_gil_close(struct cr_gil *g);
void cr_gil_free(struct cr_gil *g);

/* The calling OS thread's record in L's state; NULL if it is not in it. */
struct cr_thread *cr_thread_find(lua_State *L);
static inline struct cr_thread *cr_thread_of(lua_State *L) {
  struct cr_thread *t = cr_thread_self;
  return t != NULL && t->outer == NULL ? t : cr_thread_find(L);
}

/* A record for an OS thread that will run `base`, by the holder. NULL: no memory.
** announce queues for the lock on its behalf, so that it need not be woken before
** its turn; `turn`: the word that it waits on meanwhile (NULL: none, it is new).
** The thread itself calls enter, which comes back with the lock, and leave, which
** gives it back and frees the record. renounce and discard undo announce and new
** when there will be no such thread. */
struct cr_thread *cr_thread_new(struct cr_gil *g, lua_State *base);
void cr_thread_announce(struct cr_thread *t, cr_word *turn);
void cr_thread_enter(struct cr_thread *t);
void cr_thread_leave(struct cr_thread *t);
void cr_thread_renounce(struct cr_thread *t);
void cr_thread_discard(struct cr_thread *t);
/* A record for the calling OS thread, which somebody else started: it does not
** have the lock yet. When it has, list makes it known. dismiss, without the
** lock: the state is gone. */
struct cr_thread *cr_thread_guest(struct cr_gil *g);
void cr_thread_list(struct cr_thread *t);
void cr_thread_dismiss(struct cr_thread *t);
/* The OS thread of a state's main thread ends: others may use the state, or close
** it, which frees the record. */
void cr_thread_abandon(struct cr_thread *t);
/* guest.c. Has the calling OS thread leave its states when it ends. Returns 0 or
** an errno value. */
int cr_guest_until_end(void);
/* Has t come out of what it waits in, to look what interrupts it. */
void cr_thread_wake(struct cr_thread *t);

/* By the holder: gives the lock back; takes it again, `woken` from a wait. */
void cr_gil_release(struct cr_thread *t);
void cr_gil_acquire(struct cr_thread *t, bool woken);
/* The same; false, instead of ending the thread, when the state is going. */
bool cr_gil_try_acquire(struct cr_thread *t, bool woken);
/* By the holder: lets the first who waits run, and queues up. */
void cr_gil_yield(struct cr_thread *t);

static inline bool cr_multithreaded(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  return t != NULL &&
         atomic_load_explicit(&t->gil->count, memory_order_relaxed) > 1;
}

/* Has it an interrupt to come to? */
static inline bool cr_interrupted(const struct cr_thread *t) {
  return (t->signalled || t->asked) && !t->deferred;
}

/* interrupt.c: raises it, from a hook. */
void cr_interrupt_here(lua_State *L);

/* dump.c: the state of which somebody wants to know what its threads do
** (Ctrl-\); whoever has its lock next writes that. */
extern struct cr_gil *volatile cr_dump_wanted;
void cr_dump(struct cr_gil *g);
static inline void cr_dump_if_wanted(const struct cr_thread *t) {
  if (cr_dump_wanted == t->gil) cr_dump(t->gil);
}

/* blocking.c: installs what a sleep does with the lock. */
void cr_blocking_open(void);
/* What it does: `keep` the lock; take all locks back that the calling OS thread
** has given back. */
void cr_let_go(struct cr_thread *t, bool keep);
void cr_take_back(void);

/* hook.c. Has t stop at its next instruction: it lets another one run if it was
** asked to, and raises what interrupts it. Signal-safe in t's own OS thread; else
** under the lock. */
void cr_trap(const struct cr_thread *t);
/* The same for a state, by its holder: it is found there if it was not known. */
void cr_trap_state(lua_State *L);
/* By t, the holder: the coroutine that was found is not run any more. */
void cr_found_drop(struct cr_thread *t);
/* Is t, the holder, inside a finalizer (__gc)? Then it must not let others run:
** the collector is off meanwhile. */
bool cr_in_finalizer(const struct cr_thread *t);
/* The script's own hooks, which go on working while threads are stopped by
** others of ours. As lua_sethook and its kin. */
void cr_hook_set(lua_State *L, lua_Hook f, int mask, int count);
lua_Hook cr_hook_get(lua_State *L, int *mask, int *count);
/* L1 was made by L: it gets L's hook, as lua_newthread does. */
void cr_hook_inherit(lua_State *L, lua_State *L1);
void cr_hooks_free(struct cr_gil *g);
/* Forced switches, for tests: after every so many instructions (the environment
** variable CLUARUN_SWITCH says how many); 0: none. */
extern int cr_forced_switch;
/* For the main state of a new lock. */
void cr_hooks_open(lua_State *L);

/* Says that this OS thread now runs L (a coroutine that is resumed, and again
** with the returned state afterwards: NULL in a state that is not ours). */
static inline lua_State *cr_switch(lua_State *L) {
  struct cr_thread *t = L != NULL ? cr_thread_of(L) : NULL;
  if (t == NULL) return NULL;
  lua_State *before = t->running;
  t->running = L;
  if (t->drop || cr_interrupted(t)) cr_trap(t);
  return before;
}

#endif
