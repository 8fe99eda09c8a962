/* Waiting for a file descriptor. See waitfd.h.
**
** A thread in here is woken by a signal, SIGURG or SIGINT. Both are blocked
** from before the hook looks for interrupts until the kernel sleeps, so one that
** comes in between ends the sleep instead of being missed.
*/
#include "waitfd.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  SECOND = 1000000000,
  LOOK_AGAIN = SECOND /* should a wake-up be lost after all */
};

bool cr_fd_ready(int fd, short events) {
  struct pollfd p = {.fd = fd, .events = events};
  int n = poll(&p, 1, 0);
  return n > 0 || (n < 0 && errno != EINTR);
}

static void say_polling(uint32_t value) {
  if (cr_self != NULL) atomic_store(&cr_self->polling, value);
}

static void sleep_until(int fd, short events, int64_t until,
                        const sigset_t *mask) {
  struct pollfd p = {.fd = fd, .events = events};
  int64_t ns = until - cr_now();
  if (ns < 0) ns = 0;
  struct timespec t = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
  ppoll(&p, 1, &t, mask);
}

int cr_wait_fd(int fd, short events, int64_t deadline) {
  if (cr_fd_ready(fd, events)) return 0;
  if (cr_now() >= deadline) return ETIMEDOUT;
  const struct cr_sleep_hook *hook = cr_sleep_hook;
  int64_t until = cr_now() + LOOK_AGAIN;
  sigset_t wakers, mask;
  sigemptyset(&wakers);
  sigaddset(&wakers, SIGURG);
  sigaddset(&wakers, SIGINT);
  pthread_sigmask(SIG_BLOCK, &wakers, &mask);
  say_polling(1); /* before the hook looks: cr_poll_wake does it in reverse */
  int err = hook != NULL ? hook->before(deadline) : 0;
  if (err == 0)
    sleep_until(fd, events, until < deadline ? until : deadline, &mask);
  say_polling(0);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  if (err == 0 && hook != NULL) err = hook->after();
  return err;
}

void cr_poll_wake(const struct cr_slot *s) {
  if (!atomic_load(&s->polling)) return;
  pid_t tid = (pid_t)(atomic_load(&s->life.word) & CR_TID);
  syscall(SYS_tgkill, getpid(), tid, SIGURG);
}

int cr_write_unlocked(int fd, const char *bytes, size_t n, size_t *done) {
  const struct cr_sleep_hook *hook = cr_sleep_hook;
  *done = 0;
  int err = hook != NULL ? hook->before(CR_FOREVER - 1) : 0;
  if (err != 0) return err;
  ssize_t written = write(fd, bytes, n);
  if (written >= 0)
    *done = (size_t)written;
  else if (errno != EINTR)
    err = errno;
  int pending = hook != NULL ? hook->after() : 0;
  return pending != 0 ? pending : err;
}
