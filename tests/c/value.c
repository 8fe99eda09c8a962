/* Value and Array: every kind of value, concurrent writers, deaths. */
#include <math.h>
#include <pthread.h>

#include "lib/tap.h"
#include "lib/child.h"
#include "value.h"

enum { CHILDREN = 3, ROUNDS = 20000 };
#define WIDE (INT64_C(1) << 60)

static struct cr_value *v;
static struct cr_array *a;
static uint32_t handle;

static struct cr_scalar integer(int64_t n) {
  return (struct cr_scalar){.kind = CR_INTEGER, .integer = n};
}

static struct cr_scalar number(double n) {
  return (struct cr_scalar){.kind = CR_FLOAT, .number = n};
}

static struct cr_scalar string(const char *s) {
  return (struct cr_scalar){.kind = CR_STRING,
                            .string = {(char *)(uintptr_t)s, strlen(s)}};
}

static bool same(const struct cr_scalar *x, const struct cr_scalar *y) {
  if (x->kind != y->kind) return false;
  switch (x->kind) {
    case CR_INTEGER: return x->integer == y->integer;
    case CR_FLOAT:
      return signbit(x->number) == signbit(y->number) &&
             (x->number == y->number || (isnan(x->number) && isnan(y->number)));
    case CR_BOOLEAN: return x->boolean == y->boolean;
    default:
      return x->string.length == y->string.length &&
             memcmp(x->string.bytes, y->string.bytes, x->string.length) == 0;
  }
}

static char room[256];

static struct cr_scalar get(void) {
  struct cr_scalar out = {.string = {room, sizeof room}};
  if (cr_value_get(v, &out) != 0) exit(98);
  if (out.kind == CR_STRING) out.string.bytes = room;
  return out;
}

static void make(struct cr_scalar initial) {
  v = cr_value_new(&initial);
  if (v == NULL || cr_handle_new((struct cr_block *)v, &handle) != 0) exit(99);
}

static const struct cr_scalar *samples(int *n) {
  static struct cr_scalar s[40];
  int64_t edge = INT64_C(1) << 49;
  const int64_t integers[] = {0,     1,         -1,        edge - 1,  edge,
                              -edge, -edge - 1, INT64_MAX, INT64_MIN, WIDE};
  const double numbers[] = {0.0,         -0.0,         1.5,
                            -1e300,      INFINITY,     -INFINITY,
                            (double)NAN, -(double)NAN, 5e-324};
  *n = 0;
  for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
    s[(*n)++] = integer(integers[i]);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    s[(*n)++] = number(numbers[i]);
  s[(*n)++] = (struct cr_scalar){.kind = CR_BOOLEAN, .boolean = true};
  s[(*n)++] = (struct cr_scalar){.kind = CR_BOOLEAN, .boolean = false};
  s[(*n)++] = string("");
  s[(*n)++] = string("a string");
  return s;
}

/* From every kind of value to every other one. */
static void kinds(void) {
  int n, wrong = 0;
  const struct cr_scalar *s = samples(&n);
  make(string("first"));
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) {
      struct cr_scalar out;
      if (cr_value_set(v, &s[i]) != 0 || cr_value_set(v, &s[j]) != 0) wrong++;
      out = get();
      if (!same(&s[j], &out)) wrong++;
    }
  }
  is(wrong, 0, "what is set is what is got");
  struct cr_scalar hello = string("hello, world"), out;
  cr_value_set(v, &hello);
  out.string.length = 5;
  out.string.bytes = room;
  is(cr_value_get(v, &out), ENOBUFS, "too long for the room");
  is(out.string.length, 12, "it takes more");
  ok(cr_value_lock(v) != NULL && !cr_lock_mine(cr_value_lock(v)), "its lock");
  cr_handle_drop(handle);
}

static void adds(struct cr_scalar x, struct cr_scalar n, struct cr_scalar sum,
                 const char *what) {
  struct cr_scalar out, after;
  cr_value_set(v, &x);
  int err = cr_value_add(v, &n, &out);
  after = get();
  ok(err == 0 && same(&out, &sum) && same(&after, &sum), "%s", what);
}

static void adding(void) {
  struct cr_scalar one = integer(1), out, s = string("1");
  int64_t edge = INT64_C(1) << 49;
  make(integer(0));
  adds(integer(1), integer(2), integer(3), "1 + 2");
  adds(integer(1), number(0.5), number(1.5), "1 + 0.5");
  adds(number(0.5), integer(1), number(1.5), "0.5 + 1");
  adds(integer(edge - 1), integer(1), integer(edge), "to a wide integer");
  adds(integer(edge), integer(1), integer(edge + 1), "among wide ones");
  adds(integer(edge), integer(-1), integer(edge - 1), "back");
  adds(integer(INT64_MAX), integer(1), integer(INT64_MIN), "wraps around");
  cr_value_set(v, &s);
  is(cr_value_add(v, &one, &out), EDOM, "not to a string");
  cr_handle_drop(handle);
}

static void count(int step) {
  struct cr_scalar n = integer(step == 0 ? WIDE / 1000000 : step), out;
  for (int i = 0; i < ROUNDS; i++) cr_value_add(v, &n, &out);
}

static void concurrent(int step, const char *what) {
  struct child c[CHILDREN];
  make(integer(0));
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], count, step);
  for (int i = 0; i < CHILDREN; i++) {
    child_ends(&c[i], 60);
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  int64_t each = step == 0 ? WIDE / 1000000 : step;
  struct cr_scalar out = get();
  ok(out.kind == CR_INTEGER && out.integer == each * CHILDREN * ROUNDS, "%s",
     what);
  cr_handle_drop(handle);
}

/* Strings of one letter each, and wide integers, written by some that are
** killed: what is read is always one of them, whole. */
static void write_strings(int unused) {
  char bytes[200];
  struct cr_scalar s = string(""), wide = integer(WIDE), out;
  (void)unused;
  for (uint32_t i = 0;; i++) {
    size_t length = 1 + i % sizeof bytes;
    memset(bytes, 'a' + (int)(length % 26), length);
    s.string.bytes = bytes;
    s.string.length = length;
    cr_value_set(v, &s);
    if (i % 5 == 0) cr_value_set(v, &wide);
    if (i % 7 == 0) cr_value_add(v, &wide, &out);
  }
}

static bool whole(const struct cr_scalar *s) {
  if (s->kind == CR_INTEGER) return s->integer % WIDE == 0;
  if (s->kind != CR_STRING) return false;
  for (size_t i = 0; i < s->string.length; i++)
    if (s->string.bytes[i] != 'a' + (int)(s->string.length % 26)) return false;
  return true;
}

static void kills(void) {
  struct child c[CHILDREN];
  int torn = 0;
  make(integer(0));
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], write_strings, i);
  for (int n = 0; n < 150; n++) {
    for (int i = 0; i < 200; i++) {
      struct cr_scalar out = get();
      torn += !whole(&out);
    }
    child_kill(&c[n % CHILDREN]);
    struct child dead = c[n % CHILDREN];
    child_start(&c[n % CHILDREN], write_strings, n);
    child_reap(&dead);
  }
  for (int i = 0; i < CHILDREN; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  cr_reap_all();
  is(torn, 0, "no value is torn");
  is(cr_arena_audit(), 0, "the arena is whole");
  cr_handle_drop(handle);
}

static void array(void) {
  int n, wrong = 0;
  const struct cr_scalar *s = samples(&n);
  struct cr_scalar out, zero = integer(0);
  a = cr_array_new(100);
  if (a == NULL || cr_handle_new((struct cr_block *)a, &handle) != 0) exit(99);
  is(cr_array_length(a), 100, "length");
  for (int i = 1; i <= 100; i++)
    wrong += cr_array_get(a, i, &out) != 0 || !same(&out, &zero);
  is(wrong, 0, "integers 0 at first");
  is(cr_array_get(a, 0, &out), ERANGE, "index 0");
  is(cr_array_get(a, 101, &out), ERANGE, "index n + 1");
  is(cr_array_set(a, INT64_MIN, &zero), ERANGE, "a negative index");
  for (int i = 0; i < n && s[i].kind < CR_BOOLEAN; i++)
    for (int j = 0; j < n && s[j].kind < CR_BOOLEAN; j++) {
      cr_array_set(a, i + 1, &s[i]);
      cr_array_set(a, i + 1, &s[j]);
      cr_array_get(a, i + 1, &out);
      wrong += !same(&out, &s[j]);
    }
  is(wrong, 0, "what is set is what is got");
  cr_handle_drop(handle);
  ok(cr_array_new(SIZE_MAX / 8) == NULL, "too long");
  a = cr_array_new(0);
  is(cr_array_get(a, 1, &out), ERANGE, "an empty one");
  cr_destroy((struct cr_block *)a);
}

static void write_elements(int number) {
  for (uint32_t i = 0;; i++) {
    struct cr_scalar s = i % 3 == 0    ? integer(WIDE + number)
                         : i % 3 == 1  ? integer(number)
                         : number == 0 ? integer(0)
                                       : integer(-1);
    cr_array_set(a, 1 + i % 4, &s);
  }
}

static void array_kills(void) {
  struct child c[CHILDREN];
  int wrong = 0;
  a = cr_array_new(4);
  if (a == NULL || cr_handle_new((struct cr_block *)a, &handle) != 0) exit(99);
  for (int i = 0; i < CHILDREN; i++) child_start(&c[i], write_elements, i);
  for (int n = 0; n < 100; n++) {
    for (int i = 0; i < 400; i++) {
      struct cr_scalar out;
      if (cr_array_get(a, 1 + i % 4, &out) != 0 || out.kind != CR_INTEGER ||
          out.integer % WIDE < -1 || out.integer % WIDE >= CHILDREN)
        wrong++;
    }
    child_kill(&c[n % CHILDREN]);
    child_reap(&c[n % CHILDREN]);
    child_start(&c[n % CHILDREN], write_elements, n % CHILDREN);
  }
  for (int i = 0; i < CHILDREN; i++) {
    child_kill(&c[i]);
    child_reap(&c[i]);
  }
  cr_reap_all();
  is(wrong, 0, "no element is torn");
  cr_handle_drop(handle);
}

int main(void) {
  if (cr_arena_open() != 0) return 99;
  size_t blocks = cr_arena_blocks();
  kinds();
  adding();
  concurrent(1, "no addition is lost");
  concurrent(0, "nor one that leaves the word");
  kills();
  array();
  array_kills();
  cr_reap_all();
  is((int)(cr_arena_blocks() - blocks), 1, "only the handle table is left");
  is(cr_arena_audit(), 0, "the arena is whole");
  return tap_end();
}
