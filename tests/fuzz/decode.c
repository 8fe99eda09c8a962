/* Messages of any bytes. They may be refused; what comes out must be able to
** travel on, and may not be far larger than the message. */
#include <cluarun.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "marshal.h"

enum {
  INPUTS = 1000,  /* that one state sees: it keeps the classes it gets */
  GROWTH = 200,   /* bytes of memory for a byte of the message */
  SPARE = 4 << 20 /* more than that is always allowed */
};

static lua_State *state;
static struct cr_packet objects; /* a message that carries some */

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  abort();
}

static void encode(const char *chunk, struct cr_packet *p) {
  lua_settop(state, 0);
  if (luaL_dostring(state, chunk) != LUA_OK ||
      cr_encode(state, 1, lua_gettop(state), true, p) != 0)
    fail(lua_tostring(state, -1));
}

static void open_state(void) {
  state = luaL_newstate();
  cluarun_openlibs(state);
  encode("package.path, package.cpath = '', '' "
         "return Queue(), Lock(), Pipe()",
         &objects);
}

static void close_state(void) {
  cr_packet_free(&objects);
  lua_close(state);
  state = NULL;
}

static int decode(lua_State *L) {
  return cr_decode(L, lua_touserdata(L, 1));
}

static int try(struct cr_packet *p) {
  lua_settop(state, 0);
  lua_pushcfunction(state, decode);
  lua_pushlightuserdata(state, p);
  return lua_pcall(state, 1, LUA_MULTRET, 0);
}

static size_t memory(void) {
  return (size_t)lua_gc(state, LUA_GCCOUNT) * 1024;
}

/* The values of the stack there and back. A copy of a class that holds what
** cannot be sent is refused by who receives it. */
static void send_on(void) {
  struct cr_packet p;
  if (cr_encode(state, 1, lua_gettop(state), false, &p) != 0) return;
  int status = try(&p);
  if (status != LUA_OK &&
      strstr(luaL_tolstring(state, -1, NULL), "cannot receive") == NULL)
    fail(lua_tostring(state, -1));
  cr_packet_free(&p);
}

/* Bytecode is protected by a sum, which libFuzzer finds out: none of it may run,
** and finalizers are all that a message can have run. */
static bool has_finalizer(const uint8_t *data, size_t size) {
  return memmem(data, size, "__gc", 4) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int inputs;
  if (has_finalizer(data, size)) return 0;
  if (state == NULL) open_state();
  lua_gc(state, LUA_GCCOLLECT);
  size_t before = memory();
  struct cr_packet p = {data, size, objects.block};
  int status = try(&p);
  if (memory() > before + GROWTH * size + SPARE) fail("far too large");
  if (status == LUA_OK) send_on();
  if (++inputs % INPUTS == 0) close_state();
  return 0;
}
