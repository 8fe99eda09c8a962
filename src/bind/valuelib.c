/* Value and Array. */
#include "value.h"

#include <errno.h>
#include <string.h>

#include "object.h"

enum { SHORT = 256, SHOWN = 60 };

static struct cr_value *check_value(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL &&
      atomic_load_explicit(&b->type, memory_order_relaxed) == CR_VALUE)
    return (struct cr_value *)b;
  return (struct cr_value *)cr_object_check(L, 1, "Value");
}

static struct cr_array *check_array(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL &&
      atomic_load_explicit(&b->type, memory_order_relaxed) == CR_ARRAY)
    return (struct cr_array *)b;
  return (struct cr_array *)cr_object_check(L, 1, "Array");
}

/* ---- scalars ---- */

/* False: a value at that index is of a type that does not go. */
static bool to_scalar(lua_State *L, int index, struct cr_scalar *s) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      s->kind = CR_BOOLEAN;
      s->boolean = lua_toboolean(L, index);
      return true;
    case LUA_TSTRING:
      s->kind = CR_STRING;
      /* Only read from. */
      s->string.bytes =
          (char *)(uintptr_t)lua_tolstring(L, index, &s->string.length);
      return true;
    case LUA_TNUMBER:
      s->kind = lua_isinteger(L, index) ? CR_INTEGER : CR_FLOAT;
      if (s->kind == CR_INTEGER)
        s->integer = lua_tointeger(L, index);
      else
        s->number = lua_tonumber(L, index);
      return true;
    default: return false;
  }
}

static void push_scalar(lua_State *L, const struct cr_scalar *s) {
  switch (s->kind) {
    case CR_INTEGER: lua_pushinteger(L, s->integer); break;
    case CR_FLOAT: lua_pushnumber(L, s->number); break;
    case CR_BOOLEAN: lua_pushboolean(L, s->boolean); break;
    case CR_STRING:
      lua_pushlstring(L, s->string.bytes, s->string.length);
      break;
  }
}

/* ---- Value ---- */

static void push_value(lua_State *L, struct cr_value *v) {
  char room[SHORT];
  struct cr_scalar s = {.kind = CR_STRING, .string = {room, sizeof room}};
  bool boxed = false;
  while (cr_value_get(v, &s) == ENOBUFS) {
    if (boxed) lua_pop(L, 1);
    s.string.bytes = lua_newuserdatauv(L, s.string.length, 0);
    boxed = true;
  }
  push_scalar(L, &s);
  if (boxed) lua_remove(L, -2);
}

static int cannot_hold(lua_State *L, int index) {
  return luaL_error(L,
                    "a Value holds a number, a boolean or a string, not a %s",
                    luaL_typename(L, index));
}

static int value_new(lua_State *L) {
  struct cr_scalar s;
  luaL_checkany(L, 1);
  if (!lua_isnoneornil(L, 2)) /* Python's has a type first */
    luaL_argerror(L, 2, "a Value takes one argument, what it holds first");
  if (!to_scalar(L, 1, &s))
    return luaL_typeerror(L, 1, "number, boolean or string");
  struct cr_object *o = cr_object_push(L, "Value");
  struct cr_value *v;
  int64_t took = 0;
  do {
    v = cr_value_new(&s);
  } while (!cr_object_made(L, o, (struct cr_block *)v, &took));
  return 1;
}

static int value_add(lua_State *L) {
  struct cr_value *v = check_value(L);
  struct cr_scalar n, sum;
  luaL_checktype(L, 2, LUA_TNUMBER);
  to_scalar(L, 2, &n);
  if (cr_value_add(v, &n, &sum) != 0) {
    push_value(L, v);
    return luaL_error(L, "cannot add to a Value that holds a %s",
                      luaL_typename(L, -1));
  }
  push_scalar(L, &sum);
  return 1;
}

static int value_lock(lua_State *L) {
  struct cr_lock *l = cr_value_lock(check_value(L));
  cr_object_push_shared(L, &l->head);
  return 1;
}

static int value__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "value") == 0) {
    push_value(L, check_value(L));
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int value__newindex(lua_State *L) {
  struct cr_value *v = check_value(L);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  struct cr_scalar s;
  if (key == NULL || strcmp(key, "value") != 0)
    return luaL_error(L, "a Value has no field '%s'",
                      luaL_tolstring(L, 2, NULL));
  if (!to_scalar(L, 3, &s)) return cannot_hold(L, 3);
  for (int64_t took = 0; cr_value_set(v, &s) != 0; v = check_value(L))
    if (!cr_reclaim(L, &took)) cr_raise_exhausted(L);
  return 0;
}

static int value__tostring(lua_State *L) {
  size_t n;
  push_value(L, check_value(L));
  const char *s = luaL_tolstring(L, -1, &n);
  if (n > SHOWN) lua_pushlstring(L, s, SHOWN);
  lua_pushfstring(L, n > SHOWN ? "<Value %s...>" : "<Value %s>",
                  lua_tostring(L, -1));
  return 1;
}

static const luaL_Reg value_methods[] = {
    {"add", value_add},
    {"lock", value_lock},
    {"__index", value__index},
    {"__newindex", value__newindex},
    {"__tostring", value__tostring},
    {NULL, NULL},
};

/* ---- Array ---- */

#define LENGTH_MAX ((lua_Integer)1 << 40)

/* Copies the list at index 1 to the array. */
static void fill(lua_State *L, struct cr_array *a) {
  struct cr_scalar s;
  lua_Integer n = (lua_Integer)cr_array_length(a);
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_geti(L, 1, i) != LUA_TNUMBER) {
      lua_pushfstring(L, "number expected at [%I], got %s", (LUAI_UACINT)i,
                      luaL_typename(L, -1));
      luaL_argerror(L, 1, lua_tostring(L, -1));
    }
    to_scalar(L, -1, &s);
    cr_array_set(a, i, &s);
    lua_pop(L, 1);
  }
}

static int array_new(lua_State *L) {
  luaL_checkany(L, 1);
  bool list = lua_istable(L, 1);
  if (!list && !lua_isinteger(L, 1) && lua_type(L, 1) != LUA_TNUMBER)
    return luaL_typeerror(L, 1, "number or list");
  lua_Integer n =
      list ? luaL_len(L, 1) : cr_check_range(L, 1, "length", 0, LENGTH_MAX, 0);
  struct cr_object *o = cr_object_push(L, "Array");
  struct cr_array *a;
  int64_t took = 0;
  do {
    a = n > LENGTH_MAX ? NULL : cr_array_new((size_t)n);
  } while (!cr_object_made(L, o, (struct cr_block *)a, &took));
  if (list) fill(L, a);
  return 1;
}

static int array__index(lua_State *L) {
  struct cr_array *a = check_array(L);
  struct cr_scalar s;
  int exact = 0;
  lua_Integer i = 0;
  if (lua_type(L, 2) == LUA_TNUMBER) i = lua_tointegerx(L, 2, &exact);
  if (exact && cr_array_get(a, i, &s) == 0)
    push_scalar(L, &s);
  else
    lua_pushnil(L);
  return 1;
}

static int array__newindex(lua_State *L) {
  struct cr_array *a = check_array(L);
  struct cr_scalar s;
  int exact = 0;
  lua_Integer i = 0;
  if (lua_type(L, 2) == LUA_TNUMBER) i = lua_tointegerx(L, 2, &exact);
  if (lua_type(L, 3) != LUA_TNUMBER)
    return luaL_error(L, "an Array holds numbers, not a %s",
                      luaL_typename(L, 3));
  if (!exact)
    return luaL_error(L, "an index of an Array must be an integer, got %s",
                      lua_type(L, 2) == LUA_TNUMBER ? luaL_tolstring(L, 2, NULL)
                                                    : luaL_typename(L, 2));
  to_scalar(L, 3, &s);
  if (cr_array_set(a, i, &s) == 0) return 0;
  return luaL_error(L, "index %s is outside of 1..%I",
                    luaL_tolstring(L, 2, NULL),
                    (LUAI_UACINT)cr_array_length(a));
}

static int array__len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cr_array_length(check_array(L)));
  return 1;
}

static int array__tostring(lua_State *L) {
  struct cr_array *a = check_array(L);
  lua_pushfstring(L, "<Array %p length=%I>", (void *)a,
                  (LUAI_UACINT)cr_array_length(a));
  return 1;
}

static const luaL_Reg array_methods[] = {
    {"__index", array__index},
    {"__newindex", array__newindex},
    {"__len", array__len},
    {"__tostring", array__tostring},
    {NULL, NULL},
};

int cr_open_value(lua_State *L) {
  cr_object_type(L, "Value", CR_VALUE, value_methods);
  cr_object_type(L, "Array", CR_ARRAY, array_methods);
  lua_pushcfunction(L, value_new);
  lua_setfield(L, -2, "Value");
  lua_pushcfunction(L, array_new);
  lua_setfield(L, -2, "Array");
  return 0;
}
