/* Processes, for the other files of this layer.
**
** A state's children are userdata (a Process, or the record of a raw fork) that
** its family keeps alive until they are reaped. A Process is "own" in the
** process that made it; elsewhere it only answers questions.
*/
#ifndef CR_PROCESS_H
#define CR_PROCESS_H

#include <lauxlib.h>
#include <lua.h>

#include "child.h"
#include "result.h"

enum cr_process_state { CR_INITIAL, CR_STARTED, CR_CLOSED };

/* The userdata of a Process. In its user values: what it runs, the name if one
** was given, the numbers of the Processes above it ("1:2", nil below the root),
** its result as a list. */
struct cr_process {
  struct cr_child child; /* first: the family knows only this */
  struct cr_result result;
  enum cr_process_state state;
  enum cr_cell_kind kind; /* of the result, once its end was seen */
  bool settled;           /* its end was seen */
  uint32_t number;        /* for its default name; 0: the root */
  uint32_t maker;         /* incarnation of the process it is own in */
};

enum { CR_TARGET = 1, CR_ARGS, CR_NAME, CR_NUMBERS, CR_RESULT };

/* processlib.c. Pushes the name of the Process at that index. */
const char *cr_process_push_name(lua_State *L, int process);
/* Pushes a new Process object for this very process. */
void cr_process_push_self(lua_State *L);

/* childlife.c. In a new child: runs the target of the Process at index 1, and
** ends this process. */
_Noreturn void cr_process_live(lua_State *L);
/* In one that the target has forked: the error on top of the stack is what it
** ends with. Prints it, unless it is an interrupt. */
void cr_process_fail(lua_State *L);

/* family.c. This state's children; in a new process: none. */
struct cr_family *cr_family(lua_State *L);
void cr_family_open(lua_State *L);
/* Keeps the userdata on top of the stack, which it pops, alive while c lives,
** and lets go of it. */
void cr_family_hold(lua_State *L, struct cr_child *c);
void cr_family_drop(lua_State *L, struct cr_child *c);
/* Reaps ended Processes and lets go of them. */
void cr_family_tidy(lua_State *L);
/* Pushes the userdata of a child that is held. */
void cr_family_push(lua_State *L, struct cr_child *c);
/* What may let other threads run, or raise, before a fork: comes before the
** child's record says anything, as they may ask it. */
void cr_family_before_fork(lua_State *L);
/* Forks with the held record c, as cr_child_fork does; after the above. */
int cr_family_fork(lua_State *L, struct cr_child *c, pid_t *pid);
/* At the end of the main script, also after an error, and of a child's target:
** joins threads, terminates daemon children (and kills them after a second), then joins the
** others. Raises when it is interrupted. */
int cr_process_end(lua_State *L);

/* The Process objects of this process and of its parent (nil in the root). */
enum cr_relative { CR_CURRENT = 2, CR_PARENT = 3 };
void cr_push_relative(lua_State *L, enum cr_relative which);

/* poollib.c. Terminates the pools that this process has made. */
void cr_pool_end(lua_State *L);

/* forklib.c: its names, into the table on top. */
void cr_open_fork(lua_State *L);
/* cpu.c: at least 1. */
int cr_cpu_count(void);

#endif
