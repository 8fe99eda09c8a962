/* Results of children. See result.h. */
#include "result.h"

#include <errno.h>

#include "marshal.h"
#include "object.h"
#include "receive.h"
#include "state.h"

static struct cr_cell *new_cell(uint32_t *handle) {
  struct cr_cell *c = cr_cell_new();
  if (c == NULL || cr_handle_new((struct cr_block *)c, handle) == 0) return c;
  cr_destroy((struct cr_block *)c);
  return NULL;
}

void cr_result_open(lua_State *L, struct cr_result *r) {
  int64_t took = 0;
  do {
    r->cell = new_cell(&r->handle);
  } while (r->cell == NULL && cr_reclaim(L, &took));
  if (r->cell == NULL) cr_raise_exhausted(L);
}

void cr_result_close(struct cr_result *r) {
  if (r->cell != NULL) cr_handle_drop(r->handle);
  r->cell = NULL;
}

static bool leave(lua_State *L, struct cr_result *r, enum cr_cell_kind kind,
                  int first, int n) {
  struct cr_packet p;
  int err = cr_encode(L, first, n, true, &p);
  if (err == ENOMEM)
    cr_cell_put(r->cell, CR_CELL_NO_MEMORY, NULL);
  else if (err == 0)
    cr_cell_put(r->cell, kind, p.block);
  return err != EINVAL;
}

void cr_result_leave(lua_State *L, struct cr_result *r, enum cr_cell_kind kind,
                     int first, int n) {
  if (n == 0) {
    cr_cell_put(r->cell, kind, NULL);
    return;
  }
  if (leave(L, r, kind, first, n)) return;
  if (kind == CR_CELL_ERROR) cr_result_error_text(L, first);
  leave(L, r, CR_CELL_ERROR, lua_gettop(L), 1);
}

static int decode(lua_State *L) {
  const struct cr_packet *p = lua_touserdata(L, 1);
  lua_settop(L, 0);
  int n = cr_decode(L, p);
  lua_createtable(L, n, 1);
  lua_insert(L, 1);
  lua_pushinteger(L, n);
  lua_setfield(L, 1, "n");
  for (int i = n; i > 0; i--) lua_rawseti(L, 1, i);
  return 1;
}

/* A list of the one value that is on top of the stack. */
static int list_of_one(lua_State *L) {
  lua_createtable(L, 1, 1);
  lua_insert(L, 1);
  lua_rawseti(L, 1, 1);
  lua_pushinteger(L, 1);
  lua_setfield(L, 1, "n");
  return 1;
}

/* The cell is held meanwhile: what decoding runs (a finalizer, a module that is
** required) may fetch the same result, or close it. */
enum cr_cell_kind cr_result_fetch(lua_State *L, const struct cr_result *r) {
  enum cr_cell_kind kind = cr_cell_kind(r->cell);
  struct cr_message *m = cr_cell_message(r->cell);
  struct cr_packet p = {m->data, m->length, m};
  uint32_t handle, interrupts = cr_interrupts(L);
  if (cr_handle_add((struct cr_block *)r->cell, &handle) != 0)
    cr_raise_exhausted(L);
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, &p);
  int status = lua_pcall(L, 1, 1, 0);
  cr_handle_drop(handle);
  if (status != LUA_OK && !cr_may_decode_again(L, status, interrupts)) {
    kind = CR_CELL_ERROR;
    lua_pushcfunction(L, list_of_one);
    lua_insert(L, -2);
    status = lua_pcall(L, 1, 1, 0);
  }
  if (status != LUA_OK) lua_error(L);
  return kind;
}

/* An object as a text by its own __tostring, which may raise. */
static int own_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

void cr_result_error_text(lua_State *L, int index) {
  int type = lua_type(L, index);
  index = lua_absindex(L, index);
  if (type == LUA_TSTRING || type == LUA_TNUMBER) {
    lua_pushvalue(L, index);
    lua_tostring(L, -1);
    return;
  }
  if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushcfunction(L, own_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
    lua_pop(L, 1);
  }
  lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
}
