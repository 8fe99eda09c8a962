/* Ctrl-\: every thread of the state with what it does, on stderr. See describe.h.
**
** The handler (interrupt.c) only asks. The next thread that has the interpreter
** lock prints, since under it all states can be read: the main thread is made to
** want the lock, so one comes by. Nothing here allocates Lua memory or raises:
** it may be in the middle of a wait.
*/
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "describe.h"
#include "gil.h"
#include "state.h"

enum {
  NEWEST = 10, /* levels of a deep stack that are shown */
  OLDEST = 11,
  LINE = 512
};

struct cr_gil *volatile cr_dump_wanted;

struct text {
  char *bytes;
  size_t n, room;
};

/* Room for one more line; without memory what there is goes out by itself. */
static void make_room(struct text *t) {
  if (t->room - t->n >= LINE) return;
  char *more = realloc(t->bytes, t->room * 2 + LINE);
  if (more != NULL) {
    t->bytes = more;
    t->room = t->room * 2 + LINE;
  } else if (t->n > 0) {
    cr_write_all(STDERR_FILENO, t->bytes, t->n);
    t->n = 0;
  }
}

static void add(struct text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Up to a line of text. */
static void add(struct text *t, const char *format, ...) {
  va_list args;
  make_room(t);
  if (t->room - t->n < LINE) return;
  va_start(args, format);
  int n = vsnprintf(t->bytes + t->n, LINE, format, args);
  va_end(args);
  t->n += n < LINE ? (size_t)n : LINE - 1;
}

/* ---- tracebacks, as luaL_traceback writes them ---- */

static void add_function(struct text *t, const lua_Debug *ar) {
  if (*ar->namewhat != 0)
    add(t, "%s '%.60s'", ar->namewhat, ar->name);
  else if (*ar->what == 'm')
    add(t, "main chunk");
  else if (*ar->what != 'C')
    add(t, "function <%s:%d>", ar->short_src, ar->linedefined);
  else
    add(t, "?");
}

static void add_level(struct text *t, lua_State *L, lua_Debug *ar) {
  lua_getinfo(L, "Slnt", ar);
  if (ar->currentline <= 0)
    add(t, "\n\t%s: in ", ar->short_src);
  else
    add(t, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
  add_function(t, ar);
  if (ar->istailcall) add(t, "\n\t(...tail calls...)");
}

static void add_traceback(struct text *t, lua_State *L) {
  lua_Debug ar;
  size_t begin = t->n;
  int levels = cr_stack_levels(L);
  if (levels > 0) add(t, "\nstack traceback:");
  for (int i = 0; lua_getstack(L, i, &ar); i++) {
    if (i == NEWEST && levels > NEWEST + OLDEST) {
      int skip = levels - NEWEST - OLDEST;
      add(t, "\n\t...\t(skipping %d levels)", skip);
      i += skip - 1;
    } else {
      add_level(t, L, &ar);
    }
  }
  if (begin < t->n) t->n = begin + cr_traceback_tidy(t->bytes + begin);
}

/* ---- threads ---- */

static void add_thread(struct text *t, const struct cr_thread *thread) {
  char line[LINE], where[CR_SITE_MAX], what[CR_WHAT_MAX];
  const struct cr_sleeping *s = thread->sleeping;
  lua_State *L = thread->running;
  bool waits = s->asleep && s->n > 0, held = false;
  cr_where(L, where);
  if (waits) held = cr_what(L, s->waits, s->n, what);
  cr_report_line(line, sizeof line, thread->slot, where, waits ? what : NULL,
                 held);
  add(t, "%s%s", line, s->asleep && !waits ? " sleeps" : "");
  add_traceback(t, L);
  add(t, "\n");
}

/* The list begins with the newest. */
static const struct cr_thread *oldest(const struct cr_gil *g) {
  const struct cr_thread *t = g->threads;
  while (t != NULL && t->next != NULL) t = t->next;
  return t;
}

void cr_dump(struct cr_gil *g) {
  struct text text = {NULL, 0, 0};
  cr_dump_wanted = NULL;
  for (const struct cr_thread *t = oldest(g); t != NULL; t = t->previous)
    if (t->slot != NULL) add_thread(&text, t); /* else it has not begun */
  cr_write_all(STDERR_FILENO, text.bytes, text.n);
  free(text.bytes);
}
