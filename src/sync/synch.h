/* Lock, RLock, Semaphore, Event, Condition, Barrier in shared memory.
**
** All wait functions return 0 or an errno value: ETIMEDOUT, EINTR, and what
** is said below. Deadlines are ns on CLOCK_MONOTONIC; 0 does not wait. New
** objects are in limbo, NULL when shared memory is exhausted.
*/
#ifndef CR_SYNCH_H
#define CR_SYNCH_H

#include "slot.h"

/* Lock and RLock (CR_LOCK, CR_RLOCK). EOWNERDEAD: acquired, the last holder
** died or ended with it. EDEADLK: its wait closed a cycle (deadlock.h). EPERM: release by somebody else. Whoever holds one
** must see to it that his process keeps a handle (its block is in his robust
** list). */
struct cr_lock {
  struct cr_block head;
  char site[CR_SITE_MAX];
  uint32_t depth; /* RLock: how often; by its holder */
  uint32_t unused;
  struct cr_rlock lock;
};
struct cr_lock *cr_lock_new(bool recursive);
int cr_lock_acquire(struct cr_lock *l, int64_t deadline);
int cr_lock_release(struct cr_lock *l);
bool cr_lock_mine(const struct cr_lock *l);
/* Its holder's slot, or NULL. */
struct cr_slot *cr_lock_holder(struct cr_lock *l);

/* Semaphore; bounded: release beyond the first value is EOVERFLOW. */
struct cr_semaphore;
struct cr_semaphore *cr_semaphore_new(uint32_t value, bool bounded);
/* `units`: that word of a handle (cr_handle_units) rises and falls by what is
** taken and given back; NULL: none. */
int cr_semaphore_acquire(struct cr_semaphore *s, int64_t deadline,
                         cr_word *units);
int cr_semaphore_release(struct cr_semaphore *s, uint32_t n, cr_word *units);
uint32_t cr_semaphore_value(const struct cr_semaphore *s);
bool cr_semaphore_bounded(const struct cr_semaphore *s);

struct cr_event;
struct cr_event *cr_event_new(void);
void cr_event_set(struct cr_event *e);
void cr_event_clear(struct cr_event *e);
bool cr_event_is_set(const struct cr_event *e);
/* 0 also when it was set meanwhile and cleared again. */
int cr_event_wait(struct cr_event *e, int64_t deadline);
/* Is it set? If not, fills in what to sleep on. */
bool cr_event_ready(struct cr_event *e, struct cr_wait *wait);

/* Condition on a lock that the caller holds at every call (else EPERM).
** wait: releases it (RLock: all levels), waits, takes it back always; returns
** EOWNERDEAD as acquire does when it was notified. A notification that a
** waiter's death has swallowed goes to another one. */
struct cr_condition;
struct cr_condition *cr_condition_new(struct cr_lock *lock); /* takes a ref */
struct cr_lock *cr_condition_lock(struct cr_condition *c);
int cr_condition_wait(struct cr_condition *c, int64_t deadline);
/* The n that have waited longest; UINT32_MAX: all. */
int cr_condition_notify(struct cr_condition *c, uint32_t n);
uint32_t cr_condition_waiters(struct cr_condition *c);

/* Barrier. wait: *index is 1..parties; EPIPE: broken (also by the death of one
** that waited, a time-out or an interrupt of one). With an action, the last to
** arrive gets EALREADY: it runs the action and then calls cr_barrier_open
** (0, or EPIPE: broken or reset meanwhile) or cr_barrier_abort. `timeout` is
** what the barrier's maker wants waits to last (seconds), `code` an object that
** it keeps for him (counted; or NULL). */
struct cr_barrier;
enum { CR_PARTIES_MAX = (1 << 22) - 1 };
struct cr_barrier *cr_barrier_new(uint32_t parties, bool action, double timeout,
                                  struct cr_block *code);
int cr_barrier_wait(struct cr_barrier *b, int64_t deadline, uint32_t *index);
int cr_barrier_open(struct cr_barrier *b);
void cr_barrier_abort(struct cr_barrier *b);
void cr_barrier_reset(struct cr_barrier *b);
bool cr_barrier_acts(const struct cr_barrier *b);
double cr_barrier_timeout(const struct cr_barrier *b);
struct cr_block *cr_barrier_code(const struct cr_barrier *b);
uint32_t cr_barrier_parties(const struct cr_barrier *b);
uint32_t cr_barrier_waiting(struct cr_barrier *b);
bool cr_barrier_broken(struct cr_barrier *b);

/* Where an object was made ("x.lua:3", "" if that is unknown); NULL: a type that
** nobody waits for. Its maker writes it, CR_SITE_MAX bytes at most, before
** others know the object. */
char *cr_site(struct cr_block *b);

/* For the reaper (cr_on_death): somebody died; he may have waited in one of
** these. */
void cr_bereave(struct cr_slot *dead);
void cr_condition_bereave(struct cr_condition *c, struct cr_slot *dead);
void cr_barrier_bereave(struct cr_barrier *b, struct cr_slot *dead);

#endif
