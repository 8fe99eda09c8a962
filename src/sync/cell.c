/* Cell. See cell.h. */
#include "cell.h"

struct cr_cell {
  struct cr_block head;
  cr_word kind; /* enum cr_cell_kind */
  uint32_t unused;
  struct cr_message *message; /* linked */
  struct cr_log log;          /* the child's; after its death anyone's */
};

struct cr_cell *cr_cell_new(void) {
  struct cr_cell *c = cr_alloc(sizeof *c);
  if (c == NULL) return NULL;
  atomic_store(&c->head.refs, 0);
  atomic_store(&c->kind, CR_CELL_EMPTY);
  c->message = NULL;
  atomic_store(&c->log.n, 0);
  c->log.filled = 0;
  cr_step();
  atomic_store(&c->head.type, CR_CELL);
  return c;
}

void cr_cell_put(struct cr_cell *c, enum cr_cell_kind kind,
                 struct cr_message *m) {
  if (m == NULL) {
    atomic_store(&c->kind, kind);
    return;
  }
  cr_log_add(&c->log, &c->message, (uintptr_t)m);
  cr_log_add32(&c->log, &c->kind, kind);
  cr_log_link(&c->log, m);
  cr_log_commit_as(&c->log, NULL, NULL);
  cr_linked();
}

enum cr_cell_kind cr_cell_kind(const struct cr_cell *c) {
  return (enum cr_cell_kind)atomic_load(&c->kind);
}

struct cr_message *cr_cell_message(struct cr_cell *c) {
  return c->message;
}

/* Takes the message out, to limbo; NULL when there is none. */
static struct cr_message *take(struct cr_cell *c) {
  struct cr_message *m = c->message;
  if (m == NULL) return NULL;
  cr_taken();
  cr_log_add(&c->log, &c->message, 0);
  cr_log_take(&c->log, m);
  cr_log_commit_as(&c->log, NULL, NULL);
  return m;
}

static void cell_destroy(struct cr_block *b) {
  struct cr_cell *c = (struct cr_cell *)b;
  struct cr_message *m = take(c);
  if (m != NULL) cr_destroy(&m->head);
  cr_free(c);
}

static void cell_visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_cell *c = (struct cr_cell *)b;
  if (c->message != NULL) v->block(c->message);
}

static __attribute__((constructor)) void register_type(void) {
  cr_set_destroy(CR_CELL, cell_destroy);
  cr_set_visit(CR_CELL, cell_visit);
}
