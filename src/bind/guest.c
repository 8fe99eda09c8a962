/* The public cluarun_unlock and cluarun_lock: around blocking C code, and for a
** host's own OS threads that come into a state.
**
** Such a guest gets a record of the interpreter lock at its first cluarun_lock,
** which goes when the OS thread ends.
*/
#include <cluarun.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gil.h"
#include "message.h"
#include "thread.h"

static pthread_key_t key;
static int key_error;

/* Leaves the state for good. The lock is taken for it, as by any other thread;
** what lies on the stack of the main state stays as it is. */
static void leave(struct cr_thread *t) {
  struct cr_gil *g = t->gil;
  if (!t->holding && !cr_gil_try_acquire(t, false)) {
    cr_thread_dismiss(t);
    return;
  }
  if (t->vanished != NULL) t->vanished(t);
  cr_locals_drop(g->state, t);
  cr_found_drop(t);
  cr_thread_leave(t);
}

/* At the end of the OS thread. Its state's main thread stays one, without it. */
static void leave_all(void *unused) {
  struct cr_thread *outer;
  (void)unused;
  for (struct cr_thread *t = cr_thread_self; t != NULL; t = outer) {
    outer = t->outer;
    if (t->guest)
      leave(t);
    else
      cr_thread_abandon(t);
  }
  cr_message_thread_end();
}

static void make_key(void) {
  key_error = pthread_key_create(&key, leave_all);
}

int cr_guest_until_end(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  return key_error != 0 ? key_error : pthread_setspecific(key, &key);
}

static int enter_slot(void) {
  static atomic_uint number;
  if (cr_self != NULL) return 0;
  int err = cr_slot_join();
  if (err != 0) return err;
  snprintf(cr_self->thread_name, CR_NAME_MAX, "Dummy-%u",
           atomic_fetch_add(&number, 1) + 1);
  return 0;
}

/* Makes the calling OS thread one of the state's, without its lock. */
static struct cr_thread *new_guest(struct cr_gil *g, int *err) {
  *err = cr_guest_until_end();
  if (*err == 0) *err = enter_slot();
  return *err == 0 ? cr_thread_guest(g) : NULL;
}

static _Noreturn void fail(int err) {
  fprintf(stderr, "cluarun_lock: no room for this thread: %s\n", strerror(err));
  abort();
}

/* L, or a coroutine made from it, is perhaps what t will run: it is to be found
** there. Not so for a C function that was called by what t runs. */
static void expect(const struct cr_thread *t, lua_State *L) {
  lua_Debug ar;
  if (t->guest || L != t->running || !lua_getstack(L, 0, &ar)) cr_trap_state(L);
}

void cluarun_unlock(lua_State *L) {
  struct cr_thread *t = cr_thread_find(L);
  if (t == NULL || !t->holding || t->kept) return;
  if (L != t->found) cr_found_drop(t);
  cr_let_go(t, atomic_load(&t->gil->count) > 1 && cr_in_finalizer(t));
}

/* Who is in several states gives the others' locks back before it waits. */
void cluarun_lock(lua_State *L) {
  struct cr_thread *t = cr_thread_find(L), *new = NULL;
  struct cr_gil *g = t == NULL ? cr_gil_find(L) : NULL;
  if (t == NULL && g == NULL) return; /* nothing of ours is in that state */
  if (t != NULL && t->holding && !t->kept) {
    expect(t, L);
    return;
  }
  for (struct cr_thread *o = cr_thread_self; o != NULL; o = o->outer)
    if (o != t) cr_let_go(o, false);
  if (t == NULL) {
    int err;
    new = new_guest(g, &err);
    if (new == NULL) fail(err != 0 ? err : ENOMEM);
  }
  cr_take_back();
  if (new != NULL) {
    cr_locals_drop(L, new); /* of one that had this address */
    cr_thread_list(new);
    t = new;
  }
  expect(t, L);
}
