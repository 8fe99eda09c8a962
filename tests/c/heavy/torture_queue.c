/* Queues under random kills: 4 producers and 4 consumers, killed and replaced
** all the time. Afterwards every message is accounted for: none torn, none
** twice, none out of order, none lost but what a killed consumer had taken.
** Usage: torture_queue [SECONDS]
*/
#include "../lib/crew.h"
#include "../lib/packet.h"
#include "pipe.h"

enum {
  PRODUCERS = 4,
  CONSUMERS = 4,
  EACH = 1024,       /* messages a producer puts in its life */
  LIVES = 60000,     /* of producers */
  CROWDED = 16 << 20 /* bytes at which producers rest */
};
enum { PRODUCER, CONSUMER }; /* groups */

struct campaign {
  const char *name;
  enum cr_queue_kind kind;
  bool pipe;
  uint32_t maxsize;
  size_t big;      /* bytes of some messages; 0: none */
  unsigned killed; /* groups */
};

/* Written by all processes; not in the arena. */
struct account {
  cr_word lives;       /* producers started */
  uint32_t put[LIVES]; /* messages of that one that were put */
  _Atomic(uint8_t) seen[LIVES][EACH];
};

static const struct campaign *now;
static struct account *account;
static struct cr_queue *q;
static struct cr_pipe *ends[2];
static uint32_t handle[2];

static int put(uint32_t number, size_t length) {
  struct packet_form f = {.length = length, .keyed = now->kind == CR_PRIORITY};
  if (!now->pipe) return packet_put(q, number, &f, CR_FOREVER);
  struct cr_packet p;
  int err = packet_make(number, &f, &p);
  if (err != 0) return err;
  err = cr_pipe_send(ends[1], &p, CR_FOREVER);
  if (err != 0) cr_packet_free(&p);
  return err;
}

static int get(uint32_t *number) {
  struct cr_packet p;
  if (!now->pipe) return packet_get(q, number, CR_FOREVER);
  int err = cr_pipe_receive(ends[0], &p, CR_FOREVER);
  if (err != 0) return err;
  *number = packet_number(&p);
  cr_packet_free(&p);
  return 0;
}

static size_t some_length(void) {
  if (now->big > 0 && crew_random() % 4 == 0) return now->big;
  uint32_t r = crew_random();
  return r % 16 == 0 ? 20000 : r % 16 < 3 ? 3000 : r % 16 < 7 ? 100 : 8;
}

/* An unbounded queue must not grow for ever when consumers die a lot. */
static void rest_when_crowded(void) {
  while (now->maxsize == 0 && !crew_stopped() && cr_arena_used() > CROWDED)
    child_rest(500);
}

static void producer(int i) {
  uint32_t life = atomic_fetch_add(&account->lives, 1);
  crew_seed += life * 2654435761u + (uint32_t)i;
  if (life >= LIVES) _exit(4);
  if (now->pipe) cr_handle_drop(handle[0]);
  for (uint32_t n = 0; n < EACH && !crew_stopped(); n++) {
    rest_when_crowded();
    if (put(life * EACH + n, some_length()) != 0) _exit(3);
    account->put[life] = n + 1;
  }
}

/* Messages of one producer come in order to each consumer. */
static void check_order(uint32_t life, uint32_t n) {
  static uint32_t next[LIVES];
  if (now->kind != CR_FIFO) return;
  if (n < next[life]) crew_fault("out of order");
  next[life] = n + 1;
}

static void consumer(int i) {
  uint32_t number;
  int err;
  if (now->pipe) cr_handle_drop(handle[1]);
  for (;;) {
    atomic_store(&crew->in_call[i], 1);
    if ((err = get(&number)) != 0) break;
    uint32_t life = number / EACH;
    if (number == PACKET_BAD || life >= LIVES) {
      crew_fault("torn message");
    } else {
      check_order(life, number % EACH);
      atomic_fetch_add(&account->seen[life][number % EACH], 1);
    }
    atomic_store(&crew->in_call[i], 0);
    crew_progress();
  }
  if (err != EPIPE) _exit(3);
}

struct sums {
  uint64_t put, got, lost, twice, early;
};

static struct sums add_up(void) {
  struct sums s = {0};
  for (uint32_t i = 0; i < atomic_load(&account->lives) && i < LIVES; i++) {
    s.put += account->put[i];
    for (uint32_t n = 0; n < EACH; n++) {
      uint8_t times = account->seen[i][n];
      s.got += times;
      s.twice += times > 1;
      s.lost += times == 0 && n < account->put[i];
      s.early += times > 0 && n > account->put[i];
    }
  }
  return s;
}

static void make(void) {
  if (now->pipe) {
    if (cr_pipe_new(false, ends) != 0) exit(99);
    for (int i = 0; i < 2; i++)
      if (cr_handle_new((struct cr_block *)ends[i], &handle[i]) != 0) exit(99);
    return;
  }
  q = cr_queue_new(now->kind, now->maxsize);
  if (q == NULL || cr_handle_new((struct cr_block *)q, &handle[0]) != 0)
    exit(99);
}

/* No more messages come: consumers take what is left and end. */
static void finish(void) {
  atomic_store(&crew->stop, 1);
  crew_join(PRODUCER);
  cr_reap_all();
  if (now->pipe)
    cr_handle_drop(handle[1]);
  else
    cr_queue_shutdown(q, false);
  crew_join(CONSUMER);
  cr_reap_all();
  if (!now->pipe && cr_queue_size(q) != 0)
    crew_fail("%u messages are left", cr_queue_size(q));
  cr_handle_drop(handle[0]);
}

static void judge(size_t used, size_t blocks) {
  struct sums s = add_up();
  printf("# %s: %llu put, %llu got, %llu lost (%u consumers killed in get), "
         "%u kills\n",
         now->name, (unsigned long long)s.put, (unsigned long long)s.got,
         (unsigned long long)s.lost, crew_kills_in_call, crew_kills);
  if (s.lost > crew_kills_in_call) crew_fail("messages lost");
  if (s.twice > 0) crew_fail("%llu got twice", (unsigned long long)s.twice);
  if (s.early > 0) crew_fail("%llu got, not put", (unsigned long long)s.early);
  if (atomic_load(&crew->errors) > 0) crew_fail("bad messages");
  if (cr_arena_audit() != 0) crew_fail("audit");
  if (cr_arena_used() != used || cr_arena_blocks() != blocks)
    crew_fail("the arena has grown: %zd bytes, %zd blocks",
              (ssize_t)(cr_arena_used() - used),
              (ssize_t)(cr_arena_blocks() - blocks));
}

/* In a process and an arena of its own; its exit status tells. */
static void run(double seconds) {
  if (cr_arena_open() != 0) exit(99);
  account = child_share(sizeof *account);
  uint32_t h;
  struct cr_block *b = cr_alloc(sizeof *b); /* the handle table stays */
  if (b == NULL || cr_handle_new(b, &h) != 0) exit(99);
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  crew_open();
  make();
  crew_add(PRODUCERS, PRODUCER, producer);
  crew_add(CONSUMERS, CONSUMER, consumer);
  crew_torture(seconds, now->killed);
  finish();
  judge(used, blocks);
}

enum { BOTH = 1 << PRODUCER | 1 << CONSUMER };
static const struct campaign campaigns[] = {
    {"Queue, unbounded", CR_FIFO, false, 0, 0, BOTH},
    {"Queue of 10", CR_FIFO, false, 10, 0, BOTH},
    {"Queue of 8, 1 MB messages", CR_FIFO, false, 8, 1 << 20, BOTH},
    {"Queue, unbounded, 1 MB messages", CR_FIFO, false, 0, 1 << 20, BOTH},
    {"Queue of 2, producers killed", CR_FIFO, false, 2, 0, 1 << PRODUCER},
    {"LifoQueue of 10", CR_LIFO, false, 10, 0, BOTH},
    {"PriorityQueue, unbounded", CR_PRIORITY, false, 0, 0, BOTH},
    {"PriorityQueue of 10, 1 MB messages", CR_PRIORITY, false, 10, 1 << 20,
     BOTH},
    {"Pipe", CR_FIFO, true, 0, 0, BOTH},
    {"Pipe, 1 MB messages", CR_FIFO, true, 0, 1 << 20, BOTH},
};
enum { CAMPAIGNS = sizeof campaigns / sizeof *campaigns };

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 30;
  const char *only = argc > 2 ? argv[2] : "";
  cr_word *kills = child_share(sizeof *kills);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < CAMPAIGNS; i++) {
    int status;
    now = &campaigns[i];
    if (strstr(now->name, only) == NULL) continue;
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run(seconds / (*only != '\0' ? 1 : CAMPAIGNS));
      atomic_fetch_add(kills, crew_all_kills);
      exit(crew_error[0] != '\0');
    }
    waitpid(p, &status, 0);
    ok(status == 0, "%s", now->name);
  }
  printf("# %u kills\n", atomic_load(kills));
  return tap_end();
}
