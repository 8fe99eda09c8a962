/* A block of lines in readline's buffer. See block.h.
**
** Readline shows a new line in its buffer as one, but with nothing before the
** next. So while it draws, it is lent another buffer that has the second prompt
** after each new line.
*/
#include "block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "readline_names.h"

static char *prompt2;
static size_t prompt2_length;

void block_prompt(const char *text) {
  free(prompt2);
  prompt2 = strdup(text);
  prompt2_length = prompt2 != NULL ? strlen(prompt2) : 0;
}

static int new_lines(int end) {
  int n = 0;
  for (int i = 0; i < end; i++) n += rl_line_buffer[i] == '\n';
  return n;
}

/* Where that place in the buffer is in the one that is shown. */
static int shown_at(int place) {
  return place + new_lines(place) * (int)prompt2_length;
}

static void fill(char *to) {
  for (int i = 0; i < rl_end; i++) {
    *to++ = rl_line_buffer[i];
    if (rl_line_buffer[i] != '\n') continue;
    memcpy(to, prompt2, prompt2_length);
    to += prompt2_length;
  }
  *to = '\0';
}

/* Readline writes past the end of a table of its own when the prompt takes more
** than 256 lines of the screen, as that of a search for a pasted text may. */
static bool is_too_long(const char *prompt) {
  enum { WIDEST = 2 /* columns of a byte */, MOST = 200 };
  int rows, columns;
  size_t lines = 0;
  rl_get_screen_size(&rows, &columns);
  for (const char *p = prompt; *p != '\0'; p += *p == '\n') {
    size_t n = strcspn(p, "\n");
    lines += 1 + n * WIDEST / (columns > 0 ? (size_t)columns : 1);
    p += n;
  }
  return lines > MOST;
}

void block_redisplay(void) {
  char *shown = NULL;
  if (rl_display_prompt != NULL && is_too_long(rl_display_prompt)) return;
  if (prompt2_length > 0 && new_lines(rl_end) > 0)
    shown = malloc((size_t)shown_at(rl_end) + 1);
  if (shown == NULL) {
    rl_redisplay();
    return;
  }
  char *buffer = rl_line_buffer;
  int end = rl_end, point = rl_point, mark = rl_mark;
  fill(shown);
  int shown_end = shown_at(end), shown_point = shown_at(point);
  int shown_mark = shown_at(mark <= end ? mark : end);
  rl_line_buffer = shown;
  rl_end = shown_end;
  rl_point = shown_point;
  rl_mark = shown_mark;
  rl_redisplay();
  rl_line_buffer = buffer;
  rl_end = end;
  rl_point = point;
  rl_mark = mark;
  free(shown);
}

/* The start of the line in which that place is, and its end. */
static int line_start(int place) {
  while (place > 0 && rl_line_buffer[place - 1] != '\n') place--;
  return place;
}

static int line_end(int place) {
  while (place < rl_end && rl_line_buffer[place] != '\n') place++;
  return place;
}

bool block_at_indent(void) {
  int i = line_start(rl_point);
  while (i < rl_point && strchr(" \t", rl_line_buffer[i]) != NULL) i++;
  return i == rl_point;
}

/* To the cursor's column in the line that starts there. */
static void go_to_line(int start) {
  int column = rl_point - line_start(rl_point);
  int end = line_end(start);
  rl_point = start + column < end ? start + column : end;
  /* not into the middle of a character */
  while (rl_point > start && (rl_line_buffer[rl_point] & 0xC0) == 0x80)
    rl_point--;
}

bool block_up(void) {
  int start = line_start(rl_point);
  if (start == 0) return false;
  go_to_line(line_start(start - 1));
  return true;
}

bool block_down(void) {
  int end = line_end(rl_point);
  if (end == rl_end) return false;
  go_to_line(end + 1);
  return true;
}
