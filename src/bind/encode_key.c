/* The sort key of a PriorityQueue's item; its format is that of sync/heap.h.
** See encoder.h.
*/
#include <math.h>
#include <stdio.h>

#include "encoder.h"

enum { DEEPEST = 60 };
#define LONGEST ((size_t)16 << 20) /* a part that comes often counts often */

/* The lists around the one in work. */
struct outer {
  const void *list;
  const struct outer *next;
};

static bool refuse(struct cr_encoder *e, const char *what) {
  snprintf(e->message, sizeof e->message, "cannot order %s", what);
  e->status = EINVAL;
  return false;
}

static bool add_number(struct cr_encoder *e, int i) {
  if (!cr_reserve(e, 9)) return false;
  if (lua_isinteger(e->L, i)) {
    *e->w.p++ = 'i';
    cr_add(e, &(int64_t){lua_tointegerx(e->L, i, NULL)}, 8);
    return true;
  }
  double n = lua_tonumberx(e->L, i, NULL);
  if (isnan(n)) return refuse(e, "NaN");
  *e->w.p++ = 'f';
  cr_add(e, &n, 8);
  return true;
}

static bool add_string(struct cr_encoder *e, int i) {
  size_t n;
  const char *s = lua_tolstring(e->L, i, &n);
  if (!cr_reserve(e, n + 9)) return false;
  *e->w.p++ = 's';
  cr_add(e, &(uint64_t){n}, 8);
  cr_add(e, s, n);
  return true;
}

static bool add_mark(struct cr_encoder *e, char mark) {
  if (!cr_reserve(e, 1)) return false;
  *e->w.p++ = (unsigned char)mark;
  return true;
}

/* The length of a table whose keys are exactly 1 to n, else -1. */
static lua_Integer list_length(lua_State *L, int t) {
  lua_Integer length = (lua_Integer)lua_rawlen(L, t), n = 0;
  for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
    lua_Integer k = lua_isinteger(L, -2) ? lua_tointegerx(L, -2, NULL) : 0;
    if (k < 1 || k > length) {
      lua_pop(L, 2);
      return -1;
    }
    n++;
  }
  return n == length ? n : -1;
}

static bool add_element(struct cr_encoder *e, int i, const struct outer *outer,
                        int depth);

static bool add_list(struct cr_encoder *e, int t, lua_Integer n,
                     const struct outer *outer, int depth) {
  struct outer here = {lua_topointer(e->L, t), outer};
  for (; outer != NULL; outer = outer->next)
    if (outer->list == here.list) return refuse(e, "a list that holds itself");
  if (depth > DEEPEST || !lua_checkstack(e->L, 8))
    return refuse(e, "a list nested too deeply");
  if ((size_t)(e->w.p - e->w.start) > LONGEST)
    return refuse(e, "a list whose parts make more than 16 MiB");
  if (!add_mark(e, '(')) return false;
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(e->L, t, i);
    if (!add_element(e, lua_gettop(e->L), &here, depth + 1)) return false;
    lua_pop(e->L, 1);
  }
  return add_mark(e, ')');
}

static bool add_element(struct cr_encoder *e, int i, const struct outer *outer,
                        int depth) {
  switch (lua_type(e->L, i)) {
    case LUA_TNUMBER: return add_number(e, i);
    case LUA_TSTRING: return add_string(e, i);
    case LUA_TTABLE: {
      lua_Integer n = list_length(e->L, i);
      return n < 0 ? add_mark(e, 'x') : add_list(e, i, n, outer, depth);
    }
    default: return add_mark(e, 'x');
  }
}

bool cr_encode_key(struct cr_encoder *e, int i) {
  char what[60];
  int type = lua_type(e->L, i);
  if (!lua_checkstack(e->L, 8)) return refuse(e, "anything: no stack left");
  if (type == LUA_TTABLE && list_length(e->L, i) < 0)
    return refuse(e, "a table with other keys than 1 to n");
  if (type == LUA_TTABLE || type == LUA_TNUMBER || type == LUA_TSTRING)
    return add_element(e, i, NULL, 0);
  if (type == LUA_TNIL) return refuse(e, "nil");
  snprintf(what, sizeof what, "a %s", lua_typename(e->L, type));
  return refuse(e, what);
}
