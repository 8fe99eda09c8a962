/* Thread and Timer: functions that run in OS threads of this state. What happens
** to one between start and end is in threadlife.c. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "object.h"
#include "task.h"
#include "thread.h"

#define THREAD "cluarun.Thread"
#define TIMER "cluarun.Timer"

enum { NANO = 1000000000 };

struct cr_thread_object *cr_thread_object_push(lua_State *L, bool timer) {
  struct cr_thread_object *o = lua_newuserdatauv(L, sizeof *o, CR_THREAD_BASE);
  memset(o, 0, sizeof *o);
  o->timer = timer;
  luaL_setmetatable(L, timer ? TIMER : THREAD);
  return o;
}

static struct cr_thread_object *test_thread(lua_State *L, int arg) {
  struct cr_thread_object *o = luaL_testudata(L, arg, THREAD);
  return o != NULL ? o : luaL_testudata(L, arg, TIMER);
}

static struct cr_thread_object *check_thread(lua_State *L, int arg) {
  struct cr_thread_object *o = test_thread(L, arg);
  if (o == NULL) luaL_typeerror(L, arg, "Thread");
  return o;
}

static struct cr_thread_object *check_started(lua_State *L, const char *what) {
  struct cr_thread_object *o = check_thread(L, 1);
  if (o->state == CR_THREAD_INITIAL)
    luaL_error(L, "cannot %s a thread before it is started", what);
  return o;
}

const char *cr_thread_push_name(lua_State *L, int thread) {
  struct cr_thread_object *o = lua_touserdata(L, thread);
  if (lua_getiuservalue(L, thread, CR_THREAD_NAME) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushfstring(L, "Thread-%d", (int)o->number);
  }
  return lua_tostring(L, -1);
}

/* ---- making ---- */

static void set_value(lua_State *L, int thread, int value, int which) {
  lua_pushvalue(L, value);
  lua_setiuservalue(L, thread, which);
}

/* As in Python: one without a name gets the next number, and a daemon makes
** daemons as long as nothing else is said. */
static int thread_new(lua_State *L) {
  cr_task_check(L);
  struct cr_thread_object *o = cr_thread_object_push(L, false);
  struct cr_thread *me = cr_thread_of(L);
  o->daemon = lua_isnil(L, 5) ? me->daemon : lua_toboolean(L, 5);
  if (lua_isnil(L, 4)) o->number = ++me->gil->made;
  set_value(L, 6, 2, CR_THREAD_TARGET);
  set_value(L, 6, 3, CR_THREAD_ARGS);
  set_value(L, 6, 4, CR_THREAD_NAME);
  return 1;
}

static int timer_new(lua_State *L) {
  double interval = luaL_checknumber(L, 1);
  luaL_argcheck(L, !isnan(interval), 1, "interval must be a number, got NaN");
  cr_task_check_target(L, 2, "f");
  if (!lua_isnoneornil(L, 3)) luaL_checktype(L, 3, LUA_TTABLE);
  if (lua_istable(L, 3)) cr_task_check_count(L, 3, 3);
  lua_settop(L, 3);
  struct cr_thread_object *o = cr_thread_object_push(L, true);
  struct cr_thread *me = cr_thread_of(L);
  o->interval = interval;
  o->daemon = me->daemon;
  o->number = ++me->gil->made;
  set_value(L, 4, 2, CR_THREAD_TARGET);
  set_value(L, 4, 3, CR_THREAD_ARGS);
  return 1;
}

static int thread_start(lua_State *L) {
  struct cr_thread_object *o = check_thread(L, 1);
  if (o->state != CR_THREAD_INITIAL)
    return luaL_error(L, "cannot start a thread twice");
  lua_settop(L, 1);
  int err = cr_thread_start(L);
  if (err != 0)
    return luaL_error(L, "cannot start a thread: %s", strerror(err));
  return 1;
}

/* ---- waiting ---- */

static bool join(lua_State *L, const char *what) {
  struct cr_thread_object *o = check_started(L, what);
  int64_t deadline = cr_check_deadline(L, 2);
  if (o->state != CR_THREAD_ENDED && o->thread == cr_thread_of(L))
    luaL_error(L, "cannot %s the current thread", what);
  int err = cr_thread_wait(o, deadline);
  if (err == EINTR) cr_raise_interrupt(L);
  return err == 0;
}

static int thread_join(lua_State *L) {
  lua_pushboolean(L, join(L, "join"));
  return 1;
}

static int thread_result(lua_State *L) {
  if (!join(L, "get the result of")) return cr_raise(L, CR_ERROR_TIMEOUT);
  const struct cr_thread_object *o = lua_touserdata(L, 1);
  lua_settop(L, 1);
  if (lua_getiuservalue(L, 1, CR_THREAD_RESULT) == LUA_TNIL) {
    const char *name = cr_thread_push_name(L, 1);
    return cr_raise_lost(L,
                         lua_pushfstring(L, "thread %s left no result", name));
  }
  int n = cr_task_unpack(L);
  return o->outcome == CR_THREAD_VALUES ? n : lua_error(L);
}

static int thread__ready(lua_State *L) {
  struct cr_wait wait;
  bool ready = cr_thread_ready(check_started(L, "wait for"), &wait);
  lua_pushboolean(L, ready);
  lua_pushlightuserdata(L, wait.word);
  lua_pushinteger(L, wait.value);
  return 3;
}

static int thread__close(lua_State *L) {
  struct cr_thread_object *o = check_thread(L, 1);
  if (o->state == CR_THREAD_STARTED && o->thread != cr_thread_of(L) &&
      cr_thread_wait(o, CR_FOREVER) == EINTR)
    return cr_raise_interrupt(L);
  return 0;
}

static int thread__gc(lua_State *L) {
  struct cr_thread_object *o = test_thread(L, 1);
  if (o != NULL) cr_thread_reap(o);
  return 0;
}

/* ---- the rest ---- */

static int thread_is_alive(lua_State *L) {
  const struct cr_thread_object *o = check_started(L, "ask about");
  lua_pushboolean(L, o->state == CR_THREAD_STARTED);
  return 1;
}

static int thread_interrupt(lua_State *L) {
  struct cr_thread_object *o = check_started(L, "interrupt");
  lua_settop(L, 2);
  if (o->state == CR_THREAD_STARTED) cr_thread_interrupt(L, o->thread, 2);
  return 0;
}

static int timer_cancel(lua_State *L) {
  struct cr_thread_object *o = luaL_testudata(L, 1, TIMER);
  if (o == NULL) return luaL_typeerror(L, 1, "Timer");
  atomic_store(&o->cancelled, 1);
  cr_wake(&o->cancelled, INT_MAX);
  return 0;
}

/* Known from the moment when the OS thread runs. */
static int push_native_id(lua_State *L, struct cr_thread_object *o) {
  struct cr_wait wait = {&o->tid, 0};
  o->tid_wanted = true;
  while (o->state == CR_THREAD_STARTED && atomic_load(&o->tid) == 0)
    if (cr_sleep(&wait, 1, CR_FOREVER) == EINTR) cr_raise_interrupt(L);
  if (o->state == CR_THREAD_STARTED)
    lua_pushinteger(L, o->thread->tid);
  else
    lua_pushinteger(L, atomic_load(&o->tid));
  return 1;
}

static int thread__index(lua_State *L) {
  struct cr_thread_object *o = check_thread(L, 1);
  const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (strcmp(field, "name") == 0) return cr_thread_push_name(L, 1), 1;
  if (strcmp(field, "daemon") == 0) return lua_pushboolean(L, o->daemon), 1;
  if (o->state == CR_THREAD_INITIAL) return 1;
  if (strcmp(field, "ident") == 0) return lua_pushinteger(L, o->incarnation), 1;
  if (strcmp(field, "native_id") == 0) return push_native_id(L, o);
  return 1;
}

static void set_name(lua_State *L, struct cr_thread_object *o) {
  if (lua_type(L, 3) != LUA_TSTRING)
    luaL_error(L, "name must be a string, got %s", luaL_typename(L, 3));
  lua_settop(L, 3);
  if (o->state == CR_THREAD_STARTED)
    cr_slot_copy_name(o->slot->thread_name, lua_tostring(L, 3));
  lua_setiuservalue(L, 1, CR_THREAD_NAME);
}

static int thread__newindex(lua_State *L) {
  struct cr_thread_object *o = check_thread(L, 1);
  const char *field = luaL_tolstring(L, 2, NULL);
  if (strcmp(field, "name") == 0) {
    set_name(L, o);
  } else if (strcmp(field, "daemon") == 0) {
    if (!lua_isboolean(L, 3))
      return luaL_error(L, "daemon must be a boolean, got %s",
                        luaL_typename(L, 3));
    if (o->state != CR_THREAD_INITIAL)
      return luaL_error(L, "cannot set daemon once a thread is started");
    o->daemon = lua_toboolean(L, 3);
  } else {
    return luaL_error(L, "cannot set field '%s' of a Thread", field);
  }
  return 0;
}

static int thread__tostring(lua_State *L) {
  static const char *const words[] = {"initial", "started", "stopped"};
  const struct cr_thread_object *o = check_thread(L, 1);
  lua_pushfstring(L, "<%s(%s, %s%s)>", o->timer ? "Timer" : "Thread",
                  cr_thread_push_name(L, 1), words[o->state],
                  o->daemon ? ", daemon" : "");
  return 1;
}

/* ---- who is there ---- */

static int current(lua_State *L) {
  cr_thread_push(L, cr_thread_of(L));
  return 1;
}

static int main_thread(lua_State *L) {
  cr_thread_push(L, cr_thread_of(L)->gil->main);
  return 1;
}

/* In the order in which they were started: the list has the last one first. */
static int threads(lua_State *L) {
  struct cr_gil *g = cr_thread_of(L)->gil;
  int n = 0, i;
  for (struct cr_thread *t = g->threads; t != NULL; t = t->next) n++;
  lua_createtable(L, n, 0);
  i = n;
  for (struct cr_thread *t = g->threads; t != NULL; t = t->next) {
    cr_thread_push(L, t);
    lua_rawseti(L, -2, i--);
  }
  return 1;
}

static int switch_interval(lua_State *L) {
  struct cr_gil *g = cr_thread_of(L)->gil;
  if (lua_isnoneornil(L, 1)) {
    lua_pushnumber(L, (lua_Number)atomic_load(&g->interval) / NANO);
    return 1;
  }
  double seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds > 0 && seconds < 1e9, 1,
                "a number of seconds above 0 expected");
  double ns = ceil(seconds * NANO);
  atomic_store(&g->interval, (int64_t)ns);
  return 0;
}

static const luaL_Reg methods[] = {
    {"start", thread_start},         {"join", thread_join},
    {"result", thread_result},       {"is_alive", thread_is_alive},
    {"interrupt", thread_interrupt}, {NULL, NULL},
};

static const luaL_Reg timer_methods[] = {
    {"cancel", timer_cancel},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", thread__gc},
    {"__close", thread__close},
    {"__ready", thread__ready},
    {"__newindex", thread__newindex},
    {"__tostring", thread__tostring},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"Thread", thread_new},
    {"Timer", timer_new},
    {"current_thread", current},
    {"main_thread", main_thread},
    {"threads", threads},
    {"switch_interval", switch_interval},
    {NULL, NULL},
};

static void open_type(lua_State *L, const char *type, const char *name,
                      const luaL_Reg *more) {
  luaL_newmetatable(L, type);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  if (more != NULL) luaL_setfuncs(L, more, 0);
  lua_pushcclosure(L, thread__index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int cr_open_thread(lua_State *L) {
  open_type(L, THREAD, "Thread", NULL);
  open_type(L, TIMER, "Timer", timer_methods);
  luaL_setfuncs(L, functions, 0);
  return 0;
}
