/* Lua's own file handles, for the files that read and write them.
**
** A FILE is touched only by the thread that has the interpreter lock, and never
** while it may block: what may is waited for first, without the lock. A thread
** that waits in the middle of a read or write has a claim on the FILE; others
** that want the same queue up behind it, in order. Closing a FILE tells all of
** them, and none touches it afterwards.
*/
#ifndef CR_STREAM_H
#define CR_STREAM_H

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>

#include "waitfd.h"

/* What a wait can end with, next to 0 and an errno value of the system: EINTR,
** an interrupt is pending; CR_FILE_CLOSED, another thread has closed the file. */
enum { CR_FILE_CLOSED = -1 };
/* Raises either of the two. Does not return. */
int cr_stream_raise(lua_State *L, int err);

enum cr_access { CR_READING, CR_WRITING };

struct cr_claim {
  FILE *file; /* NULL: no claim */
  enum cr_access access;
  bool closed;
  bool collected; /* lies in a userdata, whose finalizer ends it */
  const struct cr_slot *owner;
  void *scratch; /* malloc'ed, goes with the claim */
  struct cr_claim *next;
};

/* How many claims there are: as good as always none. */
extern atomic_uint cr_claims;

/* Does anybody claim it? */
bool cr_claimed(FILE *f, enum cr_access access);
/* Queues up and waits for its turn: 0, EINTR or CR_FILE_CLOSED. The claim must stay
** where it is and be ended in any case; ending it twice is harmless. */
int cr_claim_begin(struct cr_claim *c, FILE *f, enum cr_access access);
void cr_claim_end(struct cr_claim *c);
/* Waits for fd, with a claim. 0: look again. */
int cr_claim_wait(struct cr_claim *c, short events);
/* cr_write_unlocked, with a claim. */
int cr_claim_write(struct cr_claim *c, const char *bytes, size_t n,
                   size_t *done);
/* Tells everyone who claims it that the FILE is going to be closed. */
void cr_claims_close(FILE *f);

/* A file on a disk: nothing on it blocks for long. */
bool cr_stream_regular(FILE *f);
/* Does the state have more than one thread? */
bool cr_stream_shared(lua_State *L);

/* The handle at that index; raises when it is none, or closed. */
luaL_Stream *cr_stream_check(lua_State *L, int arg);
/* The same for a default file, which is pushed. */
#define CR_INPUT "_IO_input" /* Lua's keys in the registry */
#define CR_OUTPUT "_IO_output"
luaL_Stream *cr_stream_default(lua_State *L, const char *key);
/* Pushes a new handle, closed. */
luaL_Stream *cr_stream_new(lua_State *L);
/* Closes the open handle at index 1 and pushes the results. */
int cr_stream_close(lua_State *L);
/* Opens a new handle: 0 or an errno value. Lets the others run when that may
** block (a named pipe). */
int cr_stream_open(luaL_Stream *s, const char *name, const char *mode);

/* iowrite.c: one call's output. Begin, put, flush and end; between them no
** call of Lua that raises. Each returns 0, EINTR, CR_FILE_CLOSED or an errno value;
** end is called in any case. */
struct cr_out {
  lua_State *L;
  FILE *file;
  bool locked; /* stdio's own lock, which keeps other states out */
  struct cr_claim claim;
};
int cr_out_begin(struct cr_out *w, lua_State *L, FILE *f);
int cr_out_put(struct cr_out *w, const char *bytes, size_t n);
/* All of it, after what the FILE's buffer holds: together in one write when
** that holds both. */
int cr_out_line(struct cr_out *w, const char *line, size_t n);
void cr_out_end(struct cr_out *w);
/* The four around one flush. */
int cr_stream_flush(lua_State *L, FILE *f);

/* Into the tables io, of a handle's methods, and os. */
void cr_open_read(lua_State *L, int io, int methods);
void cr_open_write(lua_State *L, int io, int methods);
void cr_open_command(lua_State *L, int io, int os);

/* commandlib.c: closing that handle will not wait for its command, if it has
** one. */
void cr_command_let_go(luaL_Stream *s);

#endif
