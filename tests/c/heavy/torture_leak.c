/* Short-lived processes: each makes queues, some inside of others, passes them
** on and ends: well, by its own hand or by ours; some leave orphans. 100,000 of
** them leave the arena as large as the first 1,000, and no slot in use.
** Usage: torture_leak [SECONDS]
*/
#include "../lib/child.h"
#include "../lib/packet.h"
#include "../lib/tap.h"

enum { ALL = 100000, SOME = 1000, AT_ONCE = 4 };

static struct cr_queue *common; /* by it children pass queues on */
static struct child children[AT_ONCE];
static int64_t doom[AT_ONCE]; /* when it is killed; 0: never */
static int made, killed, orphans;
static uint64_t passed;
static uint32_t seed = 88172645u;

static uint32_t any(uint32_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed % n;
}

static struct cr_queue *make(uint32_t maxsize, uint32_t *handle) {
  struct cr_queue *q = cr_queue_new((enum cr_queue_kind)any(2), maxsize);
  if (q == NULL || cr_handle_new((struct cr_block *)q, handle) != 0) _exit(3);
  return q;
}

static void pass(struct cr_queue *to, struct cr_queue *q, uint32_t number) {
  struct packet_form f = {.length = 4, .object = (struct cr_block *)q};
  packet_put(to, number, &f, CR_FOREVER);
}

/* A queue with some messages; every other one goes inside of another. */
static void work(void) {
  uint32_t handle, inner_handle;
  struct cr_queue *q = make(any(2) ? 0 : 4, &handle);
  for (uint32_t n = any(3); n > 0; n--) {
    struct packet_form f = {.length = any(8) == 0 ? 100000 : 4 + any(2000)};
    packet_put(q, n, &f, 0);
  }
  if (any(2) == 0) {
    struct cr_queue *inner = q;
    inner_handle = handle;
    q = make(0, &handle);
    pass(q, inner, 1);
    cr_handle_drop(inner_handle);
  }
  pass(common, q, 2);
}

static void live(int generation) {
  struct child c;
  if (generation == 0 && any(10) == 0) {
    any(1);
    child_start(&c, live, 1);
    prctl(PR_SET_PDEATHSIG, 0);
  }
  if (generation == 1) prctl(PR_SET_PDEATHSIG, 0);
  seed += (uint32_t)getpid();
  work();
  if (any(4) == 0) child_rest((int)any(300));
  if (any(3) == 0) kill(getpid(), SIGKILL);
}

/* Takes what came, looks into some of it, lets go of it. */
static void drain(struct cr_queue *from, int depth) {
  struct cr_packet p;
  uint32_t handle;
  while (cr_queue_get(from, &p, 0) == 0) {
    uint32_t n = p.block != NULL ? atomic_load(&p.block->objects) : 0;
    for (uint32_t i = 0; i < n; i++) {
      struct cr_queue *q = (struct cr_queue *)p.block->object[i];
      if (cr_ref_to_handle(&p.block->object[i], &handle) != 0) _exit(3);
      passed++;
      if (depth < 4 && any(3) != 0) drain(q, depth + 1);
      cr_handle_drop(handle);
    }
    cr_packet_free(&p);
  }
}

static void start_some(int limit) {
  for (int i = 0; i < AT_ONCE && made < limit; i++) {
    if (children[i].pid != 0) continue;
    any(1);
    child_start(&children[i], live, 0);
    doom[i] = any(3) == 0 ? cr_now() + any(600000) : 0;
    made++;
  }
}

static void kill_some(void) {
  for (int i = 0; i < AT_ONCE; i++) {
    if (children[i].pid == 0 || doom[i] == 0 || cr_now() < doom[i]) continue;
    kill(children[i].pid, SIGKILL);
    doom[i] = 0;
    killed++;
  }
}

/* Those of others come to this process when their parents die. Returns whether
** there was anybody to wait for. */
static bool wait_some(void) {
  pid_t p = waitpid(-1, NULL, WNOHANG);
  if (p <= 0) return p == 0 || errno != ECHILD;
  for (int i = 0; i < AT_ONCE; i++) {
    if (children[i].pid != p) continue;
    children[i].pid = 0;
    child_reap(&children[i]);
    return true;
  }
  orphans++;
  cr_reap_all();
  return true;
}

static void run(int limit, int64_t until) {
  while (made < limit && cr_now() < until) {
    start_some(limit);
    kill_some();
    if (!wait_some()) continue;
    drain(common, 0);
  }
  int64_t patience = cr_deadline(20);
  while (wait_some() && cr_now() < patience) {
    drain(common, 0);
    sched_yield();
  }
  /* Of those that never entered their slots nobody is alive any more. */
  for (uint32_t i = 0; i < cr_slot_high(); i++) cr_slot_at(i)->born = 0;
  cr_reap_all();
  drain(common, 0);
}

static uint32_t slots_in_use(void) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    n += atomic_load(&cr_slot_at(i)->state) != CR_SLOT_FREE;
  return n;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 30;
  int64_t until = cr_deadline(seconds);
  uint32_t handle;
  if (cr_arena_open() != 0) return 99;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  common = cr_queue_new(CR_FIFO, 0);
  if (common == NULL || cr_handle_new((struct cr_block *)common, &handle) != 0)
    return 99;
  /* A ring that has grown once keeps some segments. */
  struct packet_form page = {.length = 8000};
  for (uint32_t i = 0; i < 100; i++) packet_put(common, i, &page, 0);
  drain(common, 0);
  run(SOME, until);
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  run(ALL, until);
  printf("# %d processes and %d orphans, %d killed, %llu queues passed on, "
         "at most %u slots\n",
         made, orphans, killed, (unsigned long long)passed, cr_slot_high());
  is(cr_arena_blocks(), blocks, "as many blocks as after 1,000 processes");
  is(cr_arena_used(), used, "as much memory in use as after 1,000 processes");
  is(slots_in_use(), 1, "all slots but one are free");
  is(cr_arena_audit(), 0, "audit");
  cr_handle_drop(handle);
  is(cr_arena_audit(), 0, "audit without the common queue");
  printf("# %d kills\n", killed);
  return tap_end();
}
