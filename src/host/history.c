/* The history file. See history.h.
**
** Its form is that of readline with time stamps: a line "#" SECONDS, then the
** lines of the entry. What readline would not give back, such as an empty line,
** has an escape character before it. Whoever changes the file holds a lock on it
** (flock); one that found it replaced meanwhile opens the new one.
*/
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "readline_names.h"

/* Entries to keep, and how many more make it worth to drop the oldest. */
enum { KEEP = 5000, MORE = 1000, PATH = 4096, MESSAGE = PATH + 200 };
enum { ESCAPE = '\1' };

static char path[PATH];

static const char *cannot(int err) {
  static char message[MESSAGE];
  snprintf(message, sizeof message, "cannot keep the history in %s: %s", path,
           strerror(err));
  return message;
}

/* Sets the path, "" if there is no place for it. */
static void find_path(void) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  int n = -1;
  if (state != NULL && state[0] == '/')
    n = snprintf(path, sizeof path, "%s/cluarun/history", state);
  else if (home != NULL && home[0] == '/')
    n = snprintf(path, sizeof path, "%s/.local/state/cluarun/history", home);
  if (n < 0 || n >= PATH) path[0] = '\0';
}

static void make_folders(void) {
  for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
    *p = '\0';
    mkdir(path, 0700);
    *p = '/';
  }
}

static bool is_current(int fd) {
  struct stat ours, there;
  return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
         ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/* Opens the file for appending, locked where its file system has locks. Returns
** a descriptor or -1. */
static int open_locked(void) {
  for (;;) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fd;
    int locked;
    do locked = flock(fd, LOCK_EX);
    while (locked != 0 && errno == EINTR);
    if (locked != 0 || is_current(fd)) return fd;
    close(fd);
  }
}

/* Would readline not give that character back? It takes "#" at the start of a
** line for a time stamp, and drops empty lines and a carriage return at the end
** of a line. `before` is the character in front of it. */
static bool needs_escape(char before, char c) {
  if (c == ESCAPE) return true;
  if (before == '\r') return c == '\n' || c == '\0';
  return before == '\n' && (c == '#' || c == '\n' || c == '\0');
}

/* The text as it stands in the file; malloc'ed, or NULL. */
static char *encode(const char *text) {
  char *encoded = malloc(2 * strlen(text) + 2), *to = encoded, before = '\n';
  if (encoded == NULL) return NULL;
  do {
    if (needs_escape(before, *text)) *to++ = ESCAPE;
    before = *to++ = *text;
  } while (*text++ != '\0');
  return encoded;
}

/* The opposite, in place. */
static void decode(char *text) {
  char *to = text;
  do
    if (*text == ESCAPE) text++;
  while ((*to++ = *text++) != '\0');
}

/* Has all of the history reached the file? readline does not notice a write of
** which a full disk took only a part. */
static bool is_whole(const char *file) {
  struct stat st;
  off_t size = 0;
  for (HIST_ENTRY **e = history_list(); e != NULL && *e != NULL; e++) {
    size += (off_t)strlen((*e)->line) + 1;
    const char *stamp = (*e)->timestamp;
    if (stamp != NULL && *stamp != '\0') size += (off_t)strlen(stamp) + 1;
  }
  return stat(file, &st) == 0 && st.st_size == size;
}

/* Replaces the file, which is locked, by one without the oldest entries; they
** are in the list as they stand in it. */
static void drop_oldest(void) {
  char new_path[PATH + 4];
  snprintf(new_path, sizeof new_path, "%s.new", path);
  clear_history();
  read_history(path);
  stifle_history(KEEP);
  if (write_history(new_path) != 0 || !is_whole(new_path) ||
      rename(new_path, path) != 0)
    unlink(new_path);
  unstifle_history();
}

static void decode_all(void) {
  for (HIST_ENTRY **e = history_list(); e != NULL && *e != NULL; e++)
    decode((*e)->line);
}

const char *history_open(void) {
  using_history();
  history_write_timestamps = 1;
  history_multiline_entries = 1;
  history_comment_char = '#';
  find_path();
  if (path[0] == '\0')
    return "cannot keep the history: neither XDG_STATE_HOME nor HOME is set";
  make_folders();
  int fd = open_locked(), err = errno;
  read_history(path);
  if (fd >= 0 && history_length > KEEP + MORE) drop_oldest();
  decode_all();
  if (fd < 0) {
    const char *message = cannot(err);
    path[0] = '\0';
    return message;
  }
  fchmod(fd, 0600);
  close(fd);
  return NULL;
}

static bool is_last(const char *text) {
  HIST_ENTRY *last = history_get(history_base + history_length - 1);
  return last != NULL && strcmp(last->line, text) == 0;
}

/* Appends an entry, whole or not at all. Returns 0 or an errno. */
static int append(int fd, const char *stamp, const char *text) {
  char *encoded = encode(text);
  if (encoded == NULL) return ENOMEM;
  off_t end = lseek(fd, 0, SEEK_END);
  int n = dprintf(fd, "%s\n%s\n", stamp, encoded), err = errno;
  free(encoded);
  if (n >= 0) return 0;
  return end >= 0 && ftruncate(fd, end) != 0 ? errno : err;
}

const char *history_remember(const char *text) {
  char stamp[32];
  if (is_last(text)) return NULL;
  snprintf(stamp, sizeof stamp, "#%lld", (long long)time(NULL));
  add_history(text);
  add_history_time(stamp);
  if (path[0] == '\0') return NULL;
  int fd = open_locked();
  if (fd < 0) return cannot(errno);
  int err = append(fd, stamp, text);
  close(fd);
  return err == 0 ? NULL : cannot(err);
}
