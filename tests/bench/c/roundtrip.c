/* roundtrip KIND N: two processes hand a turn to and fro N times. KIND:
** futex (two shared words), semaphore (two sem_t), condition (a pthread mutex
** and condition). All of them shared between processes. */
#include "bench.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

static struct {
  _Alignas(64) _Atomic unsigned word[2][16];
  _Alignas(64) sem_t semaphore[2];
  _Alignas(64) pthread_mutex_t mutex;
  pthread_cond_t condition;
  int turn;
} * shared;

static void futex_give(int side) {
  atomic_store(&shared->word[side][0], 1);
  syscall(SYS_futex, &shared->word[side][0], FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_take(int side) {
  while (atomic_exchange(&shared->word[side][0], 0) == 0)
    syscall(SYS_futex, &shared->word[side][0], FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void semaphore_give(int side) {
  sem_post(&shared->semaphore[side]);
}

static void semaphore_take(int side) {
  while (sem_wait(&shared->semaphore[side]) != 0 && errno == EINTR) continue;
}

static void condition_give(int side) {
  pthread_mutex_lock(&shared->mutex);
  shared->turn = side;
  pthread_cond_signal(&shared->condition);
  pthread_mutex_unlock(&shared->mutex);
}

static void condition_take(int side) {
  pthread_mutex_lock(&shared->mutex);
  while (shared->turn != side)
    pthread_cond_wait(&shared->condition, &shared->mutex);
  shared->turn = -1;
  pthread_mutex_unlock(&shared->mutex);
}

static const struct kind {
  const char *name;
  void (*give)(int side);
  void (*take)(int side);
} kinds[] = {
    {"futex", futex_give, futex_take},
    {"semaphore", semaphore_give, semaphore_take},
    {"condition", condition_give, condition_take},
};

static void prepare(void) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t condition;
  shared = bench_shared(sizeof *shared);
  sem_init(&shared->semaphore[0], 1, 0);
  sem_init(&shared->semaphore[1], 1, 0);
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &mutex);
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->condition, &condition);
  shared->turn = -1;
}

static void answer(const struct kind *kind, long n) {
  while (n-- > 0) {
    kind->take(0);
    kind->give(1);
  }
}

static void ask(const struct kind *kind, long n) {
  while (n-- > 0) {
    kind->give(0);
    kind->take(1);
  }
}

int main(int argc, char **argv) {
  const struct kind *kind = kinds;
  if (argc != 3) return 2;
  while (strcmp(kind->name, argv[1]) != 0)
    if (++kind == kinds + sizeof kinds / sizeof *kinds) return 2;
  long n = atol(argv[2]);
  prepare();
  pid_t pid = bench_fork();
  if (pid == 0) {
    answer(kind, n + 1);
    _exit(0);
  }
  ask(kind, 1);
  double begin = bench_now();
  ask(kind, n);
  bench_report(bench_now() - begin);
  bench_wait(pid);
  return 0;
}
