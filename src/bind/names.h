/* Names of values that both ends of a message have: loaded modules, what lies
** in them, globals, and the methods of our types and of files.
**
** A name is a module ("_G" for the globals) and up to two fields, each a byte
** of length and the bytes; a method's is "", the name of the type's metatable in
** the registry, and the method. Only raw access is used.
*/
#ifndef CR_NAMES_H
#define CR_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include <stdint.h>

#include <lua.h>

#include "futex.h"

/* requirelib.c: counts the modules that require has loaded. */
extern cr_word cr_modules_loaded;

/* The addresses of the tables that had a name when the names were taken, in a
** hash table. Most tables have none, and this shows it without asking Lua. */
struct cr_named {
  size_t mask;      /* capacity - 1 */
  uint32_t modules; /* cr_modules_loaded at that time */
  const void *table[];
};

/* What a value wants a name for: tables that are no classes only have one if
** they are modules; Lua functions only if they lie in a module. */
enum cr_name_kind { CR_NAME_TABLE, CR_NAME_FUNCTION, CR_NAME_CLASS };

/* One message's view: whether the state's modules are still those that the names
** were taken from is looked at once a message. */
struct cr_names {
  int env;                      /* stack index of the environment table */
  const struct cr_named *named; /* NULL: names were never taken */
  bool compared, rebuilt;
  bool trusted; /* do not compare for the next one */
};

/* Begins a message; env is the environment's stack index. */
void cr_names_begin(lua_State *L, struct cr_names *n, int env);

static inline size_t cr_named_slot(const struct cr_named *n, const void *p) {
  return (size_t)((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u >> 24) & n->mask;
}

/* Can cr_name_of find a name of kind CR_NAME_TABLE for the table at p? Yes, too,
** when modules have been required since the names were taken; what was put into
** package.loaded by hand is found when a function or a class is sent. */
static inline bool cr_name_possible(const struct cr_names *n, const void *p) {
  if (n->named == NULL) return true;
  size_t i = cr_named_slot(n->named, p);
  while (n->named->table[i] != NULL && n->named->table[i] != p)
    i = (i + 1) & n->named->mask;
  return n->named->table[i] != NULL;
}

/* Looks for the name of the value at stack index i. Returns 1 and pushes the
** name, 0: none (nothing pushed), -1: error (message pushed). Needs 12 free
** stack slots, runs no Lua code. */
int cr_name_of(lua_State *L, struct cr_names *n, int i, enum cr_name_kind kind);

/* Is it the name of a module (other than _G) or of what lies in one? */
bool cr_name_in_module(const unsigned char *name, size_t length);

/* Is that a well-formed name? */
bool cr_name_valid(const unsigned char *name, size_t length);

/* Pushes the value with that name, or nil, as far as its module is loaded.
** With `require` the module is loaded first, and a missing value is an error.
** Raises. */
void cr_name_push(lua_State *L, const unsigned char *name, size_t length,
                  bool require);

#endif
