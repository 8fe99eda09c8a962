/* Numbered messages for tests: a number, then bytes that depend on it, so that
** a torn or mixed message is recognised. */
#ifndef PACKET_H
#define PACKET_H

#include <errno.h>
#include <string.h>

#include "queue.h"

#define PACKET_BAD 0xbad00000u
enum { PACKET_KEY = 9 }; /* sort key: 'i' and 8 bytes */

/* Writes n bytes (at least 4) of message `number`. */
static inline void packet_fill(unsigned char *to, uint32_t number, size_t n) {
  memcpy(to, &number, sizeof number);
  memset(to + sizeof number, (int)(number & 0xff), n - sizeof number);
}

/* The number of a message, or PACKET_BAD. */
static inline uint32_t packet_number(const struct cr_packet *p) {
  size_t key = p->block != NULL ? p->block->key_length : 0;
  const unsigned char *data = p->data + key;
  uint32_t number;
  if (p->length < key + sizeof number) return PACKET_BAD;
  memcpy(&number, data, sizeof number);
  for (size_t i = sizeof number; i < p->length - key; i++)
    if (data[i] != (number & 0xff)) return PACKET_BAD;
  return number;
}

/* How to make a packet. */
struct packet_form {
  size_t length;           /* at least 4 */
  bool block;              /* in a block of its own, however short */
  bool keyed;              /* for a PriorityQueue: its number */
  struct cr_block *object; /* NULL, or what it carries */
};

static inline int packet_make(uint32_t number, const struct packet_form *f,
                              struct cr_packet *out) {
  struct cr_writer w;
  int64_t key = number;
  cr_writer_open(&w);
  if (cr_writer_grow(&w, f->length + PACKET_KEY) != 0) {
    cr_writer_close(&w);
    return ENOMEM;
  }
  if (f->keyed) {
    *w.p = 'i';
    memcpy(w.p + 1, &key, sizeof key);
    w.p += PACKET_KEY;
  }
  packet_fill(w.p, number, f->length);
  w.p += f->length;
  if (f->object != NULL) cr_writer_object(&w, f->object);
  int err = cr_writer_finish(&w, f->block || f->keyed, out);
  if (err == 0 && f->keyed) out->block->key_length = PACKET_KEY;
  return err;
}

static inline int packet_put(struct cr_queue *q, uint32_t number,
                             const struct packet_form *f, int64_t deadline) {
  struct cr_packet p;
  int err = packet_make(number, f, &p);
  if (err != 0) return err;
  err = cr_queue_put(q, &p, deadline);
  if (err != 0) cr_packet_free(&p);
  return err;
}

/* Gets a message and gives its number. */
static inline int packet_get(struct cr_queue *q, uint32_t *number,
                             int64_t deadline) {
  struct cr_packet p;
  int err = cr_queue_get(q, &p, deadline);
  if (err != 0) return err;
  *number = packet_number(&p);
  cr_packet_free(&p);
  return 0;
}

#endif
