/* Value. See value.h and word.h.
**
** A value is one word, changed by one CAS. If it is a string or a wide integer
** the word says only that, and `text` or `wide` has it; these are written under
** the lock `guard`, before the word, and a word that says "string" is changed
** under the lock only. A text that the word does not speak of is garbage, freed
** by the next one who holds the lock (a death may leave one).
*/
#include "word.h"

#include <errno.h>

struct text {
  struct cr_block head;
  uint64_t length;
  char bytes[];
};

struct cr_value {
  struct cr_block head;
  cr_word64 word;
  cr_word64 wide;
  struct text *text;     /* linked; under guard */
  struct cr_block *lock; /* the Lock that goes with it; counted */
  struct cr_rlock guard;
  struct cr_log log; /* of guard: text and its owner */
};

static void guard(struct cr_value *v) {
  if (cr_rlock_take(&v->guard) == EOWNERDEAD) cr_log_replay(&v->log);
}

static void unguard(struct cr_value *v) {
  cr_rlock_release(&v->guard);
}

static bool cas(struct cr_value *v, uint64_t old, uint64_t new) {
  return atomic_compare_exchange_strong(&v->word, &old, new);
}

/* Makes a text in limbo (or NULL) the value's; the old one is returned, in
** limbo. Under guard. */
static struct text *swap_text(struct cr_value *v, struct text *new) {
  struct text *old = v->text;
  if (old == NULL && new == NULL) return NULL;
  if (old != NULL) cr_taken();
  cr_log_add(&v->log, &v->text, (uintptr_t) new);
  if (new != NULL) cr_log_link(&v->log, new);
  if (old != NULL) cr_log_take(&v->log, old);
  cr_log_commit_as(&v->log, &v->guard, NULL);
  if (new != NULL) cr_linked();
  return old;
}

static int set_text(struct cr_value *v, const struct cr_scalar *in) {
  size_t length = in->string.length;
  if (length > SIZE_MAX / 2) return ENOMEM;
  struct text *t = cr_alloc(sizeof *t + length);
  if (t == NULL) return ENOMEM;
  t->length = length;
  if (length > 0) memcpy(t->bytes, in->string.bytes, length);
  guard(v);
  struct text *old = swap_text(v, t);
  atomic_store(&v->word, CR_WORD_TEXT);
  unguard(v);
  if (old != NULL) cr_free(old);
  return 0;
}

/* Stores a word that is not TEXT. Under guard, which it gives up. */
static void store_guarded(struct cr_value *v, uint64_t w) {
  atomic_store(&v->word, w);
  struct text *old = swap_text(v, NULL);
  unguard(v);
  if (old != NULL) cr_free(old);
}

int cr_value_set(struct cr_value *v, const struct cr_scalar *in) {
  uint64_t new = 0, w = atomic_load(&v->word);
  if (in->kind == CR_STRING) return set_text(v, in);
  bool narrow = cr_word_pack(in, &new);
  while (narrow && w != CR_WORD_TEXT)
    if (atomic_compare_exchange_weak(&v->word, &w, new)) return 0;
  guard(v);
  if (!narrow) {
    atomic_store(&v->wide, (uint64_t)in->integer);
    new = CR_WORD_WIDE;
  }
  store_guarded(v, new);
  return 0;
}

/* Reads a string: 0, ENOBUFS, or EAGAIN: it is none any more. */
static int get_text(struct cr_value *v, struct cr_scalar *out) {
  int err = EAGAIN;
  size_t room = out->string.length;
  guard(v);
  if (atomic_load(&v->word) == CR_WORD_TEXT) {
    out->kind = CR_STRING;
    out->string.length = v->text->length;
    err = v->text->length > room ? ENOBUFS : 0;
    if (err == 0 && v->text->length > 0)
      memcpy(out->string.bytes, v->text->bytes, v->text->length);
  }
  unguard(v);
  return err;
}

int cr_value_get(struct cr_value *v, struct cr_scalar *out) {
  for (;;) {
    uint64_t w = atomic_load(&v->word);
    if (w == CR_WORD_TEXT) {
      int err = get_text(v, out);
      if (err != EAGAIN) return err;
    } else if (w == CR_WORD_WIDE) {
      int64_t wide = (int64_t)atomic_load(&v->wide);
      if (atomic_load(&v->word) != CR_WORD_WIDE) continue;
      out->kind = CR_INTEGER;
      out->integer = wide;
      return 0;
    } else {
      cr_word_unpack(w, out);
      return 0;
    }
  }
}

static double as_float(const struct cr_scalar *s) {
  return s->kind == CR_FLOAT ? s->number : (double)s->integer;
}

/* a + n, as Lua adds. */
static struct cr_scalar sum(const struct cr_scalar *a,
                            const struct cr_scalar *n) {
  if (a->kind == CR_INTEGER && n->kind == CR_INTEGER)
    return (struct cr_scalar){
        .kind = CR_INTEGER,
        .integer = (int64_t)((uint64_t)a->integer + (uint64_t)n->integer)};
  return (struct cr_scalar){.kind = CR_FLOAT,
                            .number = as_float(a) + as_float(n)};
}

static bool is_number(uint64_t w) {
  return w >= CR_WORD_INTEGER || w < CR_WORD_TEXT;
}

/* When a wide integer is involved; under guard. */
static int add_guarded(struct cr_value *v, const struct cr_scalar *n,
                       struct cr_scalar *out) {
  for (;;) {
    uint64_t new, w = atomic_load(&v->word);
    if (!is_number(w)) return EDOM;
    struct cr_scalar a = {.kind = CR_INTEGER,
                          .integer = (int64_t)atomic_load(&v->wide)};
    if (w != CR_WORD_WIDE) cr_word_unpack(w, &a);
    *out = sum(&a, n);
    if (!cr_word_pack(out, &new)) {
      atomic_store(&v->wide, (uint64_t)out->integer);
      new = CR_WORD_WIDE;
    }
    if (new == w || cas(v, w, new)) return 0;
  }
}

int cr_value_add(struct cr_value *v, const struct cr_scalar *n,
                 struct cr_scalar *out) {
  for (;;) {
    uint64_t new, w = atomic_load(&v->word);
    struct cr_scalar a;
    if (!is_number(w)) return EDOM;
    if (w == CR_WORD_WIDE) break;
    cr_word_unpack(w, &a);
    *out = sum(&a, n);
    if (!cr_word_pack(out, &new)) break;
    if (cas(v, w, new)) return 0;
  }
  guard(v);
  int err = add_guarded(v, n, out);
  unguard(v);
  return err;
}

struct cr_lock *cr_value_lock(struct cr_value *v) {
  return (struct cr_lock *)v->lock;
}

/* Gives the value its Lock. The handle makes it a linked object first. */
static int make_lock(struct cr_value *v) {
  uint32_t handle;
  struct cr_lock *l = cr_lock_new(false);
  if (l == NULL) return ENOMEM;
  if (cr_handle_new(&l->head, &handle) != 0) {
    cr_free(l);
    return ENOMEM;
  }
  cr_ref_add(&v->lock, NULL, &l->head);
  cr_handle_drop(handle);
  return 0;
}

struct cr_value *cr_value_new(const struct cr_scalar *initial) {
  struct cr_value *v = cr_alloc(sizeof *v);
  if (v == NULL) return NULL;
  memset((char *)v + sizeof v->head, 0, sizeof *v - sizeof v->head);
  atomic_store_explicit(&v->head.refs, 0, memory_order_relaxed);
  atomic_store(&v->head.type, CR_VALUE);
  if (make_lock(v) != 0 || cr_value_set(v, initial) != 0) {
    cr_destroy(&v->head);
    return NULL;
  }
  return v;
}

static void destroy(struct cr_block *b) {
  struct cr_value *v = (struct cr_value *)b;
  cr_log_replay(&v->log);
  struct text *t = swap_text(v, NULL);
  if (t != NULL) cr_free(t);
  cr_ref_drop(&v->lock);
  cr_free(v);
}

static void visit(struct cr_block *b, const struct cr_visit *to) {
  struct cr_value *v = (struct cr_value *)b;
  if (v->text != NULL) to->block(v->text);
  if (v->lock != NULL) to->ref(v->lock);
}

static __attribute__((constructor)) void register_type(void) {
  cr_set_destroy(CR_VALUE, destroy);
  cr_set_visit(CR_VALUE, visit);
}
