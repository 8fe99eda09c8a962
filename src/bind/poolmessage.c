/* Messages of several values, and packets: messages that wait to be put.
**
** A packet is encoded when its task is submitted, so that the task is what it
** was then. It is bytes in Lua's memory and owns nothing of the arena: it may
** wait for long, another thread may put it, and a child may inherit it. So a
** message with shared objects cannot be one.
*/
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "marshal.h"
#include "object.h"
#include "pool.h"
#include "task.h"

#define PACKET "cluarun.Packet"

struct packet {
  size_t length;
  unsigned char bytes[];
};

struct cr_queue *cr_check_channel(lua_State *L, int arg) {
  struct cr_block *b = cr_object_peek(L, arg);
  if (b == NULL || atomic_load(&b->type) != CR_QUEUE)
    luaL_typeerror(L, arg, "Queue");
  return (struct cr_queue *)b;
}

/* nil and what went wrong: a text for what cannot be sent, or Full. */
static int failed(lua_State *L, int err) {
  if (err != EINVAL) cr_push_error(L, CR_ERROR_FULL);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int encode(lua_State *L, int first, struct cr_packet *p) {
  return cr_encode(L, first, lua_gettop(L) - first + 1, false, p);
}

/* 0 or an errno value; then the packet is freed. */
static int put(lua_State *L, struct cr_queue *q, struct cr_packet *p) {
  int err = cr_queue_put(q, p, CR_FOREVER);
  if (err != 0) cr_packet_free(p);
  if (err == EINTR) cr_raise_interrupt(L);
  return err;
}

/* What a function returns that sends. */
static int answer(lua_State *L, int err) {
  if (err != 0) return failed(L, err);
  lua_pushboolean(L, true);
  return 1;
}

/* send(queue, ...) -> true | nil, error */
static int message_send(lua_State *L) {
  struct cr_packet p;
  int64_t took = 0;
  int err;
  do {
    struct cr_queue *q = cr_check_channel(L, 1);
    err = encode(L, 2, &p);
    if (err == 0) err = put(L, q, &p);
  } while (err == ENOMEM && cr_reclaim(L, &took));
  return answer(L, err);
}

/* send_slice(queue, list, at, n, ...) -> true | nil, error: what comes behind n,
** and then a list of the elements at + 1 to at + n. */
static int message_send_slice(lua_State *L) {
  struct cr_slice slice = {.list = 2, .at = luaL_checkinteger(L, 3)};
  lua_Integer n = luaL_checkinteger(L, 4);
  int values = lua_gettop(L) - 4;
  struct cr_packet p;
  int64_t took = 0;
  int err;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_argcheck(L, n > 0 && n <= INT_MAX, 4, "out of range");
  slice.n = (uint32_t)n;
  do {
    struct cr_queue *q = cr_check_channel(L, 1);
    err = cr_encode_slice(L, 5, values, slice, &p);
    if (err == 0) err = put(L, q, &p);
  } while (err == ENOMEM && cr_reclaim(L, &took));
  return answer(L, err);
}

static int make_packet(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  struct packet *k = lua_newuserdatauv(L, sizeof *k + p->length, 0);
  k->length = p->length;
  memcpy(k->bytes, p->data, p->length);
  luaL_setmetatable(L, PACKET);
  return 1;
}

/* Calls f, which gets the packet, and frees that in any case. Returns how many
** values f has left. */
static int with_packet(lua_State *L, lua_CFunction f, struct cr_packet *p) {
  unsigned char copy[CR_INLINE_MAX];
  int top = lua_gettop(L);
  if (p->block == NULL) p->data = memcpy(copy, p->data, p->length);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, p);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  cr_packet_free(p);
  return status == LUA_OK ? lua_gettop(L) - top : lua_error(L);
}

static bool has_objects(const struct cr_packet *p) {
  return p->block != NULL && atomic_load(&p->block->objects) > 0;
}

/* pack(...) -> packet | false: it has shared objects | nil, error */
static int message_pack(lua_State *L) {
  struct cr_packet p;
  luaL_checkstack(L, 8, NULL);
  int err = encode(L, 1, &p);
  if (err != 0) return failed(L, err);
  if (!has_objects(&p)) return with_packet(L, make_packet, &p);
  cr_packet_free(&p);
  lua_pushboolean(L, false);
  return 1;
}

static int put_copy(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  const struct packet *k = luaL_checkudata(L, 2, PACKET);
  struct cr_packet p = {k->bytes, k->length, NULL};
  if (k->length > CR_INLINE_MAX) {
    p.block = cr_message_copy(k->bytes, k->length);
    if (p.block == NULL) return ENOMEM;
    p.data = p.block->data;
  }
  return put(L, q, &p);
}

/* put(queue, packet) -> true | nil, error */
static int message_put(lua_State *L) {
  int64_t took = 0;
  int err = put_copy(L);
  while (err == ENOMEM && cr_reclaim(L, &took)) err = put_copy(L);
  return answer(L, err);
}

/* The first value of a message, which is an integer. */
static lua_Integer number_of(lua_State *L, const struct cr_packet *p) {
  struct cr_packet first = {p->data, p->length, NULL};
  if (!cr_decode_simple(L, &first)) return 0;
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static int decode(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  lua_settop(L, 0);
  return cr_decode(L, p);
}

static int make_list(lua_State *L) {
  decode(L);
  cr_task_pack(L, 0);
  return 1;
}

/* pop(queue [, at_once]) -> packet or list of the values, the first value | nil:
** does not wait; `at_once`: not even for another who is just getting one, which
** gives false. */
static int message_pop(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  int64_t deadline = lua_toboolean(L, 2) ? CR_AT_ONCE : 0;
  struct cr_packet p;
  int err = cr_queue_get(q, &p, deadline);
  if (err == EBUSY) lua_pushboolean(L, false);
  if (err != 0) return err == EBUSY;
  lua_Integer n = number_of(L, &p);
  with_packet(L, has_objects(&p) ? make_list : make_packet, &p);
  lua_pushinteger(L, n);
  return 2;
}

/* take(queue) -> values...: waits for a message. */
int cr_pool_take(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  struct cr_packet p;
  lua_settop(L, 1);
  int err = cr_queue_get(q, &p, CR_FOREVER);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err != 0) return luaL_error(L, "not enough memory");
  return with_packet(L, decode, &p);
}

/* copy(value) -> a copy as a receiver would get it | nil, error */
static int message_copy(lua_State *L) {
  struct cr_packet p;
  lua_settop(L, 1);
  int err = cr_encode(L, 1, 1, false, &p);
  return err != 0 ? failed(L, err) : with_packet(L, decode, &p);
}

void cr_open_pool_message(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"send", message_send}, {"send_slice", message_send_slice},
      {"pack", message_pack}, {"put", message_put},
      {"pop", message_pop},   {"take", cr_pool_take},
      {"copy", message_copy}, {NULL, NULL},
  };
  luaL_newmetatable(L, PACKET);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
