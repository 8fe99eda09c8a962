/* Where values end. See decoder.h.
**
** A reference into a class that was skipped has a value read from there. In it
** may lie others that were read for earlier references, and again in theirs: so
** that each is read once, it must be known where they end. It is found out when
** the first such reference comes; most messages have none.
*/
#include "decoder.h"

/* A value whose parts are being passed over. */
struct part {
  uint64_t place;
  uint64_t left;  /* parts yet to come */
  uint64_t close; /* class: where its contents end, else 0 */
  bool shared;
};

/* Those that are open. Their memory lies on top of the Lua stack. */
struct skim {
  struct part *part;
  size_t depth, room;
};

static const lua_Integer ends = (lua_Integer)1 << 62; /* their keys in `seen` */

static void open_part(struct cr_decoder *d, struct skim *s, struct part p) {
  if (s->depth == s->room) {
    size_t n = s->room ? 2 * s->room : 32;
    struct part *more = lua_newuserdatauv(d->L, n * sizeof *more, 0);
    if (s->depth > 0) memcpy(more, s->part, s->depth * sizeof *more);
    lua_replace(d->L, -2);
    s->part = more;
    s->room = n;
  }
  s->part[s->depth++] = p;
}

static void close_part(struct cr_decoder *d, struct skim *s) {
  const struct part *p = &s->part[--s->depth];
  uint64_t end = cr_here(d);
  if (p->close != 0 && p->close != end) cr_damaged(d);
  if (p->shared) {
    lua_pushinteger(d->L, (lua_Integer)end);
    cr_decode_note(d, ends + (lua_Integer)p->place);
    lua_pop(d->L, 1);
  }
  if (s->depth > 0) s->part[s->depth - 1].left--;
}

static uint64_t table_parts(struct cr_decoder *d, unsigned tag) {
  uint64_t list = cr_take_number(d, 4), pairs = cr_take_number(d, 4);
  return list + 2 * pairs + (tag == CR_TAG_OWNED);
}

/* The functions below take what comes in front of the parts of a value, and set
** how many these are. */

static void take_class(struct cr_decoder *d, struct part *p) {
  cr_take(d, sizeof(struct cr_class));
  cr_take(d, cr_take_number(d, 2));
  uint64_t length = cr_take_number(d, 8);
  if (length == 0) return;
  if (length > (uint64_t)(d->end - d->p)) cr_damaged(d);
  p->close = cr_here(d) + length;
  unsigned tag = *cr_take(d, 1);
  if (tag != CR_TAG_TABLE && tag != CR_TAG_OWNED) cr_damaged(d);
  p->left = table_parts(d, tag);
}

static void take_function(struct cr_decoder *d, struct part *p) {
  p->left = *cr_take(d, 1);
  uint64_t length = cr_take_number(d, 8);
  cr_take(d, 8);
  cr_take(d, length);
}

static void take_head(struct cr_decoder *d, unsigned tag, struct part *p) {
  switch (tag) {
    case CR_TAG_NIL:
    case CR_TAG_FALSE:
    case CR_TAG_TRUE:
    case CR_TAG_GLOBALS: break;
    case CR_TAG_INT1:
    case CR_TAG_ERROR: cr_take(d, 1); break;
    case CR_TAG_INT4:
    case CR_TAG_OBJECT: cr_take(d, 4); break;
    case CR_TAG_INT8:
    case CR_TAG_FLOAT:
    case CR_TAG_REFER: cr_take(d, 8); break;
    case CR_TAG_UPVALUE: cr_take(d, 9); break;
    case CR_TAG_STR1: cr_take(d, cr_take_number(d, 1)); break;
    case CR_TAG_NAME: cr_take(d, cr_take_number(d, 2)); break;
    case CR_TAG_STR4:
    case CR_TAG_LOST:
    case CR_TAG_REFUSED: cr_take(d, cr_take_number(d, 4)); break;
    case CR_TAG_STR8: cr_take(d, cr_take_number(d, 8)); break;
    case CR_TAG_TABLE:
    case CR_TAG_OWNED: p->left = table_parts(d, tag); break;
    case CR_TAG_CLASS: take_class(d, p); break;
    case CR_TAG_FUNCTION: take_function(d, p); break;
    default: cr_damaged(d);
  }
}

static void skim(struct cr_decoder *d) {
  struct skim s = {NULL, 0, 0};
  const unsigned char *back = d->p;
  luaL_checkstack(d->L, 8, NULL);
  cr_decode_slots(d);
  lua_pushnil(d->L);
  d->p = d->start;
  while (d->p < d->end || s.depth > 0) {
    struct part p = {.place = cr_here(d)};
    unsigned tag = *cr_take(d, 1);
    p.shared = tag & CR_TAG_SHARED;
    take_head(d, tag & ~(unsigned)CR_TAG_SHARED, &p);
    open_part(d, &s, p);
    while (s.depth > 0 && s.part[s.depth - 1].left == 0) close_part(d, &s);
  }
  lua_pop(d->L, 1);
  d->p = back;
  d->skimmed = true;
}

uint64_t cr_decode_end_of(struct cr_decoder *d, uint64_t place) {
  if (!d->skimmed) skim(d);
  if (!cr_decode_noted(d, (uint64_t)ends + place)) return 0;
  uint64_t end = (uint64_t)lua_tointeger(d->L, -1);
  lua_pop(d->L, 1);
  return end;
}
