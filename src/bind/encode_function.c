/* Functions written in Lua: their bytecode and upvalues. See encoder.h.
**
** The bytecode of a function is kept for as long as the function lives: it
** never changes, and dumping costs far more than copying.
*/
#include "encoder.h"
#include "sendenv.h"

enum { KEPT = 1 << 15 }; /* larger dumps are not kept */

struct cr_dump {
  uint64_t sum, times; /* how often it was sent since */
  unsigned char bytes[];
};

/* What an argument of note_dump points to. */
struct piece {
  const unsigned char *bytes;
  size_t length;
  uint64_t sum;
};

static int note_dump(lua_State *L) {
  const struct piece *p = lua_touserdata(L, 3);
  lua_rawgeti(L, 1, CR_ENV_DUMPS);
  lua_pushvalue(L, 2);
  struct cr_dump *d = lua_newuserdatauv(L, sizeof *d + p->length, 0);
  d->sum = p->sum;
  d->times = 0;
  memcpy(d->bytes, p->bytes, p->length);
  lua_rawset(L, -3);
  return 0;
}

static bool keep_dump(struct cr_encoder *e, struct piece *p) {
  if (p->length > KEPT) return true;
  lua_pushvalue(e->L, e->env);
  lua_pushvalue(e->L, -2);
  lua_pushlightuserdata(e->L, p);
  if (cr_env_call(e->L, e->env, note_dump, 3) == LUA_OK) return true;
  return cr_encode_failed(e);
}

static int write_dump(lua_State *L, const void *p, size_t n, void *ud) {
  struct cr_encoder *e = ud;
  (void)L;
  if (!cr_reserve(e, n)) return 1;
  cr_add(e, p, n);
  return 0;
}

/* Fills in the 16 bytes that were left in front of the dump. */
static void add_sum(struct cr_encoder *e, uint64_t start, struct piece *p) {
  unsigned char *head = cr_bytes_at(e, start);
  p->bytes = head + 16;
  p->length = (size_t)(cr_place(e) - start) - 16;
  p->sum = cr_sum(p->bytes, p->length);
  uint64_t length = p->length;
  memcpy(head, &length, 8);
  memcpy(head + 8, &p->sum, 8);
}

static bool add_new_dump(struct cr_encoder *e) {
  if (!cr_reserve(e, 16)) return false;
  uint64_t start = cr_place(e);
  cr_add(e, &(uint64_t[2]){0, 0}, 16);
  if (lua_dump(e->L, write_dump, e, 0) != 0) {
    if (e->status == 0) e->status = ENOMEM;
    return false;
  }
  struct piece p;
  add_sum(e, start, &p);
  return keep_dump(e, &p);
}

static bool add_kept_dump(struct cr_encoder *e) {
  const struct cr_dump *d = e->dump;
  size_t n = e->dump_length;
  if (!cr_reserve(e, 16 + n)) return false;
  cr_add(e, &(uint64_t){n}, 8);
  cr_add(e, &d->sum, 8);
  cr_add(e, d->bytes, n);
  return true;
}

bool cr_encode_is_usual(struct cr_encoder *e) {
  lua_rawgeti(e->L, e->env, CR_ENV_DUMPS);
  lua_pushvalue(e->L, -2);
  lua_rawget(e->L, -2);
  struct cr_dump *d = lua_touserdata(e->L, -1);
  e->dump = d;
  if (d != NULL) e->dump_length = (size_t)lua_rawlen(e->L, -1) - sizeof *d;
  lua_pop(e->L, 2);
  return d != NULL && ++d->times > 16 && d->times % 16 != 0;
}

bool cr_encode_function(struct cr_encoder *e, uint64_t at) {
  struct cr_frame *f = cr_encode_open(e, at);
  if (f == NULL) return false;
  f->doing = f->done = CR_DOING_UPVALUES;
  lua_Debug ar;
  lua_pushvalue(e->L, -1);
  lua_getinfo(e->L, ">u", &ar);
  if (!cr_reserve(e, 2)) return false;
  cr_add_tag(e, CR_TAG_FUNCTION);
  cr_add(e, &ar.nups, 1);
  return e->dump == NULL ? add_new_dump(e) : add_kept_dump(e);
}

/* Globals are not shared by way of an upvalue: every receiver has its own. */
static bool is_env(const struct cr_encoder *e, const char *name) {
  return lua_topointer(e->L, -1) == e->globals &&
         (strcmp(name, "_ENV") == 0 || *name == '(');
}

/* The first function that has it writes its value, the others refer to it there.
** If that is a function that nobody can read, they are as good as without. */
bool cr_encode_upvalue(struct cr_encoder *e) {
  struct cr_frame *f = &e->frame[e->depth - 1];
  int n = (int)++f->list;
  const char *name = lua_getupvalue(e->L, f->base, n);
  if (name == NULL) return cr_encode_close(e);
  if (is_env(e, name)) return cr_encode_value(e);
  void *id = lua_upvalueid(e->L, f->base, n);
  struct cr_seen_entry *s = cr_encode_seen(e, id);
  if (s == NULL) return false;
  if (s->kind == 0 || cr_encode_is_tainted(e, s->at)) {
    s->kind = CR_SEEN_UPVALUE;
    s->at = f->at;
    s->extra = (uint16_t)n;
    return cr_encode_value(e);
  }
  lua_pop(e->L, 1);
  if (e->classes > 0 && !cr_encode_edge(e, s->at)) return false;
  if (!cr_reserve(e, 10)) return false;
  *cr_bytes_at(e, s->at) |= CR_TAG_SHARED;
  cr_add_tag(e, CR_TAG_UPVALUE);
  cr_add(e, &s->at, 8);
  cr_add(e, &(uint8_t){(uint8_t)s->extra}, 1);
  return true;
}
