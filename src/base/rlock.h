/* Robust futex lock, redo log, and wake-ups that survive the waker.
**
** The lock lies in shared memory. When its holder dies, at whatever
** instruction, the kernel marks it and wakes a sleeper (robust list, whose
** head is in the thread's slot). glibc's robust mutex loses wake-ups when a
** woken waiter is killed, so this one keeps the waiters bit until a wake-up
** finds nobody.
**
** What a lock protects changes by one atomic store, or by a small redo log
** that the next holder replays. Only the holder may release a lock.
*/
#ifndef CR_RLOCK_H
#define CR_RLOCK_H

#include "futex.h"

struct cr_slot;

/* Bits of a lock word; the low 30 hold the holder's thread id, 0 when free.
** Waiters and owner-died are also the kernel's (FUTEX_WAITERS, ...). */
#define CR_WAITERS 0x80000000u
#define CR_DIED 0x40000000u
#define CR_TID 0x3fffffffu

struct cr_rnode {
  struct cr_rnode *next, *prev; /* holder's robust list */
};

/* All-zero memory is a free lock. */
struct cr_rlock {
  struct cr_rnode node;
  cr_word word;
  cr_word owner;  /* slot index of the last holder */
  cr_word starve; /* slot index + 1 that barging makes wait */
  uint32_t unused;
};

enum { CR_FUTEX_OFFSET = 16 }; /* from a node to its word */

/* A redo log: filled, committed by the store of its length, applied, emptied.
** Replaying it is idempotent. It belongs to one lock. */
enum { CR_LOG_MAX = 40 };
struct cr_log {
  cr_word n;
  uint32_t filled;
  struct {
    uint64_t address; /* bit 0: a 32-bit store; 1: publishes */
    uint64_t value;
  } entry[CR_LOG_MAX];
};

/* Takes the lock. Returns 0, or EOWNERDEAD: taken, but the last holder died
** holding it, so the log must be replayed. ETIMEDOUT, EINTR, EDEADLK (it closed
** a cycle of holders, see deadlock.h): not taken.
** cr_rlock_take waits for internal locks: never interrupted, no deadline. */
int cr_rlock_acquire(struct cr_rlock *l, int64_t deadline);
int cr_rlock_take(struct cr_rlock *l);
/* The same without waiting; EBUSY when somebody holds it. */
int cr_rlock_try(struct cr_rlock *l);
/* By the holder only. */
void cr_rlock_release(struct cr_rlock *l);
/* Does the calling thread hold it? */
bool cr_rlock_mine(const struct cr_rlock *l);
/* The slot of its holder, or NULL when it is free or its holder is dead. */
struct cr_slot *cr_rlock_holder(struct cr_rlock *l);

void cr_log_add(struct cr_log *log, void *address, uint64_t value);
void cr_log_add32(struct cr_log *log, void *address, uint32_t value);
/* The last entry, when others may act on its effect without the log's lock: a
** log that got as far as that is not replayed, since what it did before may
** have been changed by them. It must change the word, to a value that it does
** not have again soon. */
void cr_log_publish(struct cr_log *log, void *address, uint64_t value);
/* Commits and applies. */
void cr_log_commit(struct cr_log *log);
/* The same for the log of lock l, naming both in the slot so that a reaper can
** finish it; `wake` is the wake word that its effect may have to wake. */
void cr_log_commit_as(struct cr_log *log, struct cr_rlock *l, cr_word *wake);
/* By the next holder: finishes what the dead one committed. */
void cr_log_replay(struct cr_log *log);

/* The same, waking all who sleep for what the log changes. */
void cr_log_recover(struct cr_log *log, cr_word *wake);

/* A wake word is 0 or CR_WAITERS, plus CR_CROWD when others than the one
** holder of the side's lock sleep on it. Its low 30 bits stay 0: then the
** kernel wakes a sleeper when a thread dies between begin and end. What is
** published in between must be published by a seq_cst operation (a log's
** commit is one). */
#define CR_CROWD 0x40000000u
void cr_wake_begin(cr_word *wake);
void cr_wake_end(cr_word *wake);
/* Ends what cr_wake_begin began, without waking. */
void cr_wake_cancel(void);
/* Before sleeping: says that somebody sleeps; returns the value to sleep on.
** The caller then looks at its condition once more. */
uint32_t cr_wake_want(cr_word *wake, bool crowd);
/* By one of a crowd who need not sleep, or not again: passes a wake-up on, in case
** the waker died after the kernel had woken only one, or others took this one's
** mark for their own, made before a wake-up that they missed. */
void cr_wake_pass(cr_word *wake);

/* Spinning before a sleep: a budget that adapts to what sufficed lately, then
** a few yields. Returns false when it is time to sleep. */
struct cr_spin {
  int spun, max, yields;
};
void cr_spin_start(struct cr_spin *s);
bool cr_spin(struct cr_spin *s);
void cr_spin_won(struct cr_spin *s);
/* A short delay, not a wait for anything: some ten ns for each pause. */
void cr_spin_pause(int pauses);

/* For tests that need every path in few instructions. */
void cr_spin_limit(int pauses, int yields);

#endif
