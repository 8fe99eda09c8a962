/* Guards, and the library of synchronisation as a whole. See synchlib.h. */
#include "synchlib.h"

struct cr_guard {
  void *what; /* NULL: closed */
  int (*release)(void *what);
  int (*misuse)(lua_State *L, void *what);
  uint32_t incarnation; /* of the thread that took it */
};

static const char name[] = "cluarun.guard";

struct cr_guard *cr_guard_push(lua_State *L) {
  struct cr_guard *g = lua_newuserdatauv(L, sizeof *g, 1);
  g->what = NULL;
  luaL_setmetatable(L, name);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1); /* keeps the object */
  return g;
}

void cr_guard_open(struct cr_guard *g, void *what, int (*release)(void *what),
                   int (*misuse)(lua_State *L, void *what)) {
  g->release = release;
  g->misuse = misuse;
  g->incarnation = atomic_load(&cr_self->life.incarnation);
  g->what = what;
}

/* In another process, or again, it does nothing. An error on its way is worth
** more than the one that we could raise. */
static int guard__close(lua_State *L) {
  struct cr_guard *g = luaL_checkudata(L, 1, name);
  void *what = g->what;
  if (what == NULL || g->incarnation != atomic_load(&cr_self->life.incarnation))
    return 0;
  g->what = NULL;
  if (g->release(what) != 0 && lua_isnoneornil(L, 2)) g->misuse(L, what);
  return 0;
}

static int guard__tostring(lua_State *L) {
  struct cr_guard *g = luaL_checkudata(L, 1, name);
  lua_getiuservalue(L, 1, 1);
  lua_pushfstring(L, "<guard of %s%s>", luaL_tolstring(L, -1, NULL),
                  g->what == NULL ? ", closed" : "");
  return 1;
}

static void open_guard(lua_State *L) {
  static const luaL_Reg metamethods[] = {
      {"__close", guard__close},
      {"__tostring", guard__tostring},
      {NULL, NULL},
  };
  luaL_newmetatable(L, name);
  lua_pushliteral(L, "guard");
  lua_setfield(L, -2, "__name");
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
}

int cr_open_synch(lua_State *L) {
  open_guard(L);
  cr_open_lock(L);
  cr_open_semaphore(L);
  cr_open_event(L);
  cr_open_condition(L);
  cr_open_barrier(L);
  return 0;
}
