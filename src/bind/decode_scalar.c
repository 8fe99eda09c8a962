/* Reading values without parts. See decoder.h. */
#include "decoder.h"

static void push_string(struct cr_decoder *d, size_t size) {
  uint64_t n = cr_take_number(d, size);
  lua_pushlstring(d->L, (const char *)cr_take(d, n), (size_t)n);
}

static void push_int8(struct cr_decoder *d) {
  int64_t n;
  memcpy(&n, cr_take(d, 8), 8);
  lua_pushinteger(d->L, n);
}

static void push_float(struct cr_decoder *d) {
  double n;
  memcpy(&n, cr_take(d, 8), 8);
  lua_pushnumber(d->L, n);
}

bool cr_read_scalar(struct cr_decoder *d, unsigned tag) {
  lua_State *L = d->L;
  switch (tag) {
    case CR_TAG_NIL: lua_pushnil(L); return true;
    case CR_TAG_FALSE: lua_pushboolean(L, 0); return true;
    case CR_TAG_TRUE: lua_pushboolean(L, 1); return true;
    case CR_TAG_INT1:
      lua_pushinteger(L, (int8_t)cr_take_number(d, 1));
      return true;
    case CR_TAG_INT4:
      lua_pushinteger(L, (int32_t)cr_take_number(d, 4));
      return true;
    case CR_TAG_INT8: push_int8(d); return true;
    case CR_TAG_FLOAT: push_float(d); return true;
    case CR_TAG_STR1: push_string(d, 1); return true;
    case CR_TAG_STR4: push_string(d, 4); return true;
    case CR_TAG_STR8: push_string(d, 8); return true;
    default: return false;
  }
}
