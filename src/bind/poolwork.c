/* A worker's work: the items of one message, each one's outcome laid down in
** the worker's lane before the next is begun.
*/
#include <errno.h>
#include <unistd.h>

#include "marshal.h"
#include "object.h"
#include "pool.h"
#include "process.h"
#include "state.h"
#include "task.h"

struct work {
  struct cr_lane_of at;
  struct cr_queue *large;
  uint32_t me; /* the worker: a task may fork */
  int flags;
  lua_Integer next, n; /* how many items are begun, of how many */
  bool inside;         /* in the call of an item */
};

enum { TRAY = 1, LANE, LARGE, FUNCTION, PAYLOAD = FUNCTION + 3, HANDLER };

static int levels_below; /* of the stack below what a task runs */

/* ---- reports ---- */

static void lay_down(lua_State *L, struct work *w, uint32_t kind,
                     const void *data, size_t length) {
  cr_patient = true;
  int err = cr_lane_put(w->at.tray, w->at.lane, kind, data, length);
  cr_patient = false;
  if (err != 0) luaL_error(L, "cannot report a result (error %d)", err);
}

static void lay_down_packet(lua_State *L, struct work *w, uint32_t kind,
                            struct cr_packet *p) {
  if (p->block == NULL && p->length <= CR_ENTRY_MAX) {
    lay_down(L, w, kind, p->data, p->length);
    return;
  }
  cr_patient = true;
  int err = cr_queue_put(w->large, p, CR_FOREVER);
  cr_patient = false;
  if (err != 0) cr_packet_free(p);
  lay_down(L, w, err == 0 ? kind | CR_REPORT_LARGE : CR_REPORT_FULL, NULL, 0);
}

/* Reports the n values from `first` on; what cannot be sent is an error. */
static void report(lua_State *L, struct work *w, uint32_t kind, int first,
                   int n) {
  struct cr_packet p;
  int err = cr_encode(L, first, n, false, &p);
  if (err == EINVAL && kind > CR_REPORT_VALUES) {
    lua_pop(L, 1);
    cr_result_error_text(L, first);
  } else if (err == EINVAL) {
    lua_pushfstring(L, "bad result: %s", lua_tostring(L, -1));
    kind = CR_REPORT_ERROR;
  }
  if (err == EINVAL) err = cr_encode(L, lua_gettop(L), 1, false, &p);
  if (err == 0)
    lay_down_packet(L, w, kind, &p);
  else
    lay_down(L, w, CR_REPORT_FULL, NULL, 0);
}

static void report_values(lua_State *L, struct work *w, int first) {
  unsigned char simple[CR_SIMPLE_MAX];
  int n = lua_gettop(L) - first + 1;
  size_t length = n == 1 ? cr_encode_simple(L, first, simple) : 0;
  if (length > 0)
    lay_down(L, w, CR_REPORT_VALUE, simple, length);
  else
    report(L, w, n == 1 ? CR_REPORT_VALUE : CR_REPORT_VALUES, first, n);
}

/* ---- items ---- */

/* Adds the worker's traceback to a string. */
static int handler(lua_State *L) {
  if (lua_type(L, 1) != LUA_TSTRING) return 1;
  cr_traceback(L, "", 1, levels_below);
  const char *trace = lua_tostring(L, -1);
  cr_push_relative(L, CR_CURRENT);
  const char *name = cr_process_push_name(L, -1);
  lua_pushfstring(L, "%s\nin Process %s (pid %d), %s", lua_tostring(L, 1), name,
                  (int)getpid(), trace + (*trace == '\n'));
  return 1;
}

/* Given up while it ended: this process is about to be killed. */
static void await_end(void) {
  cr_patient = true;
  for (;;) cr_sleep(NULL, 0, CR_FOREVER);
}

static void end_item(struct work *w) {
  bool timed = w->flags & CR_CALL_TIMED;
  if (timed && !cr_lane_end(w->at.tray, w->at.lane)) await_end();
}

/* Calls the function on top but one for the item on top. */
static void call(lua_State *L, int flags) {
  int n = 1, results = flags & CR_CALL_ALL ? LUA_MULTRET : 1;
  if (flags & CR_CALL_SPREAD) {
    if (!lua_istable(L, -1))
      luaL_error(L, "a list of arguments expected, got %s",
                 luaL_typename(L, -1));
    n = cr_task_push_args(L);
  }
  lua_call(L, n, results);
}

/* Is this process still the worker, not one that a task has forked? */
static bool is_worker(const struct work *w) {
  return cr_self->leader_incarnation == w->me;
}

/* do_items(work, f, payload): the items from the next one on, in one protected
** call until one fails. */
static int do_items(lua_State *L) {
  struct work *w = lua_touserdata(L, 1);
  while (w->next < w->n) {
    w->next++;
    lua_pushvalue(L, 2);
    if (w->flags & CR_CALL_MANY)
      lua_rawgeti(L, 3, w->next);
    else
      lua_pushvalue(L, 3);
    if (w->flags & CR_CALL_TIMED) cr_lane_begin(w->at.tray, w->at.lane);
    w->inside = true;
    call(L, w->flags);
    w->inside = false;
    if (!is_worker(w)) return 0;
    end_item(w);
    report_values(L, w, 4);
    lua_settop(L, 3);
  }
  return 0;
}

/* The error is on top. One outside of an item is the worker's end. */
static void item_failed(lua_State *L, struct work *w) {
  if (!w->inside) lua_error(L);
  w->inside = false;
  if (!is_worker(w)) {
    cr_process_fail(L);
    return;
  }
  end_item(w);
  report(L, w, CR_REPORT_ERROR, lua_gettop(L), 1);
}

static struct work check_work(lua_State *L) {
  return (struct work){.at = cr_check_lane(L, TRAY),
                       .large = cr_check_channel(L, LARGE),
                       .me = cr_self->leader_incarnation};
}

/* run(tray, lane, large, f, flags, n, payload) -> still the worker? */
static int work_run(lua_State *L) {
  struct work w = check_work(L);
  w.flags = (int)luaL_checkinteger(L, FUNCTION + 1);
  w.n = luaL_checkinteger(L, FUNCTION + 2);
  if (w.flags & CR_CALL_MANY) luaL_checktype(L, PAYLOAD, LUA_TTABLE);
  lua_settop(L, PAYLOAD);
  lua_pushcfunction(L, handler);
  levels_below = cr_stack_levels(L) + 1;
  while (w.next < w.n && is_worker(&w)) {
    lua_pushcfunction(L, do_items);
    lua_pushlightuserdata(L, &w);
    lua_pushvalue(L, FUNCTION);
    lua_pushvalue(L, PAYLOAD);
    if (lua_pcall(L, 3, 0, HANDLER) != LUA_OK) item_failed(L, &w);
    lua_settop(L, HANDLER);
  }
  lua_pushboolean(L, is_worker(&w));
  return 1;
}

/* report(tray, lane, large, kind [, value]) */
static int work_report(lua_State *L) {
  struct work w = check_work(L);
  uint32_t kind = (uint32_t)luaL_checkinteger(L, FUNCTION);
  if (lua_gettop(L) == FUNCTION)
    lay_down(L, &w, kind, NULL, 0);
  else
    report(L, &w, kind, FUNCTION + 1, 1);
  return 0;
}

/* fail(error): see cr_process_fail */
static int work_fail(lua_State *L) {
  lua_settop(L, 1);
  cr_process_fail(L);
  return 0;
}

void cr_open_pool_work(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"run", work_run},
      {"fail", work_fail},
      {"report", work_report},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
