/* Lua's io library, so that who waits for a file lets the others run.
**
** The handles are Lua's own (LUA_FILEHANDLE), and so are the functions that
** are not replaced; what the others do and say is what Lua's do and say.
*/
#include <errno.h>
#include <lualib.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>

#include "gil.h"
#include "object.h"
#include "state.h"
#include "stream.h"
#include "undo.h"

/* What Lua closes its standard files with: they stay open. */
static lua_CFunction keep_open;

int cr_stream_raise(lua_State *L, int err) {
  if (err == EINTR) return cr_raise_interrupt(L);
  return luaL_error(L, "file closed by another thread");
}

bool cr_stream_shared(lua_State *L) {
  return cr_multithreaded(L);
}

bool cr_stream_regular(FILE *f) {
  struct stat s;
  int fd = fileno(f);
  if (fd < 0 || fstat(fd, &s) != 0) return true;
  return S_ISREG(s.st_mode) || S_ISDIR(s.st_mode) || S_ISBLK(s.st_mode);
}

luaL_Stream *cr_stream_check(lua_State *L, int arg) {
  luaL_Stream *s = luaL_checkudata(L, arg, LUA_FILEHANDLE);
  if (s->closef == NULL) luaL_error(L, "attempt to use a closed file");
  return s;
}

luaL_Stream *cr_stream_default(lua_State *L, const char *key) {
  lua_getfield(L, LUA_REGISTRYINDEX, key);
  luaL_Stream *s = lua_touserdata(L, -1);
  if (s->closef == NULL)
    luaL_error(L, "default %s file is closed", key + strlen("_IO_"));
  return s;
}

luaL_Stream *cr_stream_new(lua_State *L) {
  luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->closef = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  return s;
}

/* ---- opening ---- */

static bool is_named_pipe(const char *name) {
  struct stat s;
  return stat(name, &s) == 0 && S_ISFIFO(s.st_mode);
}

/* As fopen: 0 or an errno value. */
static int open_file(FILE **f, const char *name, const char *mode) {
  *f = fopen(name, mode);
  return *f != NULL ? 0 : errno;
}

static void close_opened(void *f) {
  if (f != NULL) fclose(f);
}

/* Opens without the lock. The state, and *f in it, may be gone when that is done:
** then `after` does not come back. */
static int open_without_lock(FILE **f, const char *name, const char *mode,
                             int *pending) {
  FILE *opened = NULL;
  int err = open_file(&opened, name, mode);
  struct cr_undo undo;
  cr_undo_push(&undo, close_opened, opened);
  *pending = cr_sleep_hook->after();
  cr_undo_pop();
  *f = opened;
  return err;
}

static int open_unlocked(FILE **f, const char *name, const char *mode) {
  for (;;) {
    int pending, err = cr_sleep_hook->before(CR_FOREVER - 1);
    if (err != 0) return err;
    err = open_without_lock(f, name, mode, &pending);
    if (err != EINTR) return err;
    if (pending != 0) return pending;
  }
}

static int close_file(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, fclose(s->f) == 0, NULL);
}

int cr_stream_open(luaL_Stream *s, const char *name, const char *mode) {
  bool blocks = cr_sleep_hook != NULL && is_named_pipe(name);
  int err =
      blocks ? open_unlocked(&s->f, name, mode) : open_file(&s->f, name, mode);
  if (err == 0) s->closef = close_file;
  return err;
}

static bool valid_mode(const char *mode) {
  if (*mode == 0 || strchr("rwa", *mode++) == NULL) return false;
  if (*mode == '+') mode++;
  return strspn(mode, "b") == strlen(mode);
}

static int io_open(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *mode = luaL_optstring(L, 2, "r");
  luaL_argcheck(L, valid_mode(mode), 2, "invalid mode");
  luaL_Stream *s = cr_stream_new(L);
  int err = cr_stream_open(s, name, mode);
  if (err == EINTR) return cr_stream_raise(L, err);
  errno = err;
  return err == 0 ? 1 : luaL_fileresult(L, 0, name);
}

/* ---- closing ---- */

static int flush_before_close(lua_State *L, luaL_Stream *s) {
  bool writing = __fpending(s->f) > 0 || cr_claimed(s->f, CR_WRITING);
  return writing && !cr_stream_regular(s->f) ? cr_stream_flush(L, s->f) : 0;
}

/* A file whose last bytes could not be written is not closed well. */
static int close_result(lua_State *L, int n, int err) {
  if (err == 0 || !lua_toboolean(L, -n)) return n;
  errno = err;
  return luaL_fileresult(L, 0, NULL);
}

int cr_stream_close(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  lua_CFunction function = s->closef;
  int err = 0;
  if (function != keep_open) {
    err = flush_before_close(L, s);
    if (s->closef == NULL) err = CR_FILE_CLOSED;
    if (err == EINTR || err == CR_FILE_CLOSED) return cr_stream_raise(L, err);
    cr_claims_close(s->f);
  }
  s->closef = NULL;
  return close_result(L, function(L), err);
}

static int file_close(lua_State *L) {
  cr_stream_check(L, 1);
  return cr_stream_close(L);
}

static int io_close(lua_State *L) {
  if (lua_isnone(L, 1)) lua_getfield(L, LUA_REGISTRYINDEX, CR_OUTPUT);
  return file_close(L);
}

static bool is_open(const luaL_Stream *s) {
  return s->closef != NULL && s->f != NULL;
}

static int file__close(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return is_open(s) ? cr_stream_close(L) : 0;
}

/* In a finalizer interrupts stay pending. Other threads could only run without
** a collector meanwhile, so nobody waits for the end of a command there. */
static int file__gc(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  if (!is_open(s)) return 0;
  if (cr_stream_shared(L)) cr_command_let_go(s);
  bool before = cr_patient;
  lua_settop(L, 1);
  lua_pushcfunction(L, file__close);
  lua_insert(L, 1);
  cr_patient = true;
  int status = lua_pcall(L, 1, 0, 0);
  cr_patient = before;
  return status == LUA_OK ? 0 : lua_error(L);
}

void cr_open_io(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", io_open},
      {"close", io_close},
      {NULL, NULL},
  };
  static const luaL_Reg metamethods[] = {
      {"__gc", file__gc},
      {"__close", file__close},
      {NULL, NULL},
  };
  int top = lua_gettop(L);
  lua_getglobal(L, LUA_IOLIBNAME);
  int io = top + 1;
  lua_getfield(L, io, "stdout");
  keep_open = ((luaL_Stream *)luaL_checkudata(L, -1, LUA_FILEHANDLE))->closef;
  lua_settop(L, io);
  luaL_setfuncs(L, functions, 0);
  luaL_getmetatable(L, LUA_FILEHANDLE);
  luaL_setfuncs(L, metamethods, 0);
  lua_getfield(L, -1, "__index");
  int methods = lua_gettop(L);
  lua_pushcfunction(L, file_close);
  lua_setfield(L, methods, "close");
  lua_getglobal(L, LUA_OSLIBNAME);
  cr_open_read(L, io, methods);
  cr_open_write(L, io, methods);
  cr_open_command(L, io, methods + 1);
  lua_settop(L, top);
}
