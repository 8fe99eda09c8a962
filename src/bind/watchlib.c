/* What lua/watch.lua does through the system: files, events, processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "futex.h"
#include "watch.h"

int cr_watch_fd = -1;

/* Of the watcher. */
static int events = -1, signals = -1;
static int reports = -1; /* from the run */
static sigset_t before;  /* signals blocked before it began */
static off_t input = -1; /* where standard input stood, if it is a file */

/* ---- files ---- */

void cr_watch_stamp(const char *file, char *text, size_t room) {
  struct stat s;
  text[0] = '\0';
  if (stat(file, &s) != 0) return;
  snprintf(text, room, "%llu:%llu:%lld:%lld.%09ld",
           (unsigned long long)s.st_dev, (unsigned long long)s.st_ino,
           (long long)s.st_size, (long long)s.st_mtim.tv_sec,
           s.st_mtim.tv_nsec);
}

/* stamp(file): what it is now; "" when it is not there. */
static int watch_stamp(lua_State *L) {
  char text[128];
  cr_watch_stamp(luaL_checkstring(L, 1), text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

/* real(file): its path without symbolic links, or nil. */
static int watch_real(lua_State *L) {
  char path[PATH_MAX];
  if (realpath(luaL_checkstring(L, 1), path) == NULL) return 0;
  lua_pushstring(L, path);
  return 1;
}

/* add(folder): the number of the watch on it, or nil, why, and whether it is
** only that there is no such folder. */
static int watch_add(lua_State *L) {
  int n = inotify_add_watch(events, luaL_checkstring(L, 1),
                            IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE |
                                IN_ONLYDIR | IN_EXCL_UNLINK);
  if (n >= 0) {
    lua_pushinteger(L, n);
    return 1;
  }
  int err = errno;
  luaL_pushfail(L);
  lua_pushstring(L, strerror(err));
  lua_pushboolean(L, err == ENOENT || err == ENOTDIR);
  return 3;
}

/* ---- events ---- */

/* Appends {number, name} for each; name is false when the watch has gone, the
** number -1 when events were lost. */
static void push_events(lua_State *L) {
  _Alignas(struct inotify_event) char buffer[16384];
  int n = 0;
  ssize_t got;
  lua_newtable(L);
  while ((got = read(events, buffer, sizeof buffer)) > 0) {
    const struct inotify_event *e;
    for (char *p = buffer; p < buffer + got; p += sizeof *e + e->len) {
      e = (const void *)p;
      lua_createtable(L, 2, 0);
      lua_pushinteger(L, e->wd);
      lua_rawseti(L, -2, 1);
      if (e->len > 0)
        lua_pushstring(L, e->name);
      else
        lua_pushboolean(L, 0);
      lua_rawseti(L, -2, 2);
      lua_rawseti(L, -2, ++n);
    }
  }
}

/* Pushes what the run has reported since the last time. */
static void push_reports(lua_State *L) {
  char buffer[16384];
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  ssize_t got = 1;
  while (reports >= 0 && (got = read(reports, buffer, sizeof buffer)) > 0)
    luaL_addlstring(&b, buffer, (size_t)got);
  if (got == 0) { /* it has ended, with all that could report */
    close(reports);
    reports = -1;
  }
  luaL_pushresult(&b);
}

/* Pushes the number of the signal that is to end the watching, or nil. */
static void push_signal(lua_State *L) {
  struct signalfd_siginfo info;
  lua_pushnil(L);
  while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    lua_pushinteger(L, (lua_Integer)info.ssi_signo);
    lua_replace(L, -2);
  }
}

/* wait([seconds]): sleeps until something happens, at most so long. Returns a
** list of events, the run's reports, and a signal to end or nil. */
static int watch_wait(lua_State *L) {
  double seconds = luaL_optnumber(L, 1, 1e10);
  struct pollfd fds[] = {{.fd = events, .events = POLLIN},
                         {.fd = signals, .events = POLLIN},
                         {.fd = reports, .events = POLLIN}};
  cr_wait_files(fds, 3, cr_deadline(seconds));
  push_events(L);
  push_reports(L);
  push_signal(L);
  return 3;
}

/* now(): seconds of the clock that does not jump. */
static int watch_now(lua_State *L) {
  lua_pushnumber(L, (double)cr_now() / 1e9);
  return 1;
}

/* ---- processes ---- */

/* A process, and whether it descends from this one. */
struct process {
  pid_t pid, parent;
  bool ours, over;
};

static bool read_process(const char *pid, struct process *p) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char *rest = strrchr(text, ')');
  char state;
  int parent;
  if (rest == NULL || sscanf(rest, ") %c %d", &state, &parent) != 2)
    return false;
  *p = (struct process){(pid_t)atoi(pid), parent, false,
                        state == 'Z' || state == 'X'};
  return true;
}

/* Makes room for one more in a list that is kept from call to call. */
static struct process *grown(struct process *list, size_t n, size_t *room) {
  if (n < *room) return list;
  struct process *larger = realloc(list, 2 * (n + 512) * sizeof *list);
  if (larger != NULL) *room = 2 * (n + 512);
  return larger;
}

/* All processes, and how many there are. Returns 0 or an errno value. */
static int read_all(struct process **processes, size_t *count) {
  static struct process *list;
  static size_t room;
  size_t n = 0;
  const struct dirent *e;
  DIR *d = opendir("/proc");
  if (d == NULL) return errno;
  while ((e = readdir(d)) != NULL) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    struct process *larger = grown(list, n, &room);
    if (larger == NULL) break;
    list = larger;
    n += read_process(e->d_name, &list[n]);
  }
  closedir(d);
  *processes = list;
  *count = n;
  return e != NULL ? ENOMEM : 0;
}

static bool mark(struct process *list, size_t n, pid_t parent) {
  bool any = false;
  for (size_t i = 0; i < n; i++)
    if (list[i].parent == parent && !list[i].ours) any = list[i].ours = true;
  return any;
}

/* descendants(): the pids of those that have not ended. */
static int watch_descendants(lua_State *L) {
  size_t n = 0;
  struct process *list = NULL;
  int err = read_all(&list, &n);
  if (err != 0) return luaL_error(L, "cannot read /proc: %s", strerror(err));
  bool more = mark(list, n, getpid());
  while (more) {
    more = false;
    for (size_t i = 0; i < n; i++)
      if (list[i].ours && mark(list, n, list[i].pid)) more = true;
  }
  lua_newtable(L);
  int k = 0;
  for (size_t i = 0; i < n; i++) {
    if (!list[i].ours || list[i].over) continue;
    lua_pushinteger(L, list[i].pid);
    lua_rawseti(L, -2, ++k);
  }
  return 1;
}

/* ended(): are there no children left? Who loses its parent becomes a child. */
static int watch_ended(lua_State *L) {
  pid_t pid;
  do pid = waitpid(-1, NULL, WNOHANG);
  while (pid > 0);
  lua_pushboolean(L, pid < 0 && errno == ECHILD);
  return 1;
}

/* kill(pid, force): to end, or to end at once. */
static int watch_kill(lua_State *L) {
  kill((pid_t)luaL_checkinteger(L, 1), lua_toboolean(L, 2) ? SIGKILL : SIGTERM);
  return 0;
}

/* die(signal): as if it had not been caught. */
static int watch_die(lua_State *L) {
  int number = (int)luaL_checkinteger(L, 1);
  signal(number, SIG_DFL);
  raise(number);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return 0;
}

/* say(text): a line on standard error, in one write. */
static int watch_say(lua_State *L) {
  size_t n;
  luaL_checkstring(L, 1);
  lua_pushliteral(L, "\n");
  lua_concat(L, 2);
  const char *line = lua_tolstring(L, 1, &n);
  return write(STDERR_FILENO, line, n) < 0 ? 0 : 0;
}

/* ---- start and runs ---- */

static int fail(lua_State *L, const char *what) {
  return luaL_error(L, "cannot %s: %s", what, strerror(errno));
}

/* open(): once, before everything else. */
static int watch_open(lua_State *L) {
  struct stat s;
  sigset_t set;
  events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (events < 0) return fail(L, "watch files");
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, &before);
  signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return fail(L, "receive signals");
  /* Whoever loses its parent becomes ours: so none gets lost. */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (fstat(STDIN_FILENO, &s) == 0 && S_ISREG(s.st_mode))
    input = lseek(STDIN_FILENO, 0, SEEK_CUR);
  return 0;
}

static void become_run(pid_t watcher, int to) {
  close(events);
  close(signals);
  close(reports);
  events = signals = reports = -1;
  cr_watch_fd = to;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != watcher) raise(SIGKILL);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

/* run(): true in a new child, which is to run the script. */
static int watch_run(lua_State *L) {
  int ends[2];
  pid_t watcher = getpid();
  if (reports >= 0) close(reports);
  reports = -1;
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(L, "make a pipe");
  reports = ends[0];
  fcntl(reports, F_SETFL, O_NONBLOCK);
  if (input >= 0) lseek(STDIN_FILENO, input, SEEK_SET);
  pid_t pid = fork();
  if (pid == 0) {
    become_run(watcher, ends[1]);
    lua_pushboolean(L, 1);
    return 1;
  }
  close(ends[1]);
  if (pid < 0) return fail(L, "start a process");
  lua_pushboolean(L, 0);
  return 1;
}

void cr_watch_push_library(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"add", watch_add},     {"descendants", watch_descendants},
      {"die", watch_die},     {"ended", watch_ended},
      {"kill", watch_kill},   {"now", watch_now},
      {"open", watch_open},   {"real", watch_real},
      {"run", watch_run},     {"say", watch_say},
      {"stamp", watch_stamp}, {"wait", watch_wait},
      {NULL, NULL},
  };
  luaL_newlib(L, functions);
}
