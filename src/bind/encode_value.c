/* Values with parts: what the encoder does where it meets one. See encoder.h.
*/
#include <stdlib.h>

#include "classes.h"
#include "encoder.h"
#include "object.h"
#include "sendenv.h"

enum {
  SLOTS = 24, /* of the Lua stack for one frame */
  AHEAD = 4   /* room is made for so many frames at once */
};

struct cr_seen_entry *cr_encode_seen(struct cr_encoder *e, const void *p) {
  struct cr_seen_entry *s = cr_seen_at(&e->seen, p);
  if (s == NULL) e->status = ENOMEM;
  return s;
}

bool cr_encode_room(struct cr_encoder *e) {
  if (!lua_checkstack(e->L, 32 + AHEAD * SLOTS)) return false;
  e->slots = e->depth + AHEAD;
  return true;
}

struct cr_frame *cr_encode_open(struct cr_encoder *e, uint64_t at) {
  if (e->depth == e->room) {
    uint32_t n = e->room ? 2 * e->room : 32;
    struct cr_frame *p = realloc(e->frame, n * sizeof *p);
    if (p == NULL) {
      e->status = ENOMEM;
      return NULL;
    }
    e->frame = p;
    e->room = n;
  }
  if (e->depth == e->slots && !cr_encode_room(e)) {
    cr_encode_fail(e, "a value nested too deeply");
    return NULL;
  }
  if (e->classes > 0 && !cr_encode_edge(e, at)) return NULL;
  struct cr_frame *f = &e->frame[e->depth++];
  *f = (struct cr_frame){.at = at, .base = lua_gettop(e->L)};
  return f;
}

bool cr_encode_close(struct cr_encoder *e) {
  struct cr_frame *f = &e->frame[--e->depth];
  lua_settop(e->L, f->base - 1);
  if (!f->is_class || --e->classes > 0) return true;
  return cr_encode_taint_settle(e);
}

bool cr_encode_refer(struct cr_encoder *e, struct cr_seen_entry *s) {
  bool leads = e->classes > 0 && s->kind != CR_SEEN_CLASS;
  if (leads && !cr_encode_edge(e, s->at)) return false;
  if (!cr_reserve(e, 9)) return false;
  *cr_bytes_at(e, s->at) |= CR_TAG_SHARED;
  cr_add_tag(e, CR_TAG_REFER);
  cr_add(e, &s->at, 8);
  return true;
}

/* May it be referred to here? Else it is written once more, outside of classes:
** that says what in it cannot travel, and where. */
static bool is_known(const struct cr_encoder *e,
                     const struct cr_seen_entry *s) {
  if (s->kind == 0) return false;
  return e->classes > 0 || !cr_encode_is_tainted(e, s->at);
}

static bool refer(struct cr_encoder *e, struct cr_seen_entry *s) {
  lua_pop(e->L, 1);
  return cr_encode_refer(e, s);
}

/* Names. */

/* Pops the name on top and the value below it. */
static bool add_name(struct cr_encoder *e, struct cr_seen_entry *s) {
  size_t n;
  const char *name = lua_tolstring(e->L, -1, &n);
  if (!cr_reserve(e, n + 3)) return false;
  s->at = cr_place(e);
  s->kind = CR_SEEN_CLASS;
  cr_add_tag(e, CR_TAG_NAME);
  cr_add(e, &(uint16_t){(uint16_t)n}, 2);
  cr_add(e, name, n);
  lua_pop(e->L, 2);
  return true;
}

static int name_of(struct cr_encoder *e, enum cr_name_kind kind) {
  int r = cr_name_of(e->L, &e->names, lua_gettop(e->L), kind);
  if (r < 0) cr_encode_failed(e);
  return r;
}

static bool add_globals(struct cr_encoder *e) {
  lua_pop(e->L, 1);
  if (!cr_reserve(e, 1)) return false;
  cr_add_tag(e, CR_TAG_GLOBALS);
  return true;
}

/* Tables. */

/* A raw field of the table at index t whose name lies in the environment. */
static int raw_field(struct cr_encoder *e, int t, enum cr_env name) {
  t = lua_absindex(e->L, t);
  lua_rawgeti(e->L, e->env, name);
  return lua_rawget(e->L, t);
}

static bool has_index(struct cr_encoder *e) {
  lua_pushvalue(e->L, e->index);
  bool has = lua_rawget(e->L, -2) != LUA_TNIL;
  lua_pop(e->L, 1);
  return has;
}

static bool is_wanted(const struct cr_encoder *e, const void *p) {
  return e->wanted.count > 0 && cr_seen_find(&e->wanted, p) != NULL;
}

enum owner { NO_OWNER, AN_OWNER, FORBIDS };

/* The metatable of the table on top. One whose __transfer is false belongs to a
** type (written in Lua) whose objects stay where they are. */
static enum owner owner_of(struct cr_encoder *e) {
  if (!lua_getmetatable(e->L, -1)) return NO_OWNER;
  bool stay = raw_field(e, -1, CR_ENV_TRANSFER) == LUA_TBOOLEAN &&
              !lua_toboolean(e->L, -1);
  lua_pop(e->L, 2);
  return stay ? FORBIDS : AN_OWNER;
}

/* Opens the frame of the table on top and writes its head. */
static bool open_table(struct cr_encoder *e, uint64_t at, enum owner owner,
                       bool is_class) {
  bool owned = owner != NO_OWNER;
  struct cr_frame *f = cr_encode_open(e, at);
  if (f == NULL) return false;
  f->owned = owned;
  f->is_class = is_class;
  if (is_class) e->classes++;
  f->doing = CR_DOING_LIST;
  if (!cr_reserve(e, 9)) return false;
  cr_add_tag(e, owned ? CR_TAG_OWNED : CR_TAG_TABLE);
  f->counts = cr_place(e);
  cr_add(e, &(uint64_t){0}, 8);
  lua_pushnil(e->L);
  return true;
}

bool cr_encode_open_slice(struct cr_encoder *e) {
  if (!open_table(e, cr_place(e), NO_OWNER, false)) return false;
  lua_pop(e->L, 1); /* no key */
  e->frame[e->depth - 1].doing = CR_DOING_SLICE;
  return true;
}

static bool encode_table(struct cr_encoder *e) {
  const void *p = lua_topointer(e->L, -1);
  if (p == e->globals) return add_globals(e);
  struct cr_seen_entry *s = cr_encode_seen(e, p);
  if (s == NULL) return false;
  if (is_known(e, s)) return refer(e, s);
  if (cr_name_possible(&e->names, p)) {
    int named = name_of(e, CR_NAME_TABLE);
    if (named != 0) return named > 0 && add_name(e, s);
  }
  if (has_index(e) || is_wanted(e, p)) return cr_encode_class(e);
  enum owner owner = owner_of(e);
  if (owner == FORBIDS) return cr_encode_refuse_value(e);
  s->kind = CR_SEEN_PLAIN;
  s->at = cr_place(e);
  return open_table(e, s->at, owner, false);
}

/* Classes. */

/* A table that was written as plain turns out to be a metatable: everything is
** to be written again. */
static bool want(struct cr_encoder *e, const void *p) {
  e->again = true;
  lua_pop(e->L, 1);
  if (cr_seen_at(&e->wanted, p) != NULL) return true;
  e->status = ENOMEM;
  return false;
}

/* Writes identity and name (which is on top if `named`, and popped). */
static bool add_class(struct cr_encoder *e, const struct cr_class *c,
                      bool named, bool *in_module) {
  size_t n = 0;
  const char *name = named ? lua_tolstring(e->L, -1, &n) : "";
  *in_module = named && cr_name_in_module((const unsigned char *)name, n);
  if (!cr_reserve(e, 1 + sizeof *c + 2 + n + 8)) return false;
  cr_add_tag(e, CR_TAG_CLASS);
  cr_add(e, c, sizeof *c);
  cr_add(e, &(uint16_t){(uint16_t)n}, 2);
  cr_add(e, name, n);
  cr_add(e, &(uint64_t){0}, 8);
  lua_pop(e->L, named);
  return true;
}

bool cr_encode_class(struct cr_encoder *e) {
  const void *p = lua_topointer(e->L, -1);
  if (p == e->globals) return add_globals(e);
  struct cr_seen_entry *s = cr_encode_seen(e, p);
  if (s == NULL) return false;
  if (s->kind == CR_SEEN_CLASS) return refer(e, s);
  if (s->kind != 0) return want(e, p);
  enum owner owner = owner_of(e);
  if (owner == FORBIDS) return cr_encode_refuse_value(e);
  s->kind = CR_SEEN_CLASS;
  s->at = cr_place(e);
  uint64_t at = s->at;
  struct cr_class c;
  if (!cr_class_of(e->L, e->env, lua_gettop(e->L), &c))
    return cr_encode_failed(e);
  int named = name_of(e, CR_NAME_CLASS);
  bool in_module;
  if (named < 0 || !add_class(e, &c, named > 0, &in_module)) return false;
  if (!in_module) return open_table(e, at, owner, true);
  lua_pop(e->L, 1);
  return true;
}

/* Other types. */

static bool encode_function(struct cr_encoder *e) {
  struct cr_seen_entry *s = cr_encode_seen(e, lua_topointer(e->L, -1));
  if (s == NULL) return false;
  if (is_known(e, s)) return refer(e, s);
  e->names.trusted = cr_encode_is_usual(e);
  int named = name_of(e, CR_NAME_FUNCTION);
  e->names.trusted = false;
  if (named != 0) return named > 0 && add_name(e, s);
  if (lua_iscfunction(e->L, -1))
    return cr_encode_refuse(e, "a C function without a name");
  s->kind = CR_SEEN_PLAIN;
  s->at = cr_place(e);
  return cr_encode_function(e, s->at);
}

/* Sees to it that the message has it in its list. */
static bool note_object(struct cr_encoder *e, struct cr_seen_entry *s,
                        struct cr_block *block) {
  if (s->kind != 0) return true;
  int64_t n = cr_writer_object(&e->w, block);
  if (n < 0) {
    e->status = ENOMEM;
    return false;
  }
  s->kind = CR_SEEN_OBJECT;
  s->at = (uint64_t)n;
  return true;
}

static bool encode_object(struct cr_encoder *e, struct cr_object *o) {
  if (o->block == NULL) return cr_encode_refuse_value(e);
  struct cr_seen_entry *s = cr_encode_seen(e, o->block);
  if (s == NULL || !note_object(e, s, o->block) || !cr_reserve(e, 5))
    return false;
  cr_add_tag(e, CR_TAG_OBJECT);
  cr_add(e, &(uint32_t){(uint32_t)s->at}, 4);
  lua_pop(e->L, 1);
  return true;
}

static bool encode_error(struct cr_encoder *e, enum cr_error which) {
  size_t n = 0;
  const char *text = cr_error_text(e->L, -1, &n);
  if (!cr_reserve(e, 5 + n)) return false;
  if (text == NULL) {
    cr_add_tag(e, CR_TAG_ERROR);
    cr_add(e, &(uint8_t){(uint8_t)which}, 1);
  } else {
    cr_add_tag(e, CR_TAG_LOST);
    cr_add(e, &(uint32_t){(uint32_t)n}, 4);
    cr_add(e, text, n);
  }
  lua_pop(e->L, 1);
  return true;
}

static bool encode_userdata(struct cr_encoder *e) {
  struct cr_object *o = cr_object_test(e->L, -1);
  if (o != NULL) return encode_object(e, o);
  int which = cr_error_test(e->L, -1);
  if (which >= 0) return encode_error(e, (enum cr_error)which);
  return cr_encode_refuse_value(e);
}

bool cr_encode_value(struct cr_encoder *e) {
  switch (lua_type(e->L, -1)) {
    case LUA_TTABLE: return encode_table(e);
    case LUA_TFUNCTION: return encode_function(e);
    case LUA_TUSERDATA: return encode_userdata(e);
    case LUA_TTHREAD:
    case LUA_TLIGHTUSERDATA: return cr_encode_refuse_value(e);
    default:
      if (cr_encode_scalar(e, -1) == CR_FAILED) return false;
      lua_pop(e->L, 1);
      return true;
  }
}
