/* TAP from C: a line a check, the plan at the end. One test program includes
** it once; nothing here allocates or forks. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5))) static inline bool
tap_report(bool good, const char *file, int line, const char *name, ...) {
  va_list ap;
  tap_count++;
  printf("%sok %d - ", good ? "" : "not ", tap_count);
  va_start(ap, name);
  vprintf(name, ap);
  va_end(ap);
  putchar('\n');
  if (!good) {
    tap_failed++;
    printf("# failed at %s:%d\n", file, line);
  }
  fflush(stdout);
  return good;
}

/* ok(condition, "name", ...): the name is a printf format. */
#define ok(good, ...) tap_report(good, __FILE__, __LINE__, __VA_ARGS__)
#define is(got, want, name) \
  tap_is((long long)(got), (long long)(want), __FILE__, __LINE__, name)

static inline bool tap_is(long long got, long long want, const char *file,
                          int line, const char *name) {
  bool good = tap_report(got == want, file, line, "%s", name);
  if (!good) printf("# got %lld, expected %lld\n", got, want);
  return good;
}

/* The exit status of main. */
static inline int tap_end(void) {
  printf("1..%d\n", tap_count);
  return tap_failed != 0;
}

#endif
