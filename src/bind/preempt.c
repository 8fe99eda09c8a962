/* Stopping a thread that has run long enough. See preempt.h.
**
** Each thread has a kernel timer, made at first need, that sends the signal to
** just this thread: who waits sleeps, and need not be awake to ask. Should a
** request get lost (Lua sets its hooks without locks) it comes again, ever more
** rarely.
*/
#include "preempt.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum {
  SIGNAL = SIGURG, /* ignored by default, used by next to nobody */
  TIMERS = 256,    /* kept; the system counts them as pending signals */
  SECOND = 1000000000,
  RARELY = 10000000, /* ns: the longest time until a request comes again */
  DOUBLINGS = 12
};

static void set_timer(struct cr_thread *t, int64_t ns) {
  struct itimerspec when = {
      .it_value = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND}};
  timer_settime(t->timer, 0, &when, NULL);
}

static bool make_timer(struct cr_thread *t) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGNAL;
  event.sigev_notify_thread_id = t->tid;
  if (timer_create(CLOCK_MONOTONIC, &event, &t->timer) != 0) return false;
  t->has_timer = true;
  t->gil->timers++;
  return true;
}

void cr_preempt_arm(struct cr_thread *t, int64_t ns) {
  if (cr_forced_switch > 0) return;
  t->armed = 1;
  if (t->has_timer || make_timer(t)) set_timer(t, ns > 0 ? ns : 1);
}

static void delete_timer(struct cr_thread *t) {
  timer_delete(t->timer);
  t->has_timer = false;
  t->gil->timers--;
}

void cr_preempt_disarm(struct cr_thread *t) {
  t->armed = 0;
  if (!t->has_timer) return;
  if (t->gil->timers > TIMERS)
    delete_timer(t);
  else
    set_timer(t, 0);
}

void cr_preempt_forget(struct cr_thread *t) {
  if (!t->has_timer) return;
  pthread_mutex_lock(&t->gil->mutex);
  delete_timer(t);
  pthread_mutex_unlock(&t->gil->mutex);
}

void cr_preempt_poke(struct cr_thread *t) {
  syscall(SYS_tgkill, getpid(), t->tid, SIGNAL);
}

static int64_t cpu_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* When should a request that may have been lost come again? */
static int64_t again(struct cr_thread *t, int64_t cost) {
  int64_t interval = atomic_load(&t->gil->interval);
  int64_t ns = interval << t->backoff;
  int64_t most = interval > RARELY ? interval : RARELY;
  if (t->backoff < DOUBLINGS) t->backoff++;
  if (ns > most) ns = most;
  return ns > 10 * cost ? ns : 10 * cost;
}

static void stop(struct cr_thread *t) {
  if (!t->holding || atomic_load(&t->gil->waiting) == 0) {
    t->armed = 0; /* it comes late */
    return;
  }
  int64_t before = cpu_time();
  t->drop = 1;
  cr_trap(t);
  int64_t cost = cpu_time() - before;
  atomic_store(&t->cost, cost);
  if (t->has_timer) set_timer(t, again(t, cost));
}

static void on_signal(int signal) {
  int saved = errno;
  (void)signal;
  for (struct cr_thread *t = cr_thread_self; t != NULL; t = t->outer) stop(t);
  errno = saved;
}

void cr_preempt_open(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGNAL, &action, NULL);
}

void cr_preempt_admit(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGNAL);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
