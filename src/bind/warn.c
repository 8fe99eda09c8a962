/* Warnings, as the standard interpreter shows them: "Lua warning: text" on
** stderr, switched by the control messages @on and @off. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "state.h"

static void warn_off(void *ud, const char *message, int more);
static void warn_on(void *ud, const char *message, int more);

static bool is_control(lua_State *L, const char *message, int more) {
  if (more || message[0] != '@') return false;
  if (strcmp(message, "@off") == 0)
    lua_setwarnf(L, warn_off, L);
  else if (strcmp(message, "@on") == 0)
    lua_setwarnf(L, warn_on, L);
  return true;
}

static void warn_off(void *ud, const char *message, int more) {
  is_control(ud, message, more);
}

static void warn_rest(void *ud, const char *message, int more) {
  fputs(message, stderr);
  if (!more) fputc('\n', stderr);
  lua_setwarnf(ud, more ? warn_rest : warn_on, ud);
}

static void warn_on(void *ud, const char *message, int more) {
  if (is_control(ud, message, more)) return;
  fputs("Lua warning: ", stderr);
  warn_rest(ud, message, more);
}

void cr_warn_open(lua_State *L) {
  lua_setwarnf(L, warn_off, L);
}
