/* The owner's side of a tray, and the names Pool and ThreadPool, which load
** lua/pool.lua when they are first called. See pool.h.
*/
#include <errno.h>
#include <signal.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "gil.h"
#include "marshal.h"
#include "object.h"
#include "pool.h"
#include "process.h"
#include "section.h"
#include "state.h"

static struct cr_tray *check_tray(lua_State *L, int arg) {
  struct cr_block *b = cr_object_peek(L, arg);
  if (b == NULL || atomic_load(&b->type) != CR_TRAY)
    luaL_typeerror(L, arg, "Tray");
  return (struct cr_tray *)b;
}

struct cr_lane_of cr_check_lane(lua_State *L, int arg) {
  struct cr_lane_of at = {check_tray(L, arg), 0};
  lua_Integer lane = luaL_checkinteger(L, arg + 1);
  luaL_argcheck(L, lane >= 1 && lane <= cr_tray_lanes(at.tray), arg + 1,
                "no such lane");
  at.lane = (uint32_t)lane - 1;
  return at;
}

static int tray_new(lua_State *L) {
  lua_Integer n = cr_check_range(L, 1, "lanes", 1, CR_LANES_MAX, 1);
  struct cr_object *o = cr_object_push(L, "Tray");
  struct cr_tray *t;
  int64_t took = 0;
  do {
    t = cr_tray_new((uint32_t)n);
  } while (!cr_object_made(L, o, (struct cr_block *)t, &took));
  return 1;
}

/* ---- collecting ---- */

static int decode(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  lua_settop(L, 0);
  return cr_decode(L, p);
}

/* Pushes the values of the packet. Returns whether it could be read; if not,
** pushes the error. Raises for lack of memory. */
static bool read_packet(lua_State *L, struct cr_packet *p, uint32_t kind) {
  if (kind == CR_REPORT_VALUE && cr_decode_simple(L, p)) return true;
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, p);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  if (status == LUA_ERRMEM) lua_error(L);
  return status == LUA_OK;
}

/* Pushes what the entry says, dropping it; returns its kind. */
static uint32_t read_entry(lua_State *L, struct cr_lane_of at,
                           struct cr_queue *large, const struct cr_entry *e) {
  uint32_t kind = e->kind & ~(uint32_t)CR_REPORT_LARGE;
  struct cr_packet p = {e->data, e->length, NULL};
  bool good = true;
  if (!(e->kind & CR_REPORT_LARGE)) {
    if (e->length > 0) good = read_packet(L, &p, kind);
    cr_lane_drop(at.tray, at.lane);
    return good ? kind : CR_REPORT_ERROR;
  }
  unsigned char copy[CR_INLINE_MAX];
  if (cr_queue_get(large, &p, 0) != 0) luaL_error(L, "a result is missing");
  cr_lane_drop(at.tray, at.lane);
  if (p.block == NULL) p.data = memcpy(copy, p.data, p.length);
  good = read_packet(L, &p, kind);
  cr_packet_free(&p);
  return good ? kind : CR_REPORT_ERROR;
}

/* list(n): a new list with room for n elements. */
static int pool_list(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  lua_createtable(L, n > 0 && n < INT_MAX ? (int)n : 0, 0);
  return 1;
}

/* collect(tray, lane, large, list, at, n) -> count [, kind, values...]
**
** Puts the single values that up to n items have given into list[at + 1] and
** so on. Stops after n, when there is no more now, or at an entry of another
** kind, whose kind and values follow. */
static int tray_collect(lua_State *L) {
  struct cr_lane_of at = cr_check_lane(L, 1);
  struct cr_queue *large = cr_check_channel(L, 3);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_Integer place = luaL_checkinteger(L, 5), n = luaL_checkinteger(L, 6);
  lua_Integer count = 0;
  const struct cr_entry *e;
  lua_settop(L, 6);
  lua_pushnil(L); /* for the count */
  while (count < n && (e = cr_lane_peek(at.tray, at.lane)) != NULL) {
    uint32_t kind = read_entry(L, at, large, e);
    if (kind != CR_REPORT_VALUE) {
      lua_pushinteger(L, kind);
      lua_insert(L, 8);
      break;
    }
    lua_rawseti(L, 4, place + ++count);
  }
  lua_pushinteger(L, count);
  lua_replace(L, 7);
  return lua_gettop(L) - 6;
}

/* busy(tray, lane) -> the next lane that has an entry | nil */
static int tray_busy(lua_State *L) {
  struct cr_tray *t = check_tray(L, 1);
  lua_Integer lane = luaL_checkinteger(L, 2);
  while (lane >= 0 && lane < cr_tray_lanes(t))
    if (cr_lane_peek(t, (uint32_t)lane++) != NULL)
      return lua_pushinteger(L, lane), 1;
  return 0;
}

/* begun(tray, lane) -> for how many seconds the timed item in work runs, since
** when | nil */
static int tray_begun(lua_State *L) {
  struct cr_lane_of at = cr_check_lane(L, 1);
  int64_t begun = cr_lane_begun(at.tray, at.lane);
  if (begun == 0) return 0;
  lua_pushnumber(L, (lua_Number)(cr_now() - begun) * 1e-9);
  lua_pushinteger(L, begun);
  return 2;
}

/* doom(tray, lane, begun) -> was it still the item begun then? */
static int tray_doom(lua_State *L) {
  struct cr_lane_of at = cr_check_lane(L, 1);
  lua_pushboolean(L, cr_lane_doom(at.tray, at.lane, luaL_checkinteger(L, 3)));
  return 1;
}

static int tray_reset(lua_State *L) {
  struct cr_lane_of at = cr_check_lane(L, 1);
  cr_lane_reset(at.tray, at.lane);
  return 0;
}

/* ---- waiting ---- */

/* Not where other threads want to run. */
static bool spin(lua_State *L, struct cr_tray *t) {
  struct cr_spin spinning;
  if (cr_multithreaded(L) && atomic_load(&cr_thread_of(L)->gil->waiting) > 0)
    return false;
  cr_spin_start(&spinning);
  while (cr_spin(&spinning)) {
    if (!cr_tray_ready(t, NULL)) continue;
    cr_spin_won(&spinning);
    return true;
  }
  return false;
}

/* wait(tray | nil, section, changes, children | nil, timeout): until there is an
** entry, the section's changes or the count of ended children are not as given,
** or the time is over. May return early; true: though nothing has happened. */
int cr_pool_wait(lua_State *L) {
  struct cr_tray *t = lua_isnil(L, 1) ? NULL : check_tray(L, 1);
  struct cr_section *s = cr_check_section(L, 2);
  struct cr_wait w[3] = {{&s->changes, (uint32_t)luaL_checkinteger(L, 3)}};
  int n = 1;
  int64_t deadline = cr_check_deadline(L, 5);
  if (!lua_isnil(L, 4)) {
    cr_child_rings(&w[n]);
    w[n++].value = (uint32_t)luaL_checkinteger(L, 4);
  }
  if (t != NULL && (spin(L, t) || cr_tray_ready(t, &w[n++]))) return 0;
  if (deadline == 0) return 0;
  int err = cr_section_sleep(s, w, n, deadline);
  if (err == EINTR) return cr_raise_interrupt(L);
  bool nothing = err == 0;
  for (int i = 0; i < n; i++) nothing &= atomic_load(w[i].word) == w[i].value;
  lua_pushboolean(L, nothing);
  return 1;
}

/* nap(seconds): lets results gather. */
static int tray_nap(lua_State *L) {
  int err = cr_sleep(NULL, 0, cr_check_deadline(L, 1));
  return err == EINTR ? cr_raise_interrupt(L) : 0;
}

/* ---- who is who ---- */

/* ended(): counts the children that have ended, and more. */
static int pool_ended(lua_State *L) {
  lua_pushinteger(L, cr_child_rings(NULL));
  return 1;
}

/* self(): a number of this process alone. */
static int pool_self(lua_State *L) {
  lua_pushinteger(L, cr_self->leader_incarnation);
  return 1;
}

/* shared(value): is it a reference to something that never changes: a
** synchronisation object or an error value? */
static int pool_shared(lua_State *L) {
  lua_pushboolean(L, cr_object_test(L, 1) != NULL || cr_error_test(L, 1) >= 0);
  return 1;
}

/* lost(text) -> a WorkerLost with that text */
static int pool_lost(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  cr_push_worker_lost(L);
  return 1;
}

/* interrupted(error): is it what a Ctrl-C has raised in the main thread? */
static int pool_interrupted(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  luaL_checkany(L, 1);
  lua_pushboolean(L, t == t->gil->main && cr_is_interrupt(L, 1));
  return 1;
}

/* terminal(): is stderr one? */
static int pool_terminal(lua_State *L) {
  lua_pushboolean(L, isatty(STDERR_FILENO));
  return 1;
}

/* A worker dies of Ctrl-C at once, and silently; Ctrl-\ still asks it. */
static int pool_mortal(lua_State *L) {
  (void)L;
  signal(SIGINT, SIG_DFL);
  return 0;
}

/* load(name): runs an embedded file with the table of all this as its
** argument, once; returns what it returned. */
static int pool_load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "loaded");
  if (lua_getfield(L, 2, name) != LUA_TNIL) return 1;
  lua_pop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  cr_run_embedded(L, name, 1, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, 2, name);
  return 1;
}

/* ---- the names ---- */

static const char core_key, names_key; /* in the registry */

static const luaL_Reg functions[] = {
    {"tray", tray_new},
    {"collect", tray_collect},
    {"begun", tray_begun},
    {"busy", tray_busy},
    {"list", pool_list},
    {"reset", tray_reset},
    {"doom", tray_doom},
    {"wait", cr_pool_wait},
    {"nap", tray_nap},
    {"ended", pool_ended},
    {"self", pool_self},
    {"shared", pool_shared},
    {"lost", pool_lost},
    {"mortal", pool_mortal},
    {"interrupted", pool_interrupted},
    {"terminal", pool_terminal},
    {NULL, NULL},
};

static void set_constants(lua_State *L) {
  static const struct {
    const char *name;
    int value;
  } constants[] = {
      {"VALUE", CR_REPORT_VALUE}, {"VALUES", CR_REPORT_VALUES},
      {"ERROR", CR_REPORT_ERROR}, {"FULL", CR_REPORT_FULL},
      {"CHUNK", CR_REPORT_CHUNK}, {"READY", CR_REPORT_READY},
      {"UNFIT", CR_REPORT_UNFIT}, {"SPREAD", CR_CALL_SPREAD},
      {"MANY", CR_CALL_MANY},     {"ALL", CR_CALL_ALL},
      {"TIMED", CR_CALL_TIMED},
  };
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
    lua_pushinteger(L, constants[i].value);
    lua_setfield(L, -2, constants[i].name);
  }
}

/* Pushes the table that the Lua files get: the functions above, and under their
** names the primitives. */
static void push_core(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  cr_open_pool_message(L);
  cr_open_pool_work(L);
  cr_open_section(L);
  set_constants(L);
  lua_newtable(L);
  lua_setfield(L, -2, "loaded");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
  lua_setfield(L, -2, "cluarun");
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, pool_load, 1);
  lua_setfield(L, -2, "load");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
}

static int make(lua_State *L, const char *what) {
  int n = lua_gettop(L);
  push_core(L);
  lua_getfield(L, -1, "load");
  lua_pushstring(L, what);
  lua_call(L, 1, 1);
  lua_remove(L, -2);
  lua_insert(L, 1);
  lua_call(L, n, 1);
  return 1;
}

static int pool_new(lua_State *L) {
  return make(L, "pool");
}

static int thread_pool_new(lua_State *L) {
  return make(L, "threadpool");
}

/* The pools that are left at the end of a process's script. */
void cr_pool_end(lua_State *L) {
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key) == LUA_TTABLE &&
      lua_getfield(L, -1, "end_all") == LUA_TFUNCTION)
    lua_call(L, 0, 0);
  lua_settop(L, top);
}

int cr_open_pool(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  cr_object_type(L, "Tray", CR_TRAY, none);
  lua_pushcfunction(L, pool_new);
  lua_setfield(L, -2, "Pool");
  lua_pushcfunction(L, thread_pool_new);
  lua_setfield(L, -2, "ThreadPool");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
  return 0;
}
