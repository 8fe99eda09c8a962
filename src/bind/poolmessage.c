/* Messages of several values, and packets: messages that wait to be put.
**
** A packet is encoded when its task is submitted, so that the task is what it
** was then; it changes queues without being read again.
*/
#include <errno.h>
#include <string.h>

#include "marshal.h"
#include "object.h"
#include "pool.h"

#define PACKET "cluarun.Packet"

/* Userdata; the bytes of one without a block lie behind it. */
struct packet {
  struct cr_packet packet;
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

static int put(lua_State *L, struct cr_queue *q, struct cr_packet *p) {
  int err = cr_queue_put(q, p, CR_FOREVER);
  if (err == EINTR) cr_packet_free(p);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err != 0) {
    cr_packet_free(p);
    return failed(L, err);
  }
  lua_pushboolean(L, true);
  return 1;
}

/* send(queue, ...) -> true | nil, error */
static int message_send(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  struct cr_packet p;
  int err = encode(L, 2, &p);
  return err != 0 ? failed(L, err) : put(L, q, &p);
}

/* The userdata comes first: nothing is lost if there is no memory for it. */
static struct packet *push_packet(lua_State *L, size_t inline_bytes) {
  struct packet *p = lua_newuserdatauv(L, sizeof *p + inline_bytes, 0);
  p->packet = (struct cr_packet){NULL, 0, NULL};
  luaL_setmetatable(L, PACKET);
  return p;
}

static void keep(struct packet *to, const struct cr_packet *p) {
  to->packet = *p;
  if (p->block != NULL) return;
  memcpy(to->bytes, p->data, p->length);
  to->packet.data = to->bytes;
}

static int make_packet(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  keep(push_packet(L, p->block == NULL ? p->length : 0), p);
  return 1;
}

/* Pushes a userdata for the packet, which is freed when that fails. */
static void push_kept(lua_State *L, struct cr_packet *p) {
  unsigned char copy[CR_INLINE_MAX];
  if (p->block == NULL) p->data = memcpy(copy, p->data, p->length);
  lua_pushcfunction(L, make_packet);
  lua_pushlightuserdata(L, p);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
  cr_packet_free(p);
  lua_error(L);
}

/* pack(...) -> packet | nil, error */
static int message_pack(lua_State *L) {
  struct cr_packet p;
  luaL_checkstack(L, 8, NULL);
  int err = encode(L, 1, &p);
  if (err != 0) return failed(L, err);
  push_kept(L, &p);
  return 1;
}

/* put(queue, packet) -> true | nil, error. The packet is then empty. */
static int message_put(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  struct packet *p = luaL_checkudata(L, 2, PACKET);
  if (p->packet.data == NULL) return luaL_argerror(L, 2, "empty packet");
  int err = cr_queue_put(q, &p->packet, CR_FOREVER);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err != 0) return failed(L, err);
  p->packet = (struct cr_packet){NULL, 0, NULL};
  lua_pushboolean(L, true);
  return 1;
}

static int packet__gc(lua_State *L) {
  struct packet *p = luaL_checkudata(L, 1, PACKET);
  cr_packet_free(&p->packet);
  p->packet.data = NULL;
  return 0;
}

/* The first value of a message, which is an integer. */
static lua_Integer number_of(lua_State *L, const struct cr_packet *p) {
  struct cr_packet first = {p->data, p->length, NULL};
  if (!cr_decode_simple(L, &first)) return 0;
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* pop(queue) -> packet, its first value | nil: does not wait. */
static int message_pop(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  struct cr_packet p;
  if (cr_queue_get(q, &p, 0) != 0) return 0;
  lua_Integer n = number_of(L, &p);
  push_kept(L, &p);
  lua_pushinteger(L, n);
  return 2;
}

static int decode(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  lua_settop(L, 0);
  return cr_decode(L, p);
}

/* Pushes the values of the packet and frees it, or raises. */
static int unpack(lua_State *L, struct cr_packet *p) {
  unsigned char copy[CR_INLINE_MAX];
  int top = lua_gettop(L);
  if (p->block == NULL) p->data = memcpy(copy, p->data, p->length);
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, p);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  cr_packet_free(p);
  return status == LUA_OK ? lua_gettop(L) - top : lua_error(L);
}

/* take(queue [, block]) -> values...: waits for a message. */
static int message_take(lua_State *L) {
  struct cr_queue *q = cr_check_channel(L, 1);
  struct cr_packet p;
  lua_settop(L, 1);
  int err = cr_queue_get(q, &p, CR_FOREVER);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err != 0) return luaL_error(L, "not enough memory");
  return unpack(L, &p);
}

/* copy(value) -> a copy as a receiver would get it | nil, error */
static int message_copy(lua_State *L) {
  struct cr_packet p;
  lua_settop(L, 1);
  int err = cr_encode(L, 1, 1, false, &p);
  return err != 0 ? failed(L, err) : unpack(L, &p);
}

void cr_open_pool_message(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"send", message_send}, {"pack", message_pack}, {"put", message_put},
      {"pop", message_pop},   {"take", message_take}, {"copy", message_copy},
      {NULL, NULL},
  };
  luaL_newmetatable(L, PACKET);
  lua_pushcfunction(L, packet__gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
