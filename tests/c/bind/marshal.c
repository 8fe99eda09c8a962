/* The decoder against damaged messages: cut short, bytes changed, numbers blown
** up. Anything may come out but a crash, a hang or a huge allocation. With the
** argument "bench": what encoding and decoding cost.
*/
#include <stdlib.h>
#include <string.h>

#include <cluarun.h>
#include <lauxlib.h>

#include "lib/samples.h"
#include "lib/tap.h"
#include "marshal.h"

static uint64_t seed = 88172645463325252u;
static uint32_t rnd(uint32_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 32) % n;
}

static bool run(lua_State *L, const char *chunk) {
  return luaL_dostring(L, chunk) == LUA_OK;
}

static lua_State *new_state(void) {
  lua_State *L = luaL_newstate();
  cluarun_openlibs(L);
  run(L, "package.path = '' package.cpath = ''");
  return L;
}

static bool encode(lua_State *L, const char *sample, struct cr_packet *p) {
  lua_settop(L, 0);
  if (!run(L, sample)) return false;
  return cr_encode(L, 1, lua_gettop(L), true, p) == 0;
}

static int decode(lua_State *L) {
  return cr_decode(L, lua_touserdata(L, 1));
}

/* Returns the status; leaves the values or the message. */
static int try(lua_State *L, struct cr_packet *p) {
  lua_settop(L, 0);
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, p);
  return lua_pcall(L, 1, LUA_MULTRET, 0);
}

static void change(unsigned char *data, size_t n) {
  static const unsigned char nasty[] = {0, 1, 0x7f, 0x80, 0xff};
  uint32_t at = rnd((uint32_t)n);
  switch (rnd(5)) {
    case 0: data[at] ^= (unsigned char)(1u << rnd(8)); break;
    case 1: data[at] = (unsigned char)rnd(256); break;
    case 2:
      data[at] = (unsigned char)rnd(24) | (unsigned char)(rnd(2) << 7);
      break;
    case 3:
      for (uint32_t i = 0; i < 4 && at + i < n; i++)
        data[at + i] = nasty[rnd(sizeof nasty)];
      break;
    default: data[at] = nasty[rnd(sizeof nasty)]; break;
  }
}

/* Every prefix, then `rounds` messages with some bytes changed. */
static void damage(lua_State *L, struct cr_packet *whole, int rounds) {
  for (size_t n = 0; n < whole->length; n++) {
    unsigned char *copy = malloc(n + 1);
    memcpy(copy, whole->data, n);
    struct cr_packet p = {copy, n, whole->block};
    try(L, &p);
    free(copy);
  }
  for (int i = 0; i < rounds; i++) {
    unsigned char *copy = malloc(whole->length);
    memcpy(copy, whole->data, whole->length);
    for (uint32_t k = 0; k <= rnd(3); k++) change(copy, whole->length);
    struct cr_packet p = {copy, whole->length, whole->block};
    try(L, &p);
    free(copy);
  }
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT);
}

static void damage_all(int rounds) {
  lua_State *from = new_state(), *to = new_state();
  for (int i = 0; i < SAMPLES; i++) {
    struct cr_packet p;
    if (!ok(encode(from, samples[i], &p), "encoded")) continue;
    int status = try(to, &p);
    ok(status == LUA_OK || strstr(samples[i], "file") != NULL, "decoded");
    damage(to, &p, rounds);
    damage(from, &p, rounds);
    cr_packet_free(&p);
  }
  ok(true, "no damaged message did harm");
  lua_close(from);
  lua_close(to);
}

static unsigned char *add(unsigned char *p, uint8_t tag, uint64_t n, int size) {
  *p++ = tag;
  memcpy(p, &n, (size_t)size);
  return p + size;
}

/* A string in whose bytes there begin many strings that overlap, and a table with
** a reference to each: every one would be a copy of nearly all of the message. */
static void overlapping(void) {
  enum { STRING = 8, SHARED = 0x80, TABLE = 10, REFER = 20, N = 4000 };
  const uint32_t rest = 100000;
  unsigned char *bytes = calloc(1, rest + 14 * N + 100);
  unsigned char *p = add(bytes, STRING, 5 * N + rest, 4), *first = p;
  for (int i = 0; i < N; i++) p = add(p, STRING | SHARED, rest, 4);
  p = add(p + rest, TABLE, N, 8);
  for (int i = 0; i < N; i++)
    p = add(p, REFER, (uint64_t)(first - bytes + 5 * i), 8);
  lua_State *L = new_state();
  struct cr_packet packet = {bytes, (size_t)(p - bytes), NULL};
  ok(try(L, &packet) != LUA_OK, "a message does not decode to far more");
  ok(lua_gc(L, LUA_GCCOUNT) < 64 * 1024, "nor begins to");
  lua_close(L);
  free(bytes);
}

/* Costs. */

static void bench_one(lua_State *L, const char *name, const char *sample) {
  enum { N = 200000 };
  struct cr_packet p;
  int64_t put = INT64_MAX, get = INT64_MAX;
  for (int round = 0; round < 7; round++) {
    lua_settop(L, 0);
    run(L, sample);
    int64_t t = cr_now();
    for (int i = 0; i < N; i++) cr_encode(L, 1, 1, false, &p);
    int64_t middle = cr_now();
    for (int i = 0; i < N; i++) {
      if (!cr_decode_simple(L, &p)) cr_decode(L, &p);
      lua_settop(L, 1);
    }
    int64_t end = cr_now();
    if (middle - t < put) put = middle - t;
    if (end - middle < get) get = end - middle;
  }
  printf("%-32s encode %6.1f ns  decode %6.1f ns\n", name, (double)put / N,
         (double)get / N);
}

static int bench(lua_State *L) {
  bench_one(L, "integer", "return 5");
  bench_one(L, "100 bytes", "return ('x'):rep(100)");
  bench_one(L, "{1, 2, 3}", "return {1, 2, 3}");
  bench_one(L, "{id=1,name='abc',list={1,2,3}}",
            "return {id = 1, name = 'abc', list = {1, 2, 3}}");
  bench_one(L, "object of a class, 5 methods",
            "C = {} C.__index = C for i = 1, 5 do C['m' .. i] = "
            "function(self) return self end end return setmetatable({}, C)");
  bench_one(L, "closure", "local n = 0 return function() n = n + 1 end");
  bench_one(L, "print", "return print");
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "bench") == 0) {
    lua_State *L = new_state();
    lua_pushcfunction(L, bench);
    lua_call(L, 0, 0);
    lua_close(L);
    return 0;
  }
  damage_all(argc > 1 ? atoi(argv[1]) : 3000);
  overlapping();
  return tap_end();
}
