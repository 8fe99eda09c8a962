/* require: as Lua's own, but a module that one thread loads is not loaded by
** another one meanwhile, who waits for it. Threads whose modules want each other
** in a circle do not wait: the last gets what is there, as in one thread.
*/
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>

#include "names.h"
#include "object.h"
#include "registry.h"
#include "state.h"
#include "thread.h"
#include "watch.h"

static const char
    loading_key; /* registry: name -> the loading thread's record */
static const char waiting_key; /* registry: record -> the name it waits for */
cr_word cr_modules_loaded;     /* rings whenever one is done */

/* The table of loaders is on top: lets go of all but that one, and of all that
** waited. */
static void purge(lua_State *L, const void *survivor) {
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    if (lua_touserdata(L, -1) == survivor) continue;
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -5);
  }
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &waiting_key);
}

/* Pushes the table of loaders; at 0 it has the generation that they are of. In the
** child of a fork its parent's other threads load nothing. */
static void push_loaders(lua_State *L) {
  cr_push_table(L, &loading_key, "");
  const struct cr_thread *me = cr_thread_of(L);
  if (me == NULL) return;
  lua_Integer generation = me->gil->generation;
  lua_rawgeti(L, -1, 0);
  bool stale = lua_tointeger(L, -1) != generation;
  lua_pop(L, 1);
  if (!stale) return;
  purge(L, me->gil->main);
  lua_pushinteger(L, generation);
  lua_rawseti(L, -2, 0);
}

static void *loader_of(lua_State *L, const char *name) {
  push_loaders(L);
  lua_getfield(L, -1, name);
  void *t = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return t;
}

static void set_loader(lua_State *L, const char *name, void *t) {
  push_loaders(L);
  if (t != NULL)
    lua_pushlightuserdata(L, t);
  else
    lua_pushnil(L);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* Does t, directly or by others, wait for what `me` is loading? */
static bool waits_for(lua_State *L, void *t, const void *me) {
  int top = lua_gettop(L);
  cr_push_table(L, &waiting_key, "");
  while (t != NULL && t != me) {
    if (lua_rawgetp(L, top + 1, t) != LUA_TSTRING) break;
    t = loader_of(L, lua_tostring(L, -1));
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return t == me;
}

static void set_waiting(lua_State *L, void *me, bool waits) {
  cr_push_table(L, &waiting_key, "");
  if (waits)
    lua_pushvalue(L, 1);
  else
    lua_pushnil(L);
  lua_rawsetp(L, -2, me);
  lua_pop(L, 1);
}

/* Waits while another thread loads the module. */
static void wait_for_others(lua_State *L, const char *name, void *me) {
  for (;;) {
    void *t = loader_of(L, name);
    if (t == NULL || waits_for(L, t, me)) return;
    struct cr_wait wait = {&cr_modules_loaded, atomic_load(&cr_modules_loaded)};
    set_waiting(L, me, true);
    int err = cr_sleep(&wait, 1, CR_FOREVER);
    set_waiting(L, me, false);
    if (err != 0) cr_raise_interrupt(L);
  }
}

enum { NAME = 1, LOADED, GUARD, SEARCHERS }; /* stack indices in require */

/* Pushes a loader and what goes with it, by the first searcher that finds. */
static void find_loader(lua_State *L, const char *name) {
  luaL_Buffer message;
  lua_getfield(L, LOADED, LUA_LOADLIBNAME);
  if (lua_getfield(L, -1, "searchers") != LUA_TTABLE)
    luaL_error(L, "'package.searchers' must be a table");
  lua_replace(L, SEARCHERS);
  luaL_buffinit(L, &message);
  for (int i = 1;; i++) {
    luaL_addstring(&message, "\n\t");
    if (lua_rawgeti(L, SEARCHERS, i) == LUA_TNIL) {
      lua_pop(L, 1);
      luaL_buffsub(&message, 2);
      luaL_pushresult(&message);
      cr_watch_report_missing(lua_tostring(L, -1));
      luaL_error(L, "module '%s' not found:%s", name, lua_tostring(L, -1));
    }
    lua_pushstring(L, name);
    lua_call(L, 1, 2);
    if (lua_isfunction(L, -2)) {
      if (i > 2) cr_watch_report(lua_tostring(L, -1)); /* a module in C */
      return;
    }
    if (lua_isstring(L, -2)) {
      lua_pop(L, 1);
      luaL_addvalue(&message);
    } else {
      lua_pop(L, 2);
      luaL_buffsub(&message, 2);
    }
  }
}

/* While a module is loaded; what closes it lets the others in. */
static int loading__close(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  set_loader(L, lua_tostring(L, -1), NULL);
  cr_ring(&cr_modules_loaded);
  return 0;
}

static void push_loading(lua_State *L, const char *name, void *me) {
  lua_newuserdatauv(L, 1, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (luaL_newmetatable(L, "cluarun.loading")) {
    lua_pushcfunction(L, loading__close);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  set_loader(L, name, me);
  lua_toclose(L, -1);
}

static int load(lua_State *L, const char *name) {
  find_loader(L, name);
  lua_insert(L, -2); /* the loader's data, then the loader */
  lua_pushvalue(L, NAME);
  lua_pushvalue(L, -3);
  lua_call(L, 2, 1);
  if (!lua_isnil(L, -1))
    lua_setfield(L, LOADED, name);
  else
    lua_pop(L, 1);
  if (lua_getfield(L, LOADED, name) == LUA_TNIL) {
    lua_pushboolean(L, true);
    lua_copy(L, -1, -2);
    lua_setfield(L, LOADED, name);
  }
  lua_insert(L, -2);
  return 2;
}

static bool is_loaded(lua_State *L, const char *name) {
  lua_getfield(L, LOADED, name);
  if (lua_toboolean(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

static int require(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (is_loaded(L, name)) return 1;
  void *me = cr_thread_of(L);
  wait_for_others(L, name, me);
  if (is_loaded(L, name)) return 1;
  if (loader_of(L, name) == NULL)
    push_loading(L, name, me);
  else
    lua_pushnil(L); /* a circle */
  return load(L, name);
}

void cr_open_require(lua_State *L) {
  lua_register(L, "require", require);
}
