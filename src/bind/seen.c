/* Which addresses a message already holds. See seen.h. Open addressing with
** linear probing; an entry of an older round is a free one.
*/
#include "seen.h"

#include <stdlib.h>

enum { FIRST = 64, KEEP = 1 << 15 };

static size_t slot_of(const struct cr_seen *s, const void *key) {
  uint64_t h = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
  return (size_t)(h >> 24) & s->mask;
}

static struct cr_seen_entry *probe(const struct cr_seen *s, const void *key) {
  size_t i = slot_of(s, key);
  while (s->entry[i].round == s->round && s->entry[i].key != key)
    i = (i + 1) & s->mask;
  return &s->entry[i];
}

static bool resize(struct cr_seen *s, size_t n) {
  struct cr_seen old = *s;
  struct cr_seen_entry *p = calloc(n, sizeof *p);
  if (p == NULL) return false;
  s->entry = p;
  s->mask = n - 1;
  if (s->round == 0) s->round = 1;
  if (old.entry != NULL)
    for (size_t i = 0; i <= old.mask; i++)
      if (old.entry[i].round == s->round)
        *probe(s, old.entry[i].key) = old.entry[i];
  free(old.entry);
  return true;
}

void cr_seen_free(struct cr_seen *s) {
  free(s->entry);
  *s = (struct cr_seen){0};
}

void cr_seen_clear(struct cr_seen *s) {
  s->count = 0;
  if (s->entry != NULL && (s->mask >= KEEP || s->round == UINT32_MAX))
    cr_seen_free(s);
  else
    s->round++;
}

struct cr_seen_entry *cr_seen_at(struct cr_seen *s, const void *key) {
  if (s->entry == NULL && !resize(s, FIRST)) return NULL;
  if (s->count > s->mask / 2 && !resize(s, 2 * (s->mask + 1))) return NULL;
  struct cr_seen_entry *e = probe(s, key);
  if (e->round != s->round) {
    *e = (struct cr_seen_entry){.key = key, .round = s->round};
    s->count++;
  }
  return e;
}

struct cr_seen_entry *cr_seen_find(const struct cr_seen *s, const void *key) {
  if (s->entry == NULL) return NULL;
  struct cr_seen_entry *e = probe(s, key);
  return e->round == s->round ? e : NULL;
}
