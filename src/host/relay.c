/* The pseudo terminal and its pump. See relay.h.
**
** That everything written so far is on the screen is known by a mark in the
** stream itself: an "application program command", which a terminal that ever
** saw one would ignore, with a random number. The pump takes it out.
*/
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "screen.h"

enum {
  BUFFER = 65536,
  REST = 50 /* ms that an unfinished line above the prompt waits for its rest */
};

static int terminal = -1, master = -1, slave = -1;
static bool relayed[3]; /* of the standard descriptors */
static struct relay_prompt prompt;
static pthread_t pump;

static char mark[32];
static size_t mark_length;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t marked = PTHREAD_COND_INITIALIZER;
/* Under the mutex: */
static unsigned long marks_sent, marks_seen;
static bool closing;

/* Inside the screen: */
static bool at_line_start = true;

/* Of the pump: bytes that are not on the screen yet. */
static char buffer[BUFFER];
static size_t filled;

/* ---- the screen ---- */

static void write_terminal(const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t done = write(terminal, bytes, n);
    if (done > 0) {
      bytes += done;
      n -= (size_t)done;
    } else if (errno == EAGAIN) {
      poll(&(struct pollfd){.fd = terminal, .events = POLLOUT}, 1, -1);
    } else if (errno != EINTR) {
      return; /* no terminal any more: writers shall not wait for it */
    }
  }
}

void relay_fresh_line(void) {
  if (!at_line_start) write_terminal("\n", 1);
  at_line_start = true;
}

void relay_at_line_start(void) {
  at_line_start = true;
}

/* How many of the first n bytes stay without the bells (readline's, say) at
** their end, which do not move the cursor? */
static size_t without_bells(size_t n) {
  while (n > 0 && buffer[n - 1] == '\a') n--;
  return n;
}

static void note_end(size_t n) {
  n = without_bells(n);
  if (n > 0) at_line_start = buffer[n - 1] == '\n';
}

/* Of the first n bytes, those in whole lines. */
static size_t whole_lines(size_t n) {
  const char *end = memrchr(buffer, '\n', n);
  return end != NULL ? (size_t)(end - buffer) + 1 : 0;
}

/* Shows the first n bytes; without the prompt, if there is one, only whole
** lines, unless `all`. Returns how many were shown. */
static size_t show(size_t n, bool all) {
  screen_enter(SCREEN_PUMP);
  bool lift = prompt.is_shown() && without_bells(n) > 0;
  if (lift && !all) n = whole_lines(n);
  if (lift && n > 0) prompt.hide();
  write_terminal(buffer, n);
  note_end(n);
  if (lift && n > 0) {
    relay_fresh_line();
    prompt.show();
  }
  screen_leave();
  return n;
}

/* ---- the pump ---- */

static void drop(size_t n) {
  filled -= n;
  memmove(buffer, buffer + n, filled);
}

/* How many bytes at the end could be the beginning of a mark? They are kept, for
** as long as it takes. */
static size_t begun_mark(void) {
  size_t n = mark_length - 1 < filled ? mark_length - 1 : filled;
  while (n > 0 && memcmp(buffer + filled - n, mark, n) != 0) n--;
  return n;
}

/* Notes a mark. Returns whether it was the last. */
static bool note_mark(void) {
  pthread_mutex_lock(&mutex);
  marks_seen++;
  bool last = closing && marks_seen == marks_sent;
  pthread_cond_broadcast(&marked);
  pthread_mutex_unlock(&mutex);
  return last;
}

/* Shows what can be shown. Returns false after the last mark. */
static bool digest(bool all) {
  const char *found;
  while ((found = memmem(buffer, filled, mark, mark_length)) != NULL) {
    size_t before = (size_t)(found - buffer);
    if (before > 0) show(before, true);
    drop(before + mark_length);
    if (note_mark()) return false;
  }
  size_t n = filled - begun_mark();
  if (n > 0) drop(show(n, all || filled == BUFFER));
  return true;
}

static void *pump_main(void *unused) {
  bool more = true;
  while (more) {
    struct pollfd wait = {.fd = master, .events = POLLIN};
    int ready = poll(&wait, 1, filled > begun_mark() ? REST : -1);
    if (ready < 0) continue;
    if (ready > 0) {
      ssize_t n = read(master, buffer + filled, BUFFER - filled);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      filled += (size_t)n;
    }
    more = digest(ready == 0);
  }
  return unused;
}

/* ---- opening ---- */

static void make_mark(void) {
  unsigned long number = 0;
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) < 0)
    number = (unsigned long)getpid();
  mark_length =
      (size_t)snprintf(mark, sizeof mark, "\033_mark %lx\033\\", number);
}

void relay_resize(void) {
  struct winsize size;
  if (ioctl(terminal, TIOCGWINSZ, &size) == 0) ioctl(master, TIOCSWINSZ, &size);
}

static int open_pair(void) {
  char name[64];
  struct termios modes;
  master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return errno;
  if (unlockpt(master) != 0) return errno;
  int err = ptsname_r(master, name, sizeof name);
  if (err != 0) return err;
  slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || tcgetattr(slave, &modes) != 0) return errno;
  cfmakeraw(&modes);
  return tcsetattr(slave, TCSANOW, &modes) == 0 ? 0 : errno;
}

/* The pump takes no signals: they are for the threads that run Lua. */
static int start_pump(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int err = pthread_create(&pump, NULL, pump_main, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return err;
}

static void close_pair(void) {
  if (master >= 0) close(master);
  if (slave >= 0) close(slave);
  master = slave = -1;
}

static bool same_terminal(int fd) {
  struct stat a, b;
  return isatty(fd) && fstat(fd, &a) == 0 && fstat(terminal, &b) == 0 &&
         a.st_rdev == b.st_rdev;
}

int relay_open(const struct relay_prompt *p) {
  prompt = *p;
  make_mark();
  terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (terminal < 0) return errno;
  int err = open_pair();
  if (err == 0) err = start_pump();
  if (err != 0) {
    close_pair();
    return err;
  }
  relay_resize();
  fflush(stdout);
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
    relayed[fd] = same_terminal(fd);
    if (relayed[fd]) dup2(slave, fd);
  }
  return 0;
}

int relay_terminal(void) {
  return terminal;
}

/* ---- draining and closing ---- */

/* A signal would cut it in two where there is not room for all of it, with what
** others write in between. */
static void write_mark(void) {
  sigset_t all, before;
  size_t done = 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (done < mark_length) {
    ssize_t n = write(slave, mark + done, mark_length - done);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) done += (size_t)n;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void relay_drain(void) {
  if (slave < 0) return;
  pthread_mutex_lock(&mutex);
  unsigned long mine = ++marks_sent;
  pthread_mutex_unlock(&mutex);
  write_mark();
  pthread_mutex_lock(&mutex);
  while (marks_seen < mine) pthread_cond_wait(&marked, &mutex);
  pthread_mutex_unlock(&mutex);
}

/* Children that go on after the session shall not write into nothing. */
static void serve_rest(void) {
  struct pollfd wait = {.fd = master};
  close(slave);
  slave = -1;
  if (poll(&wait, 1, 0) == 1) return; /* nobody else has the slave */
  if (_Fork() != 0) return;
  for (;;) {
    ssize_t n = read(master, buffer, BUFFER);
    if (n > 0) write_terminal(buffer, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR)) _exit(EXIT_SUCCESS);
  }
}

void relay_close(void) {
  if (slave < 0) return;
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    if (relayed[fd]) dup2(terminal, fd);
  pthread_mutex_lock(&mutex);
  closing = true;
  pthread_mutex_unlock(&mutex);
  relay_drain();
  pthread_join(pump, NULL);
  serve_rest();
  close_pair();
}

void relay_in_child(void) {
  close_pair();
  if (terminal >= 0) close(terminal);
  terminal = -1;
}
