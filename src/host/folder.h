/* The names in a folder, for completion. */
#ifndef FOLDER_H
#define FOLDER_H

#include <lua.h>

/* A lua_CFunction: files(path) -> list of names, those of folders with a slash;
** an empty one when it cannot be read. */
int folder_list(lua_State *L);

#endif
