/* queue KIND PRODUCERS CONSUMERS N: N messages through a pipe(2), one write
** and one read each. KIND: int (8 bytes), string (100 bytes), big (1 MB, in as
** many reads as it takes, one producer and consumer; the first few do not
** count). The first consumer is the process that started the others. */
#include "bench.h"
#include <string.h>

static int data[2];
static int gate[2];
static int ready[2];
static size_t size;
static char *buffer;
static long warm; /* messages that do not count */

static void produce(long n) {
  while (n-- > 0)
    for (size_t done = 0; done < size;)
      done += (size_t)bench_must(write(data[1], buffer + done, size - done),
                                 "write");
}

static void consume(long n) {
  while (n-- > 0)
    for (size_t done = 0; done < size;)
      done +=
          (size_t)bench_must(read(data[0], buffer + done, size - done), "read");
}

/* Each process says that it runs, and begins when it is told to. */
static pid_t start(void (*role)(long), long n) {
  char byte = 0;
  pid_t pid = bench_fork();
  if (pid) return pid;
  role(warm);
  bench_must(write(ready[1], &byte, 1), "write");
  bench_must(read(gate[0], &byte, 1), "read");
  role(n);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int producers = atoi(argv[2]), consumers = atoi(argv[3]);
  long wanted = atol(argv[4]), share = producers * consumers;
  long n = (wanted + share - 1) / share * share;
  char byte = 0;
  size = argv[1][0] == 'i' ? 8 : argv[1][0] == 's' ? 100 : 1000000;
  warm = argv[1][0] == 'b' ? 16 : 0;
  buffer = calloc(1, size);
  memset(buffer, 'x', size);
  bench_must(pipe(data) | pipe(gate) | pipe(ready), "pipe");
  for (int i = 0; i < producers; i++) start(produce, n / producers);
  for (int i = 1; i < consumers; i++) start(consume, n / consumers);
  consume(warm);
  for (int i = 0; i < producers + consumers - 1; i++)
    bench_must(read(ready[0], &byte, 1), "read");
  double begin = bench_now();
  for (int i = 0; i < producers + consumers - 1; i++)
    bench_must(write(gate[1], &byte, 1), "write");
  consume(n / consumers);
  for (int i = 0; i < producers + consumers - 1; i++) bench_wait(-1);
  bench_report((bench_now() - begin) * (double)wanted / (double)n);
  return 0;
}
