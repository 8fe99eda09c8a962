/* Tracebacks: Lua's own text, cut where a child's part of the stack ends. */
#include <lauxlib.h>
#include <string.h>

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

/* The end of the first `lines` levels in a traceback. */
static const char *end_of(const char *text, int lines) {
  static const char tail_call[] = "\n\t(...tail calls...)";
  const char *p = strstr(text, "\nstack traceback:");
  if (p != NULL) p = strstr(p, "\n\t");
  while (p != NULL) {
    if (strncmp(p, tail_call, sizeof tail_call - 1) != 0 && lines-- == 0)
      return p;
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
  if (below == 0) return;
  const char *text = lua_tostring(L, -1);
  size_t skip = message != NULL ? strlen(message) : 0;
  const char *end = end_of(text + skip, lines > 0 ? lines : 0);
  lua_pushlstring(L, text, (size_t)(end - text));
  lua_remove(L, -2);
}

int cr_message_handler(lua_State *L) {
  const char *message = lua_tostring(L, 1);
  if (message == NULL) {
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
      return 1;
    message =
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  luaL_traceback(L, L, message, 1);
  return 1;
}
