/* LifoQueue and PriorityQueue: order of items and of their keys. */
#include <math.h>

#include "heap.h"
#include "lib/child.h"
#include "lib/packet.h"
#include "lib/tap.h"

static struct cr_queue *q;
static uint32_t handle;

static void open_queue(enum cr_queue_kind kind, uint32_t maxsize) {
  q = cr_queue_new(kind, maxsize);
  if (q == NULL || cr_handle_new((struct cr_block *)q, &handle) != 0) exit(99);
}

static int put(uint32_t number) {
  struct packet_form f = {.length = 8,
                          .keyed = cr_queue_kind(q) == CR_PRIORITY};
  return packet_put(q, number, &f, 0);
}

static uint32_t get(void) {
  uint32_t number;
  return packet_get(q, &number, 0) == 0 ? number : PACKET_BAD;
}

static void test_lifo(void) {
  enum { N = 1000 };
  bool good = true;
  open_queue(CR_LIFO, 0);
  for (uint32_t i = 0; i < N; i++) good = put(i) == 0 && good;
  is(cr_queue_size(q), N, "a LifoQueue grows");
  for (uint32_t i = N; i-- > 0;) good = get() == i && good;
  ok(good, "last in, first out");
  is(get(), PACKET_BAD, "then it is empty");
  cr_handle_drop(handle);
}

static void test_priority(void) {
  enum { N = 1000 };
  bool good = true;
  open_queue(CR_PRIORITY, 0);
  for (uint32_t i = 0; i < N; i++) good = put(i * 617 % N) == 0 && good;
  for (uint32_t i = 0; i < N; i++) good = get() == i && good;
  ok(good, "smallest first");
  cr_handle_drop(handle);
  open_queue(CR_PRIORITY, 2);
  ok(put(2) == 0 && put(1) == 0 && put(0) == EAGAIN, "it can be bounded");
  ok(get() == 1 && put(0) == 0 && get() == 0 && get() == 2, "in any order");
  cr_handle_drop(handle);
}

/* Keys of the same value: what is behind them tells the messages apart. */
static int put_equal(uint32_t number) {
  struct packet_form f = {.length = 8, .keyed = true};
  struct cr_packet p;
  int64_t key = 1;
  if (packet_make(number, &f, &p) != 0) return ENOMEM;
  memcpy(p.block->data + 1, &key, sizeof key);
  return cr_queue_put(q, &p, 0);
}

static void test_equal(void) {
  bool good = true;
  open_queue(CR_PRIORITY, 0);
  for (uint32_t i = 0; i < 50; i++) good = put_equal(i) == 0 && good;
  for (uint32_t i = 0; i < 50; i++) good = get() == i && good;
  ok(good, "equal keys: in order of arrival");
  cr_handle_drop(handle);
}

/* ---- keys ---- */

struct key {
  unsigned char bytes[64];
  size_t length;
};

static void add_integer(struct key *k, int64_t n) {
  k->bytes[k->length++] = 'i';
  memcpy(k->bytes + k->length, &n, sizeof n);
  k->length += sizeof n;
}

static void add_float(struct key *k, double n) {
  k->bytes[k->length++] = 'f';
  memcpy(k->bytes + k->length, &n, sizeof n);
  k->length += sizeof n;
}

static void add_string(struct key *k, const char *s) {
  uint64_t n = strlen(s);
  k->bytes[k->length++] = 's';
  memcpy(k->bytes + k->length, &n, sizeof n);
  memcpy(k->bytes + k->length + sizeof n, s, n);
  k->length += sizeof n + n;
}

static struct key integer(int64_t n) {
  struct key k = {.length = 0};
  add_integer(&k, n);
  return k;
}

static struct key number(double n) {
  struct key k = {.length = 0};
  add_float(&k, n);
  return k;
}

static struct key string(const char *s) {
  struct key k = {.length = 0};
  add_string(&k, s);
  return k;
}

/* A list of up to two integers. */
static struct key list(int n, int64_t a, int64_t b) {
  struct key k = {.bytes = "(", .length = 1};
  if (n > 0) add_integer(&k, a);
  if (n > 1) add_integer(&k, b);
  k.bytes[k.length++] = ')';
  return k;
}

enum { NO_ORDER = 9 };

static int compare(struct key a, struct key b) {
  bool comparable;
  int r = cr_key_compare(a.bytes, a.length, b.bytes, b.length, &comparable);
  return !comparable ? NO_ORDER : r < 0 ? -1 : r > 0;
}

static void before(struct key a, struct key b, const char *what) {
  ok(compare(a, b) == -1 && compare(b, a) == 1, "%s", what);
}

static void test_keys(void) {
  int64_t big = INT64_C(1) << 53;
  struct key nothing = {.bytes = "x", .length = 1};
  before(integer(-1), integer(1), "integers");
  before(number(-0.5), number(0.25), "floats");
  before(integer(1), number(1.5), "an integer and a float");
  before(number(-1.5), integer(-1), "a float and an integer");
  is(compare(integer(2), number(2)), 0, "equal though of two kinds");
  before(number((double)big), integer(big + 1), "exactly, beyond 2^53");
  before(integer(INT64_MAX), number(0x1p63), "the greatest integer");
  before(integer(0), number(INFINITY), "infinity");
  before(string("a"), string("b"), "strings");
  before(string("a"), string("ab"), "a prefix first");
  before(list(1, 1, 0), list(1, 2, 0), "lists");
  before(list(1, 1, 0), list(2, 1, 0), "a shorter list first");
  before(list(2, 1, 9), list(1, 2, 0), "by their first difference");
  is(compare(list(2, 1, 2), list(2, 1, 2)), 0, "equal lists");
  is(compare(integer(1), string("1")), NO_ORDER, "number and string");
  is(compare(list(0, 0, 0), integer(1)), NO_ORDER, "list and number");
  is(compare(nothing, nothing), NO_ORDER, "what has no order");
}

static void test_incomparable(void) {
  struct packet_form f = {.length = 8, .keyed = true};
  struct cr_packet p;
  open_queue(CR_PRIORITY, 0);
  put(1);
  packet_make(2, &f, &p);
  p.block->data[0] = 'x';
  is(cr_queue_put(q, &p, 0), EDOM, "a key without order is refused");
  cr_packet_free(&p);
  is(cr_queue_size(q), 1, "and nothing is put");
  is(get(), 1, "the other stays");
  cr_handle_drop(handle);
}

int main(void) {
  is(cr_arena_open(), 0, "the arena opens");
  open_queue(CR_LIFO, 0);
  cr_handle_drop(handle);
  size_t used = cr_arena_used(), blocks = cr_arena_blocks();
  test_lifo();
  test_priority();
  test_equal();
  test_keys();
  test_incomparable();
  is(cr_arena_blocks(), blocks, "nothing leaks");
  is(cr_arena_used(), used, "not a byte");
  is(cr_arena_audit(), 0, "audit");
  return tap_end();
}
