/* One Lua state with the primitives in it: the public interface, cluarun.h. */
#include <cluarun.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "describe.h"
#include "gil.h"
#include "marshal.h"
#include "object.h"
#include "state.h"
#include "thread.h"

static const lua_CFunction libraries[] = {
    cr_open_errors, cr_open_synch, cr_open_value,   cr_open_queue,
    cr_open_pipe,   cr_open_wait,  cr_open_process, cr_open_thread,
    cr_open_local,  cr_open_pool,
};

static void free_lock(struct cr_gil **g) {
  if (*g != NULL) cr_gil_free(*g);
  *g = NULL;
}

static int gil__gc(lua_State *L) {
  free_lock(lua_touserdata(L, 1));
  return 0;
}

/* The lock goes with the state: pushes the userdata that owns it, the same one
** each time, so that it is the first to come and its finalizer the last to run.
** Its user value is the table of primitives, once all is open. */
static struct cr_gil **push_owner(lua_State *L) {
  static const char key;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  struct cr_gil **g = lua_newuserdatauv(L, sizeof *g, 1);
  *g = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, gil__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  return g;
}

static void open_libraries(lua_State *L) {
  cr_marshal_open(L);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    int top = lua_gettop(L);
    libraries[i](L);
    lua_settop(L, top);
  }
  cr_open_coroutine(L);
  cr_open_hooks(L);
}

/* With the lock's owner as its argument. */
static int open_state(lua_State *L) {
  struct cr_gil **g = lua_touserdata(L, 1);
  int err = cr_arena_open();
  if (err != 0) luaL_error(L, "cannot map shared memory: %s", strerror(err));
  cr_deadlock_open(CR_DEADLOCK_OFF);
  *g = cr_gil_open(L);
  if (*g == NULL) luaL_error(L, "not enough memory");
  cr_heap_adopt(L);
  open_libraries(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "cluarun");
  lua_pop(L, 1);
  lua_setiuservalue(L, 1, 1); /* cannot fail */
  return 0;
}

/* The owner is on top. Should opening fail, the state has no lock, as before: the
** next one to try may be another OS thread. What the libraries have left in the
** registry they set anew. */
static void open_or_undo(lua_State *L, struct cr_gil **g) {
  bool locked = cr_gil_find(L) != NULL; /* by cluarun_main */
  lua_pushcfunction(L, open_state);
  lua_pushvalue(L, -2);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  if (!locked) free_lock(g);
  lua_error(L);
}

int luaopen_cluarun(lua_State *L) {
  struct cr_gil **g = push_owner(L);
  if (lua_getiuservalue(L, -1, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    open_or_undo(L, g);
    lua_getiuservalue(L, -1, 1);
  }
  lua_remove(L, -2);
  return 1;
}

static int each_primitive(lua_State *L) {
  lua_getglobal(L, "next");
  lua_pushvalue(L, lua_upvalueindex(1));
  return 2;
}

/* With the primitives as globals, `require "cluarun"` gives a table that reads
** through to them: Lua's messages name a function after the first place in
** package.loaded where they find it, which would be this or that at random. */
static void hide_table(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushvalue(L, -4);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -4);
  lua_pushcclosure(L, each_primitive, 1);
  lua_setfield(L, -2, "__pairs");
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "cluarun");
  lua_pop(L, 1);
}

void cluarun_openlibs(lua_State *L) {
  luaL_openlibs(L);
  cr_open_require(L);
  cr_open_exit(L);
  cr_open_io(L);
  lua_register(L, "print", cr_print);
  luaopen_cluarun(L);
  hide_table(L);
  lua_pushglobaltable(L);
  for (lua_pushnil(L); lua_next(L, -3);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_settable(L, -4);
  }
  lua_pop(L, 2);
}
