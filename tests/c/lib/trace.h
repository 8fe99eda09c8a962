/* Single-stepping a victim with ptrace, and getting to its k-th instruction
** again without stepping through all that come before.
**
** A first run is stepped and recorded. To reach instruction k later, a
** breakpoint lets the victim run freely to a recorded place at or before k that
** is cheap to recognise (one that few earlier instructions share), and only
** the rest is stepped. Where breakpoints are not known it is all stepped.
*/
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "child.h"

/* What has been recorded: before step k the victim stood at at[k], for the
** times[k]-th time. */
struct trace {
  uintptr_t *at;
  uint32_t *times;
  int n, room;
};

enum trace_stop { TRACE_STEP, TRACE_ASLEEP, TRACE_ENDED };

/* A victim under ptrace. */
struct trace_run {
  struct child child;
  cr_word *done; /* the victim sets it at its end */
  bool may_sleep;
  int faults; /* signals that nobody expected */
};

static inline uintptr_t trace_pc(pid_t pid) {
#ifdef __x86_64__
  return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid,
                           offsetof(struct user_regs_struct, rip), NULL);
#else
  (void)pid;
  return 0;
#endif
}

/* Waits until the victim stops; one that sleeps in the kernel counts. */
static inline enum trace_stop trace_wait(struct trace_run *r) {
  int status, flags = r->may_sleep ? WNOHANG : 0;
  for (int i = 0;; i++) {
    if (waitpid(r->child.pid, &status, flags) == r->child.pid) break;
    if (i > 50 && child_state(r->child.pid) == 'S') return TRACE_ASLEEP;
    sched_yield();
  }
  if (!WIFSTOPPED(status)) {
    r->child.pid = 0;
    r->faults++;
    return TRACE_ENDED;
  }
  int signal = WSTOPSIG(status);
  if (signal != SIGTRAP && signal != SIGSTOP && signal != SIGCHLD) r->faults++;
  return atomic_load(r->done) != 0 ? TRACE_ENDED : TRACE_STEP;
}

static inline enum trace_stop trace_step(struct trace_run *r) {
  ptrace(PTRACE_SINGLESTEP, r->child.pid, NULL, NULL);
  return trace_wait(r);
}

static inline void trace_note(struct trace *t, uintptr_t pc) {
  if (t->n == t->room) {
    t->room = t->room ? t->room * 2 : 4096;
    t->at = realloc(t->at, (size_t)t->room * sizeof *t->at);
    if (t->at == NULL) abort();
  }
  t->at[t->n++] = pc;
}

static inline int trace_order(const void *a, const void *b, void *at) {
  const int *i = a, *j = b;
  uintptr_t p = ((uintptr_t *)at)[*i], q = ((uintptr_t *)at)[*j];
  return p != q ? (p > q) - (p < q) : *i - *j;
}

/* After recording: numbers the visits to each place. */
static inline void trace_count(struct trace *t) {
  int *order = malloc(((size_t)t->n + 1) * sizeof *order);
  t->times = realloc(t->times, ((size_t)t->n + 1) * sizeof *t->times);
  if (order == NULL || t->times == NULL) abort();
  for (int i = 0; i < t->n; i++) order[i] = i;
  qsort_r(order, (size_t)t->n, sizeof *order, trace_order, t->at);
  for (int i = 0; i < t->n; i++) {
    bool again = i > 0 && t->at[order[i]] == t->at[order[i - 1]];
    t->times[order[i]] = again ? t->times[order[i - 1]] + 1 : 1;
  }
  free(order);
}

/* The recorded instruction from which to step to instruction k; 0: from the
** start. A visit of a breakpoint costs about three steps. */
static inline int trace_near(const struct trace *t, int k) {
  int best = 0, cost = k;
  if (t->n == 0 || t->at[0] == 0) return 0;
  for (int j = k < t->n ? k : t->n - 1; j > 0 && k - j < cost; j--) {
    int c = k - j + 3 * (int)t->times[j];
    if (c >= cost || t->at[j] == t->at[0]) continue;
    best = j;
    cost = c;
  }
  return best;
}

#ifdef __x86_64__
/* Lets the victim run until it stands at `pc` for the n-th time. */
static inline enum trace_stop trace_run_to(struct trace_run *r, uintptr_t pc,
                                           uint32_t n,
                                           void (*asleep)(struct trace_run *)) {
  pid_t p = r->child.pid;
  void *place = (void *)pc;
  long word = ptrace(PTRACE_PEEKTEXT, p, place, NULL);
  long trap = (word & ~0xffL) | 0xcc;
  enum trace_stop stop = TRACE_STEP;
  while (n > 0 && stop == TRACE_STEP) {
    ptrace(PTRACE_POKETEXT, p, place, (void *)trap);
    ptrace(PTRACE_CONT, p, NULL, NULL);
    while ((stop = trace_wait(r)) == TRACE_ASLEEP) asleep(r);
    if (stop == TRACE_ENDED) break;
    ptrace(PTRACE_POKETEXT, p, place, (void *)word);
    if (trace_pc(p) != pc + 1) continue; /* another signal */
    ptrace(PTRACE_POKEUSER, p, offsetof(struct user_regs_struct, rip), place);
    if (--n > 0) stop = trace_step(r);
  }
  return stop;
}
#endif

#endif
