/* Value and Array: single values in shared memory.
**
** Functions return 0 or an errno value: ENOMEM (shared memory exhausted), EINTR
** never (the internal lock is held for nanoseconds only).
*/
#ifndef CR_VALUE_H
#define CR_VALUE_H

#include "synch.h"

/* A scalar: what a Value or an element of an Array holds. For strings the
** bytes are copied in; on reading, `string` points into a malloc'ed copy that
** the caller frees. */
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
struct cr_value *cr_value_new(const struct cr_scalar *initial);
int cr_value_get(struct cr_value *v, struct cr_scalar *out);
int cr_value_set(struct cr_value *v, const struct cr_scalar *in);
/* Adds an integer or float as Lua's + does; EDOM when it holds no number. */
int cr_value_add(struct cr_value *v, const struct cr_scalar *n,
                 struct cr_scalar *out);
struct cr_lock *cr_value_lock(struct cr_value *v);

/* An array of numbers, indices 1..n; ERANGE outside. */
struct cr_array;
struct cr_array *cr_array_new(size_t n);
size_t cr_array_length(const struct cr_array *a);
int cr_array_get(struct cr_array *a, int64_t i, struct cr_scalar *out);
int cr_array_set(struct cr_array *a, int64_t i, const struct cr_scalar *in);

#endif
