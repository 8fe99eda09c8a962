/* Packets, their writer, and message blocks. See message.h. */
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = CR_INLINE_MAX };

/* Two buffers of a thread, in one piece: where its packet is built until it
** must move, and where an inline packet that it got is copied to. */
static _Thread_local unsigned char *buffers;

static unsigned char *thread_buffers(void) {
  if (buffers == NULL) buffers = malloc(2 * BUFFER);
  return buffers;
}

unsigned char *cr_reader_buffer(void) {
  unsigned char *p = thread_buffers();
  return p != NULL ? p + BUFFER : NULL;
}

void cr_message_thread_end(void) {
  free(buffers);
  buffers = NULL;
}

static size_t room_of(const struct cr_message *m) {
  return cr_block_size(m) - offsetof(struct cr_message, data);
}

static struct cr_message *new_message(size_t room) {
  struct cr_message *m = cr_alloc(offsetof(struct cr_message, data) + room);
  if (m == NULL) return NULL;
  m->next = NULL;
  m->length = m->key_length = m->order = 0;
  m->object = NULL;
  atomic_store(&m->objects, 0);
  atomic_store(&m->head.refs, 0);
  cr_step();
  atomic_store(&m->head.type, CR_MESSAGE);
  return m;
}

static void message_destroy(struct cr_block *b) {
  struct cr_message *m = (struct cr_message *)b;
  uint32_t n = atomic_load(&m->objects);
  for (uint32_t i = 0; i < n; i++) cr_ref_drop(&m->object[i]);
  cr_free(m);
}

static void message_visit(struct cr_block *b, const struct cr_visit *v) {
  struct cr_message *m = (struct cr_message *)b;
  uint32_t n = atomic_load(&m->objects);
  for (uint32_t i = 0; i < n; i++)
    if (m->object[i] != NULL) v->ref(m->object[i]);
}

static __attribute__((constructor)) void register_type(void) {
  cr_set_destroy(CR_MESSAGE, message_destroy);
  cr_set_visit(CR_MESSAGE, message_visit);
}

void cr_writer_open(struct cr_writer *w) {
  unsigned char *b = thread_buffers();
  *w =
      (struct cr_writer){.start = b, .p = b, .end = b == NULL ? b : b + BUFFER};
}

/* Moves what was written to a block with at least `room` bytes. */
static int move_to_block(struct cr_writer *w, size_t room) {
  size_t n = (size_t)(w->p - w->start);
  struct cr_message *m = new_message(room);
  if (m == NULL) return ENOMEM;
  if (n > 0) memcpy(m->data, w->start, n);
  if (w->block != NULL) cr_free(w->block);
  w->block = m;
  w->start = m->data;
  w->p = m->data + n;
  w->end = m->data + room_of(m);
  return 0;
}

int cr_writer_grow(struct cr_writer *w, size_t more) {
  if ((size_t)(w->end - w->p) >= more) return 0;
  size_t n = (size_t)(w->p - w->start);
  if (more > SIZE_MAX / 4) return ENOMEM;
  /* A long string comes last more often than not: no doubling for it. */
  size_t room = more > n ? n + more + BUFFER : (n + more) * 2;
  int err = move_to_block(w, room);
  if (err != 0 && room > n + more) err = move_to_block(w, n + more);
  return err;
}

int64_t cr_writer_object(struct cr_writer *w, struct cr_block *object) {
  if (w->objects == w->object_room) {
    uint32_t n = w->object_room ? w->object_room * 2 : 8;
    struct cr_block **p = realloc(w->object, n * sizeof *p);
    if (p == NULL) return -1;
    w->object = p;
    w->object_room = n;
  }
  w->object[w->objects] = object;
  return w->objects++;
}

/* The references of a message lie behind its data; each is counted at once, so
** that a death leaves exactly the counted ones to be dropped. */
static void add_objects(struct cr_writer *w, size_t length) {
  struct cr_message *m = w->block;
  size_t at = (length + sizeof(void *) - 1) / sizeof(void *);
  m->object = (struct cr_block **)(void *)m->data + at;
  for (uint32_t i = 0; i < w->objects; i++)
    cr_ref_add(&m->object[i], &m->objects, w->object[i]);
}

int cr_writer_finish(struct cr_writer *w, bool block, struct cr_packet *out) {
  size_t length = (size_t)(w->p - w->start);
  size_t tail = w->objects == 0 ? 0 : (w->objects + 1) * sizeof(void *);
  if (w->block == NULL && (block || tail > 0)) {
    if (move_to_block(w, length + tail) != 0) goto full;
  } else if (tail > 0 && (size_t)(w->end - w->p) < tail) {
    if (move_to_block(w, length + tail) != 0) goto full;
  }
  if (w->block != NULL) {
    w->block->length = length;
    if (w->objects > 0) add_objects(w, length);
  }
  *out = (struct cr_packet){w->start, length, w->block};
  free(w->object);
  w->object = NULL;
  return 0;
full:
  cr_writer_close(w);
  return ENOMEM;
}

void cr_writer_close(struct cr_writer *w) {
  free(w->object);
  w->object = NULL;
  if (w->block != NULL) cr_free(w->block);
  w->block = NULL;
}

void cr_packet_free(struct cr_packet *p) {
  if (p->block != NULL) message_destroy(&p->block->head);
  p->block = NULL;
}

struct cr_message *cr_message_copy(const unsigned char *data, size_t length) {
  struct cr_message *m = new_message(length);
  if (m == NULL) return NULL;
  memcpy(m->data, data, length);
  m->length = length;
  return m;
}
