/* A value in transit: bytes, and the shared objects that travel in them.
**
** Small packets without objects go through a queue inline; all others lie in an
** arena block of their own which changes hands without being copied.
*/
#ifndef CR_MESSAGE_H
#define CR_MESSAGE_H

#include "slot.h"

/* A block of type CR_MESSAGE. All-r/o once it is linked into a queue. */
struct cr_message {
  struct cr_block head;
  struct cr_message *next;  /* in a queue's list of returned ones */
  uint64_t length;          /* bytes of data */
  uint64_t key_length;      /* of these, the sort key in front */
  uint64_t order;           /* PriorityQueue: order of arrival */
  struct cr_block **object; /* array behind the data */
  cr_word objects;          /* how many are counted */
  uint32_t unused;
  unsigned char data[];
};

/* Longest data that goes inline. */
enum { CR_INLINE_MAX = 16000 };

/* What is put and what was got. On put: data and length; block when the data
** lies in one (it then belongs to the queue if the put succeeds, else stays
** the caller's). On get: data is inside `block`, or in the calling thread's
** buffer, valid until its next get. */
struct cr_packet {
  const unsigned char *data;
  size_t length;
  struct cr_message *block;
};

/* Builds a packet of unknown length in one pass: writes go to p, up to end;
** cr_writer_grow makes room for `more` bytes or returns ENOMEM. It starts in a
** private buffer of the thread and moves to an arena block when it must. One
** writer a thread at a time. */
struct cr_writer {
  unsigned char *start, *p, *end;
  struct cr_message *block;
  struct cr_block **object; /* malloc'ed list of objects written */
  uint32_t objects, object_room;
};
void cr_writer_open(struct cr_writer *w);
int cr_writer_grow(struct cr_writer *w, size_t more);
/* Notes an object, each once; returns its number, or -1 out of memory. The caller
** holds it until the packet is put. Those noted are forgotten with objects = 0. */
int64_t cr_writer_object(struct cr_writer *w, struct cr_block *object);
/* Ends the writing: fills in the packet, with a block of its own if it is too
** long for inline, carries objects, or `block` is asked for. Returns 0 or
** ENOMEM. The writer is closed in either case. */
int cr_writer_finish(struct cr_writer *w, bool block, struct cr_packet *out);
/* Gives everything up. */
void cr_writer_close(struct cr_writer *w);

/* CR_INLINE_MAX bytes of the calling thread for what it gets; NULL: no memory.
** cr_message_thread_end frees a thread's buffers at its end. */
unsigned char *cr_reader_buffer(void);
void cr_message_thread_end(void);

/* A message in limbo with these bytes, NULL: no memory. */
struct cr_message *cr_message_copy(const unsigned char *data, size_t length);

/* Frees what a packet owns (its block and the references in it). Harmless on
** an inline one. */
void cr_packet_free(struct cr_packet *p);

#endif
