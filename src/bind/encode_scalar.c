/* Values without parts: numbers, strings, booleans and nil. See encoder.h. */
#include <lua.h>

#include "encoder.h"

enum { LONG_STRING = 256 };          /* worth noticing that it comes twice */

static bool add_integer(struct cr_encoder *e, lua_Integer n) {
  if (!cr_reserve(e, 9)) return false;
  if (n == (int8_t)n) {
    cr_add_tag(e, CR_TAG_INT1);
    cr_add(e, &(int8_t){(int8_t)n}, 1);
  } else if (n == (int32_t)n) {
    cr_add_tag(e, CR_TAG_INT4);
    cr_add(e, &(int32_t){(int32_t)n}, 4);
  } else {
    cr_add_tag(e, CR_TAG_INT8);
    cr_add(e, &(int64_t){n}, 8);
  }
  return true;
}

static bool add_float(struct cr_encoder *e, lua_Number n) {
  if (!cr_reserve(e, 9)) return false;
  cr_add_tag(e, CR_TAG_FLOAT);
  cr_add(e, &n, 8);
  return true;
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

static bool add_constant(struct cr_encoder *e, enum cr_tag tag) {
  if (!cr_reserve(e, 1)) return false;
  cr_add_tag(e, tag);
  return true;
}

bool cr_encode_scalar(struct cr_encoder *e, int i, bool *done) {
  lua_State *L = e->L;
  *done = true;
  switch (lua_type(L, i)) {
    case LUA_TNUMBER:
      return lua_isinteger(L, i) ? add_integer(e, lua_tointegerx(L, i, NULL))
                                 : add_float(e, lua_tonumberx(L, i, NULL));
    case LUA_TSTRING: return encode_string(e, i);
    case LUA_TNIL: return add_constant(e, CR_TAG_NIL);
    case LUA_TBOOLEAN:
      return add_constant(e,
                          lua_toboolean(L, i) ? CR_TAG_TRUE : CR_TAG_FALSE);
    default: *done = false; return true;
  }
}
