/* The terminal as a table of Lua functions, and its part in signals, forks and
** the program's end. See console.h.
*/
#include "console.h"

#include <cluarun.h>
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "editor.h"
#include "folder.h"
#include "history.h"
#include "readline_names.h"
#include "relay.h"
#include "screen.h"

static bool is_open;
static pthread_t main_thread;
static char *line; /* what was read last, until Lua has it */

/* ---- Ctrl-C ----
**
** The second one ends a process that has not come to the first. So the prompt
** keeps the signal blocked and lets one in where it is going to take it.
*/

/* The arguments of console.read; the first one is that of console.drain. */
enum { IDLE = 1, PROMPT, PROMPT2, IS_COMPLETE, COMPLETE };

static bool late; /* one came before the prompt was there to take it */

/* An interrupt comes as an error out of the first Lua function that runs. */
static bool is_interrupted(lua_State *L) {
  lua_pushvalue(L, IDLE);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return false;
  lua_pop(L, 1);
  return true;
}

static void block(int how, int sig, sigset_t *before) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  pthread_sigmask(how, &set, before);
}

static void keep_out(lua_State *L, sigset_t *before) {
  block(SIG_BLOCK, SIGINT, before);
  late = is_interrupted(L) || late;
}

static bool is_cancelled(void *ud) {
  block(SIG_UNBLOCK, SIGINT, NULL);
  block(SIG_BLOCK, SIGINT, NULL);
  bool was = is_interrupted(ud) || late;
  late = false;
  return was;
}

/* ---- console.read ---- */

/* f(text) -> up to two results, protected */
static int ask(lua_State *L) {
  lua_pushstring(L, lua_touserdata(L, 2));
  lua_replace(L, 2);
  lua_call(L, 1, 2);
  return 2;
}

/* Asks the function in that argument, leaving two results. */
static bool ask_lua(lua_State *L, int function, const char *text) {
  lua_pushcfunction(L, ask);
  lua_pushvalue(L, function);
  lua_pushlightuserdata(L, (void *)(uintptr_t)text);
  if (lua_pcall(L, 2, 2, 0) == LUA_OK) return true;
  lua_pop(L, 1);
  return false;
}

static bool is_complete(void *ud, const char *text) {
  lua_State *L = ud;
  if (!ask_lua(L, IS_COMPLETE, text)) return true;
  bool complete = lua_toboolean(L, -2);
  lua_pop(L, 2);
  return complete;
}

/* The strings of the list on top, as readline wants them. */
static char **copy_list(lua_State *L) {
  size_t n = lua_rawlen(L, -1), got = 0;
  char **list = n > 0 ? calloc(n + 1, sizeof *list) : NULL;
  if (list == NULL) return NULL;
  for (size_t i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i) == LUA_TSTRING)
      list[got] = strdup(lua_tostring(L, -1));
    if (list[got] != NULL) got++;
    lua_pop(L, 1);
  }
  if (got > 0) return list;
  free(list);
  return NULL;
}

static char **complete(void *ud, const char *text, char *kind) {
  lua_State *L = ud;
  char **list = NULL;
  if (!ask_lua(L, COMPLETE, text)) return NULL;
  if (lua_type(L, -2) == LUA_TSTRING) *kind = *lua_tostring(L, -2);
  if (lua_istable(L, -1)) list = copy_list(L);
  lua_pop(L, 2);
  return list;
}

/* The signals that matter come either before the look or out of ppoll. */
static bool wait_for_key(void *ud) {
  lua_State *L = ud;
  struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
  sigset_t before, open;
  block(SIG_BLOCK, SIGWINCH, &before);
  bool interrupted = is_cancelled(L);
  if (!interrupted) {
    open = before;
    sigdelset(&open, SIGINT);
    cluarun_unlock(L);
    ppoll(&key, 1, NULL, &open);
    cluarun_lock(L);
    interrupted = is_interrupted(L);
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return !interrupted;
}

/* All that was written so far has its place above the prompt. */
static void drain(lua_State *L) {
  fflush(stdout);
  fflush(stderr);
  cluarun_unlock(L);
  relay_drain();
  cluarun_lock(L);
}

/* console.read(idle, prompt, prompt2, is_complete, complete) */
static int console_read(lua_State *L) {
  const char *prompt = luaL_checkstring(L, PROMPT);
  const char *prompt2 = luaL_checkstring(L, PROMPT2);
  luaL_checktype(L, IDLE, LUA_TFUNCTION);
  luaL_checktype(L, IS_COMPLETE, LUA_TFUNCTION);
  luaL_checktype(L, COMPLETE, LUA_TFUNCTION);
  lua_settop(L, COMPLETE);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  const struct editor_calls calls = {L, wait_for_key, is_complete, complete,
                                     is_cancelled};
  sigset_t before;
  keep_out(L, &before);
  drain(L);
  free(line);
  line = NULL;
  enum editor_end end = editor_read(prompt, prompt2, &calls, &line);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (end == EDITOR_CANCELLED)
    lua_pushboolean(L, false);
  else
    lua_pushstring(L, line); /* nil when it is NULL */
  return 1;
}

/* ---- the other functions ---- */

/* console.drain(idle) */
static int console_drain(lua_State *L) {
  sigset_t before;
  luaL_checktype(L, IDLE, LUA_TFUNCTION);
  keep_out(L, &before);
  drain(L);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return 0;
}

/* console.remember(text) -> nil | message */
static int console_remember(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  screen_enter(SCREEN_PROMPT);
  const char *message = history_remember(text);
  screen_leave();
  lua_pushstring(L, message);
  return 1;
}

/* console.width() -> columns */
static int console_width(lua_State *L) {
  int rows, columns;
  screen_enter(SCREEN_PROMPT);
  rl_reset_screen_size();
  rl_get_screen_size(&rows, &columns);
  screen_leave();
  lua_pushinteger(L, columns);
  return 1;
}

/* ---- signals, forks, the end ---- */

static void on_resize(int sig) {
  int saved = errno;
  relay_resize();
  editor_resize();
  if (!pthread_equal(pthread_self(), main_thread))
    pthread_kill(main_thread, sig);
  errno = saved;
}

/* Ends as it would have without us, but with the terminal as it was. */
static void on_end(int sig) {
  editor_restore();
  raise(sig);
}

/* Those that end the process if nobody handles them. */
static const int ending[] = {SIGTERM, SIGHUP,  SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
                             SIGILL,  SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU};
enum { ENDING = sizeof ending / sizeof *ending };

static void handle(int sig, void (*handler)(int), int flags) {
  struct sigaction old;
  struct sigaction ours = {.sa_handler = handler, .sa_flags = flags};
  if (sigaction(sig, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
      old.sa_handler == SIG_DFL)
    sigaction(sig, &ours, NULL);
}

static void handle_signals(void) {
  main_thread = pthread_self();
  handle(SIGWINCH, on_resize, SA_RESTART);
  for (size_t i = 0; i < ENDING; i++)
    handle(ending[i], on_end, (int)(SA_RESETHAND | SA_NODEFER));
}

static void unhandle(int sig, void (*handler)(int)) {
  struct sigaction now;
  if (sigaction(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
      now.sa_handler == handler)
    signal(sig, SIG_DFL);
}

/* At a fork nothing of readline's lies in a buffer, which the child would write
** out again. */
static void before_fork(void) {
  screen_enter(SCREEN_PROMPT);
  if (is_open) fflush(rl_outstream);
}

static void in_child(void) {
  screen_reset();
  if (!is_open) return;
  is_open = false;
  editor_in_child();
  relay_in_child();
  unhandle(SIGWINCH, on_resize);
  for (size_t i = 0; i < ENDING; i++) unhandle(ending[i], on_end);
}

static void at_exit(void) {
  if (!is_open) return;
  is_open = false;
  editor_restore();
  fflush(stdout);
  relay_close();
}

/* ---- opening ---- */

static bool is_usable(void) {
  const char *term = getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL &&
         term[0] != '\0' && strcmp(term, "dumb") != 0;
}

/* Without it lines are read as they are when the terminal cannot do better. */
static bool can_edit(void) {
  const char *problem = lazy_readline_load();
  if (problem != NULL)
    fprintf(stderr, "cluarun: no line editing: %s\n", problem);
  return problem == NULL;
}

static bool open_terminal(void) {
  static const struct relay_prompt prompt = {editor_is_shown, editor_hide,
                                             editor_show};
  relay_open(&prompt);
  if (relay_terminal() < 0 || editor_open(relay_terminal()) != 0) {
    relay_close();
    return false;
  }
  is_open = true;
  pthread_atfork(before_fork, screen_leave, in_child);
  atexit(at_exit);
  handle_signals();
  return true;
}

int console_open(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"drain", console_drain}, {"files", folder_list},
      {"read", console_read},   {"remember", console_remember},
      {"width", console_width}, {NULL, NULL},
  };
  if (is_open || !is_usable() || !can_edit() || !open_terminal()) return 0;
  luaL_newlib(L, functions);
  lua_pushstring(L, history_open());
  lua_setfield(L, -2, "warning");
  const char *no_colour = getenv("NO_COLOR");
  lua_pushboolean(L, no_colour == NULL || no_colour[0] == '\0');
  lua_setfield(L, -2, "colour");
  return 1;
}
