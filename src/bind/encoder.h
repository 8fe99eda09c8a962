/* The parts of the encoder. For encode*.c only; the contract is marshal.h.
**
** Values are taken apart with a stack of frames, not by recursion: one for each
** table or function that is being written. Its value lies on the Lua stack at
** `base`, what is in work above it.
*/
#ifndef CR_ENCODER_H
#define CR_ENCODER_H

#include <errno.h>
#include <stdbool.h>

#include <lua.h>

#include "format.h"
#include "marshal.h"
#include "message.h"
#include "names.h"
#include "seen.h"

/* Kinds of entries in `seen`. */
enum cr_seen_kind {
  CR_SEEN_PLAIN = 1,
  CR_SEEN_CLASS, /* a class, or something with a name */
  CR_SEEN_UPVALUE,
  CR_SEEN_OBJECT /* `at`: its number */
};

/* What a frame does next. */
enum cr_doing {
  CR_DOING_LIST,  /* elements 1, 2 ...; key on the stack */
  CR_DOING_SLICE, /* elements of which it is known that they are there */
  CR_DOING_NEXT,  /* next pair; key on the stack */
  CR_DOING_KEY,   /* the pair on the stack: its key */
  CR_DOING_VALUE, /* ... its value */
  CR_DOING_OWNER, /* the metatable */
  CR_DOING_UPVALUES,
  CR_DOING_CLOSE
};

struct cr_frame {
  uint64_t at;          /* place of the tag */
  uint64_t counts;      /* where the two counts lie */
  uint32_t list, pairs; /* written so far; upvalues: list */
  int base;
  uint8_t doing, done;  /* `done`: the last thing begun */
  bool is_class, owned; /* owned: has a metatable */
};

/* A value in a class leads to another one; both by their places. */
struct cr_edge {
  uint64_t to, from;
};

struct cr_encoder {
  lua_State *L;
  struct cr_writer w;
  struct cr_frame *frame;
  uint32_t depth, room;
  uint32_t slots;   /* the Lua stack has room for that many frames */
  uint32_t classes; /* open frames of classes */
  struct cr_seen seen;
  struct cr_seen tainted; /* places; encode_taint.c */
  uint64_t taint;         /* the first of a list of them */
  struct cr_edge *edge;   /* inside the outermost class */
  size_t edges, edge_room;
  struct cr_names names;
  const void *globals;
  struct cr_dump *dump; /* kept of the function in work, NULL: none */
  size_t dump_length;
  uint64_t start;        /* bytes in front of the first value */
  int env;               /* stack index, 0: not pushed yet */
  int index;             /* the same of "__index" */
  int values, value;     /* how many are sent; the one in work */
  struct cr_slice slice; /* sent after them, if it has any */
  int status;            /* 0, ENOMEM, EINVAL */
  bool pushed;           /* EINVAL: the message is on the stack */
  bool again;            /* `wanted` has grown: start again */
  bool refused;          /* outside of a class, as the message says */
  char message[480];
  struct cr_seen wanted; /* tables found to be metatables late */
};

/* Makes room for n bytes. False: status is set. */
static inline bool cr_reserve(struct cr_encoder *e, size_t n) {
  if ((size_t)(e->w.end - e->w.p) >= n) return true;
  e->status = cr_writer_grow(&e->w, n);
  return e->status == 0;
}

/* Appends to room that was reserved. */
static inline void cr_add(struct cr_encoder *e, const void *bytes, size_t n) {
  memcpy(e->w.p, bytes, n);
  e->w.p += n;
}
static inline void cr_add_tag(struct cr_encoder *e, enum cr_tag t) {
  *e->w.p++ = (unsigned char)t;
}

/* Place of the next byte; the bytes at a place. */
static inline uint64_t cr_place(const struct cr_encoder *e) {
  return (uint64_t)(e->w.p - e->w.start) - e->start;
}
static inline unsigned char *cr_bytes_at(struct cr_encoder *e, uint64_t at) {
  return e->w.start + e->start + at;
}

/* encode_scalar.c. Writes nil, boolean, number or string at stack index i. */
enum cr_outcome { CR_FAILED /* status is set */, CR_DONE, CR_HAS_PARTS };
enum cr_outcome cr_encode_scalar(struct cr_encoder *e, int i);

/* The bool functions below return false when status is set. */

/* encode_value.c. Makes room on the Lua stack for a few frames above those that
** are open, and for as much as is needed outside of frames. */
bool cr_encode_room(struct cr_encoder *e);
/* Writes the value on top and pops it, or opens a frame for it.
*/
bool cr_encode_value(struct cr_encoder *e);
/* The same for a metatable. */
bool cr_encode_class(struct cr_encoder *e);
/* Opens a frame for the slice, whose list is on top. */
bool cr_encode_open_slice(struct cr_encoder *e);
/* Its entry in `seen`; NULL sets status. */
struct cr_seen_entry *cr_encode_seen(struct cr_encoder *e, const void *p);
/* Opens a frame for the value on top, with room on the Lua stack; NULL sets
** status. Closes it and pops its value. */
struct cr_frame *cr_encode_open(struct cr_encoder *e, uint64_t at);
bool cr_encode_close(struct cr_encoder *e);
/* Writes a reference to a value written before. Pops nothing. */
bool cr_encode_refer(struct cr_encoder *e, struct cr_seen_entry *s);

/* encode_function.c. Finds the dump kept of the function on top. Has that been
** sent so often that names need not be looked through for it again? */
bool cr_encode_is_usual(struct cr_encoder *e);
/* Writes the head of the Lua function on top, after the call above. */
bool cr_encode_function(struct cr_encoder *e, uint64_t at);
/* Writes the next upvalue of the frame, or closes it. */
bool cr_encode_upvalue(struct cr_encoder *e);

/* encode_error.c. The value on top, called `what`, cannot travel: writes
** REFUSED and pops it. Outside of a class that is for as long only as what it
** lies in may yet turn out to be one. */
bool cr_encode_refuse(struct cr_encoder *e, const char *what);
/* The same, with a name for it found here. */
bool cr_encode_refuse_value(struct cr_encoder *e);
/* The same anywhere: sets status and message. */
void cr_encode_fail(struct cr_encoder *e, const char *what);
/* An error in Lua, whose message is on the stack. */
bool cr_encode_failed(struct cr_encoder *e);

/* encode_taint.c. What lies in a class and cannot be read without it. Begins a
** message, or begins it again. */
void cr_encode_taint_begin(struct cr_encoder *e);
/* Something in the frame on top was refused. */
bool cr_encode_taint(struct cr_encoder *e);
/* The frame on top, inside a class, leads to the value at a place. */
bool cr_encode_edge(struct cr_encoder *e, uint64_t to);
/* The outermost class is complete. */
bool cr_encode_taint_settle(struct cr_encoder *e);
/* Is a reference to that place useless? Known for sure outside of classes. */
bool cr_encode_is_tainted(const struct cr_encoder *e, uint64_t place);

/* encode_key.c. Writes the sort key of the value at stack index i. */
bool cr_encode_key(struct cr_encoder *e, int i);

#endif
