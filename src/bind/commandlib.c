/* io.popen and os.execute: while a command runs, the other threads do, too.
**
** A handle of popen is a file handle as any other, in a userdata that holds
** the command's process as well.
*/
#include <errno.h>
#include <lualib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "object.h"
#include "state.h"
#include "stream.h"

struct command {
  luaL_Stream stream; /* first: all that others know */
  pid_t pid;
  bool let_go; /* nobody wants to know how it ends */
};

/* The closing function of the handle at index 1. */
static int close_command(lua_State *L) {
  struct command *c = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  int status = 0;
  fclose(c->stream.f);
  if (c->let_go) {
    cr_command_abandon(c->pid);
    return 0;
  }
  int err = cr_command_wait(c->pid, &status);
  if (err == EINTR) return cr_stream_raise(L, err);
  errno = err;
  return luaL_execresult(L, err == 0 ? status : -1);
}

void cr_command_let_go(luaL_Stream *s) {
  if (s->closef == close_command) ((struct command *)s)->let_go = true;
}

static int io_popen(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  const char *mode = luaL_optstring(L, 2, "r");
  luaL_argcheck(L, strcmp(mode, "r") == 0 || strcmp(mode, "w") == 0, 2,
                "invalid mode");
  struct command *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  luaL_setmetatable(L, LUA_FILEHANDLE);
  int err = cr_stream_flush(L, stdout);
  if (err == EINTR) return cr_stream_raise(L, err);
  fflush(NULL);
  int fd;
  err = cr_command_start(text, *mode == 'r' ? 1 : 0, &c->pid, &fd);
  if (err == 0) {
    c->stream.f = fdopen(fd, mode);
    c->stream.closef = close_command;
    if (c->stream.f != NULL) return 1;
    err = errno; /* no memory: the command sees a closed pipe */
    c->stream.closef = NULL;
    close(fd);
    cr_command_abandon(c->pid);
  }
  errno = err;
  return luaL_fileresult(L, 0, text);
}

static int run(const char *text, int *status) {
  struct cr_foreground signals;
  pid_t pid;
  cr_foreground_begin(&signals);
  int err = cr_command_start(text, -1, &pid, NULL);
  if (err == 0) err = cr_command_wait(pid, status);
  cr_foreground_end(&signals, err == 0 ? *status : 0);
  return err;
}

static int os_execute(lua_State *L) {
  const char *text = luaL_optstring(L, 1, NULL);
  if (text == NULL) {
    lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
    return 1;
  }
  int status = 0;
  int err = run(text, &status);
  if (err == EINTR) return cr_stream_raise(L, err);
  errno = err;
  return luaL_execresult(L, err == 0 ? status : -1);
}

void cr_open_command(lua_State *L, int io, int os) {
  lua_pushcfunction(L, io_popen);
  lua_setfield(L, io, "popen");
  lua_pushcfunction(L, os_execute);
  lua_setfield(L, os, "execute");
}
