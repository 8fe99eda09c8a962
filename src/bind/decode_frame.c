/* Filling tables and functions. See decoder.h. */
#include "decoder.h"

enum {
  SLOTS = 12, /* of the Lua stack for one frame */
  AHEAD = 4   /* room is made for so many frames at once */
};

static void make_slots(struct cr_decoder *d) {
  luaL_checkstack(d->L, AHEAD * SLOTS, "message nested too deeply");
  d->slots = d->depth + AHEAD;
}

static void make_room(struct cr_decoder *d) {
  size_t size = d->room * sizeof *d->frame;
  cr_decode_slots(d);
  void *p = lua_newuserdatauv(d->L, 2 * size, 0);
  memcpy(p, d->frame, size);
  lua_replace(d->L, d->seen + 1);
  d->frame = p;
  d->room *= 2;
}

struct cr_dframe *cr_decode_open(struct cr_decoder *d) {
  if (d->depth == d->slots) make_slots(d);
  if (d->depth == d->room) make_room(d);
  struct cr_dframe *f = &d->frame[d->depth++];
  memset(f, 0, sizeof *f);
  f->base = lua_gettop(d->L);
  return f;
}

/* Is the value on top a class whose contents are still being read? */
static bool is_unfinished(struct cr_decoder *d) {
  for (uint32_t i = d->in_class; i > 0; i = d->frame[i - 1].outer)
    if (lua_rawequal(d->L, -1, d->frame[i - 1].base)) return true;
  return false;
}

/* Sets the metatable (on top) of the frame's table. One that is not complete
** has to wait: its __gc counts only if it is there when it is set. */
static void set_owner(struct cr_decoder *d, struct cr_dframe *f) {
  lua_State *L = d->L;
  if (!lua_istable(L, -1)) cr_damaged(d);
  if (!is_unfinished(d)) {
    lua_setmetatable(L, f->base);
    return;
  }
  cr_decode_note(d, -1 - 2 * (lua_Integer)d->later);
  lua_pushvalue(L, f->base);
  cr_decode_note(d, -2 - 2 * (lua_Integer)d->later);
  lua_pop(L, 2);
  d->later++;
}

void cr_decode_end(struct cr_decoder *d) {
  lua_State *L = d->L;
  for (lua_Integer i = 0; i < d->later; i++) {
    lua_rawgeti(L, d->seen, -2 - 2 * i);
    lua_rawgeti(L, d->seen, -1 - 2 * i);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
  }
}

/* The frame is complete: leaves its value on top. */
static bool close_frame(struct cr_decoder *d) {
  struct cr_dframe f = d->frame[--d->depth];
  if (f.is_class) {
    if (cr_here(d) != f.end) cr_damaged(d);
    d->in_class = f.outer;
    cr_class_set(d->L, &f.identity);
  }
  return true;
}

/* Takes the next tag if it is that of a scalar, and pushes its value. */
static bool take_scalar(struct cr_decoder *d) {
  unsigned tag = *cr_take(d, 1);
  if (cr_read_scalar(d, tag)) return true;
  d->p--;
  return false;
}

/* Takes the next tag if it is that of a scalar, and pushes that as a key, which
** must not be nil or NaN. */
static bool take_key(struct cr_decoder *d) {
  unsigned tag = d->p < d->end ? *d->p : CR_TAG_NIL;
  if (tag == CR_TAG_NIL) cr_damaged(d);
  if (!take_scalar(d)) return false;
  if (tag == CR_TAG_FLOAT && !lua_rawequal(d->L, -1, -1)) cr_damaged(d);
  return true;
}

static void check_key(struct cr_decoder *d) {
  lua_State *L = d->L;
  if (lua_isnil(L, -1)) cr_damaged(d);
  if (lua_type(L, -1) == LUA_TNUMBER && !lua_rawequal(L, -1, -1)) cr_damaged(d);
}

static bool advance_list(struct cr_decoder *d, struct cr_dframe *f) {
  while (f->got < f->list) {
    if (!take_scalar(d)) return false;
    lua_rawseti(d->L, f->base, ++f->got);
  }
  f->awaits = CR_AWAITS_KEY;
  return true;
}

static bool advance_pairs(struct cr_decoder *d, struct cr_dframe *f) {
  for (; f->pairs > 0; f->pairs--) {
    if (f->awaits == CR_AWAITS_KEY) {
      if (!take_key(d)) return false;
      f->awaits = CR_AWAITS_VALUE;
    }
    if (!take_scalar(d)) return false;
    lua_rawset(d->L, f->base);
    f->awaits = CR_AWAITS_KEY;
  }
  return true;
}

/* Makes the upvalue in work the one of the function on top, and pops that. */
static void join(struct cr_decoder *d, struct cr_dframe *f, uint8_t upvalue) {
  lua_State *L = d->L;
  if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1) ||
      lua_upvalueid(L, -1, upvalue) == NULL)
    cr_damaged(d);
  lua_upvaluejoin(L, f->base, (int)++f->got, -1, upvalue);
  lua_pop(L, 1);
}

/* Upvalues shared with a function that was read before. */
static bool advance_upvalues(struct cr_decoder *d) {
  for (;;) {
    struct cr_dframe *f = &d->frame[d->depth - 1];
    if (f->got == f->list) return true;
    if (*cr_take(d, 1) != CR_TAG_UPVALUE) {
      d->p--;
      return false;
    }
    uint64_t place = cr_take_number(d, 8);
    uint8_t n = *cr_take(d, 1);
    if (!cr_decode_refer(d, place, n)) return false;
    join(d, f, n);
  }
}

bool cr_decode_advance(struct cr_decoder *d) {
  struct cr_dframe *f = &d->frame[d->depth - 1];
  if (f->awaits == CR_AWAITS_REFERRED) return false;
  if (f->awaits == CR_AWAITS_UPVALUE)
    return advance_upvalues(d) && close_frame(d);
  if (f->awaits == CR_AWAITS_ELEMENT && !advance_list(d, f)) return false;
  if (f->awaits != CR_AWAITS_OWNER) {
    if (!advance_pairs(d, f)) return false;
    if (f->owned) {
      f->awaits = CR_AWAITS_OWNER;
      return false;
    }
  }
  return close_frame(d);
}

static void deliver_upvalue(struct cr_decoder *d, struct cr_dframe *f) {
  if (lua_setupvalue(d->L, f->base, (int)++f->got) == NULL) cr_damaged(d);
}

/* A reference is resolved: reading goes on behind it. */
static bool deliver_referred(struct cr_decoder *d, struct cr_dframe *f) {
  uint8_t upvalue = f->upvalue;
  d->p = d->start + f->back;
  d->depth--;
  if (upvalue == 0) return true;
  join(d, &d->frame[d->depth - 1], upvalue);
  return cr_decode_advance(d);
}

bool cr_decode_deliver(struct cr_decoder *d) {
  struct cr_dframe *f = &d->frame[d->depth - 1];
  switch (f->awaits) {
    case CR_AWAITS_ELEMENT: lua_rawseti(d->L, f->base, ++f->got); break;
    case CR_AWAITS_KEY:
      check_key(d);
      f->awaits = CR_AWAITS_VALUE;
      break;
    case CR_AWAITS_VALUE:
      lua_rawset(d->L, f->base);
      f->awaits = CR_AWAITS_KEY;
      f->pairs--;
      break;
    case CR_AWAITS_OWNER: set_owner(d, f); return close_frame(d);
    case CR_AWAITS_UPVALUE: deliver_upvalue(d, f); break;
    default: return deliver_referred(d, f);
  }
  return cr_decode_advance(d);
}
