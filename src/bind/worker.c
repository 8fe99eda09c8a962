/* The OS threads in which Threads run. One whose Thread has ended waits a moment
** for the next: taking it up again costs a fraction of a new one.
*/
#include <pthread.h>

#include "thread.h"

enum {
  STACK =
      1 << 20, /* deep C calls of Lua need 416 KiB; the rest costs nothing */
  SPARE = 8,   /* how many wait at most */
  PATIENCE = 1 /* seconds that one waits */
};

/* On the stack of one that waits. */
struct spare {
  struct spare *next;
  struct cr_thread *thread; /* what it is to run */
  cr_word called;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct spare *spares; /* the one that waits last is called first */
static int count;
static pthread_attr_t attributes;

static bool offer(struct spare *s) {
  pthread_mutex_lock(&mutex);
  bool wanted = count < SPARE;
  if (wanted) {
    s->next = spares;
    spares = s;
    count++;
  }
  pthread_mutex_unlock(&mutex);
  return wanted;
}

/* Is it still there, to be taken off the list? */
static bool withdraw(struct spare *s) {
  pthread_mutex_lock(&mutex);
  struct spare **p = &spares;
  while (*p != NULL && *p != s) p = &(*p)->next;
  bool found = *p != NULL;
  if (found) {
    *p = s->next;
    count--;
  }
  pthread_mutex_unlock(&mutex);
  return found;
}

/* Waits until it is its thread's turn; NULL: it is not wanted any more. */
static struct cr_thread *next_thread(struct spare *s) {
  int64_t deadline = cr_deadline(PATIENCE);
  while (!atomic_load(&s->called)) {
    cr_park(&s->called, 0, deadline);
    if (atomic_load(&s->called) || cr_now() < deadline) continue;
    if (withdraw(s)) return NULL;
    deadline = CR_FOREVER; /* somebody has taken it */
  }
  return s->thread;
}

/* Runs Threads one after the other. The end of its slot is what others wait for:
** before, it must be ready for more. */
static void run_all(struct cr_thread *t, jmp_buf *home) {
  while (t != NULL) {
    t->home = home;
    cr_thread_run(t);
    struct spare me = {NULL, NULL, 0};
    bool offered = offer(&me);
    cr_slot_leave();
    t = offered ? next_thread(&me) : NULL;
  }
}

static void *work(void *thread) {
  jmp_buf home;
  if (setjmp(home) == 0) run_all(thread, &home);
  if (cr_self != NULL) cr_slot_leave();
  return NULL;
}

static struct spare *take_spare(struct cr_thread *t) {
  pthread_mutex_lock(&mutex);
  struct spare *s = spares;
  if (s != NULL) {
    spares = s->next;
    count--;
    s->thread = t;
  }
  pthread_mutex_unlock(&mutex);
  return s;
}

static void in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  spares = NULL;
  count = 0;
}

static void prepare(void) {
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_atfork(NULL, NULL, in_child);
}

int cr_worker_start(struct cr_thread *t) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  struct spare *s = take_spare(t);
  cr_thread_announce(t, s != NULL ? &s->called : NULL);
  if (s != NULL) return 0;
  pthread_t unused;
  int err = pthread_create(&unused, &attributes, work, t);
  if (err != 0) cr_thread_renounce(t);
  return err;
}
