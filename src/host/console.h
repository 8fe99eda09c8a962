/* The terminal for lua/repl.lua. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <lua.h>

/* A lua_CFunction for cluarun_set_console: takes the terminal over and returns
** the table of functions that lua/repl.lua describes, or nothing when standard
** input and output are not a terminal that can move its cursor. */
int console_open(lua_State *L);

#endif
