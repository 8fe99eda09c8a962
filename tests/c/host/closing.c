/* A host program that closes a state while a thread of it is in a system call
** which does not come back before. Uses the public header only. */
#include <cluarun.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tap.h"

enum { PATIENCE = 60000 }; /* ms */

/* Ends when the thread sleeps in openat (257). */
static const char opening[] =
    "local t = Thread { target = io.open, args = { ... }, daemon = true }\n"
    "t:start()\n"
    "repeat\n"
    "  sleep(0.001)\n"
    "  local f <close> = io.open('/proc/self/task/' .. t.native_id ..\n"
    "    '/syscall')\n"
    "until f:read 'a':find '^257 '";

static void open_in_thread(lua_State *L, const char *name) {
  if (luaL_loadstring(L, opening) != LUA_OK) abort();
  lua_pushstring(L, name);
  bool good = lua_pcall(L, 1, 0, 0) == LUA_OK;
  if (!good) printf("# %s\n", luaL_tolstring(L, -1, NULL));
  ok(good, "a thread waits for the other side of a named pipe");
}

/* Does the pipe lose its last reader? */
static bool loses_reader(int fd) {
  struct pollfd p = {.fd = fd};
  return poll(&p, 1, PATIENCE) == 1 && (p.revents & POLLERR);
}

int main(void) {
  char folder[] = P_tmpdir "/closing.XXXXXX", name[64];
  if (mkdtemp(folder) == NULL) return 1;
  snprintf(name, sizeof name, "%s/pipe", folder);
  signal(SIGPIPE, SIG_IGN);
  ok(mkfifo(name, 0600) == 0, "a named pipe");
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  open_in_thread(L, name);
  lua_close(L);
  int fd = open(name, O_WRONLY | O_NONBLOCK);
  ok(fd >= 0, "it waits on when its state is closed");
  ok(loses_reader(fd), "what it opened then is closed again");
  close(fd);
  unlink(name);
  rmdir(folder);
  return tap_end();
}
