/* seed FOLDER: messages to begin with, one file for each sample. */
#include <cluarun.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/samples.h"
#include "marshal.h"

static void save(const char *folder, int i, const struct cr_packet *p) {
  char name[4096];
  snprintf(name, sizeof name, "%s/sample-%d", folder, i);
  FILE *f = fopen(name, "wb");
  if (f == NULL || fwrite(p->data, 1, p->length, f) != p->length) {
    perror(name);
    exit(EXIT_FAILURE);
  }
  fclose(f);
}

int main(int argc, char **argv) {
  if (argc != 2) return EXIT_FAILURE;
  for (int i = 0; i < SAMPLES; i++) {
    lua_State *L = luaL_newstate();
    cluarun_openlibs(L);
    struct cr_packet p;
    if (luaL_dostring(L, samples[i]) != LUA_OK ||
        cr_encode(L, 1, lua_gettop(L), true, &p) != 0)
      return EXIT_FAILURE;
    save(argv[1], i, &p);
    cr_packet_free(&p);
    lua_close(L);
  }
  return EXIT_SUCCESS;
}
