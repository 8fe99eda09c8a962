/* Output in whole lines, whoever else writes to the same place.
**
** Until the first fork this is plain stdio. From then on every print is one
** write(2), after what io.write had left; on anything but a regular file a
** robust lock keeps the long ones apart, too, which the kernel would mix.
*/
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object.h"
#include "state.h"
#include "stream.h"

enum { BUFFER = 65536 };

/* In the arena, for ever: made before the first fork, so all have it. */
struct output {
  struct cr_block head;
  struct cr_rlock lock;
  struct cr_log log;
};
static struct output *shared;
static atomic_bool whole_lines;
static char line_buffer[BUFFER]; /* glibc ignores a size without a buffer */

static void make_lock(void) {
  struct output *o = cr_alloc(sizeof *o);
  if (o == NULL) return;
  memset((char *)o + sizeof o->head, 0, sizeof *o - sizeof o->head);
  cr_log_link(&o->log, o);
  cr_log_commit(&o->log);
  cr_linked();
  shared = o;
}

static void share(void) {
  fflush(stdout);
  /* 0 before the first output, 1 when the script wants no buffer. */
  if (__fbufsize(stdout) != 1) setvbuf(stdout, line_buffer, _IOLBF, BUFFER);
  struct stat s;
  if (fstat(STDOUT_FILENO, &s) != 0 || !S_ISREG(s.st_mode)) make_lock();
  whole_lines = true;
}

void cr_output_shared(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, share);
}

void cr_write_all(int fd, const char *bytes, size_t n) {
  int err = 0;
  bool before = cr_patient;
  while (n > 0 && err == 0) {
    size_t done = 0;
    cr_patient = before || cr_fd_ready(fd, POLLOUT);
    if (cr_patient)
      err = cr_write_unlocked(fd, bytes, n, &done);
    else
      err = cr_wait_fd(fd, POLLOUT, CR_FOREVER - 1);
    bytes += done;
    n -= done;
    if (err == EAGAIN) err = 0;
  }
  cr_patient = before;
}

/* The arguments as one string, which stays on the stack. */
static const char *make_line(lua_State *L, size_t *length) {
  luaL_Buffer b;
  int n = lua_gettop(L);
  luaL_buffinit(L, &b);
  for (int i = 1; i <= n; i++) {
    if (i > 1) luaL_addchar(&b, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&b);
  }
  luaL_addchar(&b, '\n');
  luaL_pushresult(&b);
  return lua_tolstring(L, -1, length);
}

static int write_line(lua_State *L, const char *line, size_t n) {
  struct cr_out w;
  int err = cr_out_begin(&w, L, stdout);
  if (err == 0) err = cr_out_line(&w, line, n);
  cr_out_end(&w);
  return err;
}

static int print_whole(lua_State *L) {
  size_t n;
  const char *line = make_line(L, &n);
  int err = shared != NULL ? cr_rlock_acquire(&shared->lock, CR_FOREVER) : 0;
  bool locked = shared != NULL && err != EINTR;
  if (err != EINTR) err = write_line(L, line, n);
  if (locked) cr_rlock_release(&shared->lock);
  return err == EINTR || err == CR_FILE_CLOSED ? cr_stream_raise(L, err) : 0;
}

/* Long texts not through stdio: it would not come back for an interrupt. */
static int print_text(lua_State *L, const char *text, size_t n) {
  struct cr_out w;
  if (n <= PIPE_BUF) return fwrite(text, 1, n, stdout) == n ? 0 : errno;
  int err = cr_out_begin(&w, L, stdout);
  if (err == 0) err = cr_out_put(&w, text, n);
  cr_out_end(&w);
  return err;
}

static int print_end(lua_State *L) {
  if (fputc('\n', stdout) == EOF) return errno;
  if (__fpending(stdout) > PIPE_BUF) return cr_stream_flush(L, stdout);
  return fflush(stdout) == 0 ? 0 : errno;
}

int cr_print(lua_State *L) {
  if (whole_lines || cr_stream_shared(L)) return print_whole(L);
  int n = lua_gettop(L), err = 0;
  for (int i = 1; i <= n && err != EINTR; i++) {
    size_t length;
    const char *text = luaL_tolstring(L, i, &length);
    if (i > 1) fputc('\t', stdout);
    err = print_text(L, text, length);
    lua_pop(L, 1);
  }
  if (err != EINTR) err = print_end(L);
  return err == EINTR && cr_interrupt_pending() ? cr_raise_interrupt(L) : 0;
}
