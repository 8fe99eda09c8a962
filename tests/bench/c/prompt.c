/* prompt N COMMAND [ARGUMENT...]: starts a command at a terminal of its own N
** times and takes the time until it prompts ("> "); then it gets Ctrl-D. */
#include "bench.h"
#include <pty.h>
#include <string.h>

static void read_prompt(int terminal) {
  char text[4096];
  size_t length = 0;
  do {
    ssize_t got = read(terminal, text + length, sizeof text - 1 - length);
    if (got <= 0 || (length += (size_t)got) >= sizeof text - 1) {
      fputs("no prompt came\n", stderr);
      exit(1);
    }
    text[length] = '\0';
  } while (!strstr(text, "> "));
}

/* Until the terminal is closed: a program may say something at its end. */
static void leave(int terminal, pid_t pid) {
  char text[256];
  bench_must(write(terminal, "\004", 1), "write");
  while (read(terminal, text, sizeof text) > 0) continue;
  close(terminal);
  bench_wait(pid);
}

static double start(char **command) {
  int terminal;
  double begin = bench_now();
  pid_t pid =
      (pid_t)bench_must(forkpty(&terminal, NULL, NULL, NULL), "forkpty");
  if (pid == 0) {
    execv(command[0], command);
    _exit(127);
  }
  read_prompt(terminal);
  double seconds = bench_now() - begin;
  leave(terminal, pid);
  return seconds;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  double seconds = 0;
  for (long n = atol(argv[1]); n > 0; n--) seconds += start(argv + 2);
  bench_report(seconds);
  return 0;
}
