/* What lua/pool.lua and its parts are built on: the C side of Pool.
**
** What can be said in Lua is; here are a pool's tray (tray.h), messages of
** several values, what a worker does with one of them, and sections: calls
** that other threads and interrupts cannot cut in on.
*/
#ifndef CR_POOL_H
#define CR_POOL_H

#include <lauxlib.h>
#include <lua.h>

#include "queue.h"
#include "tray.h"

/* Kinds of entries in a lane; the bytes of LARGE ones lie in the worker's
** queue for them, put there before. */
enum cr_report {
  CR_REPORT_VALUE,  /* what an item gave: one value */
  CR_REPORT_VALUES, /* any number of values */
  CR_REPORT_ERROR,  /* an error value */
  CR_REPORT_FULL,   /* no shared memory for what it gave */
  CR_REPORT_CHUNK,  /* an error of all items of a message */
  CR_REPORT_READY,  /* the worker has started */
  CR_REPORT_UNFIT,  /* the error of its initializer: it has not */
  CR_REPORT_LARGE = 0x100
};

/* Functions of it that wait, for results or for work; by them such a wait is
** known. */
int cr_pool_wait(lua_State *L);
int cr_pool_take(lua_State *L);

/* How a message's items are called. */
enum cr_call {
  CR_CALL_SPREAD = 1, /* an item is a list of arguments */
  CR_CALL_MANY = 2,   /* the message holds a list of items */
  CR_CALL_ALL = 4,    /* all results count, not just the first */
  CR_CALL_TIMED = 8
};

/* Checks of arguments: a tray and, at arg + 1, a lane of it (from 1 on). */
struct cr_lane_of {
  struct cr_tray *tray;
  uint32_t lane;
};
struct cr_lane_of cr_check_lane(lua_State *L, int arg);
struct cr_queue *cr_check_channel(lua_State *L, int arg);

/* Parts: each adds to the table on top. poolmessage.c: pack, put, pop, take,
** send, copy. poolwork.c: run, report. section.c: section. */
void cr_open_pool_message(lua_State *L);
void cr_open_pool_work(lua_State *L);
void cr_open_section(lua_State *L);

#endif
