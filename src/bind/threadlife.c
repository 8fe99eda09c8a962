/* The life of a Thread: its OS thread, from start to end. See thread.h.
**
** What it runs is called by lua_pcall from the first moment: an error that
** nothing catches would be raised in the main thread, on another C stack.
*/
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "object.h"
#include "process.h"
#include "registry.h"
#include "result.h"
#include "state.h"
#include "task.h"
#include "thread.h"

enum { BELOW = 2 };     /* levels of the stack under the target */
enum { UNREAPED = 64 }; /* ended threads whose slots may lie about */

static const char key; /* registry: object -> userdata, of the running ones */
static atomic_int unreaped;

/* Lets go of those in the table on top that vanished in a fork. */
static void purge(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    const struct cr_thread_object *o = lua_touserdata(L, -1);
    if (o->thread != NULL) continue;
    lua_pushnil(L);
    lua_rawsetp(L, -4, o);
  }
}

/* Pushes the table of running ones. */
static void push_running(lua_State *L) {
  struct cr_gil *g = cr_thread_of(L)->gil;
  cr_push_table(L, &key, "");
  if (g->stale) purge(L);
  g->stale = false;
}

/* Keeps the Thread at that index alive, or lets go of it (0). */
static void hold(lua_State *L, struct cr_thread_object *o, int thread) {
  push_running(L);
  if (thread != 0)
    lua_pushvalue(L, thread);
  else
    lua_pushnil(L);
  lua_rawsetp(L, -2, o);
  lua_pop(L, 1);
}

/* ---- the end ---- */

static void ended(struct cr_thread_object *o) {
  o->state = CR_THREAD_ENDED;
  o->thread = NULL;
}

/* In the child of a fork: it is not there. */
static void vanished(struct cr_thread *t) {
  struct cr_thread_object *o = t->object;
  if (o == NULL) return;
  ended(o);
  o->over = true;
}

/* Is its OS thread through with the slot? */
static bool slot_is_left(const struct cr_thread_object *o) {
  uint64_t life = atomic_load(&o->slot->life.both);
  return (life & CR_DIED) || life >> 32 != o->incarnation;
}

void cr_thread_reap(struct cr_thread_object *o) {
  if (!o->unreaped || !slot_is_left(o)) return;
  o->unreaped = false;
  atomic_fetch_sub(&unreaped, 1);
  cr_reap(o->slot, o->incarnation);
}

/* ---- running ---- */

/* Keeps the traceback of the error, which may be any value. */
static int handler(lua_State *L) {
  cr_thread_push(L, cr_thread_of(L));
  cr_traceback(L, "", 1, BELOW);
  lua_setiuservalue(L, -2, CR_THREAD_TRACE);
  lua_settop(L, 1);
  return 1;
}

/* Prints the error on top of the stack, in one piece. */
static void report(lua_State *L) {
  size_t n;
  const char *name = cr_thread_push_name(L, 1);
  cr_result_error_text(L, -2);
  const char *text = lua_tostring(L, -1);
  const char *trace = lua_getiuservalue(L, 1, CR_THREAD_TRACE) == LUA_TSTRING
                          ? lua_tostring(L, -1)
                          : "";
  lua_pushfstring(L, "Exception in thread %s:\n%s%s\n", name, text, trace);
  text = lua_tolstring(L, -1, &n);
  cr_write_all(STDERR_FILENO, text, n);
  lua_pop(L, 4);
}

/* An interrupt ends it silently when all are ended by it. */
static bool is_silent(lua_State *L, const struct cr_thread_object *o) {
  return (o->quiet || cr_forked()) && cr_is_interrupt(L, -1);
}

/* Waits for a Timer's time: is it due? */
static bool is_due(lua_State *L, struct cr_thread_object *o) {
  int64_t deadline = o->interval > 0 ? cr_deadline(o->interval) : 0;
  struct cr_wait wait = {&o->cancelled, 0};
  int err = 0;
  while (err == 0 && !atomic_load(&o->cancelled))
    err = cr_now() < deadline ? cr_sleep(&wait, 1, deadline) : ETIMEDOUT;
  if (err == EINTR) cr_raise_interrupt(L);
  return !atomic_load(&o->cancelled);
}

static int run_target(lua_State *L) {
  struct cr_thread_object *o = lua_touserdata(L, 1);
  if (o->timer && !is_due(L, o)) return 0;
  lua_getiuservalue(L, 1, CR_THREAD_TARGET);
  lua_getiuservalue(L, 1, CR_THREAD_ARGS);
  int n = cr_task_push_args(L);
  lua_call(L, n, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

/* With the Thread as its argument. */
static int live(lua_State *L) {
  struct cr_thread_object *o = lua_touserdata(L, 1);
  lua_pushcfunction(L, handler);
  lua_pushcfunction(L, run_target);
  lua_pushvalue(L, 1);
  bool good = lua_pcall(L, 1, LUA_MULTRET, 2) == LUA_OK;
  o->quiet = !good && is_silent(L, o);
  if (!good && !o->quiet) report(L);
  o->outcome = good ? CR_THREAD_VALUES : CR_THREAD_ERROR;
  cr_task_pack(L, 2);
  lua_setiuservalue(L, 1, CR_THREAD_RESULT);
  for (int i = CR_THREAD_TARGET; i <= CR_THREAD_ARGS; i++) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  return 0;
}

/* With the Thread as its argument. */
static int end_process(lua_State *L) {
  const struct cr_thread_object *o = lua_touserdata(L, 1);
  if (o->quiet) cr_threads_interrupt(L);
  return cr_process_end(L);
}

/* It has forked and is the main thread of a child: the end of its target is that
** of the process. */
static _Noreturn void leave_process(lua_State *L, struct cr_thread_object *o) {
  bool failed = o->outcome != CR_THREAD_VALUES;
  bool silent = o->quiet;
  lua_settop(L, 0);
  lua_pushcfunction(L, end_process);
  lua_pushlightuserdata(L, o);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    failed = true;
    silent = silent || cr_is_interrupt(L, -1);
  }
  if (silent) cr_leave_interrupted();
  cr_leave(failed);
}

void cr_thread_run(struct cr_thread *t) {
  struct cr_thread_object *o = t->object;
  lua_State *L = t->base;
  cr_slot_enter(t->place, t->incarnation); /* the Thread may be gone */
  cr_thread_enter(t);
  atomic_store(&o->tid, (uint32_t)t->tid);
  if (o->tid_wanted) cr_wake(&o->tid, INT_MAX);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) o->outcome = CR_THREAD_ERROR;
  if (t == t->gil->main) leave_process(L, o);
  lua_settop(L, 0);
  cr_locals_drop(L, t);
  cr_found_drop(t);
  hold(L, o, 0);
  ended(o);
  o->unreaped = true;
  atomic_fetch_add(&unreaped, 1);
  cr_thread_leave(t);
  cr_message_thread_end();
}

/* ---- starting ---- */

/* Ended threads that nobody joined: their slots should not pile up. */
static void tidy(void) {
  if (atomic_load(&unreaped) <= UNREAPED) return;
  atomic_store(&unreaped, 0);
  cr_reap_all();
}

static int start(struct cr_thread_object *o, const char *name) {
  o->slot = cr_slot_new(true);
  if (o->slot == NULL) return EAGAIN;
  o->incarnation = atomic_load(&o->slot->life.incarnation);
  o->thread->place = o->slot;
  o->thread->incarnation = o->incarnation;
  cr_slot_set_pid(o->slot, o->incarnation, cr_slot_pid(cr_self));
  cr_slot_copy_name(o->slot->thread_name, name);
  int err = cr_worker_start(o->thread);
  if (err != 0) cr_reap(o->slot, o->incarnation);
  return err;
}

/* Its first state, with what it is to call. */
static lua_State *push_base(lua_State *L) {
  lua_State *base = lua_newthread(L);
  cr_hook_set(base, NULL, 0, 0);
  lua_pushcfunction(base, live);
  lua_pushvalue(L, 1);
  lua_xmove(L, base, 1);
  return base;
}

int cr_thread_start(lua_State *L) {
  struct cr_thread_object *o = lua_touserdata(L, 1);
  tidy();
  /* What may raise comes before what would have to be undone. */
  const char *name = cr_thread_push_name(L, 1);
  lua_State *base = push_base(L);
  lua_setiuservalue(L, 1, CR_THREAD_BASE);
  hold(L, o, 1);
  struct cr_thread *t = cr_thread_new(cr_thread_of(L)->gil, base);
  int err = ENOMEM;
  if (t != NULL) {
    t->object = o;
    t->vanished = vanished;
    t->daemon = o->daemon;
    cr_locals_drop(L, t); /* of one that had this address */
    o->thread = t;
    o->state = CR_THREAD_STARTED;
    err = start(o, name);
    if (err == 0) return lua_pop(L, 1), 0;
    cr_thread_discard(t);
  }
  o->thread = NULL;
  o->state = CR_THREAD_INITIAL;
  hold(L, o, 0);
  lua_pop(L, 1);
  return err;
}

/* Lets go of a host's threads that have ended. */
static void drop_guests(lua_State *L) {
  push_running(L);
  const void *main = cr_thread_of(L)->gil->main->object;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    struct cr_thread_object *o = lua_touserdata(L, -2);
    if (o->state != CR_THREAD_ENDED || o == main) continue;
    lua_pushnil(L);
    lua_rawsetp(L, -4, o);
  }
  lua_pop(L, 1);
}

void cr_thread_push(lua_State *L, struct cr_thread *t) {
  luaL_checkstack(L, 6, NULL);
  if (t->object != NULL) {
    push_running(L);
    lua_rawgetp(L, -1, t->object);
    lua_remove(L, -2);
    return;
  }
  drop_guests(L);
  struct cr_thread_object *o = cr_thread_object_push(L, false);
  lua_pushstring(L, t->abandoned ? "MainThread" : t->slot->thread_name);
  lua_setiuservalue(L, -2, CR_THREAD_NAME);
  hold(L, o, lua_gettop(L));
  o->state = CR_THREAD_STARTED;
  o->thread = t;
  o->daemon = t->daemon;
  o->slot = t->slot;
  o->incarnation = atomic_load(&t->slot->life.incarnation);
  atomic_store(&o->tid, (uint32_t)t->tid);
  t->vanished = vanished;
  t->object = o;
  if (t->abandoned) vanished(t);
}

/* ---- waiting ---- */

bool cr_thread_ready(struct cr_thread_object *o, struct cr_wait *wait) {
  cr_word *life = &o->slot->life.word;
  *wait = (struct cr_wait){life, atomic_load(life)};
  return o->over || slot_is_left(o);
}

int cr_thread_wait(struct cr_thread_object *o, int64_t deadline) {
  struct cr_wait wait;
  int err = 0;
  while (!cr_thread_ready(o, &wait)) {
    if (err != 0) return err;
    err = deadline == 0 ? ETIMEDOUT : cr_sleep(&wait, 1, deadline);
    if (err == EINTR) return err;
  }
  cr_thread_reap(o);
  return 0;
}

static struct cr_thread *next_to_join(const struct cr_thread *me) {
  struct cr_thread *t = me->gil->threads;
  while (t != NULL && (t == me || t->daemon)) t = t->next;
  return t;
}

void cr_threads_join(lua_State *L) {
  struct cr_thread *me = cr_thread_of(L), *t;
  if (me == NULL) return;
  if (me->object != NULL) { /* for those who wait for it */
    struct cr_thread_object *o = me->object;
    o->state = CR_THREAD_ENDED;
    o->over = true;
    cr_wake(&me->slot->life.word, INT_MAX);
  }
  while ((t = next_to_join(me)) != NULL) {
    cr_thread_push(L, t);
    if (cr_thread_wait(t->object, CR_FOREVER) == EINTR) cr_raise_interrupt(L);
    lua_pop(L, 1);
  }
}

void cr_threads_interrupt(lua_State *L) {
  const struct cr_thread *me = cr_thread_of(L);
  lua_pushnil(L);
  for (struct cr_thread *t = me->gil->threads; t != NULL; t = t->next) {
    if (t == me || t->object == NULL) continue;
    ((struct cr_thread_object *)t->object)->quiet = true;
    cr_thread_interrupt(L, t, lua_gettop(L));
  }
  lua_pop(L, 1);
}
