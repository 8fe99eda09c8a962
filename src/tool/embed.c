/* embed FILE.lua...: the chunks of the files, compiled, as C source on standard
** output: an array of bytes for each, and the table of them for embed.c.
**
** Runs when cluarun is built, linked with the same Lua as cluarun. The debug
** information stays in: errors shall name their line. No script can have the name
** that a chunk has there, "[cluarun]/main.lua".
*/
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_LINE = 16 };

static int write_bytes(lua_State *L, const void *bytes, size_t n, void *ud) {
  (void)L;
  const unsigned char *p = bytes;
  size_t *column = ud;
  for (size_t i = 0; i < n; i++)
    printf("%u,%s", p[i], ++*column % IN_LINE == 0 ? "\n" : "");
  return 0;
}

/* "lua/main.lua" is main. */
static const char *push_name(lua_State *L, const char *file) {
  const char *slash = strrchr(file, '/');
  const char *name = slash != NULL ? slash + 1 : file;
  const char *dot = strrchr(name, '.');
  return lua_pushlstring(L, name,
                         dot != NULL ? (size_t)(dot - name) : strlen(name));
}

static _Noreturn void fail(const char *file, const char *why) {
  fprintf(stderr, "embed: %s: %s\n", file, why);
  exit(EXIT_FAILURE);
}

static void push_text(lua_State *L, const char *file) {
  luaL_Buffer b;
  size_t n;
  FILE *f = fopen(file, "r");
  if (f == NULL) fail(file, strerror(errno));
  luaL_buffinit(L, &b);
  while ((n = fread(luaL_prepbuffer(&b), 1, LUAL_BUFFERSIZE, f)) > 0)
    luaL_addsize(&b, n);
  if (ferror(f)) fail(file, "cannot be read");
  fclose(f);
  luaL_pushresult(&b);
}

static void embed(lua_State *L, const char *file) {
  size_t length;
  push_text(L, file);
  const char *text = lua_tolstring(L, -1, &length);
  const char *chunk =
      lua_pushfstring(L, "=[cluarun]/%s.lua", push_name(L, file));
  if (luaL_loadbufferx(L, text, length, chunk, "t") != LUA_OK)
    fail(file, lua_tostring(L, -1));
  size_t column = 0;
  printf("static const unsigned char lua_%s[] = {\n", push_name(L, file));
  lua_pushvalue(L, -2);
  lua_dump(L, write_bytes, &column, 0);
  printf("};\n");
  lua_settop(L, 0);
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  if (L == NULL) return EXIT_FAILURE;
  for (int i = 1; i < argc; i++) embed(L, argv[i]);
  printf("static const struct embedded embedded[] = {\n");
  for (int i = 1; i < argc; i++) {
    const char *name = push_name(L, argv[i]);
    printf("{\"%s\", lua_%s, sizeof lua_%s},\n", name, name, name);
    lua_pop(L, 1);
  }
  printf("};\n");
  lua_close(L);
  return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
