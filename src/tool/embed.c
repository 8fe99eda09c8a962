/* embed FILE.lua...: the chunks of the files, compiled, as C source on standard
** output: an array of bytes for each, and the table of them for embed.c.
**
** Runs when cluarun is built, linked with the same Lua as cluarun. The debug
** information stays in: errors shall name their line.
*/
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

static void embed(lua_State *L, const char *file) {
  if (luaL_loadfilex(L, file, "t") != LUA_OK) {
    fprintf(stderr, "embed: %s\n", lua_tostring(L, -1));
    exit(EXIT_FAILURE);
  }
  size_t column = 0;
  printf("static const unsigned char lua_%s[] = {\n", push_name(L, file));
  lua_insert(L, -2);
  lua_dump(L, write_bytes, &column, 0);
  printf("};\n");
  lua_pop(L, 2);
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
