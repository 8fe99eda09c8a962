/* Userdata for shared objects, and what every library file needs.
**
** A userdata of a synchronisation object holds one handle of this process. One
** object has one userdata per state (found again by address), so that objects
** compare with ==. Types are registered with one luaL_Reg table each; names
** that begin with "__" go to the metatable.
*/
#ifndef CR_OBJECT_H
#define CR_OBJECT_H

#include <lauxlib.h>
#include <lua.h>

#include "slot.h"

struct cr_object {
  struct cr_block *block; /* NULL: closed */
  uint32_t handle;
  uint32_t magic; /* CR_OBJECT_MAGIC: for cr_object_peek */
  uint32_t users; /* threads of `process` that wait at it: do not close */
  uint32_t process;
};
#define CR_OBJECT_MAGIC 0x6f4c7243u

/* Registers a type: `name` is its global name ("Queue") and __name, `block` the
** arena's type. Leaves nothing on the stack. The metatable lies in the registry
** under `name` prefixed "cluarun.". Adds __gc (drops the handle), __eq and
** a default __tostring `<Queue 0x...>` when the table has none. Methods are found
** by __index; a function named __index in the table gets the table of methods as
** its first upvalue. */
void cr_object_type(lua_State *L, const char *name, enum cr_type block,
                    const luaL_Reg *functions);

/* Making one: push a closed userdata first, then make the arena object, then
** attach it, which takes the object over from limbo. False: shared memory is
** exhausted, whether there was an object or NULL; it is freed. */
struct cr_object *cr_object_push(lua_State *L, const char *name);
bool cr_object_attach(lua_State *L, struct cr_object *o,
                      struct cr_block *block);
/* The same, but then garbage is collected, and false says that the object is to
** be made once more; raises when that was in vain. *took: as below. */
bool cr_object_made(lua_State *L, struct cr_object *o, struct cr_block *block,
                    int64_t *took);
_Noreturn void cr_raise_exhausted(lua_State *L);

/* Shared memory is exhausted: collects garbage, which may hold some. True: what
** failed is worth one more attempt. *took is 0 at first and tells attempts
** apart. Runs finalizers, hence any Lua code: nothing may be half done. */
bool cr_reclaim(lua_State *L, int64_t *took);

/* Closes a userdata before its time: drops the handle. Harmless when closed. */
void cr_object_close(lua_State *L, struct cr_object *o);

/* Pushes the state's userdata for a block that this process holds or that the
** caller keeps alive meanwhile (one more handle is taken if there is none). */
void cr_object_push_shared(lua_State *L, struct cr_block *block);

/* Argument checks. cr_object_check raises "bad argument #n ... (Queue
** expected, got ...)"; closed ones raise too. cr_object_test takes any
** synchronisation object, closed or not, gives NULL for anything else and
** never raises. */
struct cr_block *cr_object_check(lua_State *L, int arg, const char *name);
struct cr_object *cr_object_test(lua_State *L, int arg);

/* As luaL_argerror, which does not know a method's name under pcall. */
int cr_argerror(lua_State *L, int arg, const char *message);
/* An optional timeout in seconds at `arg`, as a deadline: nil is CR_FOREVER,
** zero or negative 0 (do not wait); NaN and non-numbers are argument errors. */
int64_t cr_check_deadline(lua_State *L, int arg);
/* `block` (boolean, default true) at arg and `timeout` at arg + 1. */
int64_t cr_check_block(lua_State *L, int arg);
/* Raises for every key of the table at `arg` that is not in the NULL-ended
** list: "bad argument #1 to 'Process' (unknown field 'targte')". */
void cr_check_fields(lua_State *L, int arg, const char *const *known);
/* A boolean named `what`, or what is taken if there is none. */
bool cr_check_boolean(lua_State *L, int arg, const char *what, bool absent);
/* An integer argument within bounds, named in the message:
** "bad argument #1 to 'Queue' (maxsize must be ..., got -1)". */
lua_Integer cr_check_range(lua_State *L, int arg, const char *what,
                           lua_Integer min, lua_Integer max,
                           lua_Integer default_value);

/* The error values of the contract; in this order. */
enum cr_error {
  CR_ERROR_FULL,
  CR_ERROR_EMPTY,
  CR_ERROR_SHUTDOWN,
  CR_ERROR_TIMEOUT,
  CR_ERROR_EOF,
  CR_ERROR_BROKEN,
  CR_ERROR_WORKER_LOST,
  CR_ERROR_OWNER_DIED,
  CR_ERRORS
};
void cr_push_error(lua_State *L, enum cr_error e);
int cr_raise(lua_State *L, enum cr_error e); /* does not return */
/* Replaces the string on top by a WorkerLost with that text. */
void cr_push_worker_lost(lua_State *L);
int cr_raise_lost(lua_State *L, const char *text); /* does not return */
/* Which error value lies at index i, or -1; and the text of a WorkerLost with
** one of its own, else NULL. They never raise. */
int cr_error_test(lua_State *L, int i);
const char *cr_error_text(lua_State *L, int i, size_t *length);
/* After a sync function returned EINTR: raises what interrupted this thread
** ("FILE:LINE: interrupted!"). Does not return. */
int cr_raise_interrupt(lua_State *L);

/* The object of a userdata of ours at `arg` when it is open, else NULL. Fast: it
** tells ours by size and a magic number in the userdata, looks at no metatable
** and raises nothing. */
struct cr_block *cr_object_peek(lua_State *L, int arg);
/* A function that dresses each new userdata of an arena type, which is on top of
** the stack (to give it another metatable). */
void cr_object_dress(enum cr_type block,
                     void (*dress)(lua_State *L, struct cr_block *block));

/* Libraries: each adds its names to the table on top of the stack. */
int cr_open_errors(lua_State *L);
int cr_open_synch(lua_State *L);   /* Lock ... Barrier */
int cr_open_value(lua_State *L);   /* Value, Array */
int cr_open_queue(lua_State *L);   /* Queue, LifoQueue, PriorityQueue */
int cr_open_pipe(lua_State *L);    /* Pipe */
int cr_open_wait(lua_State *L);    /* wait_any, sleep, time, monotonic */
int cr_open_process(lua_State *L); /* fork, wait, kill, Process ... */
int cr_open_pool(lua_State *L);    /* Pool, ThreadPool */

#endif
