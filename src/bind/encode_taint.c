/* What may not be referred to from outside of the class that it lies in. See
** encoder.h.
**
** In a class there may be what cannot travel: a receiver that has the class never
** reads it. So a value there whose parts lead to it (other than through a class
** in between, which the receiver has, too) is tainted: read for a reference from
** outside it could not be. All of that can be said only when the outermost class
** is complete, as its values may refer to each other in circles.
*/
#include <stdlib.h>

#include "encoder.h"

enum { KEEP = 1 << 15 }; /* more edges are given back */

#define NONE UINT64_MAX

static const void *key_of(uint64_t place) {
  return (const void *)(uintptr_t)place;
}

bool cr_encode_is_tainted(const struct cr_encoder *e, uint64_t place) {
  return e->tainted.count > 0 &&
         cr_seen_find(&e->tainted, key_of(place)) != NULL;
}

/* The new ones whose edges were not looked at yet are a list: e->taint, and in
** each the next. */
static bool taint(struct cr_encoder *e, uint64_t place) {
  struct cr_seen_entry *s = cr_seen_at(&e->tainted, key_of(place));
  if (s == NULL) {
    e->status = ENOMEM;
    return false;
  }
  if (s->kind != 0) return true;
  s->kind = CR_SEEN_PLAIN;
  s->at = e->taint;
  e->taint = place;
  return true;
}

void cr_encode_taint_begin(struct cr_encoder *e) {
  cr_seen_clear(&e->tainted);
  e->taint = NONE;
  e->edges = 0;
}

bool cr_encode_taint(struct cr_encoder *e) {
  const struct cr_frame *f = &e->frame[e->depth - 1];
  return f->is_class || taint(e, f->at);
}

bool cr_encode_edge(struct cr_encoder *e, uint64_t to) {
  const struct cr_frame *f = &e->frame[e->depth - 1];
  if (f->is_class) return true;
  if (cr_encode_is_tainted(e, to)) return taint(e, f->at);
  if (e->edges == e->edge_room) {
    size_t n = e->edge_room ? 2 * e->edge_room : 64;
    struct cr_edge *p = realloc(e->edge, n * sizeof *p);
    if (p == NULL) {
      e->status = ENOMEM;
      return false;
    }
    e->edge = p;
    e->edge_room = n;
  }
  e->edge[e->edges++] = (struct cr_edge){to, f->at};
  return true;
}

static int by_target(const void *a, const void *b) {
  const struct cr_edge *x = a, *y = b;
  return (x->to > y->to) - (x->to < y->to);
}

/* The first edge to that place or a later one. */
static size_t first_edge(const struct cr_encoder *e, uint64_t to) {
  size_t low = 0, high = e->edges;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (e->edge[middle].to < to)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool spread(struct cr_encoder *e) {
  qsort(e->edge, e->edges, sizeof *e->edge, by_target);
  while (e->taint != NONE) {
    uint64_t place = e->taint;
    e->taint = cr_seen_find(&e->tainted, key_of(place))->at;
    for (size_t i = first_edge(e, place); i < e->edges; i++) {
      if (e->edge[i].to != place) break;
      if (!taint(e, e->edge[i].from)) return false;
    }
  }
  return true;
}

bool cr_encode_taint_settle(struct cr_encoder *e) {
  bool good = e->taint == NONE || e->edges == 0 || spread(e);
  e->taint = NONE;
  e->edges = 0;
  if (e->edge_room > KEEP) {
    free(e->edge);
    e->edge = NULL;
    e->edge_room = 0;
  }
  return good;
}
