/* Interrupts: an error raised in a thread from outside, wherever it is.
**
** Ctrl-C raises "interrupted!" in the main thread: the handler only sets a flag
** and a trap (gil.h), and rings the thread's alarm. A loop ends by the trap, a
** sleep by the flag. A second Ctrl-C while the first is pending ends the process.
** A thread interrupts another one in the same way, with any error.
*/
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#include "gil.h"
#include "object.h"
#include "state.h"
#include "thread.h"

static const char message[] = "interrupted!";

/* Of the process: Ctrl-C is for this one. */
static struct cr_thread *volatile main_thread;
static pthread_t main_os_thread;
static bool installed;
static volatile sig_atomic_t delivered;
static struct sigaction int_before, quit_before; /* the program's own */

/* Where the registry keeps the error that a thread is to raise. */
static const void *error_key(const struct cr_thread *t) {
  return &t->asked;
}

void cr_thread_interrupt(lua_State *L, struct cr_thread *t, int error) {
  lua_pushvalue(L, error);
  lua_rawsetp(L, LUA_REGISTRYINDEX, error_key(t));
  t->asked = true;
  if (t->holding)
    cr_trap(t);
  else
    cr_thread_wake(t);
}

/* Pushes what the thread is to raise, if it is anything else than the usual. */
static bool push_error(lua_State *L, struct cr_thread *t) {
  luaL_checkstack(L, 2, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, error_key(t));
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, error_key(t));
  return !lua_isnil(L, -1);
}

static int raise_text(lua_State *L, int level, const char *text) {
  luaL_checkstack(L, 3, NULL);
  while (cr_is_inner(L, level)) level++;
  luaL_where(L, level);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  return lua_error(L);
}

/* Level 0: from a hook; 1: from a C function. */
static int raise_it(lua_State *L, int level) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL) return raise_text(L, level, message);
  if (t->refused) {
    t->refused = false;
    return raise_text(L, level,
                      "cannot wait inside a finalizer while other threads run");
  }
  t->raised++;
  if (t->signalled) {
    t->signalled = 0;
    delivered = 1;
    if (t->asked) cr_trap(t);
  } else if (t->asked) {
    t->asked = false;
    if (push_error(L, t)) return lua_error(L);
  }
  return raise_text(L, level, message);
}

int cr_raise_interrupt(lua_State *L) {
  return raise_it(L, 1);
}

void cr_interrupt_here(lua_State *L) {
  raise_it(L, 0);
}

static void on_interrupt(int sig) {
  int saved = errno;
  struct cr_thread *t = main_thread;
  if (!pthread_equal(pthread_self(), main_os_thread)) {
    pthread_kill(main_os_thread, sig);
  } else if (t == NULL || t->signalled) {
    signal(sig, SIG_DFL);
    raise(sig);
  } else {
    t->signalled = 1;
    if (t->holding) cr_trap(t);
    if (cr_self != NULL) cr_ring(&cr_self->alarm);
  }
  errno = saved;
}

/* Ctrl-\: the main thread is to come by where what all do is written, if no
** other one does before. One that has been asked in vain for long, since the
** holder is in C code that does not end, ends the process when asked again. */
static void on_quit(int sig) {
  enum { LONG = 1000000000 };
  static int64_t asked;
  int saved = errno;
  struct cr_thread *t = main_thread;
  if (!pthread_equal(pthread_self(), main_os_thread)) {
    pthread_kill(main_os_thread, sig);
  } else if (t == NULL || (cr_dump_wanted != NULL && cr_now() - asked > LONG)) {
    signal(sig, SIG_DFL);
    raise(sig);
  } else {
    if (cr_dump_wanted == NULL) asked = cr_now();
    cr_dump_wanted = t->gil;
    if (t->holding) cr_trap(t);
    if (cr_self != NULL) cr_ring(&cr_self->alarm);
  }
  errno = saved;
}

bool cr_interrupt_pending(void) {
  const struct cr_thread *t = cr_thread_self;
  while (t != NULL && !cr_interrupted(t)) t = t->outer;
  return t != NULL;
}

uint32_t cr_interrupts(lua_State *L) {
  const struct cr_thread *t = cr_thread_of(L);
  return t != NULL ? t->raised : 0;
}

bool cr_is_interrupt(lua_State *L, int index) {
  if (!delivered || lua_type(L, index) != LUA_TSTRING) return false;
  const char *text = lua_tostring(L, index);
  size_t line = strcspn(text, "\n");
  size_t n = sizeof message - 1;
  return line >= n && memcmp(text + line - n, message, n) == 0;
}

/* The thread that forks is the child's main thread. What another thread asked of
** it was meant for the parent's. */
static void in_child(void) {
  for (struct cr_thread *t = cr_thread_self; t != NULL; t = t->outer)
    t->asked = false;
  main_os_thread = pthread_self();
  if (main_thread != NULL) main_thread = cr_thread_self;
  cr_dump_wanted = NULL;
}

static void catch_interrupts(lua_State *L) {
  main_os_thread = pthread_self();
  main_thread = cr_thread_of(L);
  if (!installed) pthread_atfork(NULL, NULL, in_child);
  installed = true;
  /* Without SA_RESTART, so that reads and waits return. */
  struct sigaction action = {.sa_handler = on_interrupt};
  sigaction(SIGINT, &action, &int_before);
}

void cr_interrupt_install(lua_State *L) {
  catch_interrupts(L);
  struct sigaction quit = {.sa_handler = on_quit, .sa_flags = SA_RESTART};
  sigaction(SIGQUIT, &quit, &quit_before);
}

void cr_interrupt_in_process(lua_State *L) {
  struct sigaction now;
  sigaction(SIGINT, NULL, &now);
  if (now.sa_handler != on_interrupt) catch_interrupts(L);
}

void cr_interrupt_remove(void) {
  if (main_thread == NULL) return;
  sigaction(SIGINT, &int_before, NULL);
  sigaction(SIGQUIT, &quit_before, NULL);
  main_thread = NULL;
}
