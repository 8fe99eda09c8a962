/* io.read, io.lines, file:read and file:lines.
**
** What lies in the FILE's buffer is taken from there. When it is empty and the
** file may block, the thread waits without the interpreter lock until a read
** cannot, with a claim that keeps other readers out of the middle of a line. An
** interrupt puts back what was read of the unfinished item; items of the same
** call that were complete are lost. Two states of one process must not read the
** same FILE at once.
*/
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "object.h"
#include "state.h"
#include "stream.h"

enum {
  NUMBER_MAX = 200,   /* characters of a numeral, as Lua has it */
  FORMATS_MAX = 250,  /* of lines() */
  MUCH = 1 << 20,     /* bytes to ask for memory for at once */
  PUSHED_BACK = 0x100 /* glibc's flag: bytes of ungetc come first, and then
                      ** the buffer, which lies in the save area meanwhile */
};

#define CLAIM "cluarun.claim"

struct reader {
  lua_State *L;
  FILE *f;
  int slot; /* index for the userdata of the claim */
  struct cr_claim *claim;
  bool known, blocks; /* may reading block? */
  int err;            /* a wait has ended with that */
};

static size_t available(const FILE *f) {
  return (size_t)(f->_IO_read_end - f->_IO_read_ptr);
}

static bool has_bytes(const FILE *f) {
  if (available(f) > 0) return true;
  return (f->_flags & PUSHED_BACK) && f->_IO_save_end > f->_IO_save_base;
}

/* ---- waiting ---- */

static int claim__close(lua_State *L) {
  cr_claim_end(lua_touserdata(L, 1));
  return 0;
}

/* The claim lies in a userdata that Lua closes however this call ends. An item
** that is read into a luaL_Buffer makes it before that. */
static void prepare(struct reader *r) {
  lua_State *L = r->L;
  if (r->known) return;
  r->known = true;
  r->blocks = __freadable(r->f) && !cr_stream_regular(r->f);
  if (!r->blocks) return;
  struct cr_claim *c = lua_newuserdatauv(L, sizeof *c, 0);
  c->file = NULL;
  c->scratch = NULL;
  c->collected = true;
  luaL_setmetatable(L, CLAIM);
  lua_replace(L, r->slot);
  lua_toclose(L, r->slot);
  r->claim = c;
}

static void release(struct reader *r) {
  if (r->claim != NULL) cr_claim_end(r->claim);
}

static bool interactive(FILE *f) {
  size_t size = __fbufsize(f);
  return __flbf(f) || size == 1 || (size == 0 && isatty(fileno(f)));
}

/* A prompt must be seen before its answer is waited for: reading a terminal
** writes out the lines of stdout, as in C. */
static int flush_prompt(const struct reader *r) {
  int err = 0;
  if (__fpending(stdout) > 0 && __flbf(stdout) && interactive(r->f))
    err = cr_stream_flush(r->L, stdout);
  if (err != EINTR && __fpending(r->f) > 0) err = cr_stream_flush(r->L, r->f);
  return err == EINTR ? err : 0;
}

/* Waits until the next byte can be had without blocking. */
static int await(struct reader *r) {
  if (r->claim->file == NULL) {
    int err = cr_claim_begin(r->claim, r->f, CR_READING);
    if (err != 0) return err;
  }
  while (!has_bytes(r->f) && !feof(r->f)) {
    int err = cr_interrupt_pending() ? EINTR : flush_prompt(r);
    if (err == 0 && !r->claim->closed) {
      if (cr_fd_ready(fileno(r->f), POLLIN)) return 0;
      err = cr_claim_wait(r->claim, POLLIN);
    }
    if (r->claim->closed) return CR_FILE_CLOSED;
    if (err != 0) return err;
  }
  return 0;
}

static int next_byte_slowly(struct reader *r) {
  FILE *f = r->f;
  prepare(r);
  while (r->err == 0) {
    if (r->blocks && !has_bytes(f)) r->err = await(r);
    if (r->err != 0) break;
    int c = getc(f);
    if (c != EOF || !r->blocks || !ferror(f) || errno != EINTR) return c;
    clearerr(f); /* somebody else took what was there, and a signal came */
  }
  return EOF;
}

/* The next byte. EOF: the end, an error of the file, or r->err. */
static inline int next_byte(struct reader *r) {
  FILE *f = r->f;
  if (available(f) > 0) return (unsigned char)*f->_IO_read_ptr++;
  return next_byte_slowly(r);
}

static void unread(struct reader *r, const char *bytes, size_t n) {
  if (r->err == CR_FILE_CLOSED) return;
  while (n > 0) ungetc((unsigned char)bytes[--n], r->f);
}

static void add_from_buffer(struct reader *r, luaL_Buffer *b, size_t n) {
  luaL_addlstring(b, r->f->_IO_read_ptr, n);
  r->f->_IO_read_ptr += n;
}

/* Ends an item that was read into b: true, or false after an interrupt. */
static bool finish(struct reader *r, luaL_Buffer *b) {
  if (r->err != 0) unread(r, luaL_buffaddr(b), luaL_bufflen(b));
  luaL_pushresult(b);
  return r->err == 0;
}

/* ---- formats: each pushes its value, and returns whether it is one ---- */

/* How many bytes of the buffer belong to the line that lies there. */
static size_t line_length(const FILE *f, bool *whole) {
  const char *end = memchr(f->_IO_read_ptr, '\n', available(f));
  *whole = end != NULL;
  return *whole ? (size_t)(end - f->_IO_read_ptr) : available(f);
}

static bool read_long_line(struct reader *r, bool keep_end) {
  luaL_Buffer b;
  int c;
  prepare(r);
  luaL_buffinit(r->L, &b);
  while ((c = next_byte(r)) != EOF && c != '\n') {
    bool whole;
    luaL_addchar(&b, (char)c);
    if (available(r->f) > 0) add_from_buffer(r, &b, line_length(r->f, &whole));
  }
  if (keep_end && c == '\n') luaL_addchar(&b, '\n');
  return finish(r, &b) && (c == '\n' || lua_rawlen(r->L, -1) > 0);
}

static bool read_line(struct reader *r, bool keep_end) {
  FILE *f = r->f;
  bool whole = false;
  if (available(f) > 0) {
    size_t n = line_length(f, &whole);
    if (whole) {
      lua_pushlstring(r->L, f->_IO_read_ptr, n + keep_end);
      f->_IO_read_ptr += n + 1;
    }
  }
  return whole || read_long_line(r, keep_end);
}

/* From a file on a disk, up to n bytes, in pieces of at least that many. */
static void read_disk(struct reader *r, luaL_Buffer *b, size_t n,
                      size_t piece) {
  while (n > 0) {
    if (piece < luaL_bufflen(b)) piece = luaL_bufflen(b);
    if (piece > n) piece = n;
    size_t got = fread(luaL_prepbuffsize(b, piece), 1, piece, r->f);
    luaL_addsize(b, got);
    n -= got;
    if (got < piece) return;
  }
}

static void read_waiting(struct reader *r, luaL_Buffer *b, size_t n) {
  int c;
  while (n > 0 && (c = next_byte(r)) != EOF) {
    luaL_addchar(b, (char)c);
    n--;
    size_t more = available(r->f);
    if (more > n) more = n;
    add_from_buffer(r, b, more);
    n -= more;
  }
}

static bool read_bytes(struct reader *r, size_t n) {
  luaL_Buffer b;
  if (n <= available(r->f)) {
    lua_pushlstring(r->L, r->f->_IO_read_ptr, n);
    r->f->_IO_read_ptr += n;
    return true;
  }
  prepare(r);
  luaL_buffinit(r->L, &b);
  if (r->blocks)
    read_waiting(r, &b, n);
  else
    read_disk(r, &b, n, MUCH);
  return finish(r, &b) && lua_rawlen(r->L, -1) > 0;
}

static bool read_all(struct reader *r) {
  luaL_Buffer b;
  prepare(r);
  luaL_buffinit(r->L, &b);
  if (r->blocks)
    read_waiting(r, &b, SIZE_MAX);
  else
    read_disk(r, &b, SIZE_MAX, BUFSIZ);
  return finish(r, &b);
}

static bool read_nothing(struct reader *r) {
  int c = next_byte(r);
  if (c != EOF) ungetc(c, r->f);
  lua_pushliteral(r->L, "");
  return c != EOF;
}

/* ---- the format "n" ---- */

struct numeral {
  struct reader *r;
  int next; /* read, but not part of the text yet */
  size_t n;
  bool bad; /* too long */
  char text[NUMBER_MAX + 1];
};

static bool accept(struct numeral *s) {
  if (s->n == NUMBER_MAX) {
    s->bad = true;
    return false;
  }
  s->text[s->n++] = (char)s->next;
  s->next = next_byte(s->r);
  return true;
}

static bool accept_one(struct numeral *s, char a, char b) {
  return (s->next == a || s->next == b) && accept(s);
}

static int accept_digits(struct numeral *s, bool hex) {
  int n = 0;
  while ((hex ? isxdigit(s->next) : isdigit(s->next)) && accept(s)) n++;
  return n;
}

/* The longest text that can begin a numeral. */
static void scan(struct numeral *s) {
  bool hex = false;
  int digits = 0;
  do s->next = next_byte(s->r);
  while (isspace(s->next));
  accept_one(s, '-', '+');
  if (accept_one(s, '0', '0')) {
    hex = accept_one(s, 'x', 'X');
    if (!hex) digits = 1;
  }
  digits += accept_digits(s, hex);
  if (accept_one(s, localeconv()->decimal_point[0], '.'))
    digits += accept_digits(s, hex);
  if (digits > 0 && accept_one(s, hex ? 'p' : 'e', hex ? 'P' : 'E')) {
    accept_one(s, '-', '+');
    accept_digits(s, false);
  }
}

static bool read_number(struct reader *r) {
  struct numeral s;
  s.r = r;
  s.n = 0;
  s.bad = false;
  scan(&s);
  if (r->err != 0)
    unread(r, s.text, s.n);
  else if (s.next != EOF)
    ungetc(s.next, r->f);
  s.text[s.n] = 0;
  if (r->err == 0 && !s.bad && lua_stringtonumber(r->L, s.text) != 0)
    return true;
  lua_pushnil(r->L);
  return false;
}

/* ---- read ---- */

static bool read_count(struct reader *r, int i) {
  int valid;
  lua_Integer n = lua_tointegerx(r->L, i, &valid);
  if (!valid) {
    release(r);
    luaL_checkinteger(r->L, i); /* raises */
  }
  return n == 0 ? read_nothing(r) : read_bytes(r, (size_t)n);
}

static bool read_format(struct reader *r, int i) {
  if (lua_type(r->L, i) == LUA_TNUMBER) return read_count(r, i);
  if (lua_type(r->L, i) != LUA_TSTRING) release(r);
  const char *format = luaL_checkstring(r->L, i);
  if (*format == '*') format++;
  switch (*format) {
    case 'n': return read_number(r);
    case 'l': return read_line(r, false);
    case 'L': return read_line(r, true);
    case 'a': return read_all(r);
    default: release(r); return luaL_argerror(r->L, i, "invalid format");
  }
}

/* Waits for other readers of the same file to finish. */
static void begin(struct reader *r) {
  if (atomic_load_explicit(&cr_claims, memory_order_relaxed) == 0) return;
  if (!cr_claimed(r->f, CR_READING)) return;
  prepare(r);
  if (r->claim == NULL) return;
  int err = cr_claim_begin(r->claim, r->f, CR_READING);
  if (err == 0) return;
  release(r);
  cr_stream_raise(r->L, err);
}

/* The formats are the n values from `first` on. Pushes the results and returns
** their number. */
static int read_formats(lua_State *L, luaL_Stream *s, int first, int n) {
  struct reader r = {.L = L, .f = s->f};
  luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
  lua_pushnil(L);
  r.slot = lua_gettop(L);
  begin(&r);
  clearerr(r.f);
  bool good = true;
  if (n == 0) good = read_line(&r, false);
  for (int i = first; i < first + n && good; i++) good = read_format(&r, i);
  /* By itself it would go when the stack does: late in a coroutine. */
  release(&r);
  if (r.err != 0) return cr_stream_raise(L, r.err);
  if (ferror(r.f)) return luaL_fileresult(L, 0, NULL);
  if (!good) {
    lua_pop(L, 1);
    luaL_pushfail(L);
  }
  return lua_gettop(L) - r.slot;
}

static int io_read(lua_State *L) {
  int n = lua_gettop(L);
  return read_formats(L, cr_stream_default(L, CR_INPUT), 1, n);
}

static int file_read(lua_State *L) {
  luaL_Stream *s = cr_stream_check(L, 1);
  return read_formats(L, s, 2, lua_gettop(L) - 1);
}

/* ---- lines ---- */

/* Upvalues: the handle, how many formats, whether to close it at the end, and
** the formats. */
static int next_line(lua_State *L) {
  luaL_Stream *s = lua_touserdata(L, lua_upvalueindex(1));
  int n = (int)lua_tointeger(L, lua_upvalueindex(2));
  if (s->closef == NULL) return luaL_error(L, "file is already closed");
  lua_settop(L, 1);
  luaL_checkstack(L, n, "too many arguments");
  for (int i = 1; i <= n; i++) lua_pushvalue(L, lua_upvalueindex(3 + i));
  int results = read_formats(L, s, 2, n);
  if (lua_toboolean(L, -results)) return results;
  if (results > 1) return luaL_error(L, "%s", lua_tostring(L, -results + 1));
  if (lua_toboolean(L, lua_upvalueindex(3))) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_replace(L, 1);
    cr_stream_close(L);
  }
  return 0;
}

/* The handle is at index 1, the formats follow. */
static void push_iterator(lua_State *L, bool close) {
  int n = lua_gettop(L) - 1;
  luaL_argcheck(L, n <= FORMATS_MAX, FORMATS_MAX + 2, "too many arguments");
  lua_pushvalue(L, 1);
  lua_pushinteger(L, n);
  lua_pushboolean(L, close);
  lua_rotate(L, 2, 3);
  lua_pushcclosure(L, next_line, 3 + n);
}

static int file_lines(lua_State *L) {
  cr_stream_check(L, 1);
  push_iterator(L, false);
  return 1;
}

static int lines_of_name(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  luaL_Stream *s = cr_stream_new(L);
  int err = cr_stream_open(s, name, "r");
  if (err == EINTR) return cr_stream_raise(L, err);
  if (err != 0)
    return luaL_error(L, "cannot open file '%s' (%s)", name, strerror(err));
  lua_replace(L, 1);
  push_iterator(L, true);
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, 1);
  return 4;
}

static int io_lines(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) return lines_of_name(L);
  if (lua_isnone(L, 1)) lua_pushnil(L);
  lua_getfield(L, LUA_REGISTRYINDEX, CR_INPUT);
  lua_replace(L, 1);
  return file_lines(L);
}

void cr_open_read(lua_State *L, int io, int methods) {
  static const luaL_Reg functions[] = {
      {"read", io_read},
      {"lines", io_lines},
      {NULL, NULL},
  };
  static const luaL_Reg file_functions[] = {
      {"read", file_read},
      {"lines", file_lines},
      {NULL, NULL},
  };
  luaL_newmetatable(L, CLAIM);
  lua_pushcfunction(L, claim__close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, claim__close);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_pushvalue(L, io);
  luaL_setfuncs(L, functions, 0);
  lua_pushvalue(L, methods);
  luaL_setfuncs(L, file_functions, 0);
  lua_pop(L, 2);
}
