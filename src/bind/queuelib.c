/* Queue, LifoQueue, PriorityQueue. The contract is in the reference; what
** happens to a value on its way is in marshal.h and queue.h.
*/
#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "marshal.h"
#include "object.h"
#include "receive.h"

static const char *const type_name[] = {"Queue", "LifoQueue", "PriorityQueue"};

static struct cr_queue *check_queue(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL) {
    uint32_t t = atomic_load_explicit(&b->type, memory_order_relaxed);
    if (t == CR_QUEUE || t == CR_LIFO_QUEUE || t == CR_PRIORITY_QUEUE)
      return (struct cr_queue *)b;
  }
  return (struct cr_queue *)cr_object_check(L, 1, "Queue");
}

static int new_queue(lua_State *L, enum cr_queue_kind kind) {
  lua_Integer n = cr_check_range(L, 1, "maxsize", 0, INT32_MAX, 0);
  struct cr_object *o = cr_object_push(L, type_name[kind]);
  struct cr_queue *q;
  int64_t took = 0;
  do {
    q = cr_queue_new(kind, (uint32_t)n);
  } while (!cr_object_made(L, o, (struct cr_block *)q, &took));
  return 1;
}

static int queue_new(lua_State *L) {
  return new_queue(L, CR_FIFO);
}

static int lifo_new(lua_State *L) {
  return new_queue(L, CR_LIFO);
}

static int priority_new(lua_State *L) {
  return new_queue(L, CR_PRIORITY);
}

/* ---- put ---- */

static int put_failed(lua_State *L, int err) {
  switch (err) {
    case EAGAIN:
    case ENOMEM: return cr_raise(L, CR_ERROR_FULL);
    case EPIPE: return cr_raise(L, CR_ERROR_SHUTDOWN);
    case EINTR: return cr_raise_interrupt(L);
    case EDOM:
      return cr_argerror(L, 2, "cannot be compared with an item in the queue");
    default: return luaL_error(L, "cannot put (error %d)", err);
  }
}

static int encode(lua_State *L, enum cr_queue_kind kind, unsigned char *simple,
                  struct cr_packet *p) {
  if (kind == CR_PRIORITY) return cr_encode_prioritised(L, 2, p);
  *p = (struct cr_packet){simple, cr_encode_simple(L, 2, simple), NULL};
  return p->length > 0 ? 0 : cr_encode(L, 2, 1, false, p);
}

static int put_once(lua_State *L, struct cr_queue *q, int64_t deadline) {
  struct cr_packet p;
  unsigned char simple[CR_SIMPLE_MAX];
  int err = encode(L, cr_queue_kind(q), simple, &p);
  if (err == EINVAL) return cr_argerror(L, 2, lua_tostring(L, -1));
  if (err == 0) {
    err = cr_queue_put(q, &p, deadline);
    if (err != 0) cr_packet_free(&p);
  }
  return err;
}

static int put(lua_State *L, struct cr_queue *q, int64_t deadline) {
  int64_t took = 0;
  if (lua_isnone(L, 2)) return cr_argerror(L, 2, "value expected");
  int err = put_once(L, q, deadline);
  while (err == ENOMEM && cr_reclaim(L, &took))
    err = put_once(L, check_queue(L), deadline);
  return err == 0 ? 0 : put_failed(L, err);
}

static int queue_put(lua_State *L) {
  struct cr_queue *q = check_queue(L);
  return put(L, q, lua_gettop(L) <= 2 ? CR_FOREVER : cr_check_block(L, 3));
}

static int queue_put_nowait(lua_State *L) {
  return put(L, check_queue(L), 0);
}

/* ---- get ---- */

static int get_failed(lua_State *L, int err) {
  switch (err) {
    case EAGAIN: return cr_raise(L, CR_ERROR_EMPTY);
    case EPIPE: return cr_raise(L, CR_ERROR_SHUTDOWN);
    case EINTR: return cr_raise_interrupt(L);
    default: return luaL_error(L, "not enough memory");
  }
}

static int unget(void *q, struct cr_packet *p) {
  return cr_queue_unget(q, p);
}

static int get(lua_State *L, struct cr_queue *q, int64_t deadline) {
  struct cr_packet p;
  int err = cr_queue_get(q, &p, deadline);
  return err == 0 ? cr_receive(L, &p, unget, q) : get_failed(L, err);
}

static int queue_get(lua_State *L) {
  struct cr_queue *q = check_queue(L);
  return get(L, q, lua_gettop(L) <= 1 ? CR_FOREVER : cr_check_block(L, 2));
}

static int queue_get_nowait(lua_State *L) {
  return get(L, check_queue(L), 0);
}

/* ---- the rest ---- */

static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, cr_queue_size(check_queue(L)));
  return 1;
}

static int queue_empty(lua_State *L) {
  lua_pushboolean(L, cr_queue_size(check_queue(L)) == 0);
  return 1;
}

static int queue_full(lua_State *L) {
  struct cr_queue *q = check_queue(L);
  uint32_t max = cr_queue_maxsize(q);
  lua_pushboolean(L, max != 0 && cr_queue_size(q) >= max);
  return 1;
}

static int queue_task_done(lua_State *L) {
  if (cr_queue_task_done(check_queue(L)) != 0)
    return luaL_error(L, "task_done called more often than items were put");
  return 0;
}

static int queue_join(lua_State *L) {
  if (cr_queue_join(check_queue(L), CR_FOREVER) != 0)
    return cr_raise_interrupt(L);
  return 0;
}

static int queue_shutdown(lua_State *L) {
  struct cr_queue *q = check_queue(L);
  cr_queue_shutdown(q, cr_check_boolean(L, 2, "immediate", false));
  return 0;
}

static int iterate(lua_State *L) {
  struct cr_packet p;
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  struct cr_queue *q = check_queue(L);
  int err = cr_queue_get(q, &p, CR_FOREVER);
  if (err == EPIPE) return 0;
  if (err != 0) return get_failed(L, err);
  cr_receive(L, &p, unget, q);
  if (lua_isnil(L, -1))
    return luaL_error(L, "iter: a nil was taken from the queue "
                         "(nil cannot be iterated over; use get)");
  return 1;
}

static int queue_iter(lua_State *L) {
  check_queue(L);
  lua_settop(L, 1);
  lua_pushcclosure(L, iterate, 1);
  return 1;
}

static int queue__tostring(lua_State *L) {
  struct cr_queue *q = check_queue(L);
  const char *name = type_name[cr_queue_kind(q)];
  char text[120], limit[16] = "";
  if (cr_queue_maxsize(q) != 0)
    snprintf(limit, sizeof limit, "/%u", cr_queue_maxsize(q));
  snprintf(text, sizeof text, "<%s %p size=%u%s%s>", name, (void *)q,
           cr_queue_size(q), limit,
           cr_queue_is_shutdown(q) ? " shut down" : "");
  lua_pushstring(L, text);
  return 1;
}

static const luaL_Reg methods[] = {
    {"put", queue_put},
    {"get", queue_get},
    {"put_nowait", queue_put_nowait},
    {"get_nowait", queue_get_nowait},
    {"qsize", queue_qsize},
    {"empty", queue_empty},
    {"full", queue_full},
    {"task_done", queue_task_done},
    {"join", queue_join},
    {"shutdown", queue_shutdown},
    {"iter", queue_iter},
    {"__tostring", queue__tostring},
    {NULL, NULL},
};

/* A bounded queue's limit is a field. Look-up of methods must stay a plain table
** access, so only bounded ones have a metatable with an __index function. */
static int bounded__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "maxsize") == 0) {
    lua_pushinteger(L, cr_queue_maxsize(check_queue(L)));
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static const char *bounded_name(lua_State *L, const char *name) {
  return lua_pushfstring(L, "cluarun.%s bounded", name);
}

/* The type's metatable, with another __index. */
static void make_bounded(lua_State *L, const char *name) {
  luaL_newmetatable(L, bounded_name(L, name));
  luaL_getmetatable(L, lua_pushfstring(L, "cluarun.%s", name));
  lua_remove(L, -2);
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
  lua_getfield(L, -1, "__index");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "maxsize");
  lua_pushcclosure(L, bounded__index, 1);
  lua_setfield(L, -3, "__index");
  lua_pop(L, 3);
}

/* For the userdata on top. */
static void dress(lua_State *L, struct cr_block *b) {
  struct cr_queue *q = (struct cr_queue *)b;
  if (cr_queue_maxsize(q) == 0) return;
  luaL_getmetatable(L, bounded_name(L, type_name[cr_queue_kind(q)]));
  lua_setmetatable(L, -3);
  lua_pop(L, 1);
}

int cr_open_queue(lua_State *L) {
  static const lua_CFunction make[] = {queue_new, lifo_new, priority_new};
  static const enum cr_type type[] = {CR_QUEUE, CR_LIFO_QUEUE,
                                      CR_PRIORITY_QUEUE};
  for (int i = 0; i < 3; i++) {
    cr_object_type(L, type_name[i], type[i], methods);
    make_bounded(L, type_name[i]);
    cr_object_dress(type[i], dress);
    lua_pushcfunction(L, make[i]);
    lua_setfield(L, -2, type_name[i]);
  }
  return 0;
}
