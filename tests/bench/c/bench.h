/* What the peers in C share: the clock, checked calls, the report. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The seconds that the samples took: the last line a peer prints. */
static inline void bench_report(double seconds) {
  printf("%.9f\n", seconds);
}

/* A system call that must not fail: ends the program if it did. */
static inline long bench_must(long result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

/* Memory that the processes made from now on have in common. */
static inline void *bench_shared(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
  if (p != MAP_FAILED) return p;
  perror("mmap");
  exit(1);
}

static inline pid_t bench_fork(void) {
  fflush(NULL);
  return (pid_t)bench_must(fork(), "fork");
}

static inline void bench_wait(pid_t pid) {
  bench_must(waitpid(pid, NULL, 0), "waitpid");
}

#endif
