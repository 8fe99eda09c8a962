/* Names of values that both ends of a message have. See names.h.
**
** The reverse table maps a value to an entry {name, module, field, field}. It
** is rebuilt when an entry no longer holds, or when a value has none and the
** modules and globals are not those it was built from. A method of one of our
** types is noted when it is first sent; its module is "".
*/
#include "names.h"

#include <string.h>

#include <lauxlib.h>

#include "registry.h"
#include "sendenv.h"

enum { PARTS = 3, WIDEST = 1000 }; /* larger tables are data, not libraries */

/* Rebuilding. Stack: 1 environment, 2 new table, 3 package.loaded, then. */

/* Can the key at index i be part of a name? */
static bool nameable(lua_State *L, int i) {
  if (lua_type(L, i) != LUA_TSTRING) return false;
  size_t n = lua_rawlen(L, i);
  return n > 0 && n <= 255;
}

/* Notes the value on top under the n keys at the stack indices key[]. */
static void note(lua_State *L, const int *key, int n) {
  if (!lua_istable(L, -1) && !lua_isfunction(L, -1)) return;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, 2) != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_createtable(L, n + 1, 0);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; i < n; i++) {
    size_t length;
    const char *s = lua_tolstring(L, key[i], &length);
    luaL_addchar(&b, (char)length);
    luaL_addlstring(&b, s, length);
  }
  luaL_pushresult(&b);
  lua_rawseti(L, -2, 1);
  for (int i = 0; i < n; i++) {
    lua_pushvalue(L, key[i]);
    lua_rawseti(L, -2, i + 2);
  }
  lua_rawset(L, 2);
}

/* Notes what lies `depth` levels below the table on top; key[0..n-1] lead to
** it. */
static void note_fields(lua_State *L, int *key, int n, int depth) {
  int left = WIDEST;
  luaL_checkstack(L, 12, NULL);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (n > 1 && left-- == 0) {
      lua_pop(L, 2);
      return;
    }
    if (!nameable(L, -2)) continue;
    key[n] = lua_gettop(L) - 1;
    if (depth == 1)
      note(L, key, n + 1);
    else if (lua_istable(L, -1))
      note_fields(L, key, n + 1, depth - 1);
  }
}

static bool is_globals(lua_State *L, int i) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  bool same = lua_rawequal(L, i, -1);
  lua_pop(L, 1);
  return same;
}

/* Notes the values `depth` fields deep in modules (or in the globals). */
static void note_modules(lua_State *L, bool globals, int depth) {
  int key[PARTS];
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
    if (!nameable(L, -2) || is_globals(L, lua_gettop(L)) != globals) continue;
    key[0] = lua_gettop(L) - 1;
    if (depth == 0)
      note(L, key, 1);
    else if (lua_istable(L, -1))
      note_fields(L, key, 1, depth);
  }
}

/* A number that changes when a module or a global that is a table or function
** comes, goes or is replaced. */
static lua_Integer fingerprint(lua_State *L, int t) {
  uint64_t sum = 1;
  for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) {
    if (!lua_istable(L, -1) && !lua_isfunction(L, -1)) continue;
    uint64_t k = (uint64_t)(uintptr_t)lua_topointer(L, -2);
    uint64_t v = (uint64_t)(uintptr_t)lua_topointer(L, -1);
    sum += (k * 31) ^ v;
  }
  return (lua_Integer)(sum | 1);
}

/* Has it changed since the table was built? */
static bool has_changed(lua_State *L, int env, enum cr_env print) {
  lua_rawgeti(L, env, print);
  lua_Integer before = lua_tointegerx(L, -1, NULL);
  if (print == CR_ENV_MODULES)
    lua_rawgeti(L, env, CR_ENV_LOADED);
  else
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  bool changed = fingerprint(L, lua_gettop(L)) != before;
  lua_pop(L, 2);
  return changed;
}

static void set_print(lua_State *L, enum cr_env print) {
  lua_pushinteger(L, fingerprint(L, lua_gettop(L)));
  lua_rawseti(L, 1, print);
  lua_pop(L, 1);
}

static size_t count_tables(lua_State *L, int t) {
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, t); lua_pop(L, 1)) n += lua_istable(L, -2);
  return n;
}

/* Notes the addresses of the tables in the new table. */
static void note_addresses(lua_State *L) {
  size_t room = 64, n = count_tables(L, 2);
  while (room < 4 * n) room *= 2;
  size_t size = sizeof(struct cr_named) + room * sizeof(void *);
  struct cr_named *s = lua_newuserdatauv(L, size, 0);
  memset(s, 0, size);
  s->mask = room - 1;
  s->modules = atomic_load(&cr_modules_loaded);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    if (!lua_istable(L, -2)) continue;
    const void *p = lua_topointer(L, -2);
    size_t i = cr_named_slot(s, p);
    while (s->table[i] != NULL) i = (i + 1) & s->mask;
    s->table[i] = p;
  }
  lua_rawseti(L, 1, CR_ENV_NAMED);
}

static int rebuild(lua_State *L) {
  cr_new_weak(L, "k");
  lua_rawgeti(L, 1, CR_ENV_LOADED);
  for (int depth = 0; depth < PARTS; depth++) note_modules(L, false, depth);
  for (int depth = 0; depth < PARTS; depth++) note_modules(L, true, depth);
  lua_settop(L, 2);
  note_addresses(L);
  lua_rawseti(L, 1, CR_ENV_NAMES);
  lua_rawgeti(L, 1, CR_ENV_LOADED);
  set_print(L, CR_ENV_MODULES);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  set_print(L, CR_ENV_GLOBALS);
  return 0;
}

/* Remembers that the class (2) has no name, and how often it was sought. */
static int note_nameless(lua_State *L) {
  lua_rawgeti(L, 1, CR_ENV_NAMES);
  lua_pushvalue(L, 2);
  lua_pushinteger(L, 0);
  lua_rawset(L, -3);
  return 0;
}

/* Methods. */

/* Is the key at index i of the registry the name of a type whose methods every
** process has? */
static bool is_type(lua_State *L, int i) {
  if (!nameable(L, i)) return false;
  const char *s = lua_tostring(L, i);
  return strncmp(s, "cluarun.", 8) == 0 || strcmp(s, LUA_FILEHANDLE) == 0;
}

/* Replaces a type's name on top by the table of its methods, or something that
** is none. */
static void push_methods(lua_State *L, int env) {
  lua_rawget(L, LUA_REGISTRYINDEX);
  if (!lua_istable(L, -1)) return;
  lua_rawgeti(L, env, CR_ENV_INDEX);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  /* A function that looks for fields first has it as its upvalue. */
  if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) != NULL)
    lua_remove(L, -2);
}

/* Pushes the key of the value at index i in the table on top. */
static bool push_key(lua_State *L, int i) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    bool same = lua_rawequal(L, -1, i);
    lua_pop(L, 1);
    if (same && nameable(L, -1)) return true;
  }
  return false;
}

/* Notes the function, the second argument, if it is a method. */
static int note_method(lua_State *L) {
  enum { NAMES = 2, FUNCTION, MODULE, TYPE };
  lua_rawgeti(L, 1, CR_ENV_NAMES);
  lua_insert(L, NAMES);
  lua_pushliteral(L, "");
  for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_settop(L, TYPE)) {
    if (!is_type(L, TYPE)) continue;
    lua_pushvalue(L, TYPE);
    push_methods(L, 1);
    if (!lua_istable(L, -1) || !push_key(L, FUNCTION)) continue;
    int key[PARTS] = {MODULE, TYPE, lua_gettop(L)};
    lua_pushvalue(L, FUNCTION);
    note(L, key, PARTS);
    return 0;
  }
  return 0;
}

/* Looking at all globals costs as much as a small message: a class that stays
** without a name is looked for often at first, then now and then. Allocates
** nothing, as the key exists. */
static bool is_due(lua_State *L, int env, int i) {
  lua_rawgeti(L, env, CR_ENV_NAMES);
  lua_pushvalue(L, i);
  lua_rawget(L, -2);
  lua_Integer n = lua_tointegerx(L, -1, NULL) + 1;
  lua_pop(L, 1);
  lua_pushvalue(L, i);
  lua_pushinteger(L, n);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return n <= 16 || n % 16 == 0;
}

/* Looking up. */

/* Does the entry on top still lead to the value at index i? */
static bool holds(lua_State *L, int env, int i) {
  int entry = lua_gettop(L), n = (int)lua_rawlen(L, entry), k = 2;
  lua_rawgeti(L, entry, k);
  if (lua_rawlen(L, -1) == 0) {
    lua_rawgeti(L, entry, k + 1);
    push_methods(L, env);
    k += 2;
  } else {
    lua_rawgeti(L, env, CR_ENV_LOADED);
  }
  for (; k <= n && lua_istable(L, -1); k++) {
    lua_rawgeti(L, entry, k);
    lua_rawget(L, -2);
    lua_remove(L, -2);
  }
  bool same = lua_rawequal(L, -1, i);
  lua_settop(L, entry);
  return same;
}

/* Is the entry on top a name that a value of that kind travels by? */
static bool allowed(lua_State *L, int i, enum cr_name_kind kind) {
  int n = (int)lua_rawlen(L, -1);
  if (kind == CR_NAME_CLASS) return true;
  if (kind == CR_NAME_TABLE) return n == 2;
  if (lua_iscfunction(L, i)) return true;
  lua_rawgeti(L, -1, 1);
  size_t length;
  const char *name = lua_tolstring(L, -1, &length);
  bool module = cr_name_in_module((const unsigned char *)name, length);
  lua_pop(L, 1);
  return module;
}

enum found { NAMED, NAMELESS, UNKNOWN, STALE };

/* On NAMED the name is pushed. NAMELESS: it was sought before in vain. */
static enum found look_up(lua_State *L, int env, int i,
                          enum cr_name_kind kind) {
  lua_rawgeti(L, env, CR_ENV_NAMES);
  lua_pushvalue(L, i);
  int type = lua_rawget(L, -2);
  lua_remove(L, -2);
  enum found r = type == LUA_TNUMBER ? NAMELESS : UNKNOWN;
  if (type == LUA_TTABLE && !holds(L, env, i)) r = STALE;
  if (type == LUA_TTABLE && r != STALE) {
    if (allowed(L, i, kind)) {
      lua_rawgeti(L, -1, 1);
      lua_remove(L, -2);
      return NAMED;
    }
    r = NAMELESS;
  }
  lua_pop(L, 1);
  return r;
}

/* The same; a C function that is not known may be a method. That is looked for
** before the table is built again for its sake, which would forget the methods
** that it has. False: error (message pushed). */
static bool look_for(lua_State *L, struct cr_names *n, int i,
                     enum cr_name_kind kind, enum found *r) {
  *r = look_up(L, n->env, i, kind);
  if (*r != UNKNOWN || kind != CR_NAME_FUNCTION || !lua_iscfunction(L, i) ||
      (n->named == NULL && !n->rebuilt))
    return true;
  lua_pushvalue(L, n->env);
  lua_pushvalue(L, i);
  if (cr_env_call(L, n->env, note_method, 2) != LUA_OK) return false;
  *r = look_up(L, n->env, i, kind);
  return true;
}

/* Is it worth building the table again for a value that was not found? */
static bool outdated(lua_State *L, struct cr_names *n, int i, enum found r,
                     enum cr_name_kind kind) {
  if (n->rebuilt) return false;
  if (r == STALE) return true;
  if (n->named == NULL) return true;
  if (kind == CR_NAME_TABLE) return false;
  if (r == UNKNOWN && (kind == CR_NAME_CLASS || lua_iscfunction(L, i)))
    return true;
  if (kind == CR_NAME_CLASS)
    return is_due(L, n->env, i) && (has_changed(L, n->env, CR_ENV_GLOBALS) ||
                                    has_changed(L, n->env, CR_ENV_MODULES));
  if (n->compared || n->trusted) return false;
  n->compared = true;
  return has_changed(L, n->env, CR_ENV_MODULES);
}

static void fetch_named(lua_State *L, struct cr_names *n) {
  lua_rawgeti(L, n->env, CR_ENV_NAMED);
  const struct cr_named *named = lua_touserdata(L, -1);
  lua_pop(L, 1);
  bool good =
      named != NULL && named->modules == atomic_load(&cr_modules_loaded);
  n->named = good ? named : NULL;
}

void cr_names_begin(lua_State *L, struct cr_names *n, int env) {
  *n = (struct cr_names){.env = env};
  fetch_named(L, n);
}

int cr_name_of(lua_State *L, struct cr_names *n, int i,
               enum cr_name_kind kind) {
  enum found r;
  if (!look_for(L, n, i, kind, &r)) return -1;
  if (r == NAMED) return 1;
  if (outdated(L, n, i, r, kind)) {
    n->rebuilt = true;
    lua_pushvalue(L, n->env);
    if (cr_env_call(L, n->env, rebuild, 1) != LUA_OK) return -1;
    fetch_named(L, n);
    if (!look_for(L, n, i, kind, &r)) return -1;
    if (r == NAMED) return 1;
  }
  if (r != UNKNOWN || kind != CR_NAME_CLASS) return 0;
  lua_pushvalue(L, n->env);
  lua_pushvalue(L, i);
  return cr_env_call(L, n->env, note_nameless, 2) == LUA_OK ? 0 : -1;
}

/* Reading names. */

bool cr_name_in_module(const unsigned char *name, size_t length) {
  return length > 0 &&
         !(name[0] == 2 && length >= 3 && name[1] == '_' && name[2] == 'G');
}

bool cr_name_valid(const unsigned char *name, size_t length) {
  int parts = 0;
  for (size_t i = 0; i < length; i += 1u + name[i], parts++)
    if (1u + name[i] > length - i) return false;
  return parts > 0 && parts <= PARTS;
}

/* "module.field.field", for messages. */
static void push_readable(lua_State *L, const unsigned char *name,
                          size_t length) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < length; i += 1u + name[i]) {
    if (i > 1) luaL_addchar(&b, '.'); /* not after an empty module */
    luaL_addlstring(&b, (const char *)name + i + 1, name[i]);
  }
  luaL_pushresult(&b);
}

/* Pushes the module: package.loaded's, or what require gives. */
static void push_module(lua_State *L, const unsigned char *name, bool require) {
  lua_pushlstring(L, (const char *)name + 1, name[0]);
  cr_env_push(L);
  lua_rawgeti(L, -1, CR_ENV_LOADED);
  lua_remove(L, -2);
  lua_pushvalue(L, -2);
  if (lua_rawget(L, -2) == LUA_TNIL && require) {
    lua_pop(L, 2);
    lua_getglobal(L, "require");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    return;
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* Pushes what the first part of a name stands for; of a method's, the first two.
** Returns where the next part is. */
static size_t push_root(lua_State *L, const unsigned char *name, size_t length,
                        bool require) {
  if (name[0] == 0 && length > 1) {
    cr_env_push(L);
    lua_pushlstring(L, (const char *)name + 2, name[1]);
    push_methods(L, lua_gettop(L) - 1);
    lua_remove(L, -2);
    return 2u + name[1];
  }
  if (cr_name_in_module(name, length))
    push_module(L, name, require);
  else
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  return 1u + name[0];
}

void cr_name_push(lua_State *L, const unsigned char *name, size_t length,
                  bool require) {
  luaL_checkstack(L, 8, NULL);
  for (size_t i = push_root(L, name, length, require); i < length;
       i += 1u + name[i]) {
    if (lua_istable(L, -1)) {
      lua_pushlstring(L, (const char *)name + i + 1, name[i]);
      lua_rawget(L, -2);
    } else {
      lua_pushnil(L);
    }
    lua_remove(L, -2);
  }
  if (require && lua_isnil(L, -1)) {
    push_readable(L, name, length);
    luaL_error(L, "cannot receive '%s': this process has none",
               lua_tostring(L, -1));
  }
}
