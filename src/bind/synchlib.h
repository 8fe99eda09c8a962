/* What the libraries of locks, semaphores and conditions share. */
#ifndef CR_SYNCHLIB_H
#define CR_SYNCHLIB_H

#include "object.h"
#include "synch.h"

/* Pushes what an acquire returns: true; true, OwnerDied; or false. Raises on
** EINTR and EDEADLK. Returns the number of values. */
int cr_push_acquired(lua_State *L, int err);

/* Pushes a new Lock or RLock and returns 1. */
int cr_make_lock(lua_State *L, bool recursive);
/* Lock or RLock at stack index 1. */
struct cr_lock *cr_check_lock(lua_State *L, int arg);
/* Methods of whatever goes with a lock: on the lock itself. */
int cr_acquire_lock(lua_State *L, struct cr_lock *l);
int cr_release_lock(lua_State *L, struct cr_lock *l);
int cr_guard_lock(lua_State *L, struct cr_lock *l);
/* Does a thread of this process hold it? Then the process must keep its handle,
** for the lock is in that thread's robust list. */
bool cr_lock_held_here(struct cr_lock *l);

/* A guard: `local _ <close> = lock:guard()` releases when the block ends, once,
** and only in the thread that took it. cr_guard_push pushes a closed one for
** the object at stack index 1; cr_guard_open opens it after the acquire. */
struct cr_guard;
struct cr_guard *cr_guard_push(lua_State *L);
/* `release` is called with what it is given; an error value that it returns is
** raised by `misuse`. */
void cr_guard_open(struct cr_guard *g, void *what, int (*release)(void *what),
                   int (*misuse)(lua_State *L, void *what));

/* Parts of cr_open_synch. */
int cr_open_lock(lua_State *L);
int cr_open_semaphore(lua_State *L);
int cr_open_event(lua_State *L);
int cr_open_condition(lua_State *L);
int cr_open_barrier(lua_State *L);

#endif
