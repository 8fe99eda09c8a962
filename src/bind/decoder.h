/* The parts of the decoder. For decode*.c only; the contract is marshal.h, the
** bytes are described in format.h.
**
** A stack of frames as in the encoder: a frame's value lies on the Lua stack at
** `base`; the values read for it come above. Everything that is allocated is
** Lua's, since any step may raise.
*/
#ifndef CR_DECODER_H
#define CR_DECODER_H

#include <stdbool.h>
#include <stddef.h>

#include <lauxlib.h>
#include <lua.h>

#include "classes.h"
#include "format.h"
#include "message.h"

/* What a frame waits for. */
enum cr_awaits {
  CR_AWAITS_ELEMENT,
  CR_AWAITS_KEY,
  CR_AWAITS_VALUE,
  CR_AWAITS_OWNER,
  CR_AWAITS_UPVALUE,
  CR_AWAITS_REFERRED /* the value at another place */
};

struct cr_dframe {
  uint64_t back;        /* REFERRED: where to go on */
  uint64_t end;         /* class: where its contents end */
  uint32_t list, pairs; /* how many there are; upvalues: list */
  uint32_t got;         /* of the elements or upvalues */
  uint32_t outer;       /* class: the class frame around, + 1 */
  struct cr_class identity;
  int base;
  uint8_t awaits, upvalue; /* REFERRED: to be joined with it, or 0 */
  bool owned, is_class;
};

enum { CR_FRAMES = 8 }; /* without a block of their own */

struct cr_decoder {
  lua_State *L;
  const unsigned char *start, *p, *end;
  struct cr_message *block;
  struct cr_dframe *frame;
  uint32_t depth, room;
  uint32_t slots;    /* the Lua stack has room for that many frames */
  uint32_t in_class; /* innermost class frame, + 1 */
  uint32_t later;    /* metatables to be set at the end */
  uint64_t budget;   /* table entries yet to be preallocated */
  int bottom;        /* height of the Lua stack below the values */
  bool skimmed;      /* `seen` also holds where values end */
  int seen; /* stack index of nil or a table: place -> value, what `later`
               counts below 0, and the ends; the next one: memory of the frames.
               0: few messages need either, there are no such slots yet */
  struct cr_dframe few[CR_FRAMES];
};

/* Raises. */
_Noreturn void cr_damaged(struct cr_decoder *d);

/* Takes n bytes; raises if there are fewer. */
static inline const unsigned char *cr_take(struct cr_decoder *d, uint64_t n) {
  if ((uint64_t)(d->end - d->p) < n) cr_damaged(d);
  const unsigned char *p = d->p;
  d->p += n;
  return p;
}
static inline uint64_t cr_take_number(struct cr_decoder *d, size_t size) {
  uint64_t n = 0;
  memcpy(&n, cr_take(d, size), size);
  return n;
}
static inline uint64_t cr_here(const struct cr_decoder *d) {
  return (uint64_t)(d->p - d->start);
}

/* decode_scalar.c. Pushes a number, string, boolean or nil with that tag, which
** was taken; false (and nothing taken) for other tags. */
bool cr_read_scalar(struct cr_decoder *d, unsigned tag);

/* decode_value.c. Makes the slots at `seen` if there are none. */
void cr_decode_slots(struct cr_decoder *d);
/* Reads a value: pushes it, or opens a frame for it and returns
** false. */
bool cr_decode_value(struct cr_decoder *d);
/* Pushes the value that was read at a place, or opens a frame that waits for
** it. With `upvalue` it is a function that the frame on top then joins. */
bool cr_decode_refer(struct cr_decoder *d, uint64_t place, uint8_t upvalue);
/* Notes the value on top under a key of `seen`: a place, or below 0. */
void cr_decode_note(struct cr_decoder *d, lua_Integer key);
/* Pushes the value noted for a place; false: none. */
bool cr_decode_noted(struct cr_decoder *d, uint64_t place);

/* decode_skim.c. Where the value ends that begins there and is shared; 0: there
** is none. */
uint64_t cr_decode_end_of(struct cr_decoder *d, uint64_t place);

/* decode_frame.c. Opens a frame for the value on top. */
struct cr_dframe *cr_decode_open(struct cr_decoder *d);
/* Reads on for the frame on top as far as its values are simple. True: it is
** complete, closed, and its value is on top. */
bool cr_decode_advance(struct cr_decoder *d);
/* Gives the value on top to the frame on top; result as above. */
bool cr_decode_deliver(struct cr_decoder *d);
/* Sets the metatables that had to wait. */
void cr_decode_end(struct cr_decoder *d);

#endif
