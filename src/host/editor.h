/* The line editor: readline, for blocks of several lines.
**
** Enter ends the block when it is complete and goes on to the next line when it
** is not. All lines can be edited; those after the first are shown behind the
** second prompt.
*/
#ifndef EDITOR_H
#define EDITOR_H

#include <stdbool.h>
#include <lua.h>

/* What the editor asks Lua, with what it needs for it. Outside of the screen. */
struct editor_calls {
  void *ud;
  /* Waits for a key, letting others run. False: give the line up. */
  bool (*wait)(void *ud);
  /* Can the block be run (or is wrong beyond repair)? */
  bool (*is_complete)(void *ud, const char *text);
  /* What can stand at the end of the text: NULL-ended, malloc'ed, as readline
  ** wants them (the common beginning first), or NULL; `kind` says of what. */
  char **(*complete)(void *ud, const char *text, char *kind);
  /* Did a Ctrl-C come? Forgets it. */
  bool (*is_cancelled)(void *ud);
};
/* Kinds of completions; others stand in a string, too. */
enum { EDITOR_WORD = 'w', EDITOR_FILE = 'f' };

enum editor_end { EDITOR_LINE, EDITOR_CANCELLED, EDITOR_EOF };

/* Prepares readline for that terminal. Returns 0 or an errno value. */
int editor_open(int terminal);
/* Reads a block: *text is malloc'ed, NULL unless the result is EDITOR_LINE. */
enum editor_end editor_read(const char *prompt, const char *prompt2,
                            const struct editor_calls *calls, char **text);
/* Inside the screen: is there a prompt? Takes it off; puts it back. */
bool editor_is_shown(void);
void editor_hide(void);
void editor_show(void);
/* The size of the window has changed; for a signal handler. */
void editor_resize(void);
/* Gives the terminal the modes back that it had; for a signal handler, too. */
void editor_restore(void);
/* In a fork's child: the terminal is not ours. */
void editor_in_child(void);

#endif
