/* Reading a packet. See receive.h. */
#include "receive.h"

#include <lauxlib.h>
#include <string.h>

#include "marshal.h"
#include "state.h"

static int decode(lua_State *L) {
  return cr_decode(L, lua_touserdata(L, 1));
}

bool cr_may_decode_again(lua_State *L, int status, uint32_t interrupts) {
  return status == LUA_ERRMEM ||
         (status != LUA_OK && cr_interrupts(L) != interrupts);
}

int cr_receive(lua_State *L, struct cr_packet *p,
               int (*unget)(void *from, struct cr_packet *p), void *from) {
  if (cr_decode_simple(L, p)) return 1;
  /* What decoding runs (a finalizer, say) may get another packet, which is
  ** copied to the same buffer. */
  unsigned char copy[CR_INLINE_MAX];
  if (p->block == NULL) p->data = memcpy(copy, p->data, p->length);
  uint32_t interrupts = cr_interrupts(L);
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, p);
  int status = lua_pcall(L, 1, 1, 0);
  if (cr_may_decode_again(L, status, interrupts) && unget(from, p) == 0)
    return lua_error(L);
  cr_packet_free(p);
  return status == LUA_OK ? 1 : lua_error(L);
}
