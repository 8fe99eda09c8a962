/* io.write, file:write, flush, and the output of print.
**
** What fits in the FILE's buffer goes there, as ever. What does not, and may
** block, is taken out of it and written with write(2), without the interpreter
** lock while the other side is slow. All of one call comes out together. A call
** that is interrupted may have been written in part; what earlier calls left in
** the buffer is put back.
*/
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object.h"
#include "state.h"
#include "stream.h"

enum { NUMBER_MAX = 64 }; /* bytes of a number as text */

/* ---- the file descriptor ---- */

/* How the kind of file behaves when poll says that it can be written. */
enum kind {
  DISK,    /* never blocks for long */
  PIPE,    /* takes PIPE_BUF bytes at once; so does a socket */
  TERMINAL /* takes a byte, perhaps: nothing is certain */
};

static enum kind kind_of(int fd) {
  struct stat s;
  if (fstat(fd, &s) != 0) return DISK;
  if (S_ISFIFO(s.st_mode) || S_ISSOCK(s.st_mode)) return PIPE;
  return S_ISCHR(s.st_mode) ? TERMINAL : DISK;
}

/* Writes some of it. A thread that has others beside it writes no more than
** cannot block, or lets them run. */
static int write_some(struct cr_out *w, enum kind kind, const char *bytes,
                      size_t n, size_t *done) {
  int fd = fileno(w->file);
  bool shared = cr_stream_shared(w->L);
  if (kind == TERMINAL && w->claim.file != NULL)
    return cr_claim_write(&w->claim, bytes, n, done);
  if (shared && kind == PIPE && n > PIPE_BUF) n = PIPE_BUF;
  ssize_t written = write(fd, bytes, n);
  *done = written > 0 ? (size_t)written : 0;
  if (written >= 0 || errno == EAGAIN) return 0;
  return errno != EINTR || cr_interrupt_pending() ? errno : 0;
}

static int wait_writable(struct cr_out *w) {
  int err = 0;
  if (w->claim.file == NULL)
    err = cr_claim_begin(&w->claim, w->file, CR_WRITING);
  return err != 0 ? err : cr_claim_wait(&w->claim, POLLOUT);
}

/* Writes all of it; *done: how much was written. */
static int write_all(struct cr_out *w, enum kind kind, const char *bytes,
                     size_t n, size_t *done) {
  int err = 0;
  *done = 0;
  if (kind == TERMINAL && w->claim.file == NULL && cr_stream_shared(w->L))
    err = cr_claim_begin(&w->claim, w->file, CR_WRITING);
  while (err == 0 && *done < n) {
    size_t some = 0;
    if (!cr_fd_ready(fileno(w->file), POLLOUT))
      err = wait_writable(w);
    else
      err = write_some(w, kind, bytes + *done, n - *done, &some);
    *done += some;
    if (w->claim.closed) return CR_FILE_CLOSED;
  }
  return err;
}

/* ---- the buffer ---- */

static size_t size_of(FILE *f) {
  return __fbufsize(f);
}

static size_t pending(FILE *f) {
  return __fpending(f);
}

/* Puts back in front what was taken out. There is room unless somebody else,
** a module in C, has filled the buffer meanwhile. */
static void put_back(FILE *f, const char *bytes, size_t n) {
  flockfile(f);
  size_t have = pending(f);
  if (n <= (size_t)(f->_IO_buf_end - f->_IO_write_base) - have) {
    memmove(f->_IO_write_base + n, f->_IO_write_base, have);
    memcpy(f->_IO_write_base, bytes, n);
    f->_IO_write_ptr = f->_IO_write_base + have + n;
  }
  funlockfile(f);
}

/* The bytes in the buffer, which is empty then, and room for n more. NULL: no
** memory. */
static char *take_out(FILE *f, size_t *have, size_t n) {
  flockfile(f); /* another state may use stdout, too */
  *have = pending(f);
  char *block = malloc(*have + n);
  if (block != NULL) {
    memcpy(block, f->_IO_write_base, *have);
    __fpurge(f);
  }
  funlockfile(f);
  return block;
}

/* Writes what is in the buffer and, with it, as many of the n bytes as the
** buffer could hold besides; *taken says how many. */
static int write_buffer(struct cr_out *w, enum kind kind, const char *bytes,
                        size_t n, size_t *taken) {
  FILE *f = w->file;
  size_t have = pending(f), done;
  size_t room = have > 0 && size_of(f) > have ? size_of(f) - have : 0;
  *taken = n < room ? n : room;
  if (have == 0) return 0;
  char *block = take_out(f, &have, *taken);
  if (block == NULL) return ENOMEM;
  memcpy(block + have, bytes, *taken);
  w->claim.scratch = block;
  int err = write_all(w, kind, block, have + *taken, &done);
  if (err == EINTR && done < have) put_back(f, block + done, have - done);
  w->claim.scratch = NULL;
  free(block);
  return err;
}

/* Writes the buffer and the n bytes. */
static int write_out(struct cr_out *w, enum kind kind, const char *bytes,
                     size_t n) {
  size_t taken, done;
  int err = write_buffer(w, kind, bytes, n, &taken);
  if (err != 0) return err;
  return write_all(w, kind, bytes + taken, n - taken, &done);
}

/* How many of the n bytes have to leave the process now. */
static size_t urgent(FILE *f, const char *bytes, size_t n) {
  if (size_of(f) <= 1) return n;
  bool full = n > size_of(f) - pending(f);
  if (__flbf(f)) {
    const char *end = memrchr(bytes, '\n', n);
    size_t now = end != NULL ? (size_t)(end + 1 - bytes) : 0;
    if (now == 0) return full ? n : 0;
    return n - now < size_of(f) ? now : n;
  }
  if (!full) return 0;
  /* As stdio does: the buffer is filled, and whole buffers follow. */
  size_t total = pending(f) + n;
  return n - total % size_of(f);
}

static int plain(FILE *f, const char *bytes, size_t n) {
  return fwrite(bytes, 1, n, f) == n ? 0 : errno;
}

/* Will the stdio of C do it with one write that does not block? */
static bool harmless(struct cr_out *w, size_t n) {
  int fd = fileno(w->file);
  if (n <= PIPE_BUF && !cr_stream_shared(w->L)) return cr_fd_ready(fd, POLLOUT);
  enum kind kind = kind_of(fd);
  if (kind != PIPE || n > PIPE_BUF) return kind == DISK;
  return cr_fd_ready(fd, POLLOUT);
}

static int put_slowly(struct cr_out *w, const char *bytes, size_t n) {
  FILE *f = w->file;
  if (!__fwritable(f) || n == 0) return plain(f, bytes, n);
  if (size_of(f) == 0) { /* the first output makes the buffer */
    int err = plain(f, bytes, 1);
    if (err != 0 || n == 1) return err;
    bytes++, n--;
  }
  size_t now = urgent(f, bytes, n);
  if (now == 0 || harmless(w, pending(f) + now)) return plain(f, bytes, n);
  enum kind kind = kind_of(fileno(f));
  if (kind == DISK) return plain(f, bytes, n);
  int err = write_out(w, kind, bytes, now);
  return err != 0 ? err : plain(f, bytes + now, n - now);
}

/* ---- for the others ---- */

int cr_out_begin(struct cr_out *w, lua_State *L, FILE *f) {
  w->L = L;
  w->file = f;
  w->claim.file = NULL;
  w->claim.scratch = NULL;
  w->claim.closed = w->claim.collected = false;
  if (atomic_load_explicit(&cr_claims, memory_order_relaxed) > 0 &&
      cr_claimed(f, CR_WRITING)) {
    int err = cr_claim_begin(&w->claim, f, CR_WRITING);
    w->locked = false;
    if (err != 0) return err;
  }
  flockfile(f);
  w->locked = true;
  return 0;
}

/* While it may wait: stdio of other states must go on. */
static void unlock(struct cr_out *w) {
  if (w->locked) funlockfile(w->file);
  w->locked = false;
}

/* After a wait that ended well; else the FILE may be closed. */
static int relock(struct cr_out *w, int err) {
  if (err == CR_FILE_CLOSED || err == EINTR) return err;
  flockfile(w->file);
  w->locked = true;
  return err;
}

void cr_out_end(struct cr_out *w) {
  unlock(w);
  cr_claim_end(&w->claim);
}

int cr_out_put(struct cr_out *w, const char *bytes, size_t n) {
  FILE *f = w->file;
  /* Of a stream that is not fully buffered, or reads, the end lies below. */
  if (f->_IO_write_end > f->_IO_write_ptr &&
      n < (size_t)(f->_IO_write_end - f->_IO_write_ptr)) {
    memcpy(f->_IO_write_ptr, bytes, n);
    f->_IO_write_ptr += n;
    return 0;
  }
  unlock(w);
  return relock(w, put_slowly(w, bytes, n));
}

static int flush(struct cr_out *w) {
  FILE *f = w->file;
  size_t n = pending(f), taken;
  if (n > 0 && !harmless(w, n)) {
    enum kind kind = kind_of(fileno(f));
    if (kind != DISK) return write_buffer(w, kind, "", 0, &taken);
  }
  return fflush(f) == 0 ? 0 : errno;
}

static int out_flush(struct cr_out *w) {
  unlock(w);
  return relock(w, flush(w));
}

static int write_line(struct cr_out *w, const char *line, size_t n) {
  FILE *f = w->file;
  size_t have = pending(f), done;
  bool fits = have + n < size_of(f);
  if (fits && harmless(w, have + n)) {
    int err = plain(f, line, n);
    return err != 0 || fflush(f) == 0 ? err : errno;
  }
  enum kind kind = kind_of(fileno(f));
  if (fits && kind != DISK && have > 0) return write_out(w, kind, line, n);
  int err = flush(w);
  return err != 0 ? err : write_all(w, kind, line, n, &done);
}

int cr_out_line(struct cr_out *w, const char *line, size_t n) {
  unlock(w);
  return relock(w, write_line(w, line, n));
}

int cr_stream_flush(lua_State *L, FILE *f) {
  struct cr_out w;
  int err = cr_out_begin(&w, L, f);
  if (err == 0) err = out_flush(&w);
  cr_out_end(&w);
  return err;
}

/* ---- Lua ---- */

static size_t integer_text(lua_Integer value, char *text) {
  char reversed[NUMBER_MAX];
  size_t n = 0, length = 0;
  lua_Unsigned rest = (lua_Unsigned)value;
  if (value < 0) {
    text[length++] = '-';
    rest = 0 - rest;
  }
  do {
    reversed[n++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  while (n > 0) text[length++] = reversed[--n];
  return length;
}

static size_t number_text(lua_State *L, int i, char *text) {
  if (lua_isinteger(L, i)) return integer_text(lua_tointeger(L, i), text);
  int n = strfromd(text, NUMBER_MAX, LUA_NUMBER_FMT, lua_tonumber(L, i));
  return n > 0 ? (size_t)n : 0;
}

/* Writes the values from `first` to `last`; *bad is the first one that is
** neither string nor number, 0 if there is none. */
static int write_values(struct cr_out *w, int first, int last, int *bad) {
  int result = 0;
  *bad = 0;
  for (int i = first; i <= last; i++) {
    char text[NUMBER_MAX];
    const char *bytes = text;
    size_t n;
    switch (lua_type(w->L, i)) {
      case LUA_TNUMBER: n = number_text(w->L, i, text); break;
      case LUA_TSTRING: bytes = lua_tolstring(w->L, i, &n); break;
      default: *bad = i; return result;
    }
    int err = result == 0 ? cr_out_put(w, bytes, n) : 0;
    if (err == EINTR || err == CR_FILE_CLOSED) return err;
    if (err != 0) result = err;
  }
  return result;
}

/* The result of an operation on a file: true, or nil, message and number. */
static int file_result(lua_State *L, int err) {
  if (err == EINTR || err == CR_FILE_CLOSED) return cr_stream_raise(L, err);
  errno = err;
  return luaL_fileresult(L, err == 0, NULL);
}

/* The handle is on top of the stack, and the result if all goes well. */
static int write_to(lua_State *L, luaL_Stream *s, int first) {
  struct cr_out w;
  int bad = 0;
  int err = cr_out_begin(&w, L, s->f);
  if (err == 0) err = write_values(&w, first, lua_gettop(L) - 1, &bad);
  cr_out_end(&w);
  if (bad != 0) luaL_checkstring(L, bad);
  return err == 0 ? 1 : file_result(L, err);
}

static int io_write(lua_State *L) {
  return write_to(L, cr_stream_default(L, CR_OUTPUT), 1);
}

static int file_write(lua_State *L) {
  luaL_Stream *s = cr_stream_check(L, 1);
  lua_pushvalue(L, 1);
  return write_to(L, s, 2);
}

static int io_flush(lua_State *L) {
  return file_result(L, cr_stream_flush(L, cr_stream_default(L, CR_OUTPUT)->f));
}

static int file_flush(lua_State *L) {
  return file_result(L, cr_stream_flush(L, cr_stream_check(L, 1)->f));
}

/* seek and setvbuf write what is pending first: not with the lock. */
static int after_flush(lua_State *L) {
  FILE *f = cr_stream_check(L, 1)->f;
  if (__fpending(f) > 0 && !cr_stream_regular(f)) {
    int err = cr_stream_flush(L, f);
    if (err == EINTR || err == CR_FILE_CLOSED) return file_result(L, err);
  }
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Once only, also when the libraries are opened again after an error. */
static void wrap(lua_State *L, int methods, const char *name) {
  if (lua_getfield(L, methods, name) == LUA_TFUNCTION &&
      lua_tocfunction(L, -1) == after_flush) {
    lua_pop(L, 1);
    return;
  }
  lua_pushcclosure(L, after_flush, 1);
  lua_setfield(L, methods, name);
}

void cr_open_write(lua_State *L, int io, int methods) {
  static const luaL_Reg functions[] = {
      {"write", io_write},
      {"flush", io_flush},
      {NULL, NULL},
  };
  static const luaL_Reg file_functions[] = {
      {"write", file_write},
      {"flush", file_flush},
      {NULL, NULL},
  };
  lua_pushvalue(L, io);
  luaL_setfuncs(L, functions, 0);
  lua_pushvalue(L, methods);
  luaL_setfuncs(L, file_functions, 0);
  lua_pop(L, 2);
  wrap(L, methods, "seek");
  wrap(L, methods, "setvbuf");
}
