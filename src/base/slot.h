/* Who is alive: one slot per thread, and what a process holds.
**
** A slot is the arena's record of a thread: its robust list, its incarnation
** (unique for ever; pids are not), what it waits for. The kernel marks its life
** word when the thread dies; whoever notices reaps: finishes its redo log,
** drops what its process held, frees blocks in limbo. Threads of one process
** share the handle table of the process's leader slot, which lives as long as
** the process.
*/
#ifndef CR_SLOT_H
#define CR_SLOT_H

#include <sys/types.h>

#include "arena.h"

enum { CR_NAME_MAX = 48 }; /* bytes of a name, with its final 0 */

/* What a thread waits for without a deadline, written by it when that has
** lasted a while, for those who look for a deadlock. It holds while the slot's
** wait_number is odd, and changes only while that is even. */
enum { CR_UNTIMED_MAX = 24, CR_WHAT_MAX = 128 };
struct cr_untimed {
  struct {
    cr_word *_Atomic word;
    cr_word value;
  } wait[CR_UNTIMED_MAX];
  cr_word n;
  cr_word reported;        /* in a report, and has not moved since */
  _Atomic(int64_t) since;  /* ns */
  bool held;               /* `what` is the lock that the slot wants */
  char where[CR_SITE_MAX]; /* source line, "" if unknown */
  char what[CR_WHAT_MAX];  /* "Lock x.lua:3" */
};

enum cr_slot_state { CR_SLOT_FREE, CR_SLOT_EMBRYO, CR_SLOT_LIVE };

/* The life word and the incarnation change together (one 64-bit CAS decides
** between a child that takes its slot and a reaper that gives it up). */
struct cr_life {
  struct cr_rnode node;
  union {
    struct {
      cr_word word; /* thread id, CR_DIED after death */
      cr_word incarnation;
    };
    cr_word64 both;
  };
};

struct cr_slot {
  _Alignas(64) struct { /* the kernel's struct robust_list_head */
    struct cr_rnode *next;
    long offset;
    struct cr_rnode *pending;
  } robust;
  void *old_robust; /* glibc's head, put back at a thread's end */
  struct cr_life life;
  cr_word state;   /* enum cr_slot_state */
  cr_word alarm;   /* rings to end this thread's sleep */
  cr_word polling; /* 1: it is in a poll, which SIGURG ends */
  uint32_t index;  /* own number; r/o */
  uint32_t parent; /* incarnation of the creator; r/o */
  uint32_t leader; /* slot index of its process's leader */
  uint32_t leader_incarnation;
  cr_word64 pid;                     /* incarnation << 32 | pid */
  uint32_t limbo;                    /* blocks held (a hint: 0 is certain) */
  uint32_t spin_average, spin_count; /* own thread only */
  int64_t born;                      /* ns, for embryos nobody adopts */
  /* Redo log in flight: the reaper finishes it before it believes owners. */
  struct cr_log *_Atomic log;
  struct cr_rlock *log_lock;
  cr_word *log_wake;
  /* The lock that the thread sleeps for. */
  struct cr_rlock *_Atomic wants;
  _Atomic(int64_t) wants_since; /* ns */
  cr_word wait_number;          /* odd while `untimed` holds */
  /* Condition and barrier waiters are found by looking at all slots. */
  cr_word64 waits_in; /* address of the condition or barrier */
  uint64_t ticket;
  cr_word note;    /* CR_WAITERS waiting, CR_NOTED notified */
  cr_word orderly; /* leader only: its process ends by itself */
  /* Leader only: the process. Under ref lock. */
  struct cr_handles *_Atomic handles;
  char thread_name[CR_NAME_MAX];
  char process_name[CR_NAME_MAX];
  struct cr_untimed untimed;
};

/* The calling thread's slot; NULL in a thread that never entered. */
extern _Thread_local struct cr_slot *cr_self;
/* That of this process's leader; NULL before the arena is open. */
extern struct cr_slot *cr_leader;

/* Number of slots ever used, and one of them. */
uint32_t cr_slot_high(void);
struct cr_slot *cr_slot_at(uint32_t index);
bool cr_slot_dead(const struct cr_slot *s);
/* Alive and of that incarnation? */
bool cr_slot_alive(const struct cr_slot *s, uint32_t incarnation);
pid_t cr_slot_pid(const struct cr_slot *s);
/* The kernel's number of its thread, while that is in it. */
static inline pid_t cr_slot_tid(const struct cr_slot *s) {
  return (pid_t)(atomic_load(&s->life.word) & CR_TID);
}
/* Copies a name, cut where it must be, to one of the two of a slot. */
void cr_slot_copy_name(char to[CR_NAME_MAX], const char *name);
/* The parent tells a child's pid after fork(), so that the death of a child
** that never came to enter its slot can be noticed by others. */
void cr_slot_set_pid(struct cr_slot *s, uint32_t incarnation, pid_t pid);

/* Threads. A live thread makes a slot for one that it starts (NULL: no room);
** the new thread enters it and, at its end, leaves: what it holds is free then.
** When the leader leaves, a thread that does nothing else takes its slot over. */
struct cr_slot *cr_slot_new(bool same_process);
int cr_slot_enter(struct cr_slot *s, uint32_t incarnation);
void cr_slot_leave(void);
/* In a thread that somebody else started: gives it a slot if it has none, which
** it leaves when it ends. The arena must be open. Returns 0 or an errno value.
*/
int cr_slot_join(void);

/* What the last fork() of this thread made: its child's slot and incarnation.
** pthread_atfork handlers make it, so any fork in the process counts. */
struct cr_birth {
  struct cr_slot *slot;
  uint32_t incarnation;
};
extern _Thread_local struct cr_birth cr_birth;
/* Called under the reap lock for each slot that is reaped, before it is free:
** the barrier that it waited in is broken there. */
extern void (*cr_on_death)(struct cr_slot *s);
/* Makes the slot that the next fork of this thread uses: 0 or an errno value.
** (A fork without it makes its own, but cannot report that there is none.) */
int cr_before_fork(void);

/* An embryo that nobody will enter: its process ended before it did, or was
** never made. */
bool cr_slot_stillborn(const struct cr_slot *s);
/* Reaps that slot if it is dead (or was never entered). */
void cr_reap(struct cr_slot *s, uint32_t incarnation);
/* Looks at all slots; returns how many were reaped. */
int cr_reap_all(void);

/* Handles: a process's holds on objects. An index is valid in this process and
** in children forked while it was held (they have holds of their own).
** Return 0 or ENOMEM. */
int cr_handle_new(struct cr_block *object, uint32_t *handle); /* from limbo */
int cr_handle_add(struct cr_block *object, uint32_t *handle); /* one more */
void cr_handle_drop(uint32_t handle);
/* Adds a reference that a message in limbo keeps (`place`: where in it). */
void cr_ref_add(struct cr_block **place, cr_word *count,
                struct cr_block *object);
/* Makes the first reference to an object in limbo; `place` is in a block in
** limbo. */
void cr_ref_first(struct cr_block **place, struct cr_block *object);
/* Moves the reference at `place` of a block in limbo to a handle. */
int cr_ref_to_handle(struct cr_block **place, uint32_t *handle);
/* Drops the reference at `place` of a block in limbo. */
void cr_ref_drop(struct cr_block **place);
/* What a process has taken of a semaphore and not given back is noted in a word
** of its handle. When it has died, cr_on_units is called for each of them; not as
** killed if it ended by itself, which it says before. */
cr_word *cr_handle_units(uint32_t handle);
extern void (*cr_on_units)(struct cr_block *semaphore, cr_word *units,
                           bool killed);
void cr_end_orderly(void);
/* Processes (`others`: but the caller's) that hold the object and were not
** reaped yet: up to `max` of their leaders' slots; returns how many. */
int cr_handle_holders(const struct cr_block *object, bool others,
                      struct cr_slot **out, int max);

#endif
