/* The way of all output of a session to its terminal.
**
** Standard output and error of the process become the slave of a pseudo
** terminal, which children inherit, so it catches threads, C libraries, forked
** children and programs alike, and they see a terminal. A thread without Lua,
** the pump, copies what comes to the real one; while a line is being typed it
** lifts the prompt, writes above it and puts it back.
*/
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>

/* How to take the prompt off the screen, when it is there, and put it back; all
** are called inside the screen (screen.h). */
struct relay_prompt {
  bool (*is_shown)(void);
  void (*hide)(void);
  void (*show)(void);
};

/* Starts. Returns 0 or an errno value: then output goes straight to the
** terminal, and what comes while a line is typed spoils its looks. */
int relay_open(const struct relay_prompt *prompt);
/* The real terminal; -1 if there are no descriptors left. */
int relay_terminal(void);
/* Waits until all that this process has written so far is on the screen. Not
** from inside the screen. */
void relay_drain(void);
/* Inside the screen: moves to a new line unless the cursor is on one. */
void relay_fresh_line(void);
/* Inside the screen: readline has left the cursor at the start of a line. */
void relay_at_line_start(void);
/* Gives the pseudo terminal the size of the real one; for a signal handler. */
void relay_resize(void);
/* Drains, gives the process its terminal back and ends the pump. Children that
** still write are served by a small process of their own until they end. */
void relay_close(void);
/* In a fork's child: the relay is its parent's, and so is the terminal. */
void relay_in_child(void);

#endif
