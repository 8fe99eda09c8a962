/* Array of numbers. See value.h and word.h.
**
** An element is one word. Integers that are too wide for it lie in a second
** row, which is written before the word says so, under the lock `guard`; who
** reads one looks at the word again afterwards. Each write is complete with
** one store, so there is nothing to repair after a death.
*/
#include "word.h"

#include <errno.h>

struct cr_array {
  struct cr_block head;
  uint64_t length;       /* r/o */
  struct cr_rlock guard; /* of who writes a wide integer */
  cr_word64 word[];      /* length words, then as many wide ones */
};

struct cr_array *cr_array_new(size_t n) {
  struct cr_array *a;
  if (n > SIZE_MAX / (4 * sizeof a->word[0])) return NULL;
  a = cr_alloc(sizeof *a + 2 * n * sizeof a->word[0]);
  if (a == NULL) return NULL;
  atomic_store_explicit(&a->head.refs, 0, memory_order_relaxed);
  a->length = n;
  memset(&a->guard, 0, sizeof a->guard);
  for (size_t i = 0; i < n; i++)
    atomic_store_explicit(&a->word[i], CR_WORD_INTEGER, memory_order_relaxed);
  atomic_store(&a->head.type, CR_ARRAY);
  return a;
}

size_t cr_array_length(const struct cr_array *a) {
  return a->length;
}

int cr_array_get(struct cr_array *a, int64_t i, struct cr_scalar *out) {
  if (i < 1 || (uint64_t)i > a->length) return ERANGE;
  cr_word64 *word = &a->word[i - 1];
  uint64_t w;
  while ((w = atomic_load(word)) == CR_WORD_WIDE) {
    out->kind = CR_INTEGER;
    out->integer = (int64_t)atomic_load(word + a->length);
    if (atomic_load(word) == CR_WORD_WIDE) return 0;
  }
  cr_word_unpack(w, out);
  return 0;
}

int cr_array_set(struct cr_array *a, int64_t i, const struct cr_scalar *in) {
  if (i < 1 || (uint64_t)i > a->length) return ERANGE;
  cr_word64 *word = &a->word[i - 1];
  uint64_t w;
  if (cr_word_pack(in, &w)) {
    atomic_store(word, w);
    return 0;
  }
  cr_rlock_take(&a->guard);
  atomic_store(word + a->length, (uint64_t)in->integer);
  atomic_store(word, CR_WORD_WIDE);
  cr_rlock_release(&a->guard);
  return 0;
}
