/* A fuzz target in Lua: tests/fuzz/TARGET.lua, run from the project's folder. It
** returns a function that is called with each input and raises an error when
** something is wrong with what it sees.
**
** The files of lua/ are read as source, and every step from one of their lines to
** another counts as coverage: to libFuzzer an interpreter's own code looks the
** same whatever it runs.
*/
#include <cluarun.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "watch.h"

enum { COUNTERS = 1 << 14 };

/* libFuzzer looks for the section. */
__attribute__((
    section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

static void count(lua_State *L, lua_Debug *ar) {
  static uint32_t before;
  lua_getinfo(L, "Sl", ar);
  uint32_t place = (uint32_t)ar->currentline;
  for (const char *s = ar->source; *s != '\0'; s++)
    place = place * 31 + (uint8_t)*s;
  uint8_t *c = &counters[(place ^ before >> 1) * 0x9e3779b1u >> 18];
  if (*c < UINT8_MAX) ++*c;
  before = place;
}

/* watch_wanted(list): what --watch looks for before there is any Lua. */
static int watch_wanted(lua_State *L) {
  enum { ROOM = 100 };
  char *argv[ROOM + 1] = {NULL};
  for (int i = 0; i < ROOM && lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) {
    argv[i] = (char *)lua_tostring(L, -1); /* stays: it is in the list */
    lua_pop(L, 1);
  }
  lua_pushboolean(L, cr_watch_wanted(argv));
  return 1;
}

static lua_State *open_target(void) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  lua_register(L, "watch_wanted", watch_wanted);
  if (luaL_loadfile(L, "tests/fuzz/" TARGET ".lua") != LUA_OK ||
      lua_pcall(L, 0, 1, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    exit(EXIT_FAILURE);
  }
  lua_sethook(L, count, LUA_MASKLINE, 0);
  return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) L = open_target();
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, size);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    abort();
  }
  return 0;
}
