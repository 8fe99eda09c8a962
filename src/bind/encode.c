/* Lua values to bytes: the walk over the values. See marshal.h, encoder.h. */
#include "marshal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "encoder.h"
#include "object.h"
#include "sendenv.h"

static _Thread_local struct cr_encoder *self;
static pthread_key_t self_key;
static pthread_once_t self_once = PTHREAD_ONCE_INIT;

static void encoder_free(void *p) {
  struct cr_encoder *e = p;
  cr_seen_free(&e->seen);
  cr_seen_free(&e->tainted);
  cr_seen_free(&e->wanted);
  free(e->edge);
  free(e->frame);
  free(e);
  self = NULL;
}

static void make_key(void) {
  pthread_key_create(&self_key, encoder_free);
}

/* The calling thread's encoder; NULL: out of memory. */
static struct cr_encoder *encoder_self(void) {
  if (self != NULL) return self;
  pthread_once(&self_once, make_key);
  struct cr_encoder *e = calloc(1, sizeof *e);
  if (e == NULL || pthread_setspecific(self_key, e) != 0) {
    free(e);
    return NULL;
  }
  return self = e;
}

/* Tables. */

/* A class says how long its contents are, so that they can be skipped. */
static bool end_table(struct cr_encoder *e, struct cr_frame *f) {
  if (f->is_class) {
    uint64_t start = f->counts - 1, length = cr_place(e) - start;
    memcpy(cr_bytes_at(e, start - 8), &length, 8);
  }
  return cr_encode_close(e);
}

static bool close_table(struct cr_encoder *e, struct cr_frame *f) {
  uint32_t counts[2] = {f->list, f->pairs};
  memcpy(cr_bytes_at(e, f->counts), counts, sizeof counts);
  if (!f->owned) return end_table(e, f);
  f->doing = CR_DOING_CLOSE;
  f->done = CR_DOING_OWNER;
  lua_getmetatable(e->L, f->base);
  return cr_encode_class(e);
}

/* Writes the key of the pair on the stack, or pushes it if it has parts. */
static enum cr_outcome write_key(struct cr_encoder *e, struct cr_frame *f) {
  f->pairs++;
  f->done = CR_DOING_KEY;
  f->doing = CR_DOING_VALUE;
  enum cr_outcome r = cr_encode_scalar(e, -2);
  if (r == CR_HAS_PARTS) lua_pushvalue(e->L, -2);
  return r;
}

/* Writes the value on top and pops it, or leaves it if it has parts. */
static enum cr_outcome write_value(struct cr_encoder *e, struct cr_frame *f) {
  f->done = CR_DOING_VALUE;
  f->doing = CR_DOING_NEXT;
  enum cr_outcome r = cr_encode_scalar(e, -1);
  if (r == CR_DONE) lua_pop(e->L, 1);
  return r;
}

/* The pairs up to one that has parts (which is then on top), from the value of
** the one in work or from the next one on. */
static bool step_pairs(struct cr_encoder *e, struct cr_frame *f) {
  enum cr_outcome r = CR_DONE;
  if (f->doing == CR_DOING_KEY) r = write_key(e, f);
  if (r == CR_DONE && f->doing == CR_DOING_VALUE) r = write_value(e, f);
  while (r == CR_DONE) {
    if (!lua_next(e->L, f->base)) return close_table(e, f);
    r = write_key(e, f);
    if (r == CR_DONE) r = write_value(e, f);
  }
  return r == CR_HAS_PARTS && cr_encode_value(e);
}

enum { HOLE = 64 };

/* Is the key of the pair on the stack one of the list, be it after a hole? Not
** after a large one, for the length of a table may be any number after which it
** has nothing. */
static bool is_element(lua_State *L, const struct cr_frame *f) {
  if (!lua_isinteger(L, -2)) return false;
  lua_Integer key = lua_tointegerx(L, -2, NULL),
              next = (lua_Integer)f->list + 1;
  lua_Integer most = HOLE + f->list / 2;
  return key == next || (key > next && key - next <= most &&
                         (lua_Unsigned)key <= lua_rawlen(L, f->base));
}

/* Holes are elements, too: so the copy has the same length as the list. */
static bool fill_hole(struct cr_encoder *e, struct cr_frame *f) {
  lua_Integer key = lua_tointegerx(e->L, -2, NULL);
  if (key == (lua_Integer)f->list + 1) return true;
  lua_pushnil(e->L);
  while (f->list + 1 < key) {
    if (cr_encode_scalar(e, -1) != CR_DONE) return false;
    f->list++;
  }
  lua_pop(e->L, 1);
  return true;
}

/* Elements from 1 on come first in the order of lua_next if they lie in the
** array part; all others are pairs. */
static bool step_list(struct cr_encoder *e, struct cr_frame *f) {
  lua_State *L = e->L;
  f->done = CR_DOING_LIST;
  for (;;) {
    if (!lua_next(L, f->base)) return close_table(e, f);
    if (!is_element(L, f)) break;
    if (!fill_hole(e, f)) return false;
    f->list++;
    enum cr_outcome r = cr_encode_scalar(e, -1);
    if (r != CR_DONE) return r == CR_HAS_PARTS && cr_encode_value(e);
    lua_pop(L, 1);
  }
  f->doing = CR_DOING_KEY;
  return step_pairs(e, f);
}

static bool step_slice(struct cr_encoder *e, struct cr_frame *f) {
  f->done = CR_DOING_LIST;
  while (f->list < e->slice.n) {
    lua_rawgeti(e->L, f->base, e->slice.at + ++f->list);
    enum cr_outcome r = cr_encode_scalar(e, -1);
    if (r != CR_DONE) return r == CR_HAS_PARTS && cr_encode_value(e);
    lua_pop(e->L, 1);
  }
  return close_table(e, f);
}

static bool step(struct cr_encoder *e) {
  struct cr_frame *f = &e->frame[e->depth - 1];
  switch (f->doing) {
    case CR_DOING_LIST: return step_list(e, f);
    case CR_DOING_SLICE: return step_slice(e, f);
    case CR_DOING_NEXT:
    case CR_DOING_KEY:
    case CR_DOING_VALUE: return step_pairs(e, f);
    case CR_DOING_UPVALUES: return cr_encode_upvalue(e);
    default: return end_table(e, f);
  }
}

/* Messages. */

static void forget_seen(struct cr_encoder *e) {
  cr_seen_clear(&e->seen);
  cr_encode_taint_begin(e);
}

/* What is needed as soon as a value has parts. What is pushed here stays below
** the values until the message is complete. */
static bool prepare(struct cr_encoder *e) {
  if (!cr_encode_room(e)) {
    snprintf(e->message, sizeof e->message, "stack overflow");
    e->status = EINVAL;
    return false;
  }
  cr_seen_clear(&e->wanted);
  forget_seen(e);
  cr_env_push(e->L);
  e->env = lua_gettop(e->L);
  lua_rawgeti(e->L, e->env, CR_ENV_INDEX);
  e->index = e->env + 1;
  cr_names_begin(e->L, &e->names, e->env);
  lua_rawgeti(e->L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  e->globals = lua_topointer(e->L, -1);
  return true;
}

static bool take_all_steps(struct cr_encoder *e) {
  while (e->depth > 0)
    if (!step(e)) return false;
  return true;
}

static bool encode_parts(struct cr_encoder *e, int i) {
  if (e->env == 0 && !prepare(e)) return false;
  lua_pushvalue(e->L, i);
  return cr_encode_value(e) && take_all_steps(e);
}

static bool encode_slice(struct cr_encoder *e) {
  if (e->env == 0 && !prepare(e)) return false;
  e->value = e->values + 1;
  lua_pushvalue(e->L, e->slice.list);
  return cr_encode_open_slice(e) && take_all_steps(e);
}

static bool encode_all(struct cr_encoder *e, int first) {
  for (int i = 0; i < e->values; i++) {
    e->value = i + 1;
    enum cr_outcome r = cr_encode_scalar(e, first + i);
    if (r == CR_FAILED) return false;
    if (r == CR_HAS_PARTS && !encode_parts(e, first + i)) return false;
  }
  return e->slice.n == 0 || encode_slice(e);
}

/* Names that were found late, or a metatable that was taken for a mere table:
** the values are written once more. */
static bool encode_until_settled(struct cr_encoder *e, int first) {
  bool had_names = false;
  for (;;) {
    if (!encode_all(e, first)) return false;
    if (e->names.rebuilt && !had_names)
      had_names = true;
    else if (!e->again)
      break;
    e->again = e->refused = false;
    e->w.p = e->w.start + e->start;
    e->w.objects = 0;
    forget_seen(e);
  }
  if (e->refused) e->status = EINVAL;
  return !e->refused;
}

/* Cleans up after a failure; leaves the message on top of the old stack. */
static int fail(struct cr_encoder *e, int top) {
  lua_State *L = e->L;
  cr_writer_close(&e->w);
  if (e->pushed) {
    lua_insert(L, top + 1);
    lua_settop(L, top + 1);
  } else {
    lua_settop(L, top);
    if (e->status == EINVAL) lua_pushstring(L, e->message);
  }
  return e->status;
}

static struct cr_encoder *begin(lua_State *L, int n, struct cr_slice slice) {
  struct cr_encoder *e = encoder_self();
  if (e == NULL) return NULL;
  e->L = L;
  e->slice = slice;
  e->depth = e->classes = 0;
  e->start = 0;
  e->env = e->status = 0;
  e->values = n;
  e->pushed = e->again = e->refused = e->names.rebuilt = false;
  cr_writer_open(&e->w);
  return e;
}

static int finish(struct cr_encoder *e, bool good, int top, bool block,
                  struct cr_packet *out) {
  if (!good) return fail(e, top);
  lua_settop(e->L, top);
  return cr_writer_finish(&e->w, block, out);
}

static const struct cr_slice no_slice;

static int encode_once(lua_State *L, int first, int n, struct cr_slice slice,
                       bool block, struct cr_packet *out) {
  int top = lua_gettop(L);
  struct cr_encoder *e = begin(L, n, slice);
  if (e == NULL) return ENOMEM;
  bool good = encode_until_settled(e, lua_absindex(L, first));
  return finish(e, good, top, block, out);
}

int cr_encode(lua_State *L, int first, int n, bool block,
              struct cr_packet *out) {
  int64_t took = 0;
  int err;
  do err = encode_once(L, first, n, no_slice, block, out);
  while (err == ENOMEM && cr_reclaim(L, &took));
  return err;
}

int cr_encode_slice(lua_State *L, int first, int n, struct cr_slice slice,
                    struct cr_packet *out) {
  int64_t took = 0;
  int err;
  slice.list = lua_absindex(L, slice.list);
  do err = encode_once(L, first, n, slice, false, out);
  while (err == ENOMEM && cr_reclaim(L, &took));
  return err;
}

static int prioritised_once(lua_State *L, int index, struct cr_packet *out) {
  int top = lua_gettop(L);
  struct cr_encoder *e = begin(L, 1, no_slice);
  if (e == NULL) return ENOMEM;
  index = lua_absindex(L, index);
  bool good = cr_encode_key(e, index);
  e->start = (uint64_t)(e->w.p - e->w.start);
  good = good && encode_until_settled(e, index);
  int err = finish(e, good, top, true, out);
  if (err == 0) out->block->key_length = e->start;
  return err;
}

int cr_encode_prioritised(lua_State *L, int index, struct cr_packet *out) {
  int64_t took = 0;
  int err;
  do err = prioritised_once(L, index, out);
  while (err == ENOMEM && cr_reclaim(L, &took));
  return err;
}
