/* Reading values with parts. See decoder.h. */
#include <limits.h>

#include "decoder.h"
#include "names.h"
#include "object.h"

/* The slots lie below all values, which move up. */
void cr_decode_slots(struct cr_decoder *d) {
  if (d->seen != 0) return;
  lua_pushnil(d->L);
  lua_pushnil(d->L);
  d->seen = d->bottom + 1;
  lua_rotate(d->L, d->seen, 2);
  for (uint32_t i = 0; i < d->depth; i++) d->frame[i].base += 2;
}

bool cr_decode_noted(struct cr_decoder *d, uint64_t place) {
  lua_State *L = d->L;
  if (d->seen == 0 || lua_isnil(L, d->seen)) return false;
  if (lua_rawgeti(L, d->seen, (lua_Integer)place) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

void cr_decode_note(struct cr_decoder *d, lua_Integer key) {
  lua_State *L = d->L;
  cr_decode_slots(d);
  if (lua_isnil(L, d->seen)) {
    lua_newtable(L);
    lua_replace(L, d->seen);
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, d->seen, key);
}

bool cr_decode_refer(struct cr_decoder *d, uint64_t place, uint8_t upvalue) {
  uint64_t back = cr_here(d);
  if (place >= back) cr_damaged(d);
  if (cr_decode_noted(d, place)) return true;
  if (cr_decode_end_of(d, place) == 0) cr_damaged(d);
  struct cr_dframe *f = cr_decode_open(d);
  f->awaits = CR_AWAITS_REFERRED;
  f->back = back;
  f->upvalue = upvalue;
  d->p = d->start + place;
  return false;
}

/* A frame for the value on top; `shared`: others may refer to it. */
static struct cr_dframe *open_shared(struct cr_decoder *d, uint64_t place,
                                     bool shared) {
  if (shared) cr_decode_note(d, (lua_Integer)place);
  return cr_decode_open(d);
}

/* Tables. */

static int within(struct cr_decoder *d, uint64_t n) {
  if (n > d->budget || n > INT_MAX) return 0;
  d->budget -= n;
  return (int)n;
}

static struct cr_dframe *open_table(struct cr_decoder *d, uint64_t place,
                                    unsigned tag, bool shared) {
  uint32_t list = (uint32_t)cr_take_number(d, 4);
  uint32_t pairs = (uint32_t)cr_take_number(d, 4);
  uint64_t left = (uint64_t)(d->end - d->p);
  if (list > left || pairs > (left - list) / 2) cr_damaged(d);
  lua_createtable(d->L, within(d, list), within(d, pairs));
  struct cr_dframe *f = open_shared(d, place, shared);
  f->awaits = CR_AWAITS_ELEMENT;
  f->list = list;
  f->pairs = pairs;
  f->owned = tag == CR_TAG_OWNED;
  return f;
}

/* Names and classes. */

struct name {
  const unsigned char *bytes;
  size_t length;
};

static struct name take_name(struct cr_decoder *d) {
  struct name n;
  n.length = (size_t)cr_take_number(d, 2);
  n.bytes = cr_take(d, n.length);
  if (n.length > 0 && !cr_name_valid(n.bytes, n.length)) cr_damaged(d);
  return n;
}

static void push_name(struct cr_decoder *d) {
  struct name n = take_name(d);
  if (n.length == 0) cr_damaged(d);
  cr_name_push(d->L, n.bytes, n.length, true);
}

/* Pushes this process's own table for a class, if it has one. */
static bool push_own(struct cr_decoder *d, const struct cr_class *c,
                     struct name n) {
  if (n.length > 0) {
    cr_name_push(d->L, n.bytes, n.length, false);
    if (lua_istable(d->L, -1)) return true;
    lua_pop(d->L, 1);
  }
  return cr_class_push(d->L, c);
}

static bool open_class(struct cr_decoder *d, uint64_t place,
                       const struct cr_class *c, uint64_t end, bool shared) {
  unsigned tag = *cr_take(d, 1);
  if (tag != CR_TAG_TABLE && tag != CR_TAG_OWNED) cr_damaged(d);
  struct cr_dframe *f = open_table(d, place, tag, shared);
  f->is_class = true;
  f->identity = *c;
  f->end = end;
  f->outer = d->in_class;
  d->in_class = d->depth;
  return cr_decode_advance(d);
}

static bool read_class(struct cr_decoder *d, uint64_t place, bool shared) {
  struct cr_class c;
  memcpy(&c, cr_take(d, sizeof c), sizeof c);
  struct name n = take_name(d);
  uint64_t length = cr_take_number(d, 8);
  if (length > (uint64_t)(d->end - d->p)) cr_damaged(d);
  if (push_own(d, &c, n)) {
    d->p += length;
  } else if (length > 0) {
    return open_class(d, place, &c, cr_here(d) + length, shared);
  } else {
    if (n.length == 0) cr_damaged(d);
    cr_name_push(d->L, n.bytes, n.length, true);
  }
  if (shared) cr_decode_note(d, (lua_Integer)place);
  return true;
}

/* Functions. */

struct chunk {
  const unsigned char *p;
  size_t n;
};

static const char *give_chunk(lua_State *L, void *ud, size_t *n) {
  struct chunk *c = ud;
  (void)L;
  *n = c->n;
  c->n = 0;
  return (const char *)c->p;
}

static bool read_function(struct cr_decoder *d, uint64_t place, bool shared) {
  lua_State *L = d->L;
  unsigned upvalues = *cr_take(d, 1);
  uint64_t n = cr_take_number(d, 8), sum = cr_take_number(d, 8);
  struct chunk c = {cr_take(d, n), (size_t)n};
  if (cr_sum(c.p, c.n) != sum) cr_damaged(d);
  int status = lua_load(L, give_chunk, &c, "=?", "b");
  if (status == LUA_ERRMEM) lua_error(L);
  if (status != LUA_OK) cr_damaged(d);
  lua_Debug ar;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">u", &ar);
  if (ar.nups != upvalues) cr_damaged(d);
  struct cr_dframe *f = open_shared(d, place, shared);
  f->awaits = CR_AWAITS_UPVALUE;
  f->list = upvalues;
  return cr_decode_advance(d);
}

/* Others. */

static void push_object(struct cr_decoder *d) {
  uint32_t i = (uint32_t)cr_take_number(d, 4);
  struct cr_message *m = d->block;
  if (m == NULL || i >= atomic_load(&m->objects) || m->object[i] == NULL)
    cr_damaged(d);
  cr_object_push_shared(d->L, m->object[i]);
}

static void push_error(struct cr_decoder *d) {
  unsigned which = *cr_take(d, 1);
  if (which >= CR_ERRORS) cr_damaged(d);
  cr_push_error(d->L, (enum cr_error)which);
}

static const char *push_text(struct cr_decoder *d) {
  uint64_t n = cr_take_number(d, 4);
  return lua_pushlstring(d->L, (const char *)cr_take(d, n), (size_t)n);
}

/* A value that is complete as soon as it is read. */
static void push_simple(struct cr_decoder *d, unsigned tag) {
  switch (tag) {
    case CR_TAG_NAME: push_name(d); break;
    case CR_TAG_GLOBALS:
      lua_rawgeti(d->L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
      break;
    case CR_TAG_OBJECT: push_object(d); break;
    case CR_TAG_ERROR: push_error(d); break;
    case CR_TAG_LOST:
      push_text(d);
      cr_push_worker_lost(d->L);
      break;
    case CR_TAG_REFUSED:
      luaL_error(d->L, "cannot receive a copy of a class: %s", push_text(d));
      break;
    default:
      if (!cr_read_scalar(d, tag)) cr_damaged(d);
      break;
  }
}

/* One that was read for a reference before: pushes it and goes past it. */
static bool pass_noted(struct cr_decoder *d, uint64_t place) {
  if (!cr_decode_noted(d, place)) return false;
  d->p = d->start + cr_decode_end_of(d, place);
  return true;
}

bool cr_decode_value(struct cr_decoder *d) {
  uint64_t place = cr_here(d);
  unsigned tag = *cr_take(d, 1);
  bool shared = tag & CR_TAG_SHARED;
  tag &= ~(unsigned)CR_TAG_SHARED;
  if (!shared && cr_read_scalar(d, tag)) return true;
  if (shared && d->skimmed && pass_noted(d, place)) return true;
  switch (tag) {
    case CR_TAG_TABLE:
    case CR_TAG_OWNED:
      open_table(d, place, tag, shared);
      return cr_decode_advance(d);
    case CR_TAG_CLASS: return read_class(d, place, shared);
    case CR_TAG_FUNCTION: return read_function(d, place, shared);
    case CR_TAG_REFER:
      if (shared) cr_damaged(d); /* else it could refer to itself */
      return cr_decode_refer(d, cr_take_number(d, 8), 0);
    default: push_simple(d, tag); break;
  }
  if (shared) cr_decode_note(d, (lua_Integer)place);
  return true;
}
