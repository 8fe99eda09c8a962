/* Bytes to Lua values: the loop over the values. See marshal.h, decoder.h. */
#include <stdlib.h>

#include "decoder.h"
#include "marshal.h"

_Noreturn void cr_damaged(struct cr_decoder *d) {
  luaL_error(d->L, "damaged message");
  abort(); /* it has not returned */
}

/* Pushes one value. */
static void decode_one(struct cr_decoder *d) {
  bool whole = cr_decode_value(d);
  for (;;) {
    while (whole && d->depth > 0) whole = cr_decode_deliver(d);
    if (whole) return;
    whole = cr_decode_value(d);
  }
}

static int decode_all(struct cr_decoder *d) {
  int n = 0;
  while (d->p < d->end) {
    luaL_checkstack(d->L, 12, "too many values in a message");
    d->slots = 0; /* the values before lie on the stack, too */
    decode_one(d);
    n++;
  }
  if (d->seen == 0) return n;
  cr_decode_end(d);
  lua_rotate(d->L, d->seen, -2);
  lua_pop(d->L, 2);
  return n;
}

static int decode_bytes(lua_State *L, const struct cr_packet *p, size_t key) {
  struct cr_decoder d;
  d.L = L;
  d.start = d.p = p->data + key;
  d.end = p->data + p->length;
  d.block = p->block;
  d.frame = d.few;
  d.depth = d.slots = d.in_class = d.later = 0;
  d.room = CR_FRAMES;
  d.budget = p->length;
  d.skimmed = false;
  d.bottom = lua_gettop(L);
  d.seen = 0;
  return decode_all(&d);
}

int cr_decode(lua_State *L, const struct cr_packet *p) {
  size_t key = p->block == NULL ? 0 : (size_t)p->block->key_length;
  if (key > p->length) return luaL_error(L, "damaged message");
  return decode_bytes(L, p, key);
}

bool cr_decode_simple(lua_State *L, const struct cr_packet *p) {
  if (p->block != NULL || p->length == 0 || p->data[0] > CR_TAG_FLOAT)
    return false;
  struct cr_decoder d;
  d.L = L;
  d.p = p->data + 1;
  d.end = p->data + p->length;
  return cr_read_scalar(&d, p->data[0]);
}
