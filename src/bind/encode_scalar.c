/* Values without parts: numbers, strings, booleans and nil. See encoder.h. */
#include <lua.h>

#include "encoder.h"
#include "marshal.h"

enum { LONG_STRING = 256 }; /* worth noticing that it comes twice */

static size_t write_number(lua_State *L, int i, unsigned char *p) {
  if (!lua_isinteger(L, i)) {
    lua_Number f = lua_tonumberx(L, i, NULL);
    p[0] = CR_TAG_FLOAT;
    memcpy(p + 1, &f, 8);
    return 9;
  }
  lua_Integer n = lua_tointegerx(L, i, NULL);
  size_t size = n == (int8_t)n ? 1 : n == (int32_t)n ? 4 : 8;
  p[0] = size == 1 ? CR_TAG_INT1 : size == 4 ? CR_TAG_INT4 : CR_TAG_INT8;
  memcpy(p + 1, &n, 8); /* little endian; the rest is not sent */
  return 1 + size;
}

size_t cr_encode_simple(lua_State *L, int i, unsigned char to[CR_SIMPLE_MAX]) {
  switch (lua_type(L, i)) {
    case LUA_TNUMBER: return write_number(L, i, to);
    case LUA_TNIL: to[0] = CR_TAG_NIL; return 1;
    case LUA_TBOOLEAN:
      to[0] = lua_toboolean(L, i) ? CR_TAG_TRUE : CR_TAG_FALSE;
      return 1;
    default: return 0;
  }
}

static enum cr_outcome add_number(struct cr_encoder *e, int i) {
  if (!cr_reserve(e, CR_SIMPLE_MAX)) return CR_FAILED;
  e->w.p += write_number(e->L, i, e->w.p);
  return CR_DONE;
}

static enum cr_outcome add_bare(struct cr_encoder *e, enum cr_tag tag) {
  if (!cr_reserve(e, 1)) return CR_FAILED;
  cr_add_tag(e, tag);
  return CR_DONE;
}

static bool add_string(struct cr_encoder *e, const char *s, size_t n) {
  if (!cr_reserve(e, n + 9)) return false;
  if (n <= UINT8_MAX) {
    cr_add_tag(e, CR_TAG_STR1);
    cr_add(e, &(uint8_t){(uint8_t)n}, 1);
  } else if (n <= UINT32_MAX) {
    cr_add_tag(e, CR_TAG_STR4);
    cr_add(e, &(uint32_t){(uint32_t)n}, 4);
  } else {
    cr_add_tag(e, CR_TAG_STR8);
    cr_add(e, &(uint64_t){n}, 8);
  }
  cr_add(e, s, n);
  return true;
}

static bool encode_string(struct cr_encoder *e, int i) {
  size_t n;
  const char *s = lua_tolstring(e->L, i, &n);
  if (n < LONG_STRING || e->depth == 0) return add_string(e, s, n);
  struct cr_seen_entry *seen = cr_seen_at(&e->seen, s);
  if (seen == NULL) {
    e->status = ENOMEM;
    return false;
  }
  if (seen->kind != 0) return cr_encode_refer(e, seen);
  seen->kind = CR_SEEN_PLAIN;
  seen->at = cr_place(e);
  return add_string(e, s, n);
}

enum cr_outcome cr_encode_scalar(struct cr_encoder *e, int i) {
  switch (lua_type(e->L, i)) {
    case LUA_TNUMBER: return add_number(e, i);
    case LUA_TSTRING: return encode_string(e, i) ? CR_DONE : CR_FAILED;
    case LUA_TNIL: return add_bare(e, CR_TAG_NIL);
    case LUA_TBOOLEAN:
      return add_bare(e, lua_toboolean(e->L, i) ? CR_TAG_TRUE : CR_TAG_FALSE);
    default: return CR_HAS_PARTS;
  }
}
