/* The watcher's start, and the reports of its runs. See watch.h. */
#include "watch.h"

#include <cluarun.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

/* As main.lua reads them: an option may have its value in the next one. */
bool cr_watch_wanted(char **argv) {
  for (int i = 1; argv[0] != NULL && argv[i] != NULL; i++) {
    const char *a = argv[i];
    if (a[0] != '-' || a[1] == '\0' || strcmp(a, "--") == 0) return false;
    if (strcmp(a, "--watch") == 0) return true;
    bool has_value = (a[1] == 'e' || a[1] == 'l') && a[2] == '\0';
    if (has_value && argv[i + 1] != NULL) i++;
  }
  return false;
}

static int load_embedded(lua_State *L) {
  cr_load_embedded(L, luaL_checkstring(L, 1));
  return 1;
}

/* Returns whether this is a run, and the exit status. */
static int watch(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  luaL_openlibs(L);
  cr_watch_push_library(L);
  lua_pushcfunction(L, load_embedded);
  lua_setfield(L, -2, "load");
  lua_newtable(L);
  for (int i = 0; argv[i] != NULL; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_setfield(L, -2, "argv");
  cr_run_embedded(L, "watch", 1, 2);
  return 2;
}

bool cr_watch(int argc, char **argv, int *status) {
  const char *name = argc > 0 ? argv[0] : "cluarun";
  lua_State *L = luaL_newstate();
  *status = EXIT_FAILURE;
  if (L == NULL) {
    fprintf(stderr, "%s: not enough memory\n", name);
    return false;
  }
  lua_pushcfunction(L, watch);
  lua_pushlightuserdata(L, argv);
  bool run = false;
  if (lua_pcall(L, 1, 2, 0) != LUA_OK) {
    fprintf(stderr, "%s: %s\n", name, lua_tostring(L, -1));
  } else {
    run = lua_toboolean(L, -2);
    *status = (int)lua_tointeger(L, -1);
  }
  lua_close(L);
  return run;
}

/* One write, so that those of several processes do not mix. */
void cr_watch_report(const char *file) {
  char record[PIPE_BUF], stamp[128];
  if (cr_watch_fd < 0 || file == NULL) return;
  cr_watch_stamp(file, stamp, sizeof stamp);
  int n = snprintf(record, sizeof record, "%s%c%s", stamp, 0, file);
  if (n > 0 && (size_t)n < sizeof record)
    cr_write_all(cr_watch_fd, record, (size_t)n + 1);
}

void cr_watch_report_missing(const char *text) {
  static const char before[] = "no file '";
  if (cr_watch_fd < 0) return;
  while ((text = strstr(text, before)) != NULL) {
    text += sizeof before - 1;
    const char *end = strstr(text, "'\n");
    size_t n = end != NULL ? (size_t)(end - text) : strcspn(text, "'");
    char file[PATH_MAX];
    if (n < sizeof file) {
      memcpy(file, text, n);
      file[n] = '\0';
      cr_watch_report(file);
    }
  }
}
