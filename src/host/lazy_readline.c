/* Loading readline. See lazy_readline.h. */
#include "lazy_readline.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The version whose header this was compiled with. */
#define TEXT(number) #number
#define LIBRARY_OF(major) "libreadline.so." TEXT(major)

struct lazy_readline lazy_readline;

static const struct {
  const char *name;
  size_t place;
} names[] = {
#define ENTRY(name) {#name, offsetof(struct lazy_readline, name)},
    READLINE_NAMES(ENTRY)
#undef ENTRY
};

const char *lazy_readline_load(void) {
  static void *library;
  if (library != NULL) return NULL;
  void *opened = dlopen(LIBRARY_OF(RL_VERSION_MAJOR), RTLD_NOW);
  if (opened == NULL) return dlerror();
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *address = dlsym(opened, names[i].name);
    if (address == NULL) return dlerror();
    memcpy((char *)&lazy_readline + names[i].place, &address, sizeof address);
  }
  library = opened;
  return NULL;
}
