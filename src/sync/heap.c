/* Stack and heap of messages. See heap.h. */
#include "heap.h"

#include <errno.h>
#include <string.h>

enum { FIRST_ROOM = 24 };

struct cr_heap_array {
  struct cr_block head;
  uint64_t room;
  struct cr_message *at[];
};

static uint32_t count_of(struct cr_message_heap *h) {
  return atomic_load_explicit(&h->count, memory_order_relaxed);
}

static struct cr_heap_array *array_of(struct cr_message_heap *h) {
  return atomic_load_explicit(&h->array, memory_order_relaxed);
}

/* What a dead one committed may concern both sides. */
static void lock(struct cr_message_heap *h, const struct cr_heap_wakes *w) {
  if (cr_rlock_take(&h->lock) != EOWNERDEAD) return;
  cr_log_recover(&h->log, w->get);
  cr_log_recover(&h->log, w->put);
}

static int grow(struct cr_message_heap *h, const struct cr_heap_wakes *w) {
  struct cr_heap_array *old = array_of(h);
  size_t n = count_of(h);
  if (old != NULL && n < old->room) return 0;
  size_t want = n < FIRST_ROOM ? FIRST_ROOM : n * 2;
  struct cr_heap_array *a = cr_alloc(sizeof *a + want * sizeof a->at[0]);
  if (a == NULL) return ENOMEM;
  a->room = (cr_block_size(a) - sizeof *a) / sizeof a->at[0];
  if (old != NULL) {
    memcpy(a->at, old->at, n * sizeof a->at[0]);
    cr_taken();
  }
  cr_log_add(&h->log, &h->array, (uintptr_t)a);
  cr_log_link(&h->log, a);
  if (old != NULL) cr_log_take(&h->log, old);
  cr_log_commit_as(&h->log, &h->lock, w->get);
  cr_linked();
  if (old != NULL) cr_free(old);
  return 0;
}

static int compare(const struct cr_message *a, const struct cr_message *b,
                   bool *comparable) {
  int r = cr_key_compare(a->data, a->key_length, b->data, b->key_length,
                         comparable);
  if (r != 0) return r;
  return a->order < b->order ? -1 : a->order > b->order;
}

/* Logs the moves that let m in at the end; where it comes to lie, or -1. */
static int64_t sift_up(struct cr_message_heap *h, struct cr_message *m) {
  struct cr_message **at = array_of(h)->at;
  uint32_t i = count_of(h);
  while (h->sorted && i > 0) {
    bool comparable;
    uint32_t parent = (i - 1) / 2;
    int r = compare(m, at[parent], &comparable);
    if (!comparable) return -1;
    if (r > 0) break;
    cr_log_add(&h->log, &at[i], (uintptr_t)at[parent]);
    i = parent;
  }
  return i;
}

static int put(struct cr_message_heap *h, const struct cr_heap_wakes *w,
               struct cr_message *m, bool again) {
  if (grow(h, w) != 0) return ENOMEM;
  if (!again) m->order = h->order++;
  int64_t i = sift_up(h, m);
  if (i < 0) {
    h->log.filled = 0;
    return EDOM;
  }
  uint32_t puts = atomic_load(&h->puts);
  cr_log_add(&h->log, &array_of(h)->at[i], (uintptr_t)m);
  cr_log_add32(&h->log, &h->count, count_of(h) + 1);
  if (!again) cr_log_add32(&h->log, &h->puts, puts + 1);
  cr_log_link(&h->log, m);
  cr_wake_begin(w->get);
  cr_log_commit_as(&h->log, &h->lock, w->get);
  cr_wake_end(w->get);
  cr_linked();
  return 0;
}

int cr_heap_put(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                struct cr_message *m, uint32_t maxsize) {
  lock(h, w);
  bool full = maxsize != 0 && count_of(h) >= maxsize;
  int err = full ? EAGAIN : put(h, w, m, false);
  cr_rlock_release(&h->lock);
  return err;
}

int cr_heap_put_again(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                      struct cr_message *m) {
  lock(h, w);
  int err = put(h, w, m, true);
  cr_rlock_release(&h->lock);
  return err;
}

/* Logs the moves that put the last one into the hole at the root. */
static void sift_down(struct cr_message_heap *h) {
  struct cr_message **at = array_of(h)->at;
  uint32_t n = count_of(h) - 1, i = 0;
  struct cr_message *last = at[n];
  bool comparable;
  for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && compare(at[child + 1], at[child], &comparable) < 0)
      child++;
    if (compare(last, at[child], &comparable) <= 0) break;
    cr_log_add(&h->log, &at[i], (uintptr_t)at[child]);
  }
  if (n > 0) cr_log_add(&h->log, &at[i], (uintptr_t)last);
}

static struct cr_message *take(struct cr_message_heap *h,
                               const struct cr_heap_wakes *w, bool wake) {
  uint32_t n = count_of(h);
  struct cr_message *m = array_of(h)->at[h->sorted ? 0 : n - 1];
  cr_taken();
  if (h->sorted) sift_down(h);
  cr_log_add32(&h->log, &h->count, n - 1);
  cr_log_take(&h->log, m);
  if (wake) cr_wake_begin(w->put);
  cr_log_commit_as(&h->log, &h->lock, w->put);
  if (wake) cr_wake_end(w->put);
  return m;
}

int cr_heap_take(struct cr_message_heap *h, const struct cr_heap_wakes *w,
                 bool wake, struct cr_message **out) {
  if (count_of(h) == 0) return EAGAIN;
  lock(h, w);
  bool some = count_of(h) > 0;
  if (some) *out = take(h, w, wake);
  cr_rlock_release(&h->lock);
  return some ? 0 : EAGAIN;
}

uint32_t cr_heap_takes(struct cr_message_heap *h,
                       const struct cr_heap_wakes *w) {
  lock(h, w);
  uint32_t n = atomic_load(&h->puts) - count_of(h);
  cr_rlock_release(&h->lock);
  return n;
}

/* Nobody else can reach it. */
void cr_heap_destroy(struct cr_message_heap *h) {
  cr_log_replay(&h->log);
  struct cr_heap_array *a = array_of(h);
  if (a == NULL) return;
  h->sorted = false;
  for (uint32_t n; (n = count_of(h)) > 0;) {
    struct cr_message *m = a->at[n - 1];
    cr_taken();
    cr_log_add32(&h->log, &h->count, n - 1);
    cr_log_take(&h->log, m);
    cr_log_commit_as(&h->log, NULL, NULL);
    cr_destroy(&m->head);
  }
  cr_taken();
  cr_log_add(&h->log, &h->array, 0);
  cr_log_take(&h->log, a);
  cr_log_commit_as(&h->log, NULL, NULL);
  cr_free(a);
}

void cr_heap_visit(struct cr_message_heap *h, const struct cr_visit *v) {
  struct cr_heap_array *a = array_of(h);
  if (a == NULL) return;
  v->block(a);
  for (uint32_t i = 0; i < count_of(h); i++) v->block(a->at[i]);
}
