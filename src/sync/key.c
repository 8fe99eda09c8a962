/* Comparing sort keys. See heap.h for their format. */
#include <string.h>

#include "heap.h"

struct key {
  const unsigned char *p, *end;
};

static int sign(int64_t a, int64_t b) {
  return a < b ? -1 : a > b;
}

static int64_t read_integer(const unsigned char *p) {
  int64_t n;
  memcpy(&n, p, sizeof n);
  return n;
}

static double read_float(const unsigned char *p) {
  double n;
  memcpy(&n, p, sizeof n);
  return n;
}

/* Exactly, whatever the double: 2^53 + 1 is more than 2^53. */
static int compare_mixed(int64_t i, double f) {
  if (f >= 0x1p63) return -1;
  if (f < -0x1p63) return 1;
  int64_t whole = (int64_t)f;
  if (i != whole) return sign(i, whole);
  double rest = f - (double)whole;
  return rest > 0 ? -1 : rest < 0;
}

static int compare_numbers(const unsigned char *a, const unsigned char *b) {
  if (*a == 'i' && *b == 'i')
    return sign(read_integer(a + 1), read_integer(b + 1));
  if (*a == 'i') return compare_mixed(read_integer(a + 1), read_float(b + 1));
  if (*b == 'i') return -compare_mixed(read_integer(b + 1), read_float(a + 1));
  double x = read_float(a + 1), y = read_float(b + 1);
  return x < y ? -1 : x > y;
}

static bool is_number(unsigned char tag) {
  return tag == 'i' || tag == 'f';
}

static size_t string_length(const unsigned char *p) {
  uint64_t n;
  memcpy(&n, p + 1, sizeof n);
  return (size_t)n;
}

static int compare_strings(const unsigned char *a, const unsigned char *b) {
  size_t an = string_length(a), bn = string_length(b);
  int r = memcmp(a + 9, b + 9, an < bn ? an : bn);
  return r != 0 ? r : an < bn ? -1 : an > bn;
}

/* Behind the scalar, bracket or 'x' at p. */
static const unsigned char *behind(const unsigned char *p) {
  switch (*p) {
    case 'i':
    case 'f': return p + 9;
    case 's': return p + 9 + string_length(p);
    default: return p + 1;
  }
}

/* Compares what stands at a and b; lists are equal so far if both open. A list
** that ends is smaller: ')' sorts before everything. */
static int compare_at(const unsigned char *a, const unsigned char *b,
                      bool *comparable) {
  if (is_number(*a) && is_number(*b)) return compare_numbers(a, b);
  if (*a == ')' || *b == ')') return (*a != ')') - (*b != ')');
  if (*a == *b && *a != 'x') return *a == 's' ? compare_strings(a, b) : 0;
  *comparable = false;
  unsigned char x = is_number(*a) ? 'f' : *a, y = is_number(*b) ? 'f' : *b;
  return (int)x - (int)y;
}

int cr_key_compare(const unsigned char *a, size_t an, const unsigned char *b,
                   size_t bn, bool *comparable) {
  struct key x = {a, a + an}, y = {b, b + bn};
  *comparable = true;
  while (x.p < x.end && y.p < y.end) {
    int r = compare_at(x.p, y.p, comparable);
    if (r != 0) return r;
    x.p = behind(x.p);
    y.p = behind(y.p);
  }
  return (x.p < x.end) - (y.p < y.end);
}
