/* cluarun --watch: a process that runs the script in a child, again and again.
**
** The watcher itself has no arena and no primitives, so that each run begins as
** a process that descends from nobody. lua/watch.lua says what is done.
*/
#ifndef CR_WATCH_H
#define CR_WATCH_H

#include <lua.h>
#include <stdbool.h>

/* Do the arguments ask for it? */
bool cr_watch_wanted(char **argv);
/* The watcher. True in each child: it is to run the script. False in the end,
** with the exit status. */
bool cr_watch(int argc, char **argv, int *status);

/* In a run: tells the watcher of a file that is about to be loaded, or was looked
** for. Does nothing where nobody watches. */
void cr_watch_report(const char *file);
/* The same for all files in the text of require's error on top of the stack. */
void cr_watch_report_missing(const char *text);

/* watchlib.c: the table of what watch.lua does through the system. In the child
** that it makes it closes what is the watcher's. */
void cr_watch_push_library(lua_State *L);
/* What a file is just now: another one after it was saved. Empty: not there. */
void cr_watch_stamp(const char *file, char *text, size_t room);
extern int cr_watch_fd; /* where a run reports to; -1: nobody watches */

#endif
