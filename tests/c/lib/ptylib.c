/* pty: programs on a pseudo terminal, for tests in Lua (tests/lib/pty.lua).
**
**   fd, pid = pty.spawn({program, args...}, rows, columns)
**   text = pty.read(fd, ms)      "" when nothing came, nil at the end
**   pty.write(fd, text)  pty.resize(fd, rows, columns)  pty.close(fd)
**   how, code = pty.wait(pid, ms)   "exit" or "signal"; nil: still there
**   pty.modes(fd) -> "canonical" or "raw", of the terminal
**   pty.flush(fd)    drops what was typed and not read yet
*/
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_pty(lua_State *L);

enum { BUFFER = 65536, ARGUMENTS = 64 };

static struct winsize check_size(lua_State *L, int arg) {
  return (struct winsize){.ws_row = (unsigned short)luaL_checkinteger(L, arg),
                          .ws_col =
                              (unsigned short)luaL_checkinteger(L, arg + 1)};
}

static int pty_spawn(lua_State *L) {
  char *argv[ARGUMENTS + 1] = {NULL};
  struct winsize size = check_size(L, 2);
  int fd, n = (int)luaL_len(L, 1);
  luaL_argcheck(L, n > 0 && n <= ARGUMENTS, 1, "too many");
  luaL_checkstack(L, n, NULL);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    argv[i] = (char *)(uintptr_t)luaL_checkstring(L, -1);
  }
  pid_t pid = forkpty(&fd, NULL, NULL, &size);
  if (pid < 0) return luaL_error(L, "forkpty: %s", strerror(errno));
  if (pid == 0) {
    execvp(argv[0], argv);
    _exit(127);
  }
  lua_pushinteger(L, fd);
  lua_pushinteger(L, pid);
  return 2;
}

static int pty_read(lua_State *L) {
  static char buffer[BUFFER];
  struct pollfd wait = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
  ssize_t n = 0;
  if (poll(&wait, 1, (int)luaL_checkinteger(L, 2)) > 0) {
    n = read(wait.fd, buffer, sizeof buffer);
    if (n <= 0) return 0;
  }
  lua_pushlstring(L, buffer, (size_t)n);
  return 1;
}

static int pty_write(lua_State *L) {
  size_t n;
  int fd = (int)luaL_checkinteger(L, 1);
  const char *text = luaL_checklstring(L, 2, &n);
  while (n > 0) {
    ssize_t done = write(fd, text, n);
    if (done < 0) return luaL_error(L, "write: %s", strerror(errno));
    text += done;
    n -= (size_t)done;
  }
  return 0;
}

/* As many bytes as the terminal takes at once: their number. */
static int pty_offer(lua_State *L) {
  size_t n;
  int fd = (int)luaL_checkinteger(L, 1), flags = fcntl(fd, F_GETFL);
  const char *text = luaL_checklstring(L, 2, &n);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  ssize_t done = write(fd, text, n);
  int err = errno;
  fcntl(fd, F_SETFL, flags);
  if (done < 0 && err != EAGAIN)
    return luaL_error(L, "write: %s", strerror(err));
  lua_pushinteger(L, done < 0 ? 0 : done);
  return 1;
}

static int pty_resize(lua_State *L) {
  struct winsize size = check_size(L, 2);
  ioctl((int)luaL_checkinteger(L, 1), TIOCSWINSZ, &size);
  return 0;
}

static int pty_flush(lua_State *L) {
  const char *name = ptsname((int)luaL_checkinteger(L, 1));
  int fd = name != NULL ? open(name, O_RDWR | O_NOCTTY) : -1;
  if (fd < 0) return luaL_error(L, "open: %s", strerror(errno));
  tcflush(fd, TCIFLUSH);
  close(fd);
  return 0;
}

static int pty_modes(lua_State *L) {
  struct termios modes;
  if (tcgetattr((int)luaL_checkinteger(L, 1), &modes) != 0)
    return luaL_error(L, "tcgetattr: %s", strerror(errno));
  lua_pushstring(L, (modes.c_lflag & ICANON) ? "canonical" : "raw");
  return 1;
}

static int pty_close(lua_State *L) {
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

static int pty_wait(lua_State *L) {
  int status, ms = (int)luaL_checkinteger(L, 2);
  pid_t pid = (pid_t)luaL_checkinteger(L, 1), got;
  while ((got = waitpid(pid, &status, WNOHANG)) == 0 && ms > 0) {
    poll(NULL, 0, 5);
    ms -= 5;
  }
  if (got != pid) return 0;
  lua_pushstring(L, WIFSIGNALED(status) ? "signal" : "exit");
  lua_pushinteger(L,
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  return 2;
}

__attribute__((visibility("default"))) int luaopen_pty(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"spawn", pty_spawn}, {"read", pty_read},     {"write", pty_write},
      {"offer", pty_offer}, {"resize", pty_resize}, {"modes", pty_modes},
      {"close", pty_close}, {"wait", pty_wait},     {"flush", pty_flush},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
  return 1;
}
