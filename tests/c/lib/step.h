/* SIGKILL after every single instruction of an operation.
**
** For k = 0, 1, 2 ... a fresh victim is forked, led to its k-th instruction,
** and killed there; then the survivors must find everything whole: sleepers
** that must be awake are awake without help, after reaping the state is
** consistent, nothing has leaked. (Of a loop with more than some rounds only
** every 37th instruction is tested.) Each operation runs in a process and an arena
** of its own, so that one fault does not hide the next.
*/
#ifndef STEP_H
#define STEP_H

#include <sys/resource.h>

#include "arena.h"
#include "rlock.h"
#include "tap.h"
#include "trace.h"

/* One operation. All but `op` may be left out. */
struct step {
  const char *name;
  void (*setup)(void);      /* makes the objects */
  void (*enter)(void);      /* the victim, before it is watched */
  void (*attend)(void);     /* the victim stands ready: sleepers ... */
  void (*op)(void);         /* the victim is killed in here */
  void (*wake)(void);       /* the victim sleeps: somebody wakes it */
  int again;                /* how often it must be woken besides */
  void (*early)(bool done); /* it is dead, nobody has reaped it */
  void (*check)(bool done); /* it is reaped: look, then clean up */
  void (*first)(void);      /* double fault: killed before, unreaped */
  bool cold;                /* the arena is empty at the start */
  bool alone;               /* no breakpoints: another thread hits them, too */
};

/* Seen by all processes of a test. */
struct step_shared {
  cr_word done;     /* the victim's operation has ended */
  cr_word awake;    /* sleepers that have what they wanted */
  cr_word late;     /* ... but only by looking again */
  cr_word value[4]; /* what they got */
  cr_word at;       /* instruction under test */
  cr_word first_at; /* double faults: of the first victim */
  cr_word kills, drifted, length, failed;
};

static struct step_shared *shared;
static const struct step *step_now;
static struct child step_victim; /* the last one; dead at the checks */
static struct child step_dead;   /* double fault: the first one */
enum { STEP_SLEEPERS = 4 };
static struct child sleeper[STEP_SLEEPERS];
static int sleepers;
static struct trace step_trace;
static uintptr_t step_pc; /* where it died */

#define STEP_WHOLE UINT32_MAX /* `at` of the complete run */
enum {
  STEP_FAULTS = 5,   /* of one operation, then the next one */
  STEP_ROUNDS = 24,  /* of a loop, then only some */
  STEP_PATIENCE = 30 /* seconds for one kill */
};

/* ---- reporting ---- */

/* Prints where the victim stood: function and line, if addr2line is there. */
static inline void step_where(uintptr_t pc) {
  extern const char __executable_start;
  char command[200], line[400];
  uintptr_t offset = pc - (uintptr_t)&__executable_start;
  snprintf(command, sizeof command,
           "addr2line -pfie /proc/%d/exe 0x%lx 2>/dev/null", (int)getpid(),
           (unsigned long)offset);
  FILE *f = popen(command, "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    printf("#   %s", line);
  if (f != NULL) pclose(f);
}

/* The test of this instruction has failed: says why and ends the process. */
__attribute__((format(printf, 1, 2), noreturn)) static inline void
step_fail(const char *what, ...) {
  va_list ap;
  printf("# %s: killed after instruction %d", step_now->name,
         (int)atomic_load(&shared->at));
  if (step_now->first != NULL)
    printf(" (the first after %u)", atomic_load(&shared->first_at));
  printf(": ");
  va_start(ap, what);
  vprintf(what, ap);
  va_end(ap);
  putchar('\n');
  step_where(step_pc);
  fflush(stdout);
  _exit(1);
}

#define must(condition, ...)                  \
  do {                                        \
    if (!(condition)) step_fail(__VA_ARGS__); \
  } while (0)

/* ---- sleepers ---- */

/* A sleep that only its own time-out ended is a lost wake-up. */
static int64_t nap_start;
static inline int nap_before(int64_t deadline) {
  (void)deadline;
  nap_start = cr_now();
  return 0;
}
static inline int nap_after(void) {
  if (cr_now() - nap_start > 950000000) atomic_fetch_add(&shared->late, 1);
  return 0;
}
static inline bool nap_crowded(void) {
  return false;
}
static const struct cr_sleep_hook nap_hook = {nap_before, nap_after,
                                              nap_crowded};

/* A sleeper says that it got what it waited for. */
static inline void step_awake(void) {
  atomic_fetch_add(&shared->awake, 1);
}

/* Starts one and waits until it sleeps. */
static inline void step_sleeper(void (*body)(int)) {
  struct child *c = &sleeper[sleepers];
  child_start(c, body, sleepers++);
  must(child_sleeps(c, 5), "sleeper %d did not fall asleep", sleepers);
}

/* All sleepers must end now, none by luck. */
static inline void step_all_awake(const char *when) {
  for (int i = 0; i < sleepers; i++) {
    must(child_ends(&sleeper[i], 10), "sleeper %d sleeps on %s", i + 1, when);
    must(sleeper[i].status == 0, "sleeper %d ended with status %x", i + 1,
         sleeper[i].status);
  }
  must(atomic_load(&shared->late) == 0, "wake-up lost %s", when);
}

/* Gives those that may wake a moment; returns how many have. */
static inline uint32_t step_some_awake(void) {
  for (int i = 0; i < 100 && atomic_load(&shared->awake) == 0; i++)
    sched_yield();
  return atomic_load(&shared->awake);
}

/* ---- victims ---- */

static inline void step_victim_body(int unused) {
  (void)unused;
  if (step_now->enter != NULL) step_now->enter();
  ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  kill(getpid(), SIGSTOP);
  step_now->op();
  atomic_store(&shared->done, 1);
  kill(getpid(), SIGSTOP);
  _exit(0);
}

static inline void step_start(struct trace_run *r) {
  int status;
  atomic_store(&shared->done, 0);
  *r = (struct trace_run){.done = &shared->done,
                          .may_sleep = step_now->wake != NULL};
  child_start(&r->child, step_victim_body, 0);
  must(waitpid(r->child.pid, &status, __WALL) == r->child.pid &&
           WIFSTOPPED(status),
       "the victim did not start (status %x)", status);
}

static int step_wakes_due; /* of a victim that sleeps */

static inline void step_woken(struct trace_run *r) {
  (void)r;
  if (step_wakes_due > 0) step_now->wake();
  step_wakes_due--;
}

/* Leads a victim to its k-th instruction. */
static inline enum trace_stop step_lead(struct trace_run *r, int k) {
  enum trace_stop stop = TRACE_STEP;
  int i = 0;
#ifdef __x86_64__
  int near = step_now->alone ? 0 : trace_near(&step_trace, k);
  if (near > 0) {
    stop = trace_run_to(r, step_trace.at[near], step_trace.times[near],
                        step_woken);
    i = near;
  }
#endif
  for (; i < k && stop == TRACE_STEP; i++) {
    stop = trace_step(r);
    if (stop == TRACE_ASLEEP && i == k - 1) break; /* killed in its sleep */
    while (stop == TRACE_ASLEEP) {
      step_woken(r);
      stop = trace_wait(r);
    }
  }
  return stop;
}

/* Steps a whole operation and records it. */
static inline void step_record(void) {
  struct trace_run r;
  enum trace_stop stop = TRACE_STEP;
  step_trace.n = 0;
  step_start(&r);
  if (step_now->attend != NULL) step_now->attend();
  step_wakes_due = 1 + step_now->again;
  while (stop != TRACE_ENDED) {
    if (stop == TRACE_STEP)
      trace_note(&step_trace, trace_pc(r.child.pid));
    else
      step_woken(&r);
    stop = stop == TRACE_STEP ? trace_step(&r) : trace_wait(&r);
  }
  step_victim = r.child;
  must(r.faults == 0, "the operation failed (status %x)", r.child.status);
  trace_count(&step_trace);
}

static inline void step_bury(void) {
  child_kill(&step_victim);
  atomic_fetch_add(&shared->kills, 1);
}

/* ---- one kill ---- */

struct step_size {
  size_t used, blocks;
};

static inline struct step_size step_measure(void) {
  return (struct step_size){cr_arena_used(), cr_arena_blocks()};
}

static inline void step_prepare(void) {
  atomic_store(&shared->awake, 0);
  atomic_store(&shared->late, 0);
  memset(shared->value, 0, sizeof shared->value);
  sleepers = 0;
  if (step_now->setup != NULL) step_now->setup();
}

static inline void step_judge(bool done) {
  if (step_now->early != NULL) step_now->early(done);
  child_reap(&step_victim);
  if (step_now->first != NULL) child_reap(&step_dead);
  if (step_now->check != NULL) step_now->check(done);
  for (int i = 0; i < sleepers; i++) {
    child_kill(&sleeper[i]);
    child_reap(&sleeper[i]);
  }
}

/* Kills a victim after k instructions; returns whether it had got through. */
static inline bool step_kill(int k, const struct step_size *before) {
  struct trace_run r;
  alarm(STEP_PATIENCE);
  atomic_store(&shared->at, (uint32_t)k);
  step_prepare();
  if (step_now->first != NULL) step_now->first();
  step_start(&r);
  if (step_now->attend != NULL) step_now->attend();
  step_wakes_due = 1 + step_now->again;
  enum trace_stop stop = step_lead(&r, k);
  step_pc = stop == TRACE_STEP ? trace_pc(r.child.pid) : 0;
  if (stop == TRACE_STEP && k < step_trace.n && step_pc != step_trace.at[k])
    atomic_fetch_add(&shared->drifted, 1);
  step_victim = r.child;
  step_bury();
  must(r.faults == 0, "the victim got a signal of its own");
  step_judge(stop == TRACE_ENDED);
  must(cr_arena_audit() == 0, "audit");
  struct step_size now = step_measure();
  must(now.used == before->used && now.blocks == before->blocks,
       "leak: %zu blocks more, %zd bytes more", now.blocks - before->blocks,
       (ssize_t)(now.used - before->used));
  return stop == TRACE_ENDED;
}

/* ---- operations ---- */

/* Objects of many sizes that stay: making the first one of a size is a long
** loop, which has its own test. */
static inline void step_furnish(void) {
  for (size_t size = 32; size <= 2048; size += size < 512 ? 32 : 256) {
    uint32_t h;
    struct cr_block *b = cr_alloc(size);
    must(b != NULL, "no memory");
    static size_t room;
    if (cr_block_size(b) == room) {
      cr_free(b);
      continue;
    }
    room = cr_block_size(b);
    must(cr_handle_new(b, &h) == 0, "no handle");
  }
}

static inline void step_open(void) {
  int err = cr_arena_open();
  if (err != 0) {
    printf("Bail out! cr_arena_open: %s\n", strerror(err));
    exit(99);
  }
  cr_spin_limit(0, 0);
  cr_sleep_hook = &nap_hook;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!step_now->cold) step_furnish();
}

/* In a loop only the first rounds are tested at every instruction. */
static inline bool step_skip(int k) {
  return k < step_trace.n && step_trace.times[k] > STEP_ROUNDS && k % 37 != 0;
}

/* A complete run, which also warms everything up. */
static inline struct step_size step_warm(void) {
  step_prepare();
  if (step_now->first != NULL) step_now->first();
  step_record();
  step_bury();
  step_judge(true);
  return step_measure();
}

/* From instruction `from` on, each `stride`-th; in a process of its own. */
static inline void step_operation(int from, int stride) {
  step_open();
  alarm(STEP_PATIENCE * 4);
  atomic_store(&shared->at, STEP_WHOLE);
  struct step_size before = step_warm();
  atomic_store(&shared->length, (uint32_t)step_trace.n);
  for (int k = from;; k += stride) {
    if (step_skip(k)) continue;
    bool done = step_kill(k, &before);
    if (done && k >= step_trace.n) break;
  }
  _exit(0);
}

/* Runs body in a process of its own; returns true if it went well. */
static inline bool step_apart(void (*body)(int, int), int from, int stride) {
  int status;
  fflush(stdout);
  pid_t p = fork();
  if (p == 0) {
    body(from, stride);
    _exit(0);
  }
  waitpid(p, &status, 0);
  if (WIFSIGNALED(status))
    printf("# %s: at instruction %u (first %u): %s\n", step_now->name,
           atomic_load(&shared->at), atomic_load(&shared->first_at),
           WTERMSIG(status) == SIGALRM ? "wedged"
                                       : strsignal(WTERMSIG(status)));
  return status == 0;
}

static inline void step_report(int64_t start, uint32_t kills, int faults) {
  ok(faults == 0, "%s: %u kills, %u instructions, %.1f s", step_now->name,
     atomic_load(&shared->kills) - kills, atomic_load(&shared->length),
     (double)(cr_now() - start) / 1e9);
}

static inline void step_all(const struct step *s) {
  int64_t start = cr_now();
  uint32_t kills = atomic_load(&shared->kills);
  int faults = 0, from = 0;
  step_now = s;
  while (faults < STEP_FAULTS && !step_apart(step_operation, from, 1)) {
    faults++;
    if (atomic_load(&shared->at) == STEP_WHOLE) break;
    from = (int)atomic_load(&shared->at) + 1;
  }
  atomic_fetch_add(&shared->failed, (uint32_t)faults);
  step_report(start, kills, faults);
}

/* ---- double faults ---- */

static const struct step *step_before; /* what the first victim does */
static struct trace step_before_trace;

/* Kills a first victim in its operation; leaves it unreaped. */
static inline void step_first(void) {
  const struct step *second = step_now;
  struct trace t = step_trace;
  struct trace_run r;
  step_now = step_before;
  step_trace = step_before_trace;
  step_start(&r);
  step_wakes_due = 1 + step_now->again;
  step_lead(&r, (int)atomic_load(&shared->first_at));
  step_dead = r.child;
  child_kill(&step_dead);
  atomic_fetch_add(&shared->kills, 1);
  step_now = second;
  step_trace = t;
}

/* What the second victim does when it is the reaper. */
static inline void step_reap_op(void) {
  child_reap(&step_dead);
}

/* The i-th point of the first victim, all sampled points of the second. */
static inline void step_pair(int i, int stride) {
  const struct step *second = step_now;
  struct step first = *second;
  step_open();
  alarm(STEP_PATIENCE * 4);
  atomic_store(&shared->first_at, (uint32_t)i);
  first.op = step_before->op;
  first.first = NULL;
  step_now = &first;
  struct step_size before = step_warm(); /* records the first operation */
  step_before_trace = step_trace;
  memset(&step_trace, 0, sizeof step_trace);
  step_now = second;
  for (;; i += stride) {
    if (i < step_before_trace.n && step_before_trace.times[i] > STEP_ROUNDS)
      continue;
    atomic_store(&shared->first_at, (uint32_t)i);
    atomic_store(&shared->at, STEP_WHOLE);
    step_warm();
    for (int k = 1 + i % 7; k < step_trace.n; k += 7 + stride)
      if (!step_skip(k)) step_kill(k, &before);
    if (i >= step_before_trace.n) break;
  }
  atomic_store(&shared->length, (uint32_t)step_before_trace.n);
  _exit(0);
}

/* The first victim does before->op, the second `s->op`, which is what finds the
** first one's traces: both die. Samples each stride-th point of the first. */
static inline void step_double(const struct step *before, const struct step *s,
                               int stride) {
  int64_t start = cr_now();
  uint32_t kills = atomic_load(&shared->kills);
  int faults = 0, from = 1;
  step_before = before;
  step_now = s;
  while (faults < STEP_FAULTS && !step_apart(step_pair, from, stride)) {
    faults++;
    from = (int)atomic_load(&shared->first_at) + stride;
  }
  atomic_fetch_add(&shared->failed, (uint32_t)faults);
  step_report(start, kills, faults);
}

/* ---- the program ---- */

/* To be called first. */
static inline void step_main(void) {
  /* A fork's child may run into a breakpoint that was meant for its parent. */
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  shared = child_share(sizeof *shared);
}

/* step PATTERN [INSTRUCTION]: only operations whose name contains it, only
** this kill. */
static inline bool step_wanted(char **argv, const char *name) {
  return argv[1] == NULL || strstr(name, argv[1]) != NULL;
}

static inline int step_end(void) {
  printf("# %u kills, %u failures (%u kills off the recorded path)\n",
         atomic_load(&shared->kills), atomic_load(&shared->failed),
         atomic_load(&shared->drifted));
  return tap_end();
}

#endif
