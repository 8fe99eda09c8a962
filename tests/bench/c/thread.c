/* thread N: starts a thread that does nothing and joins it, N times. */
#include "bench.h"
#include <pthread.h>

static void *target(void *unused) {
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  double begin = bench_now();
  for (long n = atol(argv[1]); n > 0; n--) {
    pthread_t thread;
    bench_must(-pthread_create(&thread, NULL, target, NULL), "pthread_create");
    bench_must(-pthread_join(thread, NULL), "pthread_join");
  }
  bench_report(bench_now() - begin);
  return 0;
}
