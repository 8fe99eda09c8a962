/* Ctrl-C: the error "interrupted!" in the main thread, wherever it is.
**
** The handler only sets a flag, sets a hook on the coroutine that runs (as
** lua.c does on the main state) and rings the thread's alarm. A loop ends by
** the hook, a sleep by the flag; the hook that a script has set itself comes
** back afterwards. A second Ctrl-C while the first is pending ends the process.
*/
#include <errno.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "object.h"
#include "state.h"

static const char message[] = "interrupted!";

/* What this OS thread runs now; NULL outside of Lua. */
static _Thread_local lua_State *running;

/* Of the process: signals go to its main thread. */
static pthread_t main_thread;
static bool installed;
static volatile sig_atomic_t pending;
static volatile sig_atomic_t delivered;
/* Where the hook is, and what it stands in for. */
static struct {
  lua_State *volatile state;
  lua_Hook hook;
  int mask, count;
} armed;

static void disarm(void) {
  lua_State *L = armed.state;
  armed.state = NULL;
  if (L != NULL) lua_sethook(L, armed.hook, armed.mask, armed.count);
}

static int raise_it(lua_State *L) {
  disarm();
  delivered = 1;
  pending = 0;
  return luaL_error(L, "%s", message);
}

/* A coroutine made while the hook was set has a copy of it, which may come
** late: then there is nothing to raise. */
static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (armed.state != L) lua_sethook(L, NULL, 0, 0);
  if (pending) raise_it(L);
}

static void arm(lua_State *L) {
  if (L == NULL) return;
  armed.hook = lua_gethook(L);
  armed.mask = lua_gethookmask(L);
  armed.count = lua_gethookcount(L);
  armed.state = L;
  lua_sethook(L, stop,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

lua_State *cr_switch(lua_State *L) {
  lua_State *before = running;
  running = L;
  if (pending && cr_interrupt_pending() && armed.state != L) {
    disarm();
    arm(L);
  }
  return before;
}

lua_State *cr_running(void) {
  return running;
}

static void on_interrupt(int sig) {
  int saved = errno;
  if (!pthread_equal(pthread_self(), main_thread)) {
    pthread_kill(main_thread, sig);
  } else if (pending) {
    signal(sig, SIG_DFL);
    raise(sig);
  } else {
    pending = 1;
    arm(running);
    if (cr_self != NULL) cr_ring(&cr_self->alarm);
  }
  errno = saved;
}

bool cr_interrupt_pending(void) {
  return pending && pthread_equal(pthread_self(), main_thread);
}

int cr_raise_interrupt(lua_State *L) {
  return raise_it(L);
}

bool cr_is_interrupt(lua_State *L, int index) {
  if (!delivered || lua_type(L, index) != LUA_TSTRING) return false;
  const char *text = lua_tostring(L, index);
  size_t line = strcspn(text, "\n");
  size_t n = sizeof message - 1;
  return line >= n && memcmp(text + line - n, message, n) == 0;
}

static int refuse(void) {
  return cr_interrupt_pending() && !cr_patient ? EINTR : 0;
}

/* The thread that forks is the child's main thread. */
static void in_child(void) {
  main_thread = pthread_self();
}

void cr_interrupt_install(lua_State *L) {
  static const struct cr_sleep_hook hook = {refuse, refuse};
  main_thread = pthread_self();
  running = L;
  cr_sleep_hook = &hook;
  if (!installed) pthread_atfork(NULL, NULL, in_child);
  installed = true;
  /* Without SA_RESTART, so that reads and waits return. */
  struct sigaction action = {.sa_handler = on_interrupt};
  sigaction(SIGINT, &action, NULL);
}

void cr_interrupt_remove(void) {
  if (running == NULL) return;
  signal(SIGINT, SIG_DFL);
  disarm();
  pending = 0;
  running = NULL;
}
