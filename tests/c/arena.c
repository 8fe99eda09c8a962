/* The arena's allocator: sizes, reuse, limit, blocks of the dead. */
#include <string.h>

#include "arena.h"
#include "lib/child.h"
#include "lib/tap.h"

static size_t used, blocks;

static bool as_before(void) {
  return cr_arena_used() == used && cr_arena_blocks() == blocks;
}

static void test_sizes(void) {
  static const size_t sizes[] = {1,     16,    32,    33,     100,
                                 512,   513,   4096,  8193,   16000,
                                 16385, 65536, 65537, 100000, 1 << 20};
  enum { N = sizeof sizes / sizeof *sizes };
  void *p[N];
  bool fit = true, aligned = true, none = true, whole = true;
  for (int i = 0; i < N; i++) {
    p[i] = cr_alloc(sizes[i]);
    fit = fit && p[i] != NULL && cr_block_size(p[i]) >= sizes[i];
    aligned = aligned && (uintptr_t)p[i] % 16 == 0;
    none = none && ((struct cr_block *)p[i])->type == CR_NONE;
    memset(p[i], i + 1, sizes[i]);
  }
  for (int i = 0; i < N; i++)
    for (size_t k = 0; k < sizes[i]; k++)
      whole = whole && ((unsigned char *)p[i])[k] == i + 1;
  ok(fit, "blocks hold what was asked for");
  ok(aligned, "blocks are aligned");
  ok(none, "a fresh block is of no type");
  ok(whole, "blocks do not overlap");
  for (int i = 0; i < N; i++) cr_free(p[i]);
  ok(as_before(), "all is free again");
}

/* Random sizes, freed in another order than they came. */
static void test_churn(void) {
  enum { N = 300, ROUNDS = 20000 };
  static void *p[N];
  static size_t size[N];
  uint32_t r = 1;
  bool whole = true;
  for (int i = 0; i < ROUNDS; i++) {
    r = r * 1103515245u + 12345u;
    int k = (int)(r >> 16) % N;
    if (p[k] != NULL) {
      whole = whole && memcmp(p[k], &size[k], sizeof size[k]) == 0;
      cr_free(p[k]);
      p[k] = NULL;
    } else {
      size[k] = (r >> 8) % 16 == 0 ? r % 300000 + 16 : r % 3000 + 16;
      p[k] = cr_alloc(size[k]);
      memcpy(p[k], &size[k], sizeof size[k]);
    }
  }
  for (int k = 0; k < N; k++)
    if (p[k] != NULL) cr_free(p[k]);
  ok(whole, "contents survive what happens around them");
  ok(as_before(), "nothing leaks");
  is(cr_arena_audit(), 0, "audit");
}

static void test_limit(void) {
  ok(cr_alloc(cr_arena_limit() + 1) == NULL, "more than the limit: NULL");
  ok(cr_alloc(SIZE_MAX / 2) == NULL, "much more: NULL");
  enum { PIECE = 1 << 20 };
  static void *p[100];
  int n = 0;
  while (n < 100 && (p[n] = cr_alloc(PIECE)) != NULL) n++;
  ok(n > 0 && n < 100, "the limit is reached by many");
  ok(cr_arena_used() <= cr_arena_limit(), "and never exceeded");
  while (n > 0) cr_free(p[--n]);
  ok(as_before(), "nothing leaks");
}

static void hold_blocks(int unused) {
  (void)unused;
  for (int i = 0; i < 10; i++) cr_alloc((size_t)1 << (2 * i));
}

static void test_dead(void) {
  struct child c;
  child_start(&c, hold_blocks, 0);
  ok(child_ends(&c, 10), "a child that holds blocks ends");
  child_reap(&c);
  ok(as_before(), "its blocks are free");
  is(cr_arena_audit(), 0, "audit");
}

static void test_unique(void) {
  uint32_t a = cr_unique(), b = cr_unique();
  ok(a != 0 && b != 0 && a != b, "cr_unique is unique");
}

int main(void) {
  setenv("CLUARUN_SHARED_LIMIT", "32M", 1);
  is(cr_arena_open(), 0, "the arena opens");
  is(cr_arena_open(), 0, "and once only");
  is(cr_arena_limit(), 32 << 20, "CLUARUN_SHARED_LIMIT counts");
  uint32_t h;
  cr_handle_new(cr_alloc(sizeof(struct cr_block)), &h); /* the table stays */
  used = cr_arena_used();
  blocks = cr_arena_blocks();
  test_sizes();
  test_churn();
  test_limit();
  test_dead();
  test_unique();
  return tap_end();
}
