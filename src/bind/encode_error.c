/* What cannot travel, and where it lies. See encoder.h. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "encoder.h"
#include "object.h"
#include "sendenv.h"

/* Text that is cut off where its room ends. */
struct text {
  char *p, *end;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t,
                                                      const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(t->p, (size_t)(t->end - t->p), format, args);
  va_end(args);
  if (n < 0) return;
  t->p = n < t->end - t->p ? t->p + n : t->end - 1;
}

static bool is_identifier(const char *s, size_t n) {
  if (n == 0 || n > 60 || isdigit((unsigned char)s[0])) return false;
  for (size_t i = 0; i < n; i++)
    if (!isalnum((unsigned char)s[i]) && s[i] != '_') return false;
  return true;
}

static void add_string_key(struct text *t, const char *s, size_t n) {
  if (is_identifier(s, n)) {
    add(t, ".%s", s);
    return;
  }
  add(t, "[\"");
  for (size_t i = 0; i < n && i < 40; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\')
      add(t, "\\%c", c);
    else if (c < 32 || c == 127)
      add(t, "\\%03u", c);
    else
      add(t, "%c", c);
  }
  add(t, n > 40 ? "...\"]" : "\"]");
}

static void add_key(struct text *t, lua_State *L, int i) {
  size_t n;
  switch (lua_type(L, i)) {
    case LUA_TSTRING: {
      const char *s = lua_tolstring(L, i, &n);
      add_string_key(t, s, n);
      break;
    }
    case LUA_TNUMBER:
      if (lua_isinteger(L, i))
        add(t, "[" LUA_INTEGER_FMT "]", lua_tointegerx(L, i, NULL));
      else
        add(t, "[" LUA_NUMBER_FMT "]", lua_tonumberx(L, i, NULL));
      break;
    case LUA_TBOOLEAN:
      add(t, "[%s]", lua_toboolean(L, i) ? "true" : "false");
      break;
    default: add(t, "[%s]", lua_typename(L, lua_type(L, i))); break;
  }
}

/* What the frame is at. */
static void add_step(struct cr_encoder *e, struct text *t, uint32_t i,
                     bool first) {
  const struct cr_frame *f = &e->frame[i];
  const char *comma = first ? "" : ", ";
  switch (f->done) {
    case CR_DOING_LIST: add(t, "[%u]", f->list); break;
    case CR_DOING_KEY: add(t, "%sa key", comma); break;
    case CR_DOING_VALUE: add_key(t, e->L, f->base + 1); break;
    case CR_DOING_OWNER: add(t, "%smetatable", comma); break;
    default: {
      const char *name = lua_getupvalue(e->L, f->base, (int)f->list);
      add(t, "%supvalue '%.60s'", comma, name);
      lua_pop(e->L, 1);
      break;
    }
  }
}

enum {
  SHOWN = 12,   /* steps at most, at either end of a long path */
  LONGEST = 200 /* bytes of a step */
};

static size_t step_length(struct cr_encoder *e, uint32_t i) {
  char step[LONGEST];
  struct text t = {step, step + sizeof step};
  add_step(e, &t, i, false);
  return (size_t)(t.p - step);
}

/* The first of the last steps, as many as there is room for. */
static uint32_t last_steps(struct cr_encoder *e, size_t room) {
  uint32_t i = e->depth;
  while (i > 0 && e->depth - i < SHOWN) {
    size_t n = step_length(e, i - 1);
    if (n > room) break;
    room -= n;
    i--;
  }
  return i;
}

/* The steps where it ends matter most: the last ones get two thirds of the room,
** the first ones what they leave. */
static void add_path(struct cr_encoder *e, struct text *t) {
  const char *start = t->p, *gap = " ... ";
  if (e->values > 1) add(t, "[%d]", e->value);
  size_t room = (size_t)(t->end - t->p);
  uint32_t i = 0, last = last_steps(e, room * 2 / 3);
  room -= strlen(gap) + 1;
  for (uint32_t k = last; k < e->depth; k++) room -= step_length(e, k);
  for (; i < last && i < SHOWN; i++) {
    size_t n = step_length(e, i);
    if (n > room) break;
    room -= n;
    add_step(e, t, i, t->p == start);
  }
  if (i < last) {
    add(t, "%s", gap);
    start = t->p;
  }
  for (i = last; i < e->depth; i++) add_step(e, t, i, t->p == start);
}

static void describe(struct cr_encoder *e, const char *what) {
  struct text t = {e->message, e->message + sizeof e->message};
  add(&t, "cannot send %s", what);
  if (e->depth == 0 && e->values <= 1) return;
  t.end--;
  add(&t, " (at ");
  add_path(e, &t);
  t.end++;
  add(&t, ")");
}

void cr_encode_fail(struct cr_encoder *e, const char *what) {
  describe(e, what);
  e->status = EINVAL;
}

bool cr_encode_failed(struct cr_encoder *e) {
  e->pushed = true;
  e->status = EINVAL;
  return false;
}

bool cr_encode_refuse(struct cr_encoder *e, const char *what) {
  if (!e->refused) describe(e, what);
  if (e->classes == 0) e->refused = true;
  lua_pop(e->L, 1);
  uint32_t n = (uint32_t)strlen(e->message);
  if (e->classes > 0 && !cr_encode_taint(e)) return false;
  if (!cr_reserve(e, 5 + n)) return false;
  cr_add_tag(e, CR_TAG_REFUSED);
  cr_add(e, &n, 4);
  cr_add(e, e->message, n);
  return true;
}

/* "a file", "an AsyncResult": by the __name of its metatable. */
static void name_type(struct cr_encoder *e, char *out, size_t room,
                      const char *adjective) {
  lua_State *L = e->L;
  int top = lua_gettop(L);
  const char *name = lua_typename(L, lua_type(L, top));
  if (lua_getmetatable(L, top)) {
    lua_rawgeti(L, e->env, CR_ENV_NAME);
    if (lua_rawget(L, -2) == LUA_TSTRING) name = lua_tostring(L, -1);
  }
  if (strcmp(name, "FILE*") == 0) name = "file";
  bool vowel = *adjective == 0 && strchr("AEIOUaeio", name[0]) != NULL;
  snprintf(out, room, "%s %s%.80s", vowel ? "an" : "a", adjective, name);
  lua_settop(L, top);
}

bool cr_encode_refuse_value(struct cr_encoder *e) {
  char what[100];
  switch (lua_type(e->L, -1)) {
    case LUA_TTHREAD: return cr_encode_refuse(e, "a coroutine");
    case LUA_TLIGHTUSERDATA: return cr_encode_refuse(e, "a light userdata");
    default:
      name_type(e, what, sizeof what,
                cr_object_test(e->L, -1) != NULL ? "closed " : "");
      return cr_encode_refuse(e, what);
  }
}
