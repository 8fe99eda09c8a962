/* What belongs to one Lua state of ours: its heap, its interrupts, its output.
*/
#ifndef CR_STATE_H
#define CR_STATE_H

#include <lua.h>

#include "slot.h"

/* heap.c: the allocator of our states. Blocks of a table's size carry the epoch
** in which they were allocated; the epoch changes in both processes at every
** fork, so (address, epoch) names the same table in all relatives that have it
** since before they parted. While an epoch lasts it names none: one table may
** die and another come to lie in its place. */
struct cr_heap;
/* Needs the arena. NULL when there is no memory. */
struct cr_heap *cr_heap_new(void);
void cr_heap_free(struct cr_heap *h);
void *cr_heap_alloc(void *heap, void *block, size_t old_size, size_t new_size);
/* A state of somebody else's: from now on its tables come from a heap of ours,
** which goes when the state does. Does nothing when there is no memory. */
void cr_heap_adopt(lua_State *L);
/* The epoch of the live block at `address` of this state's heap, which has
** ended; 0: unknown (freed, not of a table's size, not our heap), or it lasts. */
uint32_t cr_heap_epoch(lua_State *L, const void *address);

/* interrupt.c: Ctrl-C. The handler sets a flag and a trap (gil.h) and rings the
** main thread's alarm, so loops and sleeps end alike. */
void cr_interrupt_install(lua_State *L);
/* In a Process of one that has another way with Ctrl-C: not that. */
void cr_interrupt_in_process(lua_State *L);
/* Back to what the program had. */
void cr_interrupt_remove(void);
/* Is an interrupt pending for this thread? */
bool cr_interrupt_pending(void);
/* How many interrupts were raised in this thread: has an error to do with one? */
uint32_t cr_interrupts(lua_State *L);
/* Was this error message the uncaught "interrupted!" of a delivered Ctrl-C? */
bool cr_is_interrupt(lua_State *L, int index);

/* output.c: whole lines. From the first fork on, stdout is line by line. */
void cr_output_shared(void);
/* Writes all bytes to the fd in one piece as far as the system can. What need not
** wait is written though an interrupt is pending: it may be the very error. */
void cr_write_all(int fd, const char *bytes, size_t n);
int cr_print(lua_State *L);
/* iolib.c: puts our functions into Lua's io library, its file handles and
** os.execute. */
void cr_open_io(lua_State *L);

/* traceback.c: as luaL_traceback, but leaves out the oldest `below` levels (0:
** all are shown): what lay on the stack before a child began. */
void cr_traceback(lua_State *L, const char *message, int level, int below);
/* Is it a function of our own Lua code? With "S". */
bool cr_is_ours(const lua_Debug *ar);
/* Is the function at that level ours, or a C function that ours calls? */
bool cr_is_inner(lua_State *L, int level);
/* Leaves out what is inner: of functions of ours that call each other only the
** one that was called from outside stays, without its line. In place; returns
** the new length. */
size_t cr_traceback_tidy(char *text);
/* How many levels the stack has. */
int cr_stack_levels(lua_State *L);
/* A message handler: the error as text with a traceback, as lua.c's. */
int cr_message_handler(lua_State *L);

/* embed.c: the chunks of lua/. Both raise. cr_run_embedded runs one by name
** ("pool") with n arguments on the stack and leaves its results. It has globals
** of our own: a script may have a `type` or a `table`. */
void cr_load_embedded(lua_State *L, const char *name);
void cr_run_embedded(lua_State *L, const char *name, int n, int results);

/* oslib.c: how a process ends. The process library sets this hook, which runs
** protected when the main script is done, also after an error (joins children). */
extern void (*cr_script_end)(lua_State *L);
/* Ends a forked child: flushes, and leaves without anybody's exit handlers. */
_Noreturn void cr_leave(int status);
/* Ends this process as Ctrl-C does, silently. */
_Noreturn void cr_leave_interrupted(void);
/* child.c: has a fork() or a Process of ours made this process, or one that it
** descends from? Then what its ancestors have to do at their end is not for it.
** A child that the program forked by itself is the program, going on. */
bool cr_forked(void);
/* Puts our os.exit into the os library. */
void cr_open_exit(lua_State *L);

/* colib.c: functions of the coroutine library that know of threads, put in the
** place of Lua's own. */
void cr_open_coroutine(lua_State *L);
/* hooklib.c: the same for debug.sethook and gethook, where the program does not
** interpose (raw.h). */
void cr_open_hooks(lua_State *L);
/* requirelib.c: a require that runs a module once, however many threads want
** it at the same time. */
void cr_open_require(lua_State *L);
/* warn.c: the warnings of the standard interpreter. */
void cr_warn_open(lua_State *L);

#endif
