/* The history of the prompt, in $XDG_STATE_HOME/cluarun/history, for its owner
** only. Each entry is appended as it is made, so what sessions enter that run
** at the same time all stays. */
#ifndef HISTORY_H
#define HISTORY_H

/* Reads it into readline's list. Returns NULL, or why there will be none in the
** next session. */
const char *history_open(void);
/* Adds an entry, of any number of lines, to the list and the file. Returns NULL
** or why the file could not be written. */
const char *history_remember(const char *text);

#endif
