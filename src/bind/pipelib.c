/* Pipe: two ends that send and receive values. */
#include "pipe.h"

#include <errno.h>
#include <string.h>

#include "marshal.h"
#include "object.h"
#include "receive.h"

static struct cr_pipe *check_end(lua_State *L) {
  struct cr_block *b = cr_object_peek(L, 1);
  if (b != NULL &&
      atomic_load_explicit(&b->type, memory_order_relaxed) == CR_PIPE)
    return (struct cr_pipe *)b;
  struct cr_object *o = luaL_testudata(L, 1, "cluarun.Pipe");
  if (o != NULL && o->block == NULL)
    luaL_error(L, "this end of the pipe is closed");
  return (struct cr_pipe *)cr_object_check(L, 1, "Pipe");
}

/* While a thread of this process waits at the end at index 1, another one must
** not close it. Nothing that raises may stand between the two. */
static void begin_use(lua_State *L) {
  struct cr_object *o = cr_object_test(L, 1);
  if (o->process != cr_self->leader_incarnation) o->users = 0; /* a parent's */
  o->process = cr_self->leader_incarnation;
  o->users++;
}

static void end_use(lua_State *L) {
  cr_object_test(L, 1)->users--;
}

static bool is_used(const struct cr_object *o) {
  return o->users > 0 && o->process == cr_self->leader_incarnation;
}

/* Both ends or, when shared memory is exhausted, none. */
static bool open_ends(lua_State *L, struct cr_object *a, struct cr_object *b,
                      bool duplex) {
  struct cr_pipe *ends[2];
  if (cr_pipe_new(duplex, ends) != 0) return false;
  if (!cr_object_attach(L, a, (struct cr_block *)ends[0])) {
    cr_destroy((struct cr_block *)ends[1]);
    return false;
  }
  if (cr_object_attach(L, b, (struct cr_block *)ends[1])) return true;
  cr_object_close(L, a);
  return false;
}

static int pipe_new(lua_State *L) {
  bool duplex = cr_check_boolean(L, 1, "duplex", true);
  int64_t took = 0;
  lua_settop(L, 0);
  struct cr_object *a = cr_object_push(L, "Pipe");
  struct cr_object *b = cr_object_push(L, "Pipe");
  while (!open_ends(L, a, b, duplex))
    if (!cr_reclaim(L, &took)) cr_raise_exhausted(L);
  return 2;
}

static int send_once(lua_State *L) {
  struct cr_pipe *e = check_end(L);
  struct cr_packet p;
  int err = cr_encode(L, 2, 1, false, &p);
  if (err == EINVAL) return cr_argerror(L, 2, lua_tostring(L, -1));
  if (err == 0) {
    begin_use(L);
    err = cr_pipe_send(e, &p, CR_FOREVER);
    end_use(L);
    if (err != 0) cr_packet_free(&p);
  }
  return err;
}

static int pipe_send(lua_State *L) {
  int64_t took = 0;
  struct cr_pipe *e = check_end(L);
  if (lua_isnone(L, 2)) return cr_argerror(L, 2, "value expected");
  if (!cr_pipe_can_send(e))
    return luaL_error(L, "cannot send on the receiving end of a one-way pipe");
  int err = send_once(L);
  while (err == ENOMEM && cr_reclaim(L, &took)) err = send_once(L);
  switch (err) {
    case 0: return 0;
    case EPIPE: return cr_raise(L, CR_ERROR_EOF);
    case EINTR: return cr_raise_interrupt(L);
    default: return cr_raise(L, CR_ERROR_FULL);
  }
}

static struct cr_pipe *check_receiver(lua_State *L) {
  struct cr_pipe *e = check_end(L);
  if (!cr_pipe_can_receive(e))
    luaL_error(L, "cannot receive on the sending end of a one-way pipe");
  return e;
}

static int unget(void *e, struct cr_packet *p) {
  return cr_pipe_unget(e, p);
}

static int pipe_recv(lua_State *L) {
  struct cr_pipe *e = check_receiver(L);
  struct cr_packet p;
  begin_use(L);
  int err = cr_pipe_receive(e, &p, CR_FOREVER);
  end_use(L);
  switch (err) {
    case 0: return cr_receive(L, &p, unget, e);
    case EPIPE: return cr_raise(L, CR_ERROR_EOF);
    case EINTR: return cr_raise_interrupt(L);
    default: return luaL_error(L, "not enough memory");
  }
}

/* poll([timeout = 0]): as in Python, no argument does not wait. */
static int pipe_poll(lua_State *L) {
  struct cr_pipe *e = check_receiver(L);
  int64_t deadline = lua_isnone(L, 2) ? 0 : cr_check_deadline(L, 2);
  begin_use(L);
  int err = cr_pipe_wait(e, deadline);
  end_use(L);
  if (err == EINTR) return cr_raise_interrupt(L);
  lua_pushboolean(L, err == 0);
  return 1;
}

/* Lets go of this process's hold; harmless on a closed end. */
static int pipe_close(lua_State *L) {
  struct cr_object *o = luaL_testudata(L, 1, "cluarun.Pipe");
  if (o == NULL) {
    check_end(L);
  } else {
    if (is_used(o))
      return luaL_error(
          L, "cannot close this end of the pipe: another thread waits at it");
    cr_object_close(L, o);
  }
  return 0;
}

static int pipe__index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key != NULL && strcmp(key, "closed") == 0) {
    lua_pushboolean(L, cr_object_peek(L, 1) == NULL);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int pipe__tostring(lua_State *L) {
  struct cr_pipe *e = (struct cr_pipe *)cr_object_peek(L, 1);
  const char *what = e == NULL                 ? ""
                     : !cr_pipe_can_send(e)    ? "receives"
                     : !cr_pipe_can_receive(e) ? "sends"
                                               : "duplex";
  if (e == NULL)
    lua_pushliteral(L, "<Pipe closed>");
  else
    lua_pushfstring(L, "<Pipe %p %s>", (void *)e, what);
  return 1;
}

static const luaL_Reg methods[] = {
    {"send", pipe_send},
    {"recv", pipe_recv},
    {"poll", pipe_poll},
    {"close", pipe_close},
    {"__close", pipe_close},
    {"__tostring", pipe__tostring},
    {NULL, NULL},
};

int cr_open_pipe(lua_State *L) {
  cr_object_type(L, "Pipe", CR_PIPE, methods);
  luaL_getmetatable(L, "cluarun.Pipe");
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, pipe__index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, pipe_new);
  lua_setfield(L, -2, "Pipe");
  return 0;
}
