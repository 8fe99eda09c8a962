/* A state's family: its children, and who this process is. See process.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "object.h"
#include "process.h"
#include "stream.h"
#include "thread.h"

enum { HELD = 1, VALUES = CR_PARENT }; /* user values: held, current, parent */
enum { GRACE = 1 }; /* seconds that a daemon has for its end */

static const char key;

static struct cr_family *push_home(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
  return lua_touserdata(L, -1);
}

/* In a new process: nobody is its child, and what it was is now its parent. The
** home is on top of the stack. */
static void adopt(lua_State *L, struct cr_family *f) {
  lua_getiuservalue(L, -1, CR_CURRENT);
  lua_setiuservalue(L, -2, CR_PARENT);
  struct cr_child *me = cr_family_adopt(f);
  if (me != NULL && !me->raw && lua_getiuservalue(L, -1, HELD) == LUA_TTABLE) {
    lua_rawgetp(L, -1, me);
    lua_remove(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_setiuservalue(L, -2, CR_CURRENT);
  lua_pushnil(L);
  lua_setiuservalue(L, -2, HELD);
}

static struct cr_family *home(lua_State *L) {
  struct cr_family *f = push_home(L);
  if (cr_family_foreign(f)) adopt(L, f);
  return f;
}

struct cr_family *cr_family(lua_State *L) {
  struct cr_family *f = home(L);
  lua_pop(L, 1);
  return f;
}

static void push_held(lua_State *L) {
  home(L);
  if (lua_getiuservalue(L, -1, HELD) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, HELD);
  }
  lua_remove(L, -2);
}

void cr_family_hold(lua_State *L, struct cr_child *c) {
  push_held(L);
  lua_insert(L, -2);
  lua_rawsetp(L, -2, c);
  lua_pop(L, 1);
}

void cr_family_drop(lua_State *L, struct cr_child *c) {
  push_held(L);
  lua_pushnil(L);
  lua_rawsetp(L, -2, c);
  lua_pop(L, 1);
}

void cr_family_push(lua_State *L, struct cr_child *c) {
  push_held(L);
  lua_rawgetp(L, -1, c);
  lua_remove(L, -2);
}

void cr_family_tidy(lua_State *L) {
  if (cr_family_reap(cr_family(L)) == 0) return;
  push_held(L);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    struct cr_child *c = lua_touserdata(L, -2);
    if (!c->reaped || c->raw) continue;
    lua_pushnil(L);
    lua_rawsetp(L, -4, c);
  }
  lua_pop(L, 1);
}

void cr_family_before_fork(lua_State *L) {
  cr_push_relative(L, CR_CURRENT); /* the child will need it */
  lua_pop(L, 1);
  cr_stream_flush(L, stdout); /* so that others run while it is full */
}

int cr_family_fork(lua_State *L, struct cr_child *c, pid_t *pid) {
  int err = cr_child_fork(cr_family(L), c, pid);
  if (err != 0) cr_family_drop(L, c);
  return err;
}

void cr_push_relative(lua_State *L, enum cr_relative which) {
  home(L);
  if (lua_getiuservalue(L, -1, which) == LUA_TNIL && which == CR_CURRENT) {
    lua_pop(L, 1);
    cr_process_push_self(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, CR_CURRENT);
  }
  lua_remove(L, -2);
}

/* ---- the end ---- */

static struct cr_child *next_process(struct cr_child *c, bool daemon) {
  while (c != NULL && (c->raw || c->daemon != daemon)) c = c->next;
  return c;
}

static void signal_daemons(struct cr_family *f, int signal) {
  struct cr_child *c = f->first;
  for (; (c = next_process(c, true)) != NULL; c = c->next) kill(c->pid, signal);
}

/* Each is kept on the stack meanwhile: a daemon thread that reaps it lets go of
** it. */
static int wait_for(lua_State *L, struct cr_family *f, bool daemons,
                    int64_t deadline) {
  struct cr_child *c;
  while ((c = next_process(f->first, daemons)) != NULL) {
    cr_family_push(L, c);
    int err = cr_child_wait(f, c, deadline);
    lua_pop(L, 1);
    if (err != 0) return err;
  }
  return 0;
}

static int end_of_family(lua_State *L, struct cr_family *f) {
  signal_daemons(f, SIGTERM);
  int err = 0;
  if (next_process(f->first, true) != NULL)
    err = wait_for(L, f, true, cr_deadline(GRACE));
  signal_daemons(f, SIGKILL);
  if (err != EINTR) err = wait_for(L, f, true, CR_FOREVER);
  if (err != EINTR) err = wait_for(L, f, false, CR_FOREVER);
  return err;
}

int cr_process_end(lua_State *L) {
  cr_threads_join(L);
  cr_pool_end(L);
  struct cr_family *f = push_home(L);
  lua_pop(L, 1);
  /* None: the libraries were never opened, or it never had a child. */
  if (f == NULL || cr_family_foreign(f)) return 0;
  f->left = end_of_family(L, f) == EINTR;
  return f->left ? cr_raise_interrupt(L) : 0;
}

/* For a state that is closed without cr_process_end, as by a stock lua5.4.
** Patient, since a wait in a finalizer would be refused beside threads. */
static int family__gc(lua_State *L) {
  struct cr_family *f = lua_touserdata(L, 1);
  bool before = cr_patient;
  cr_patient = true;
  if (!cr_family_foreign(f) && !f->left) end_of_family(L, f);
  cr_patient = before;
  return 0;
}

void cr_family_open(lua_State *L) {
  struct cr_family *f = lua_newuserdatauv(L, sizeof *f, VALUES);
  memset(f, 0, sizeof *f);
  f->owner = cr_self->leader_incarnation;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, family__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}
