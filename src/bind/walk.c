/* Finds a live table by its address. See walk.h.
**
** Values to look into wait in a Lua table; addresses once met lie in a hash
** table that a userdata owns, so that an error frees it.
*/
#include "walk.h"

#include <lauxlib.h>

#include "seen.h"

struct walk {
  lua_State *L;
  const void *target;
  struct cr_seen *met;
  int todo; /* stack index; the target replaces it */
  lua_Integer waiting;
  bool found;
};

static int met__gc(lua_State *L) {
  cr_seen_free(lua_touserdata(L, 1));
  return 0;
}

static struct cr_seen *push_met(lua_State *L) {
  struct cr_seen *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (struct cr_seen){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, met__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return s;
}

/* Pops a value; it is looked into later unless it was met before. */
static void meet(struct walk *w) {
  lua_State *L = w->L;
  int type = lua_type(L, -1);
  if (type == LUA_TTABLE && lua_topointer(L, -1) == w->target) {
    w->found = true;
    lua_replace(L, w->todo);
    return;
  }
  if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA ||
      type == LUA_TTHREAD) {
    struct cr_seen_entry *e = cr_seen_at(w->met, lua_topointer(L, -1));
    if (e == NULL) luaL_error(L, "not enough memory");
    if (e->kind == 0) {
      e->kind = 1;
      lua_rawseti(L, w->todo, ++w->waiting);
      return;
    }
  }
  lua_pop(L, 1);
}

static void meet_metatable(struct walk *w, int i) {
  if (!w->found && lua_getmetatable(w->L, i)) meet(w);
}

static void look_into_table(struct walk *w, int t) {
  lua_State *L = w->L;
  meet_metatable(w, t);
  lua_pushnil(L);
  while (!w->found && lua_next(L, t)) {
    meet(w);
    if (w->found) break;
    lua_pushvalue(L, -1);
    meet(w);
  }
}

static void look_into_function(struct walk *w, int f) {
  for (int n = 1; !w->found && lua_getupvalue(w->L, f, n) != NULL; n++) meet(w);
}

static void look_into_userdata(struct walk *w, int u) {
  meet_metatable(w, u);
  for (int n = 1; !w->found; n++) {
    bool none = lua_getiuservalue(w->L, u, n) == LUA_TNONE;
    meet(w);
    if (none) break;
  }
}

/* Takes a value from the stack of the coroutine. */
static void meet_from(struct walk *w, lua_State *co) {
  if (co != w->L) lua_xmove(co, w->L, 1);
  meet(w);
}

static void look_into_level(struct walk *w, lua_State *co, lua_Debug *ar) {
  lua_getinfo(co, "f", ar);
  meet_from(w, co);
  for (int n = 1; !w->found && lua_getlocal(co, ar, n) != NULL; n++)
    meet_from(w, co);
  for (int n = -1; !w->found && lua_getlocal(co, ar, n) != NULL; n--)
    meet_from(w, co);
}

static void look_into_thread(struct walk *w, lua_State *co) {
  lua_Debug ar;
  if (!lua_checkstack(co, 4)) return;
  for (int level = 0; !w->found && lua_getstack(co, level, &ar); level++)
    look_into_level(w, co, &ar);
  int top = co == w->L ? 0 : lua_gettop(co);
  for (int i = 1; !w->found && i <= top; i++) {
    lua_pushvalue(co, i);
    meet_from(w, co);
  }
}

static void look_into(struct walk *w, int i) {
  switch (lua_type(w->L, i)) {
    case LUA_TTABLE: look_into_table(w, i); break;
    case LUA_TFUNCTION: look_into_function(w, i); break;
    case LUA_TUSERDATA: look_into_userdata(w, i); break;
    default: look_into_thread(w, lua_tothread(w->L, i)); break;
  }
}

static void meet_roots(struct walk *w) {
  lua_State *L = w->L;
  lua_pushliteral(L, "");
  if (lua_getmetatable(L, -1)) {
    meet(w);
    if (w->found) return;
  }
  lua_pushthread(L);
  meet(w);
  lua_pushvalue(L, LUA_REGISTRYINDEX);
  meet(w);
}

bool cr_walk_find(lua_State *L, const void *address) {
  luaL_checkstack(L, 20, NULL);
  lua_newtable(L);
  struct walk w = {.L = L, .target = address, .todo = lua_gettop(L)};
  w.met = push_met(L);
  cr_seen_at(w.met, lua_topointer(L, w.todo));
  meet_roots(&w);
  int top = lua_gettop(L);
  while (!w.found && w.waiting > 0) {
    lua_rawgeti(L, w.todo, w.waiting);
    lua_pushnil(L);
    lua_rawseti(L, w.todo, w.waiting--);
    look_into(&w, top + 1);
    lua_settop(L, top);
  }
  lua_settop(L, w.found ? w.todo : w.todo - 1);
  return w.found;
}
