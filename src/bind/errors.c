/* The error values: one userdata each in a state, so that == means the same in
** every process, since they travel by name. A WorkerLost with a text of its
** own is another userdata that equals it. See object.h.
*/
#include <stdlib.h>
#include <string.h>

#include "object.h"

struct error_value {
  uint32_t magic;
  uint32_t which;
  bool own_text; /* lies in the user value */
};

#define MAGIC 0x6f4c7245u

static const char values_key; /* registry: which -> userdata */

static const char *const names[CR_ERRORS] = {"Full",       "Empty",
                                             "ShutDown",   "TimeoutError",
                                             "EOFError",   "BrokenBarrierError",
                                             "WorkerLost", "OwnerDied"};

static const char *const texts[CR_ERRORS] = {
    "queue is full",
    "queue is empty",
    "queue is shut down",
    "timed out",
    "end of file: the other end of the pipe is closed",
    "barrier is broken",
    "worker lost",
    "the previous owner of the lock died"};

static struct error_value *test(lua_State *L, int i) {
  struct error_value *e = lua_touserdata(L, i);
  if (e == NULL || lua_rawlen(L, i) != sizeof *e || e->magic != MAGIC)
    return NULL;
  return e;
}

int cr_error_test(lua_State *L, int i) {
  struct error_value *e = test(L, i);
  return e != NULL ? (int)e->which : -1;
}

const char *cr_error_text(lua_State *L, int i, size_t *length) {
  struct error_value *e = test(L, i);
  if (e == NULL || !e->own_text) return NULL;
  lua_getiuservalue(L, i, 1);
  const char *text = lua_tolstring(L, -1, length);
  lua_pop(L, 1);
  return text;
}

static int error__tostring(lua_State *L) {
  int which = cr_error_test(L, 1);
  luaL_argcheck(L, which >= 0, 1, "error value expected");
  if (cr_error_text(L, 1, NULL) != NULL)
    lua_getiuservalue(L, 1, 1);
  else
    lua_pushstring(L, texts[which]);
  return 1;
}

static int error__eq(lua_State *L) {
  int a = cr_error_test(L, 1), b = cr_error_test(L, 2);
  lua_pushboolean(L, a >= 0 && a == b);
  return 1;
}

static int error__concat(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static const luaL_Reg metamethods[] = {
    {"__tostring", error__tostring},
    {"__eq", error__eq},
    {"__concat", error__concat},
    {NULL, NULL},
};

static struct error_value *push_new(lua_State *L, enum cr_error which,
                                    int values) {
  struct error_value *e = lua_newuserdatauv(L, sizeof *e, values);
  *e = (struct error_value){.magic = MAGIC, .which = which};
  luaL_setmetatable(L, "cluarun.Error");
  return e;
}

int cr_open_errors(lua_State *L) {
  luaL_newmetatable(L, "cluarun.Error");
  luaL_setfuncs(L, metamethods, 0);
  lua_pushliteral(L, "Error");
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
  lua_createtable(L, CR_ERRORS, 0);
  for (int i = 0; i < CR_ERRORS; i++) {
    push_new(L, (enum cr_error)i, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, &values_key);
  return 0;
}

void cr_push_error(lua_State *L, enum cr_error e) {
  luaL_checkstack(L, 3, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &values_key);
  lua_rawgeti(L, -1, (int)e + 1);
  lua_remove(L, -2);
}

int cr_raise(lua_State *L, enum cr_error e) {
  cr_push_error(L, e);
  return lua_error(L);
}

void cr_push_worker_lost(lua_State *L) {
  luaL_checkstack(L, 4, NULL);
  struct error_value *e = push_new(L, CR_ERROR_WORKER_LOST, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  e->own_text = true;
}

int cr_raise_lost(lua_State *L, const char *text) {
  lua_pushstring(L, text);
  cr_push_worker_lost(L);
  return lua_error(L);
}
