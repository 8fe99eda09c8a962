/* The names in a folder. See folder.h. */
#include "folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <sys/stat.h>

static bool is_folder(DIR *folder, const struct dirent *e) {
  struct stat s;
  if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
    return e->d_type == DT_DIR;
  return fstatat(dirfd(folder), e->d_name, &s, 0) == 0 && S_ISDIR(s.st_mode);
}

/* (folder) -> list; protected, since it may run out of memory */
static int list_names(lua_State *L) {
  DIR *folder = lua_touserdata(L, 1);
  const struct dirent *e;
  lua_newtable(L);
  for (lua_Integer n = 1; (e = readdir(folder)) != NULL; n++) {
    lua_pushfstring(L, is_folder(folder, e) ? "%s/" : "%s", e->d_name);
    lua_rawseti(L, 2, n);
  }
  return 1;
}

int folder_list(lua_State *L) {
  DIR *folder = opendir(luaL_checkstring(L, 1));
  if (folder == NULL) {
    lua_newtable(L);
    return 1;
  }
  lua_pushcfunction(L, list_names);
  lua_pushlightuserdata(L, folder);
  int status = lua_pcall(L, 1, 1, 0);
  closedir(folder);
  return status == LUA_OK ? 1 : lua_error(L);
}
