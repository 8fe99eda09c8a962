/* A host program that has its own ways with SIGCHLD and with descriptors. Uses
** the public header only. */
#include <cluarun.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/tap.h"

enum { PATIENCE = 120, DESCRIPTORS = 64, FILES = 6 };

static const char one_child[] =
    "Process { target = function() end }:start():join()";

/* A worker that ends has to be noticed. */
static const char loses_a_worker[] =
    "local pool <close> = Pool(2)\n"
    "local ok, err = pcall(pool.map, pool, function(i)\n"
    "  if i == 2 then os.exit(1) end\n"
    "end, {1, 2, 3}, 1)\n"
    "assert(not ok and err == WorkerLost, tostring(err))";

static const char has_daemons[] =
    "local p = Process { target = sleep, args = {0.01}, daemon = true }\n"
    "p:start():join()\n"
    "assert(p.exitcode == 0, 'exit code ' .. p.exitcode)\n"
    "local pool <close> = Pool(2)\n"
    "assert(#pool:map(math.abs, {-1, -2, -3}) == 3)";

static bool runs(const char *script) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  bool good = luaL_dostring(L, script) == LUA_OK;
  if (!good) printf("# %s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
  return good;
}

static atomic_int called;

static void on_child(int sig) {
  (void)sig;
  atomic_fetch_add(&called, 1);
}

static struct sigaction before;

static void on_child_and_before(int sig, siginfo_t *info, void *context) {
  on_child(sig);
  if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(sig, info, context);
}

static void test_handlers(void) {
  ok(runs(one_child), "a first child");
  struct sigaction own = {.sa_handler = on_child};
  sigaction(SIGCHLD, &own, NULL);
  ok(runs(loses_a_worker), "a handler that was installed later");
  ok(atomic_load(&called) > 0, "it is called");
  struct sigaction chain = {.sa_sigaction = on_child_and_before,
                            .sa_flags = SA_SIGINFO};
  sigaction(SIGCHLD, &chain, &before);
  atomic_store(&called, 0);
  ok(runs(loses_a_worker), "one that calls what was there before");
  ok(atomic_load(&called) > 0, "it is called, too");
}

static void take_all(int sig) {
  (void)sig;
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

/* Nothing waits for ever, and nothing wrong is said about the end. */
static void test_stolen(void) {
  signal(SIGCHLD, take_all);
  ok(runs("local p = Process { target = os.exit, args = {5} }:start()\n"
          "local ok, err = pcall(p.result, p)\n"
          "assert(tostring(err):find 'another wait', tostring(err))"),
     "a program that waits for every child");
  ok(runs(loses_a_worker), "and one with a Pool");
  signal(SIGCHLD, SIG_DFL);
}

static void *run_blocked(void *good) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &child, NULL);
  *(bool *)good = runs(loses_a_worker);
  return NULL;
}

/* No other thread takes the signal either. */
static void test_blocked(void) {
  sigset_t child;
  pthread_t thread;
  bool good = false;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &child, NULL);
  pthread_create(&thread, NULL, run_blocked, &good);
  pthread_join(thread, NULL);
  ok(good, "a thread that has blocked SIGCHLD");
  pthread_sigmask(SIG_UNBLOCK, &child, NULL);
}

static void test_descriptors(void) {
  int file[FILES];
  ok(runs(has_daemons), "daemons");
  for (int fd = 3; fd < DESCRIPTORS; fd++) close(fd);
  for (int i = 0; i < FILES; i++) file[i] = open("/dev/null", O_RDONLY);
  ok(runs(has_daemons), "after all descriptors were closed and used anew");
  bool good = true;
  for (int i = 0; i < FILES; i++) good &= fcntl(file[i], F_GETFD) >= 0;
  ok(good, "the program's stay open");
}

int main(void) {
  alarm(PATIENCE);
  test_handlers();
  test_stolen();
  test_blocked();
  test_descriptors();
  return tap_end();
}
