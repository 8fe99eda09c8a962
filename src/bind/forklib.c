/* fork, wait, kill, and what a process knows of itself. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "object.h"
#include "process.h"

static int fork_fork(lua_State *L) {
  cr_family_before_fork(L);
  struct cr_child *c = lua_newuserdatauv(L, sizeof *c, 0);
  pid_t pid;
  memset(c, 0, sizeof *c);
  c->raw = true;
  cr_family_hold(L, c);
  int err = cr_family_fork(L, c, &pid);
  if (err != 0) return luaL_error(L, "cannot fork: %s", strerror(err));
  lua_pushinteger(L, pid);
  return 1;
}

static struct cr_child *find_raw(struct cr_family *f, lua_Integer pid) {
  struct cr_child *c = f->first;
  while (c != NULL && (!c->raw || c->pid != pid)) c = c->next;
  return c;
}

static int wait_results(lua_State *L, struct cr_child *c) {
  int code = cr_child_exitcode(c);
  c->waited = true;
  lua_pushinteger(L, c->pid);
  lua_pushstring(L, code < 0 ? "signal" : "exit");
  lua_pushinteger(L, code < 0 ? -code : code);
  cr_family_drop(L, c);
  return 3;
}

static int fork_wait(lua_State *L) {
  bool any = lua_isnoneornil(L, 1);
  lua_Integer pid = any ? 0 : luaL_checkinteger(L, 1);
  int64_t deadline = cr_check_deadline(L, 2);
  struct cr_family *f = cr_family(L);
  struct cr_child *c = any ? NULL : find_raw(f, pid);
  if (!any && c == NULL)
    return luaL_argerror(L, 1, "not the pid of a child made by fork");
  if (!any) cr_family_push(L, c); /* another thread may wait for it, too */
  int err =
      any ? cr_child_wait_any(f, deadline, &c) : cr_child_wait(f, c, deadline);
  if (err == EINTR) return cr_raise_interrupt(L);
  if (err == 0 && c != NULL && c->waited)
    return luaL_error(L, "another thread has waited for this child");
  if (err == 0 && c == NULL)
    return luaL_error(L, "no child made by fork to wait for");
  if (err == 0) return wait_results(L, c);
  luaL_pushfail(L);
  return 1;
}

/* The number of a name such as "TERM" or "SIGTERM", -1 if there is none. */
static int signal_number(const char *name) {
  if (strncmp(name, "SIG", 3) == 0) name += 3;
  for (int i = 1; i < NSIG; i++) {
    const char *other = sigabbrev_np(i);
    if (other != NULL && strcmp(name, other) == 0) return i;
  }
  return -1;
}

static int check_signal(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return SIGTERM;
  if (lua_type(L, arg) != LUA_TNUMBER) {
    const char *name = luaL_checkstring(L, arg);
    int number = signal_number(name);
    const char *text = lua_pushfstring(L, "unknown signal '%s'", name);
    luaL_argcheck(L, number > 0, arg, text);
    return number;
  }
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0 && n < NSIG, arg, "no such signal");
  return (int)n;
}

static int fork_kill(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  /* 0 is the caller's own group and -1 everybody: no script means that. */
  luaL_argcheck(
      L, pid != 0 && pid != -1 && pid > -INT_MAX && pid < INT_MAX, 1,
      "pid of a process, or of a group as a negative number, expected");
  int sig = check_signal(L, 2);
  if (kill((pid_t)pid, sig) != 0)
    return luaL_error(L, "cannot signal process %I: %s", pid, strerror(errno));
  return 0;
}

static int fork_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static int fork_getppid(lua_State *L) {
  lua_pushinteger(L, getppid());
  return 1;
}

static int fork_cpu_count(lua_State *L) {
  lua_pushinteger(L, cr_cpu_count());
  return 1;
}

void cr_open_fork(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", fork_fork},
      {"wait", fork_wait},
      {"kill", fork_kill},
      {"getpid", fork_getpid},
      {"getppid", fork_getppid},
      {"cpu_count", fork_cpu_count},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
