/* Mapping of the arena and types of blocks. See arena.h. */
#include "arena_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

enum { PAGE = 4096, MIN_SLOTS = 1 << 14, MAX_SLOTS = 1 << 20 };
#define RESERVE_MAX ((size_t)1 << 40)
#define RESERVE_MIN ((size_t)1 << 26)

struct cr_arena *cr_arena;
static void (*destroyer[CR_TYPES])(struct cr_block *);
static void (*visitor[CR_TYPES])(struct cr_block *, const struct cr_visit *);

/* ---- limit ---- */

/* The number in a file; 0: no such file, or "max". Every program that starts
** reads it, so without stdio and its buffer. */
static size_t read_size(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[32];
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  return (size_t)strtoull(text, NULL, 10);
}

/* Memory that this process may use: the machine's, or its cgroup's. */
static size_t memory_total(void) {
  struct sysinfo s;
  size_t total = sysinfo(&s) == 0 ? s.totalram * s.mem_unit : RESERVE_MIN;
  size_t n = read_size("/sys/fs/cgroup/memory.max");
  if (n == 0) n = read_size("/sys/fs/cgroup/memory/memory.limit_in_bytes");
  return n > 0 && n < total ? n : total;
}

static double unit_of(char letter) {
  switch (letter) {
    case 'k':
    case 'K': return 1024;
    case 'm':
    case 'M': return 1024 * 1024;
    case 'g':
    case 'G': return 1024 * 1024 * 1024;
    default: return 0;
  }
}

/* CLUARUN_SHARED_LIMIT: bytes, with an optional K, M or G. 0: not set, or (with
** a warning) no such number. */
static size_t limit_from_environment(void) {
  const char *s = getenv("CLUARUN_SHARED_LIMIT");
  if (s == NULL) return 0;
  char *end;
  double n = strtod(s, &end);
  double unit = unit_of(*end);
  if (unit != 0) end++;
  if (unit != 0) n *= unit;
  if (end != s && *end == 0 && n >= 1 && n < (double)RESERVE_MAX)
    return (size_t)n;
  fprintf(stderr,
          "cluarun: CLUARUN_SHARED_LIMIT is ignored: not a size like 500M: "
          "'%s'\n",
          s);
  return 0;
}

/* ---- mapping ---- */

/* A file that exceeds `ulimit -f` costs the process its life (SIGXFSZ). */
static bool fits_file(size_t size) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= size;
}

static int open_memfd(size_t size) {
  if (!fits_file(size)) return -1;
  int fd = memfd_create("cluarun", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd < 0) fd = memfd_create("cluarun", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

/* A memfd is not accounted under strict overcommit, and a debugger can open
** it; anonymous memory is not subject to `ulimit -f`. */
static void *map(size_t size, int *memfd) {
  int flags = MAP_SHARED | MAP_NORESERVE, prot = PROT_READ | PROT_WRITE;
  void *p = MAP_FAILED;
  *memfd = -1;
  int fd = open_memfd(size);
  if (fd >= 0) {
    p = mmap(NULL, size, prot, flags, fd, 0);
    close(fd); /* the mapping keeps it alive */
  }
  if (p == MAP_FAILED) p = mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

static uint32_t slots_for(size_t size) {
  size_t n = size / (1 << 20);
  return n < MIN_SLOTS ? MIN_SLOTS : n > MAX_SLOTS ? MAX_SLOTS : (uint32_t)n;
}

static void lay_out(struct cr_arena *a, size_t size, size_t limit) {
  unsigned char *base = (unsigned char *)a;
  size_t units = size / CR_UNIT, at = round_up(sizeof *a, PAGE);
  a->size = size;
  a->slots = slots_for(size);
  a->slot = (struct cr_slot *)(base + at);
  at = round_up(at + a->slots * sizeof(struct cr_slot), PAGE);
  a->map = (cr_word64 *)(base + at);
  at = round_up(at + (units + 1) * sizeof *a->map, PAGE);
  a->bin_next = (uint32_t *)(base + at);
  at = round_up(at + units * sizeof *a->bin_next, PAGE);
  a->bin_prev = (uint32_t *)(base + at);
  at = round_up(at + units * sizeof *a->bin_prev, CR_UNIT);
  a->unit = base + at;
  a->units = (uint32_t)((size - at) / CR_UNIT) - 1;
  size_t most = limit / CR_UNIT + (limit % CR_UNIT != 0);
  a->limit = most < a->units ? (uint32_t)most : a->units;
}

/* Much more than the limit is reserved, so that fragmentation never matters;
** under `ulimit -v` less until it fits. */
static size_t reserve_for(size_t limit) {
  size_t want = RESERVE_MIN * 4;
  while (want < RESERVE_MAX && want / 16 < limit) want *= 2;
  return want;
}

static int open_arena(void) {
  size_t limit = limit_from_environment();
  if (limit == 0) limit = memory_total() / 4 * 3;
  size_t size = reserve_for(limit);
  int memfd;
  struct cr_arena *a;
  while ((a = map(size, &memfd)) == NULL) {
    size /= 2;
    if (size < RESERVE_MIN) return ENOMEM;
  }
  madvise(a, size, MADV_DONTDUMP);
  a->memfd = memfd;
  lay_out(a, size, limit);
  cr_arena = a;
  int err = cr_slot_first();
  return err != 0 ? err : cr_slot_until_end();
}

static int open_error;

static void open_once(void) {
  open_error = open_arena();
}

int cr_arena_open(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (cr_self != NULL) return 0;
  pthread_once(&once, open_once);
  return open_error != 0 ? open_error : cr_slot_join();
}

size_t cr_arena_limit(void) {
  return cr_arena->limit * CR_UNIT;
}

size_t cr_arena_used(void) {
  cr_alloc_lock();
  size_t n = cr_arena->used_units * CR_UNIT;
  cr_alloc_unlock();
  return n;
}

size_t cr_arena_blocks(void) {
  cr_alloc_lock();
  size_t n = cr_arena->blocks;
  cr_alloc_unlock();
  return n;
}

uint32_t cr_unique(void) {
  uint32_t n;
  do n = atomic_fetch_add(&cr_arena->unique, 1) + 1;
  while (n == 0 || n == CR_LINKED);
  return n;
}

/* ---- types ---- */

void cr_set_destroy(enum cr_type type, void (*destroy)(struct cr_block *)) {
  destroyer[type] = destroy;
}

void cr_set_visit(enum cr_type type,
                  void (*visit)(struct cr_block *, const struct cr_visit *)) {
  visitor[type] = visit;
}

void cr_visit_block(struct cr_block *b, const struct cr_visit *v) {
  uint32_t t = atomic_load(&b->type);
  if (t < CR_TYPES && visitor[t] != NULL) visitor[t](b, v);
}

void cr_destroy(struct cr_block *b) {
  uint32_t t = atomic_load(&b->type);
  if (t < CR_TYPES && destroyer[t] != NULL)
    destroyer[t](b);
  else
    cr_free(b);
}
