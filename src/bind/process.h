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

/* At the end of the main script, also after an error, and of a child's target:
** terminates daemon children (and kills them after a second), then joins the
** others. Raises when it is interrupted. */
int cr_process_end(lua_State *L);

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
/* Forks with the children's record c: returns 0 in the child, else its pid;
** raises what the system says (c is then not held any more). */
pid_t cr_family_fork(lua_State *L, struct cr_child *c);

/* The Process objects of this process and of its parent (nil in the root). */
enum cr_relative { CR_CURRENT = 2, CR_PARENT = 3 };
void cr_push_relative(lua_State *L, enum cr_relative which);
void cr_set_relative(lua_State *L, enum cr_relative which); /* pops */
/* processlib.c. Pushes a new Process object for this very process. */
void cr_process_push_self(lua_State *L);
/* forklib.c, processlib.c: their names, into the table on top. */
void cr_open_fork(lua_State *L);
/* cpu.c: at least 1. */
int cr_cpu_count(void);

#endif
