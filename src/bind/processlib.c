/* The class Process: a function that runs in a child of its own.
**
** A Process is "own" in the process that made it: only there it can be
** started, waited for and ended. The same userdata, inherited by fork, is what
** current_process() and parent_process() give in the child.
*/
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "object.h"
#include "process.h"
#include "result.h"
#include "state.h"
#include "task.h"

#define TYPE "cluarun.Process"

static uint32_t this_process(void) {
  return cr_self->leader_incarnation;
}

static struct cr_process *new_process(lua_State *L) {
  struct cr_process *p = lua_newuserdatauv(L, sizeof *p, CR_RESULT);
  memset(p, 0, sizeof *p);
  luaL_setmetatable(L, TYPE);
  return p;
}

static struct cr_process *check_process(lua_State *L, int arg) {
  struct cr_process *p = luaL_testudata(L, arg, TYPE);
  if (p == NULL) luaL_typeerror(L, arg, "Process");
  cr_family(L); /* in a new process: first find out who is who */
  return p;
}

static struct cr_process *check_open(lua_State *L, const char *what) {
  struct cr_process *p = check_process(L, 1);
  if (p->state == CR_CLOSED) luaL_error(L, "cannot %s a closed process", what);
  return p;
}

static struct cr_process *check_started(lua_State *L, const char *what) {
  struct cr_process *p = check_open(L, what);
  if (p->state == CR_INITIAL)
    luaL_error(L, "cannot %s a process before it is started", what);
  return p;
}

static struct cr_process *check_own(lua_State *L, const char *what) {
  struct cr_process *p = check_started(L, what);
  if (p->maker != this_process())
    luaL_error(L, "cannot %s a process that is not a child of this one", what);
  return p;
}

/* ---- names ---- */

/* The default name counts the Processes made in each process on the way from
** the root: "Process-1:2" is the second one made in the first. */
const char *cr_process_push_name(lua_State *L, int process) {
  struct cr_process *p = lua_touserdata(L, process);
  process = lua_absindex(L, process);
  if (lua_getiuservalue(L, process, CR_NAME) == LUA_TSTRING)
    return lua_tostring(L, -1);
  bool below = lua_getiuservalue(L, process, CR_NUMBERS) == LUA_TSTRING;
  lua_pushfstring(L, "Process-%s%s%d", below ? lua_tostring(L, -1) : "",
                  below ? ":" : "", (int)p->number);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return lua_tostring(L, -1);
}

/* Pushes what stands before the numbers of Processes made here. */
static void push_numbers(lua_State *L) {
  cr_push_relative(L, CR_CURRENT);
  struct cr_process *me = lua_touserdata(L, -1);
  bool below = lua_getiuservalue(L, -1, CR_NUMBERS) == LUA_TSTRING;
  if (me->number == 0)
    lua_pushnil(L);
  else
    lua_pushfstring(L, "%s%s%d", below ? lua_tostring(L, -1) : "",
                    below ? ":" : "", (int)me->number);
  lua_replace(L, -3);
  lua_pop(L, 1);
}

/* ---- making ---- */

static int process_new(lua_State *L) {
  cr_task_check(L);
  struct cr_process *p = new_process(L);
  p->maker = this_process();
  p->child.daemon = lua_toboolean(L, 5);
  p->number = ++cr_family(L)->made;
  push_numbers(L);
  lua_setiuservalue(L, 6, CR_NUMBERS);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 6, CR_TARGET);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, 6, CR_ARGS);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 6, CR_NAME);
  return 1;
}

/* This very process, which no state here has started. */
void cr_process_push_self(lua_State *L) {
  struct cr_process *p = new_process(L);
  p->state = CR_STARTED;
  p->child.pid = getpid();
  p->child.slot = cr_slot_at(cr_self->leader);
  p->child.incarnation = this_process();
  cr_push_relative(L, CR_PARENT);
  struct cr_process *parent = lua_touserdata(L, -1);
  if (parent != NULL) {
    p->number = parent->number;
    for (int i = CR_NAME; i <= CR_NUMBERS; i++) {
      lua_getiuservalue(L, -1, i);
      lua_setiuservalue(L, -3, i);
    }
  } else {
    lua_pushliteral(L, "MainProcess");
    lua_setiuservalue(L, -3, CR_NAME);
  }
  lua_pop(L, 1);
}

/* ---- the parent ---- */

/* The child, which pushes them, could report too many of them less well. */
static void check_arguments(lua_State *L) {
  if (lua_getiuservalue(L, 1, CR_ARGS) != LUA_TNIL) cr_task_count(L, -1);
  lua_pop(L, 1);
}

static int process_start(lua_State *L) {
  cr_family_before_fork(L); /* first: another thread may start it meanwhile */
  struct cr_process *p = check_open(L, "start");
  if (p->state != CR_INITIAL)
    return luaL_error(L, "cannot start a process twice");
  if (p->maker != this_process())
    return luaL_error(L, "cannot start a process that another one made");
  lua_settop(L, 1);
  check_arguments(L);
  cr_family_tidy(L);
  if (p->result.cell == NULL) cr_result_open(L, &p->result);
  p->child.name = cr_process_push_name(L, 1);
  lua_pushvalue(L, 1);
  cr_family_hold(L, &p->child);
  pid_t pid;
  p->state = CR_STARTED;
  int err = cr_family_fork(L, &p->child, &pid);
  if (err == 0 && pid == 0) cr_process_live(L);
  p->child.name = NULL;
  if (err != 0) {
    p->state = CR_INITIAL;
    return luaL_error(L, "cannot fork: %s", strerror(err));
  }
  for (int i = CR_TARGET; i <= CR_ARGS; i++) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  lua_settop(L, 1);
  return 1;
}

/* Lets go of an ended child, and of the cell if nothing lies in it. */
static void settle(lua_State *L, struct cr_process *p) {
  if (p->settled) return;
  p->settled = true;
  p->kind = cr_cell_kind(p->result.cell);
  if (cr_cell_message(p->result.cell) == NULL) cr_result_close(&p->result);
  cr_family_drop(L, &p->child);
}

static bool has_ended(lua_State *L, struct cr_process *p) {
  bool ended = cr_child_ended(cr_family(L), &p->child);
  if (ended) settle(L, p);
  return ended;
}

/* Somebody else's child counts as alive also before it entered its slot. */
static bool slot_in_use(const struct cr_slot *s, uint32_t incarnation) {
  return atomic_load(&s->life.incarnation) == incarnation &&
         atomic_load(&s->state) != CR_SLOT_FREE && !cr_slot_dead(s);
}

static bool is_alive(lua_State *L, struct cr_process *p) {
  return p->maker == this_process()
             ? !has_ended(L, p)
             : slot_in_use(p->child.slot, p->child.incarnation);
}

/* Has it ended before the deadline? */
static bool join(lua_State *L, struct cr_process *p, int64_t deadline) {
  int err = cr_child_wait(cr_family(L), &p->child, deadline);
  if (err == EINTR) cr_raise_interrupt(L);
  if (err == 0) settle(L, p);
  return err == 0;
}

static int process_join(lua_State *L) {
  struct cr_process *p = check_own(L, "join");
  lua_pushboolean(L, join(L, p, cr_check_deadline(L, 2)));
  return 1;
}

static int process__close(lua_State *L) {
  struct cr_process *p = check_process(L, 1);
  if (p->state == CR_STARTED && p->maker == this_process())
    join(L, p, CR_FOREVER);
  return 0;
}

static int process__ready(lua_State *L) {
  struct cr_process *p = check_own(L, "wait for");
  struct cr_wait wait[CR_CHILD_WAITS];
  bool ready = cr_child_ready(cr_family(L), &p->child, wait);
  if (ready) settle(L, p);
  lua_pushboolean(L, ready);
  for (int i = 0; i < CR_CHILD_WAITS; i++) {
    lua_pushlightuserdata(L, wait[i].word);
    lua_pushinteger(L, wait[i].value);
  }
  return 1 + 2 * CR_CHILD_WAITS;
}

static int raise_lost(lua_State *L, struct cr_process *p) {
  const char *name = cr_process_push_name(L, 1);
  int code = cr_child_exitcode(&p->child);
  const char *sig = code < 0 ? sigabbrev_np(-code) : NULL;
  if (p->child.taken)
    lua_pushfstring(L,
                    "process %s (pid %d) has ended; another wait in this "
                    "program took its exit status",
                    name, (int)p->child.pid);
  else if (sig != NULL)
    lua_pushfstring(L, "process %s (pid %d) was killed by signal %d (SIG%s)",
                    name, (int)p->child.pid, -code, sig);
  else if (code < 0) /* a real-time signal */
    lua_pushfstring(L, "process %s (pid %d) was killed by signal %d", name,
                    (int)p->child.pid, -code);
  else
    lua_pushfstring(L, "process %s (pid %d) was left by os.exit(%d)", name,
                    (int)p->child.pid, code);
  return cr_raise_lost(L, lua_tostring(L, -1));
}

/* Pushes the list of what it returned or raised, which is the same every time:
** who comes second here while it is decoded drops his own. Nothing is kept of
** one that was closed meanwhile. */
static enum cr_cell_kind push_outcome(lua_State *L, struct cr_process *p) {
  if (lua_getiuservalue(L, 1, CR_RESULT) != LUA_TNIL) return p->kind;
  enum cr_cell_kind kind = cr_result_fetch(L, &p->result);
  if (p->state == CR_CLOSED) return kind;
  if (lua_getiuservalue(L, 1, CR_RESULT) != LUA_TNIL) return p->kind;
  lua_pop(L, 1);
  p->kind = kind;
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, CR_RESULT);
  cr_result_close(&p->result);
  return kind;
}

static int process_result(lua_State *L) {
  struct cr_process *p = check_own(L, "get the result of");
  int64_t deadline = cr_check_deadline(L, 2);
  lua_settop(L, 1);
  if (!join(L, p, deadline)) return cr_raise(L, CR_ERROR_TIMEOUT);
  check_open(L, "get the result of"); /* another thread may have closed it */
  if (p->kind == CR_CELL_EMPTY) return raise_lost(L, p);
  if (p->kind == CR_CELL_NO_MEMORY)
    return luaL_error(L, "no room for the result: shared memory exhausted");
  if (lua_getiuservalue(L, 1, CR_RESULT) == LUA_TNIL && p->result.cell == NULL)
    return 0;
  enum cr_cell_kind kind = push_outcome(L, p);
  int n = cr_task_unpack(L);
  return kind == CR_CELL_ERROR ? lua_error(L) : n;
}

static int process_is_alive(lua_State *L) {
  struct cr_process *p = check_started(L, "ask about");
  lua_pushboolean(L, is_alive(L, p));
  return 1;
}

static int signal_process(lua_State *L, const char *what, int sig) {
  struct cr_process *p = check_own(L, what);
  if (!has_ended(L, p)) kill(p->child.pid, sig);
  return 0;
}

static int process_interrupt(lua_State *L) {
  return signal_process(L, "interrupt", SIGINT);
}

static int process_terminate(lua_State *L) {
  return signal_process(L, "terminate", SIGTERM);
}

static int process_kill(lua_State *L) {
  return signal_process(L, "kill", SIGKILL);
}

static int process_close(lua_State *L) {
  struct cr_process *p = check_process(L, 1);
  if (p->state == CR_CLOSED) return 0;
  check_started(L, "close");
  if (is_alive(L, p))
    return luaL_error(L, "cannot close a process that is still running");
  p->state = CR_CLOSED;
  cr_result_close(&p->result);
  for (int i = CR_TARGET; i <= CR_RESULT; i++) {
    if (i == CR_NAME) continue;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  return 0;
}

/* An older object's finalizer may come by later: it finds it closed. */
static int process__gc(lua_State *L) {
  struct cr_process *p = luaL_testudata(L, 1, TYPE);
  if (p == NULL) return 0;
  cr_result_close(&p->result);
  if (p->state == CR_STARTED && p->maker == this_process())
    p->state = CR_CLOSED;
  return 0;
}

/* ---- fields ---- */

static int get_pid(lua_State *L, struct cr_process *p) {
  if (p->state == CR_INITIAL)
    lua_pushnil(L);
  else
    lua_pushinteger(L, p->child.pid);
  return 1;
}

static int get_exitcode(lua_State *L, struct cr_process *p) {
  bool own = p->maker == this_process();
  if (p->state == CR_INITIAL || (own && !has_ended(L, p)) || !p->child.reaped)
    lua_pushnil(L);
  else
    lua_pushinteger(L, cr_child_exitcode(&p->child));
  return 1;
}

static int process__index(lua_State *L) {
  struct cr_process *p = check_process(L, 1);
  const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (strcmp(field, "name") == 0) return cr_process_push_name(L, 1), 1;
  if (p->state == CR_CLOSED) check_open(L, "ask about");
  if (strcmp(field, "pid") == 0) return get_pid(L, p);
  if (strcmp(field, "exitcode") == 0) return get_exitcode(L, p);
  if (strcmp(field, "daemon") == 0) lua_pushboolean(L, p->child.daemon);
  return 1;
}

static void set_name(lua_State *L) {
  if (lua_type(L, 3) != LUA_TSTRING)
    luaL_error(L, "name must be a string, got %s", luaL_typename(L, 3));
  lua_settop(L, 3);
  cr_push_relative(L, CR_CURRENT);
  if (lua_rawequal(L, 1, -1))
    cr_child_name(cr_slot_at(cr_self->leader), lua_tostring(L, 3));
  lua_pop(L, 1);
  lua_setiuservalue(L, 1, CR_NAME);
}

static int process__newindex(lua_State *L) {
  struct cr_process *p = check_open(L, "change");
  const char *field = luaL_tolstring(L, 2, NULL);
  if (strcmp(field, "name") == 0) {
    set_name(L);
  } else if (strcmp(field, "daemon") == 0) {
    if (!lua_isboolean(L, 3))
      return luaL_error(L, "daemon must be a boolean, got %s",
                        luaL_typename(L, 3));
    if (p->state != CR_INITIAL)
      return luaL_error(L, "cannot set daemon once a process is started");
    p->child.daemon = lua_toboolean(L, 3);
  } else {
    return luaL_error(L, "cannot set field '%s' of a Process", field);
  }
  return 0;
}

static void push_state(lua_State *L, struct cr_process *p) {
  int pid = (int)p->child.pid;
  const char *daemon = p->child.daemon ? ", daemon" : "";
  if (p->state == CR_CLOSED)
    lua_pushliteral(L, "closed");
  else if (p->state == CR_INITIAL)
    lua_pushfstring(L, "initial%s", daemon);
  else if (is_alive(L, p))
    lua_pushfstring(L, "pid %d, started%s", pid, daemon);
  else if (p->child.reaped)
    lua_pushfstring(L, "pid %d, exitcode %d%s", pid,
                    cr_child_exitcode(&p->child), daemon);
  else
    lua_pushfstring(L, "pid %d, stopped%s", pid, daemon);
}

static int process__tostring(lua_State *L) {
  struct cr_process *p = check_process(L, 1);
  const char *name = cr_process_push_name(L, 1);
  push_state(L, p);
  lua_pushfstring(L, "<Process(%s, %s)>", name, lua_tostring(L, -1));
  return 1;
}

/* ---- who is there ---- */

static int process_current(lua_State *L) {
  cr_push_relative(L, CR_CURRENT);
  return 1;
}

static int process_parent(lua_State *L) {
  cr_push_relative(L, CR_PARENT);
  return 1;
}

static int process_active_children(lua_State *L) {
  cr_family_tidy(L);
  lua_newtable(L);
  int n = 0;
  for (struct cr_child *c = cr_family(L)->first; c != NULL; c = c->next) {
    if (c->raw) continue;
    cr_family_push(L, c);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static void end_of_script(lua_State *L) {
  cr_process_end(L);
}

static const luaL_Reg methods[] = {
    {"start", process_start},
    {"join", process_join},
    {"result", process_result},
    {"is_alive", process_is_alive},
    {"interrupt", process_interrupt},
    {"terminate", process_terminate},
    {"kill", process_kill},
    {"close", process_close},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__gc", process__gc},
    {"__close", process__close},
    {"__ready", process__ready},
    {"__newindex", process__newindex},
    {"__tostring", process__tostring},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"Process", process_new},
    {"current_process", process_current},
    {"parent_process", process_parent},
    {"active_children", process_active_children},
    {NULL, NULL},
};

static void open_type(lua_State *L) {
  luaL_newmetatable(L, TYPE);
  lua_pushliteral(L, "Process");
  lua_setfield(L, -2, "__name");
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, process__index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

int cr_open_process(lua_State *L) {
  open_type(L);
  cr_family_open(L);
  luaL_setfuncs(L, functions, 0);
  cr_open_fork(L);
  cr_script_end = end_of_script;
  return 0;
}
