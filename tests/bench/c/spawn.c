/* spawn N COMMAND [ARGUMENT...]: starts a command N times, one after the
** other, and takes the time until each has ended. */
#include "bench.h"
#include <errno.h>
#include <spawn.h>

extern char **environ;

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  double begin = bench_now();
  for (long n = atol(argv[1]); n > 0; n--) {
    pid_t pid;
    int status;
    errno = posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ);
    bench_must(-errno, argv[2]);
    bench_must(waitpid(pid, &status, 0), "waitpid");
    if (status != 0) return 1;
  }
  bench_report(bench_now() - begin);
  return 0;
}
