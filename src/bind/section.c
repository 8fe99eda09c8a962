/* Sections: what a pool changes of itself, no other thread cuts in on.
**
** A section runs one function at a time; a thread that comes meanwhile waits,
** and interrupts come when it is left. An error in it (there is no memory, say)
** marks it broken: whoever uses it next finds out and gives the pool up rather
** than go on with half a change.
**
** With it comes a word that threads sleep on until something has changed.
*/
#include <errno.h>
#include <limits.h>

#include "gil.h"
#include "object.h"
#include "pool.h"
#include "section.h"

#define TYPE "cluarun.Section"

struct cr_section *cr_check_section(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, TYPE);
}

static int section_new(lua_State *L) {
  struct cr_section *s = lua_newuserdatauv(L, sizeof *s, 0);
  atomic_store(&s->changes, 0);
  atomic_store(&s->free, 0);
  s->owner = NULL;
  s->sleepers = s->watchers = 0;
  s->broken = s->watched = false;
  luaL_setmetatable(L, TYPE);
  return 1;
}

static void wait_for_turn(lua_State *L, struct cr_section *s) {
  if (s->owner == cr_self) luaL_error(L, "a pool cannot be used in there");
  while (s->owner != NULL) {
    struct cr_wait w = {&s->free, atomic_load(&s->free)};
    s->sleepers++;
    int err = cr_sleep(&w, 1, CR_FOREVER);
    s->sleepers--;
    if (err == EINTR) cr_raise_interrupt(L);
  }
}

/* section:enter(f, ...) -> what f returns */
static int section_enter(lua_State *L) {
  struct cr_section *s = cr_check_section(L, 1);
  wait_for_turn(L, s);
  struct cr_thread *t = cr_thread_of(L);
  s->owner = cr_self;
  bool before = t->deferred;
  t->deferred = true;
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  t->deferred = before;
  s->owner = NULL;
  if (s->sleepers > 0) cr_ring(&s->free);
  if (t->drop || cr_interrupted(t)) cr_trap(t);
  if (status == LUA_OK) return lua_gettop(L) - 1;
  s->broken = true;
  return lua_error(L);
}

/* section:broken() -> boolean; forgets it */
static int section_broken(lua_State *L) {
  struct cr_section *s = cr_check_section(L, 1);
  lua_pushboolean(L, s->broken);
  s->broken = false;
  return 1;
}

int cr_section_sleep(struct cr_section *s, const struct cr_wait *waits, int n,
                     int64_t deadline) {
  s->watchers++;
  int err = cr_sleep(waits, n, deadline);
  /* Who rang meanwhile has counted us off. */
  if (atomic_load(&s->changes) == waits[0].value) s->watchers--;
  return err;
}

/* section:ring([one]): something has changed, for all sleepers, or for one. */
static int section_ring(lua_State *L) {
  struct cr_section *s = cr_check_section(L, 1);
  bool one = lua_toboolean(L, 2);
  atomic_fetch_add(&s->changes, 1);
  if (s->watchers == 0 && !s->watched) return 0;
  s->watchers = one && s->watchers > 0 ? s->watchers - 1 : 0;
  cr_wake(&s->changes, one ? 1 : INT_MAX);
  return 0;
}

/* section:changes() -> how often it was rung */
static int section_changes(lua_State *L) {
  lua_pushinteger(L, atomic_load(&cr_check_section(L, 1)->changes));
  return 1;
}

/* section:watch() -> word, value: for wait_any. */
static int section_watch(lua_State *L) {
  struct cr_section *s = cr_check_section(L, 1);
  s->watched = true;
  lua_pushlightuserdata(L, &s->changes);
  lua_pushinteger(L, atomic_load(&s->changes));
  return 2;
}

void cr_open_section(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"enter", section_enter}, {"broken", section_broken},
      {"ring", section_ring},   {"changes", section_changes},
      {"watch", section_watch}, {NULL, NULL},
  };
  luaL_newmetatable(L, TYPE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, section_new);
  lua_setfield(L, -2, "section");
}
