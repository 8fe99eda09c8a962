/* Shows the target each input that is kept for it, once. One that it does not
** survive ends the program. */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>

#include "fuzz.h"
#include "lib/tap.h"

#define CORPUS "tests/fuzz/corpus/" TARGET

static void show(const char *file) {
  char name[sizeof CORPUS + NAME_MAX + 1];
  snprintf(name, sizeof name, CORPUS "/%s", file);
  FILE *f = fopen(name, "rb");
  if (f == NULL || fseek(f, 0, SEEK_END) != 0) abort();
  size_t n = (size_t)ftell(f);
  rewind(f);
  uint8_t *data = malloc(n); /* of just that size: reading on shows */
  if (fread(data, 1, n, f) != n) abort();
  fclose(f);
  LLVMFuzzerTestOneInput(data, n);
  free(data);
}

static int is_file(const struct dirent *e) {
  return e->d_name[0] != '.';
}

int main(void) {
  struct dirent **file;
  int n = scandir(CORPUS, &file, is_file, alphasort);
  ok(n > 0, "there are inputs for " TARGET);
  for (int i = 0; i < n; i++) {
    show(file[i]->d_name);
    free(file[i]);
  }
  if (n > 0) free(file);
  ok(true, "none of %d did harm", n);
  return tap_end();
}
