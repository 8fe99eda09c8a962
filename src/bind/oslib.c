/* How a process ends: os.exit, and leaving a forked child, whose parent's
** finalizers and exit handlers are not its own to run. */
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gil.h"
#include "state.h"

void (*cr_script_end)(lua_State *L);

void cr_leave(int status) {
  cr_end_orderly();
  fflush(NULL);
  _exit(status);
}

void cr_leave_interrupted(void) {
  fflush(NULL);
  signal(SIGINT, SIG_DFL);
  raise(SIGINT);
  _exit(128 + SIGINT);
}

static int os_exit(lua_State *L) {
  int status = EXIT_SUCCESS;
  if (lua_isboolean(L, 1))
    status = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
  else
    status = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
  bool close = lua_toboolean(L, 2);
  if (cr_forked()) cr_leave(status);
  if (close) {
    /* NULL: it could not be opened, or a finalizer calls while it is closed. */
    struct cr_gil *g = cr_gil_find(L);
    if (g != NULL) cr_gil_close(g);
    lua_close(L);
  }
  exit(status);
}

void cr_open_exit(lua_State *L) {
  lua_getglobal(L, LUA_OSLIBNAME);
  lua_pushcfunction(L, os_exit);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
}
