/* Value and Array: single values in shared memory.
**
** Numbers are read, written and added to without a lock; strings, and integers
** of more than 50 bits, take a lock for nanoseconds. Functions return 0 or an
** errno value; nothing waits.
*/
#ifndef CR_VALUE_H
#define CR_VALUE_H

#include "synch.h"

/* A scalar: what a Value or an element of an Array holds. */
struct cr_scalar {
  enum { CR_INTEGER, CR_FLOAT, CR_BOOLEAN, CR_STRING } kind;
  union {
    int64_t integer;
    double number;
    bool boolean;
    struct {
      char *bytes;
      size_t length;
    } string;
  };
};

struct cr_value;
/* In limbo; NULL when shared memory is exhausted. */
struct cr_value *cr_value_new(const struct cr_scalar *initial);
/* A string is copied to out->string.bytes, of which the caller says the room
** in out->string.length; ENOBUFS: the length that it takes is there now, no
** byte is copied. */
int cr_value_get(struct cr_value *v, struct cr_scalar *out);
/* The bytes of a string are copied. ENOMEM: nothing has changed. */
int cr_value_set(struct cr_value *v, const struct cr_scalar *in);
/* Adds an integer or float as Lua's + does; EDOM when it holds no number. */
int cr_value_add(struct cr_value *v, const struct cr_scalar *n,
                 struct cr_scalar *out);
struct cr_lock *cr_value_lock(struct cr_value *v);

/* An array of numbers (first integers 0), indices 1..n; ERANGE outside. */
struct cr_array;
struct cr_array *cr_array_new(size_t n);
size_t cr_array_length(const struct cr_array *a);
int cr_array_get(struct cr_array *a, int64_t i, struct cr_scalar *out);
int cr_array_set(struct cr_array *a, int64_t i, const struct cr_scalar *in);

#endif
