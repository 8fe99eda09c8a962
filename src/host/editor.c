/* Readline as the editor of blocks. See editor.h.
**
** Readline is driven by its callback interface, inside the screen; wherever it
** wants a key that is not there yet, the screen is left and others run. While
** the prompt waits the terminal makes no signal of Ctrl-Z and, when there are
** children, which shall not get it, of Ctrl-C: they are keys of the editor.
*/
#include "editor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "block.h"
#include "readline_names.h"
#include "relay.h"
#include "screen.h"

enum {
  CONTROL_C = 'C' - '@',
  ESCAPE = '\033',
  ESCAPE_TIME =
      100,     /* ms in which the rest of a sequence follows, as Readline's */
  LISTED = 200 /* completions shown at once */
};

static const struct editor_calls *calls; /* of the line that is read */
static char **completions;
static char completion_kind;

/* The line's end. */
static bool ended, cancelled;
static bool owed; /* a Ctrl-C came, and no key has taken it yet */
static char *line;

static bool prompting; /* the prompt is on the screen */
static int interrupt_key = CONTROL_C;
static struct termios cooked; /* the terminal's modes without us */
static int screen_fd = -1;
static volatile sig_atomic_t raw, resized;
static bool pasting, paste_cancelled;
static const char *next_key = ""; /* keys that come before any others */

/* ---- the terminal's modes ---- */

static bool has_children(void) {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void prepare(int meta) {
  struct termios modes;
  tcgetattr(STDIN_FILENO, &cooked);
  rl_prep_terminal(meta);
  raw = 1;
  if (tcgetattr(STDIN_FILENO, &modes) != 0) return;
  modes.c_cc[VSUSP] = _POSIX_VDISABLE;
  if (has_children()) modes.c_cc[VINTR] = _POSIX_VDISABLE;
  /* A Ctrl-C takes away what was typed before it, perhaps between a look and
  ** the read: that must not wait then. */
  modes.c_cc[VMIN] = modes.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
}

static void unprepare(void) {
  rl_deprep_terminal();
  raw = 0;
}

void editor_restore(void) {
  static const char end_of_paste_mode[] = "\033[?2004l\r\n";
  if (!raw) return;
  raw = 0;
  tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
  ssize_t n = write(screen_fd, end_of_paste_mode, sizeof end_of_paste_mode - 1);
  (void)n;
}

void editor_resize(void) {
  resized = 1;
}

/* ---- waiting for keys ---- */

/* What poll says of the keyboard within that time. */
static short look(int ms) {
  struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
  return poll(&key, 1, ms) > 0 ? key.revents : 0;
}

static bool key_ready(void) {
  return *next_key != '\0' || look(0) != 0;
}

/* Leaves the screen until a key may be there. False: give the line up. */
static bool wait_for_key(void) {
  screen_leave();
  bool go_on = calls->wait(calls->ud);
  screen_enter(SCREEN_PROMPT);
  if (resized) {
    resized = 0;
    rl_resize_terminal();
  }
  return go_on;
}

/* Did a Ctrl-C come? Keys that are there already were typed after it. */
static bool is_cancelled(void) {
  screen_leave();
  bool cancel = calls->is_cancelled(calls->ud);
  screen_enter(SCREEN_PROMPT);
  return cancel;
}

/* Ctrl-C, as a key. In a paste it would be one more character, and the mark of
** the end may be lost, as Ctrl-C flushes the input: the paste is ended first. */
static int cancel_key(void) {
  owed = true;
  if (!pasting) return interrupt_key;
  pasting = false;
  paste_cancelled = true;
  next_key = "[201~";
  return '\033';
}

/* In a search Escape is followed by a key? Then readline, ending the search,
** calls itself for that one, and crashes when it means nothing. So the search is
** ended first, by the other key that does so (if the user has not chosen any). */
static int search_key(unsigned char key) {
  if (key != ESCAPE || !RL_ISSTATE(RL_STATE_ISEARCH) ||
      rl_variable_value("isearch-terminators") != NULL || !look(ESCAPE_TIME))
    return key;
  next_key = "\033";
  return '\n';
}

/* Readline reads by this, also where it reads on by itself, as in a paste. */
static int get_key(FILE *in) {
  unsigned char key;
  (void)in;
  if (*next_key != '\0') return (unsigned char)*next_key++;
  for (;;) {
    if (is_cancelled()) return cancel_key();
    while (!key_ready())
      if (!wait_for_key()) return cancel_key();
    ssize_t n = read(STDIN_FILENO, &key, 1);
    if (n == 1) return search_key(key);
    if (n == 0 && (look(0) & (POLLHUP | POLLERR))) return EOF;
    if (n < 0 && errno != EINTR && errno != EAGAIN) return EOF;
  }
}

/* ---- what the keys do ---- */

static int key_cancel(int count, int key) {
  cancelled = true;
  owed = false;
  rl_point = rl_end;
  block_redisplay();
  fputs("^C", rl_outstream);
  return rl_newline(count, key);
}

static int key_suspend(int count, int key) {
  (void)count, (void)key;
  unprepare();
  kill(0, SIGTSTP);
  prepare(1);
  rl_forced_update_display();
  return 0;
}

static int key_enter(int count, int key) {
  screen_leave();
  bool complete = calls->is_complete(calls->ud, rl_line_buffer);
  screen_enter(SCREEN_PROMPT);
  if (is_cancelled()) return key_cancel(count, key);
  if (complete) return rl_newline(count, key);
  rl_insert_text("\n");
  return 0;
}

static int key_paste(int count, int key) {
  pasting = true;
  paste_cancelled = false;
  int err = rl_bracketed_paste_begin(count, key);
  pasting = false;
  return paste_cancelled ? key_cancel(count, key) : err;
}

static int key_tab(int count, int key) {
  if (block_at_indent()) return rl_insert_text("  "), 0;
  /* Readline lists them when its own function comes twice. */
  if (rl_last_func == key_tab) rl_last_func = rl_complete;
  return rl_complete(count, key);
}

static int key_up(int count, int key) {
  return block_up() ? 0 : rl_get_previous_history(count, key);
}

static int key_down(int count, int key) {
  return block_down() ? 0 : rl_get_next_history(count, key);
}

/* ---- completion ---- */

/* Called first: finds out what is to be completed, and says what ends a word
** there. */
static char *find_completions(void) {
  static char in_code[] = " \t\n\"'`@$><=;|&{}()[]+-*/%^~#,.:!?\\";
  static char in_string[] = "\"'[";
  char *text = strndup(rl_line_buffer, (size_t)rl_point);
  completion_kind = EDITOR_WORD;
  completions = NULL;
  if (text == NULL) return in_code;
  screen_leave();
  completions = calls->complete(calls->ud, text, &completion_kind);
  screen_enter(SCREEN_PROMPT);
  free(text);
  return completion_kind == EDITOR_WORD ? in_code : in_string;
}

static char **take_completions(const char *text, int start, int end) {
  (void)text, (void)start, (void)end;
  char **found = completions;
  completions = NULL;
  rl_completion_append_character = '\0';
  rl_attempted_completion_over = completion_kind != EDITOR_FILE;
  return found;
}

static void list_completions(char **matches, int n, int longest) {
  rl_display_match_list(matches, n < LISTED ? n : LISTED, longest);
  if (n > LISTED) fprintf(rl_outstream, "... and %d more\n", n - LISTED);
  rl_forced_update_display();
}

/* ---- opening ---- */

static void bind(int key, rl_command_func_t *f) {
  rl_bind_key_in_map(key, f, emacs_standard_keymap);
  rl_bind_key_in_map(key, f, vi_insertion_keymap);
  rl_bind_key_in_map(key, f, vi_movement_keymap);
}

/* Only what the user's inputrc has left as it is. */
static void rebind(const char *keys, rl_command_func_t *from,
                   rl_command_func_t *to) {
  if (rl_function_of_keyseq(keys, NULL, NULL) == from) rl_bind_keyseq(keys, to);
}

static void bind_keys(void) {
  struct termios modes;
  int suspend_key = _POSIX_VDISABLE;
  if (tcgetattr(STDIN_FILENO, &modes) == 0) {
    suspend_key = modes.c_cc[VSUSP];
    if (modes.c_cc[VINTR] != _POSIX_VDISABLE) interrupt_key = modes.c_cc[VINTR];
  }
  bind('\r', key_enter);
  bind('\n', key_enter);
  bind(interrupt_key, key_cancel);
  if (suspend_key != _POSIX_VDISABLE) bind(suspend_key, key_suspend);
  rebind("\t", rl_complete, key_tab);
  rebind("\033[200~", rl_bracketed_paste_begin, key_paste);
  rebind("\033[A", rl_get_previous_history, key_up);
  rebind("\033OA", rl_get_previous_history, key_up);
  rebind("\033[B", rl_get_next_history, key_down);
  rebind("\033OB", rl_get_next_history, key_down);
}

int editor_open(int terminal) {
  int copy = fcntl(terminal, F_DUPFD_CLOEXEC, 3);
  rl_outstream = copy >= 0 ? fdopen(copy, "w") : NULL;
  if (rl_outstream == NULL) return errno;
  screen_fd = terminal;
  rl_instream = stdin;
  rl_readline_name = "cluarun";
  rl_catch_signals = 0;
  rl_catch_sigwinch = 0;
  rl_change_environment = 0;
  rl_prep_term_function = prepare;
  rl_deprep_term_function = unprepare;
  rl_getc_function = get_key;
  rl_completion_word_break_hook = find_completions;
  rl_attempted_completion_function = take_completions;
  rl_completion_display_matches_hook = list_completions;
  rl_completion_query_items = 0;
  rl_initialize();
  /* Later: readline does not learn of the terminal for somebody else's. */
  rl_redisplay_function = block_redisplay;
  bind_keys();
  return 0;
}

/* ---- reading ---- */

/* Readline is done with the line; NULL at the end of the input. */
static void on_line(char *text) {
  const char *paste = rl_variable_value("enable-bracketed-paste");
  rl_callback_handler_remove();
  if (text == NULL && (paste == NULL || strcmp(paste, "on") != 0)) rl_crlf();
  fflush(rl_outstream);
  relay_at_line_start();
  prompting = false;
  ended = true;
  line = text;
}

enum editor_end editor_read(const char *prompt, const char *prompt2,
                            const struct editor_calls *c, char **text) {
  calls = c;
  ended = cancelled = owed = false;
  line = NULL;
  screen_enter(SCREEN_PROMPT);
  relay_fresh_line();
  block_prompt(prompt2);
  rl_callback_handler_install(prompt, on_line);
  prompting = true;
  while (!ended) {
    if (!owed && !key_ready() && !wait_for_key()) owed = true;
    /* Again, if it became part of a sequence of keys: Ctrl-X, half a paste. */
    if (owed) rl_stuff_char(interrupt_key);
    if (owed || key_ready()) rl_callback_read_char();
  }
  screen_leave();
  *text = NULL;
  if (line == NULL) return EDITOR_EOF;
  if (cancelled) {
    free(line);
    return EDITOR_CANCELLED;
  }
  *text = line;
  return EDITOR_LINE;
}

/* ---- hiding ---- */

bool editor_is_shown(void) {
  return prompting;
}

void editor_hide(void) {
  rl_clear_visible_line();
  fflush(rl_outstream);
}

void editor_show(void) {
  rl_on_new_line();
  rl_redisplay_function();
}

void editor_in_child(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  raw = 0;
  prompting = false;
  if (null < 0) return;
  dup2(null, fileno(rl_outstream));
  dup2(null, STDIN_FILENO);
  close(null);
}
