/* Threads, for the other files of this layer.
**
** A Thread is a userdata; while its OS thread runs it is kept alive and has a
** record of the interpreter lock (gil.h). The first thread, and OS threads of
** the host's that entered the state, get one when somebody asks for it.
*/
#ifndef CR_THREAD_H
#define CR_THREAD_H

#include <lauxlib.h>
#include <lua.h>

#include "gil.h"

enum cr_thread_state { CR_THREAD_INITIAL, CR_THREAD_STARTED, CR_THREAD_ENDED };

/* How an ended one ended. LOST: it is not in this process, after a fork. */
enum cr_thread_outcome { CR_THREAD_LOST, CR_THREAD_VALUES, CR_THREAD_ERROR };

struct cr_thread_object {
  struct cr_thread *thread; /* while it runs */
  enum cr_thread_state state;
  enum cr_thread_outcome outcome;
  bool daemon;
  bool timer;
  bool quiet;      /* it is ended by Ctrl-C: it says nothing */
  bool over;       /* no need to wait for its slot's end */
  bool unreaped;   /* its slot has not been given back */
  bool tid_wanted; /* somebody waits for tid */
  uint32_t number;
  cr_word tid;       /* 0 until it runs, then for ever */
  cr_word cancelled; /* a Timer's */
  double interval;
  struct cr_slot *slot;
  uint32_t incarnation; /* of the slot; its ident */
};

/* User values: what it runs, its name if one was given, what it returned or
** raised (a list), the traceback of its error, its first state. */
enum {
  CR_THREAD_TARGET = 1,
  CR_THREAD_ARGS,
  CR_THREAD_NAME,
  CR_THREAD_RESULT,
  CR_THREAD_TRACE,
  CR_THREAD_BASE
};

/* threadlife.c. Starts the OS thread of the Thread at index 1, which keeps it
** alive until it ends. Returns 0 or an errno value. */
int cr_thread_start(lua_State *L);
/* The whole of its OS thread's work, but for leaving the slot. */
void cr_thread_run(struct cr_thread *t);
/* worker.c: has it run in an OS thread. Returns 0 or an errno value. */
int cr_worker_start(struct cr_thread *t);
/* Pushes the Thread of a record of this state. */
void cr_thread_push(lua_State *L, struct cr_thread *t);
/* Has it ended? If not, fills in what to sleep on. */
bool cr_thread_ready(struct cr_thread_object *o, struct cr_wait *wait);
/* Waits until it has ended: 0, ETIMEDOUT, EINTR. */
int cr_thread_wait(struct cr_thread_object *o, int64_t deadline);
/* Gives the slot of an ended one back. */
void cr_thread_reap(struct cr_thread_object *o);
/* Waits for all but daemons and the calling one; raises when interrupted. */
void cr_threads_join(lua_State *L);
/* Interrupts all but the calling one, silently: the script was interrupted. */
void cr_threads_interrupt(lua_State *L);

/* threadlib.c. A new Thread object on the stack, without a target. */
struct cr_thread_object *cr_thread_object_push(lua_State *L, bool timer);
/* Pushes its name. */
const char *cr_thread_push_name(lua_State *L, int thread);

/* interrupt.c. Raises the error at that index (nil: "interrupted!") in t. */
void cr_thread_interrupt(lua_State *L, struct cr_thread *t, int error);

/* locallib.c. Drops what Locals hold for the thread. */
void cr_locals_drop(lua_State *L, struct cr_thread *t);

int cr_open_thread(lua_State *L);
int cr_open_local(lua_State *L);

#endif
