/* process KIND N PRIVATE SHARED: fork, _exit and waitpid of N processes from
** one as big as the program compared with: KiB of private and of shared
** memory. KIND is "one" after the other, or "many" at once. */
#include "bench.h"
#include <string.h>

/* The KiB of this process that /proc/self/status gives under a name. */
static long resident(const char *field) {
  char line[128];
  long kib = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, field, strlen(field)) == 0)
      kib = strtol(line + strlen(field), NULL, 10);
  if (f) fclose(f);
  return kib;
}

/* Grows this process to so many KiB of one kind of memory. */
static void grow(const char *field, long kib, int kind) {
  long missing = (kib - resident(field)) * 1024;
  if (missing <= 0) return;
  char *p = mmap(NULL, (size_t)missing, PROT_READ | PROT_WRITE,
                 kind | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) bench_must(-1, "mmap");
  memset(p, 1, (size_t)missing);
}

static pid_t start(void) {
  pid_t pid = (pid_t)bench_must(fork(), "fork");
  if (pid == 0) _exit(0);
  return pid;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  long n = atol(argv[2]);
  grow("RssAnon:", atol(argv[3]), MAP_PRIVATE);
  grow("RssShmem:", atol(argv[4]), MAP_SHARED);
  pid_t *pids = calloc((size_t)n, sizeof *pids);
  double begin = bench_now();
  if (strcmp(argv[1], "one") == 0)
    for (long i = 0; i < n; i++) bench_wait(start());
  else {
    for (long i = 0; i < n; i++) pids[i] = start();
    for (long i = 0; i < n; i++) bench_wait(pids[i]);
  }
  bench_report(bench_now() - begin);
  free(pids);
  return 0;
}
