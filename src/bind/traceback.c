/* Tracebacks: Lua's own text, cut where a child's part of the stack ends, and
** without what goes on inside of our own Lua code. */
#include <lauxlib.h>
#include <string.h>

#include "object.h"
#include "state.h"

/* Levels that luaL_traceback shows of a deep stack: its ends. */
enum { NEWEST = 10, OLDEST = 11 };

int cr_stack_levels(lua_State *L) {
  lua_Debug ar;
  int known = 0, beyond = 1;
  while (lua_getstack(L, beyond, &ar)) {
    known = beyond;
    beyond *= 2;
  }
  while (known < beyond) {
    int middle = (known + beyond) / 2;
    if (lua_getstack(L, middle, &ar)) {
      known = middle + 1;
    } else {
      beyond = middle;
    }
  }
  return known;
}

/* ---- what is ours ---- */

static const char ours[] = "[cluarun]/", tail_call[] = "\t(...tail calls...)";

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

bool cr_is_ours(const lua_Debug *ar) {
  return ar->source[0] == '=' && begins(ar->source + 1, ours);
}

bool cr_is_inner(lua_State *L, int level) {
  lua_Debug ar;
  if (!lua_getstack(L, level, &ar) || !lua_getinfo(L, "S", &ar)) return false;
  if (*ar.what != 'C') return cr_is_ours(&ar);
  return lua_getstack(L, level + 1, &ar) && lua_getinfo(L, "S", &ar) &&
         cr_is_ours(&ar);
}

static const char *next_line(const char *line) {
  size_t n = strcspn(line, "\n");
  return line + n + (line[n] == '\n');
}

static bool is_our_line(const char *line) {
  return *line == '\t' && begins(line + 1, ours);
}

/* Is the level of that line, ours or in C, called by our code, be it through a
** C function such as pcall? */
static bool is_inner_line(const char *line) {
  bool our_line = is_our_line(line);
  if (!our_line && !begins(line, "\t[C]: in ")) return false;
  do line = next_line(line);
  while (begins(line, tail_call));
  return is_our_line(line) || (our_line && is_inner_line(line));
}

static char *copy_line(char *to, const char *line, size_t n) {
  const char *in = is_our_line(line) ? strstr(line, ": in ") : NULL;
  if (in != NULL && (size_t)(in - line) < n) {
    size_t name = sizeof ours - 1; /* with the tab, without the slash */
    memmove(to, line, name);
    to += name;
    n -= (size_t)(in - line);
    line = in;
  }
  memmove(to, line, n);
  return to + n;
}

size_t cr_traceback_tidy(char *text) {
  char *to = text;
  bool inner = false;
  for (const char *line = text, *next; *line != 0; line = next) {
    next = next_line(line);
    if (!begins(line, tail_call)) inner = is_inner_line(line);
    if (!inner) to = copy_line(to, line, (size_t)(next - line));
  }
  *to = 0;
  return (size_t)(to - text);
}

/* Replaces the text on top, whose first n bytes stay, by its tidy form. */
static void tidy(lua_State *L, size_t n) {
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  if (strstr(text + n, ours) == NULL) return;
  luaL_Buffer b;
  char *copy = luaL_buffinitsize(L, &b, length + 1);
  memcpy(copy, text, length + 1);
  luaL_pushresultsize(&b, n + cr_traceback_tidy(copy + n));
  lua_remove(L, -2);
}

/* ---- tracebacks ---- */

/* The end of the first `lines` levels in a traceback. */
static const char *end_of(const char *text, int lines) {
  const char *p = strstr(text, "\nstack traceback:");
  if (p != NULL) p = strstr(p, "\n\t");
  while (p != NULL) {
    if (!begins(p + 1, tail_call) && lines-- == 0) return p;
    p = strstr(p + 1, "\n\t");
  }
  return text + strlen(text);
}

void cr_traceback(lua_State *L, const char *message, int level, int below) {
  int all = cr_stack_levels(L) - level;
  int lines = all - below;
  if (all > NEWEST + OLDEST && lines > NEWEST)
    lines = NEWEST + 1 + (below < OLDEST ? OLDEST - below : 0);
  luaL_traceback(L, L, message, level);
  size_t skip = message != NULL ? strlen(message) : 0;
  if (below > 0) {
    const char *text = lua_tostring(L, -1);
    const char *end = end_of(text + skip, lines > 0 ? lines : 0);
    lua_pushlstring(L, text, (size_t)(end - text));
    lua_remove(L, -2);
  }
  tidy(L, skip);
}

int cr_message_handler(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (message == NULL) {
    bool told =
        luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING;
    if (told && cr_error_test(L, 1) < 0) return 1;
    if (!told)
      lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    message = lua_tostring(L, -1);
  }
  cr_traceback(L, message, 1, 0);
  return 1;
}
