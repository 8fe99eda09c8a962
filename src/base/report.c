/* The text of a deadlock report. See deadlock.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "deadlock.h"
#include "slot.h"

enum { LINE = 512, TEXT = 8192 };

static const char root[] = "MainProcess";

static int add(char *text, int size, int n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends; what does not fit is cut. Returns the new length. */
static int add(char *text, int size, int n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int more = vsnprintf(text + n, (size_t)(size - n), format, args);
  va_end(args);
  return more < size - n ? n + more : size - 1;
}

/* "MainThread (pid 12)", and " of Process-1" in a process that has a name. */
static int report_name(char *text, int size, const struct cr_slot *s) {
  int n = add(text, size, 0, "%.*s (pid %d)", CR_NAME_MAX, s->thread_name,
              (int)cr_slot_pid(s));
  if (s->process_name[0] == 0 || strcmp(s->process_name, root) == 0) return n;
  return add(text, size, n, " of %.*s", CR_NAME_MAX, s->process_name);
}

int cr_report_line(char *text, int size, struct cr_slot *s, const char *where,
                   const char *what, bool held) {
  int n = report_name(text, size, s);
  if (where[0] != 0) n = add(text, size, n, " at %.*s", CR_SITE_MAX, where);
  if (what == NULL) return n;
  n = add(text, size, n, " waits for %.*s", CR_WHAT_MAX, what);
  struct cr_rlock *l = held ? atomic_load(&s->wants) : NULL;
  struct cr_slot *holder = l != NULL ? cr_rlock_holder(l) : NULL;
  if (holder == NULL) return n;
  n = add(text, size, n, ", held by ");
  if (holder == s) return add(text, size, n, "itself");
  return n + report_name(text + n, size - n, holder);
}

static int add_line(char *text, int n, struct cr_slot *s) {
  struct cr_untimed *u = &s->untimed;
  n = add(text, TEXT, n, "  ");
  n += cr_report_line(text + n, LINE - 4, s, u->where, u->what, u->held);
  return add(text, TEXT, n, "\n");
}

static void write_all(const char *text, int n) {
  while (n > 0) {
    ssize_t k = write(STDERR_FILENO, text, (size_t)n);
    if (k < 0 && errno != EINTR) return;
    if (k < 0) continue;
    text += k;
    n -= (int)k;
  }
}

void cr_report_deadlock(struct cr_slot *const *slots, int n, int more) {
  char text[TEXT];
  int length = add(text, TEXT, 0, "cluarun: deadlock\n");
  for (int i = 0; i < n; i++) {
    if (length > TEXT - LINE) {
      write_all(text, length);
      length = 0;
    }
    length = add_line(text, length, slots[i]);
  }
  if (more > 0) length = add(text, TEXT, length, "  and %d more\n", more);
  write_all(text, length);
}
