/* Output in whole lines, whoever else writes to the same place.
**
** Until the first fork this is plain stdio. From then on every print is one
** write(2), after what io.write had left; on anything but a regular file a
** robust lock keeps the long ones apart, too, which the kernel would mix.
*/
#include <errno.h>
#include <lauxlib.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "object.h"
#include "state.h"

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

/* False when an interrupt came before everything was written. */
static bool write_until_interrupt(int fd, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, bytes, n);
    if (done >= 0) {
      bytes += done;
      n -= (size_t)done;
    } else if (errno == EAGAIN) {
      poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    } else if (errno != EINTR) {
      return true;
    } else if (cr_interrupt_pending()) {
      return false;
    }
  }
  return true;
}

void cr_write_all(int fd, const char *bytes, size_t n) {
  while (n > 0 && !write_until_interrupt(fd, bytes, n)) n = 0;
}

/* Through stdio when the line fits in its buffer: then it is one write with
** what lies there already. */
static bool write_line(const char *line, size_t n) {
  if (__fpending(stdout) + n < __fbufsize(stdout)) {
    fwrite(line, 1, n, stdout);
    fflush(stdout);
    return true;
  }
  fflush(stdout);
  return write_until_interrupt(STDOUT_FILENO, line, n);
}

static int print_whole(lua_State *L) {
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
  size_t length;
  const char *line = lua_tolstring(L, -1, &length);
  bool locked = false;
  if (shared != NULL) {
    if (cr_rlock_acquire(&shared->lock, CR_FOREVER) == EINTR)
      return cr_raise_interrupt(L);
    locked = true;
  }
  bool done = write_line(line, length);
  if (locked) cr_rlock_release(&shared->lock);
  return done ? 0 : cr_raise_interrupt(L);
}

int cr_print(lua_State *L) {
  if (whole_lines) return print_whole(L);
  int n = lua_gettop(L);
  for (int i = 1; i <= n; i++) {
    size_t length;
    const char *text = luaL_tolstring(L, i, &length);
    if (i > 1) fputc('\t', stdout);
    fwrite(text, 1, length, stdout);
    lua_pop(L, 1);
  }
  fputc('\n', stdout);
  fflush(stdout);
  return 0;
}
