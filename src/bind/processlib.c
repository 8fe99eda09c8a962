/* The class Process: a function that runs in a child of its own.
**
** A Process is "own" in the process that made it: only there it can be
** started, waited for and ended. The same userdata, inherited by fork, is what
** current_process() and parent_process() give in the child.
*/
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "object.h"
#include "process.h"
#include "result.h"
#include "state.h"

#define TYPE "cluarun.Process"

enum process_state { INITIAL, STARTED, CLOSED };

struct process {
  struct cr_child child; /* first: the family knows only this */
  struct cr_result result;
  enum process_state state;
  enum cr_cell_kind kind; /* of the result, once it has ended */
  bool settled;           /* its end was seen */
  uint32_t maker;         /* incarnation of the process it is of */
};

enum { TARGET = 1, ARGS, NAME, NUMBERS, RESULT, VALUES = RESULT };

static uint32_t this_process(void) {
  return cr_self->leader_incarnation;
}

static struct process *new_process(lua_State *L) {
  struct process *p = lua_newuserdatauv(L, sizeof *p, VALUES);
  memset(p, 0, sizeof *p);
  luaL_setmetatable(L, TYPE);
  return p;
}

static struct process *check_process(lua_State *L, int arg) {
  struct process *p = luaL_testudata(L, arg, TYPE);
  if (p == NULL) luaL_typeerror(L, arg, "Process");
  return p;
}

static struct process *check_open(lua_State *L, const char *what) {
  struct process *p = check_process(L, 1);
  if (p->state == CLOSED) luaL_error(L, "cannot %s a closed process", what);
  return p;
}

static struct process *check_started(lua_State *L, const char *what) {
  struct process *p = check_open(L, what);
  if (p->state == INITIAL)
    luaL_error(L, "cannot %s a process before it is started", what);
  return p;
}

static struct process *check_own(lua_State *L, const char *what) {
  struct process *p = check_started(L, what);
  if (p->maker != this_process())
    luaL_error(L, "cannot %s a process that is not a child of this one", what);
  return p;
}

static const char *push_name(lua_State *L, int process) {
  lua_getiuservalue(L, process, NAME);
  return lua_tostring(L, -1);
}

/* Its name is also that of the process in reports. */
static void tell_name(lua_State *L, int process) {
  const char *name = push_name(L, process);
  struct cr_slot *leader = cr_slot_at(cr_self->leader);
  strncpy(leader->process_name, name, CR_NAME_MAX - 1);
  leader->process_name[CR_NAME_MAX - 1] = 0;
  lua_pop(L, 1);
}

/* ---- making ---- */

/* The default name counts the Processes made in each process on the way from
** the root: "Process-1:2" is the second one made in the first. */
static void default_name(lua_State *L) {
  uint32_t n = ++cr_family(L)->made;
  cr_push_relative(L, CR_CURRENT);
  if (lua_getiuservalue(L, -1, NUMBERS) == LUA_TSTRING)
    lua_pushfstring(L, "%s:%d", lua_tostring(L, -1), (int)n);
  else
    lua_pushfstring(L, "%d", (int)n);
  lua_replace(L, -3);
  lua_pop(L, 1);
  lua_pushfstring(L, "Process-%s", lua_tostring(L, -1));
}

static bool is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return true;
  bool callable = luaL_getmetafield(L, index, "__call") != LUA_TNIL;
  if (callable) lua_pop(L, 1);
  return callable;
}

static void check_field(lua_State *L, bool good, const char *field,
                        const char *expected) {
  if (good) return;
  const char *text = lua_pushfstring(L, "%s must be a %s, got %s", field,
                                     expected, luaL_typename(L, -1));
  luaL_argerror(L, 1, text);
}

static int process_new(lua_State *L) {
  static const char *const known[] = {"target", "args", "name", "daemon", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  cr_check_fields(L, 1, known);
  lua_settop(L, 1);
  lua_getfield(L, 1, "target");
  check_field(L, is_callable(L, 2), "target", "function");
  lua_getfield(L, 1, "args");
  check_field(L, lua_isnil(L, 3) || lua_istable(L, 3), "args", "table");
  lua_getfield(L, 1, "name");
  check_field(L, lua_isnil(L, 4) || lua_type(L, 4) == LUA_TSTRING, "name",
              "string");
  lua_getfield(L, 1, "daemon");
  check_field(L, lua_isnil(L, 5) || lua_isboolean(L, 5), "daemon", "boolean");
  struct process *p = new_process(L);
  p->maker = this_process();
  p->child.daemon = lua_toboolean(L, 5);
  default_name(L);
  lua_setiuservalue(L, 6, NAME);
  lua_setiuservalue(L, 6, NUMBERS);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 6, TARGET);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, 6, ARGS);
  lua_pushvalue(L, 4);
  if (!lua_isnil(L, 4)) lua_setiuservalue(L, 6, NAME);
  lua_settop(L, 6);
  return 1;
}

/* This very process, which no state here has started. */
void cr_process_push_self(lua_State *L) {
  struct process *p = new_process(L);
  p->state = STARTED;
  p->child.pid = getpid();
  p->child.slot = cr_slot_at(cr_self->leader);
  p->child.incarnation = this_process();
  cr_push_relative(L, CR_PARENT);
  bool root = lua_isnil(L, -1);
  for (int i = NAME; !root && i <= NUMBERS; i++) {
    lua_getiuservalue(L, -1, i);
    lua_setiuservalue(L, -3, i);
  }
  lua_pop(L, 1);
  if (!root) return;
  lua_pushliteral(L, "MainProcess");
  lua_setiuservalue(L, -2, NAME);
}

/* ---- the child ---- */

/* What a child's functions on the C stack share. */
struct run {
  struct process *p;
  int below;  /* levels that were there before */
  int status; /* to exit with */
  bool interrupted;
};

static struct run *run_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

/* Keeps the traceback, which begins with a new line; the error itself may be
** any value. */
static int child_handler(lua_State *L) {
  struct run *run = run_of(L);
  run->interrupted = cr_is_interrupt(L, 1);
  if (run->interrupted) return 1;
  cr_push_relative(L, CR_CURRENT);
  cr_traceback(L, "", 1, run->below);
  lua_setiuservalue(L, -2, RESULT);
  lua_settop(L, 1);
  return 1;
}

/* Pushes the arguments; returns their number. */
static int push_args(lua_State *L, int process) {
  if (lua_getiuservalue(L, process, ARGS) == LUA_TNIL) {
    lua_pop(L, 1);
    return 0;
  }
  int args = lua_gettop(L);
  lua_getfield(L, args, "n");
  lua_Integer n =
      lua_isinteger(L, -1) ? lua_tointeger(L, -1) : luaL_len(L, args);
  lua_pop(L, 1);
  if (n < 0 || n > INT_MAX || !lua_checkstack(L, (int)n + 1))
    return luaL_error(L, "too many arguments");
  for (int i = 1; i <= n; i++) lua_geti(L, args, i);
  lua_remove(L, args);
  return (int)n;
}

/* Prints the error on top of the stack, in one piece, and leaves it. */
static void child_failed(lua_State *L, struct run *run) {
  run->status = 1;
  int error = lua_gettop(L);
  cr_push_relative(L, CR_CURRENT);
  const char *name = push_name(L, error + 1);
  lua_getiuservalue(L, error + 1, RESULT);
  const char *trace = lua_tostring(L, -1);
  cr_result_error_text(L, error);
  size_t n;
  lua_pushfstring(L, "Process %s (pid %d):\n%s%s\n", name, (int)getpid(),
                  lua_tostring(L, -1), trace != NULL ? trace : "");
  const char *text = lua_tolstring(L, -1, &n);
  cr_write_all(STDERR_FILENO, text, n);
  lua_settop(L, error);
  int type = lua_type(L, error);
  if (trace != NULL && (type == LUA_TSTRING || type == LUA_TNUMBER))
    lua_pushfstring(L, "%s\nin Process %s (pid %d), %s", lua_tostring(L, error),
                    name, (int)getpid(), trace + 1);
  cr_result_leave(L, &run->p->result, CR_CELL_ERROR, lua_gettop(L), 1);
}

/* Runs target with the process object as its argument. */
static int child_main(lua_State *L) {
  struct run *run = run_of(L);
  run->p->state = STARTED;
  run->p->child.pid = getpid();
  run->p->child.slot = cr_self;
  run->p->child.incarnation = this_process();
  lua_pushvalue(L, 1);
  cr_set_relative(L, CR_CURRENT);
  tell_name(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, child_handler, 1);
  lua_getiuservalue(L, 1, TARGET);
  int n = push_args(L, 1);
  if (lua_pcall(L, n, LUA_MULTRET, 2) == LUA_OK)
    cr_result_leave(L, &run->p->result, CR_CELL_VALUES, 3, lua_gettop(L) - 2);
  else if (!run->interrupted)
    child_failed(L, run);
  return 0;
}

static int child_end(lua_State *L) {
  return cr_process_end(L);
}

/* The whole life of a child, which never returns to its parent's code. On the
** stack: the process object, child_main, the object again. */
_Noreturn static void child_life(lua_State *L, struct run *run) {
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) { /* no memory */
    const char *text = lua_tostring(L, -1);
    if (text != NULL) cr_write_all(STDERR_FILENO, text, strlen(text));
    run->status = 1;
  }
  lua_settop(L, 0);
  lua_pushcfunction(L, child_end);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) run->interrupted = true;
  if (run->interrupted) cr_leave_interrupted();
  cr_leave(run->status);
}

static int process_start(lua_State *L) {
  struct process *p = check_open(L, "start");
  if (p->state != INITIAL) return luaL_error(L, "cannot start a process twice");
  if (p->maker != this_process())
    return luaL_error(L, "cannot start a process that another one made");
  struct run run = {.p = p};
  lua_settop(L, 1);
  cr_family_tidy(L);
  if (p->result.cell == NULL) cr_result_open(L, &p->result);
  lua_pushlightuserdata(L, &run);
  lua_pushcclosure(L, child_main, 1);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 1);
  cr_family_hold(L, &p->child);
  run.below = cr_stack_levels(L) + 1;
  if (cr_family_fork(L, &p->child) == 0) child_life(L, &run);
  p->state = STARTED;
  for (int i = TARGET; i <= ARGS; i++) {
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- the parent ---- */

/* Lets go of an ended child, and of the cell if nothing lies in it. */
static void settle(lua_State *L, struct process *p) {
  if (p->settled) return;
  p->settled = true;
  p->kind = cr_cell_kind(p->result.cell);
  if (!cr_cell_has_message(p->result.cell)) cr_result_close(&p->result);
  cr_family_drop(L, &p->child);
}

static bool has_ended(lua_State *L, struct process *p) {
  bool ended = cr_child_ended(cr_family(L), &p->child);
  if (ended) settle(L, p);
  return ended;
}

static bool is_alive(lua_State *L, struct process *p) {
  return p->maker == this_process()
             ? !has_ended(L, p)
             : cr_slot_alive(p->child.slot, p->child.incarnation);
}

/* Has it ended before the deadline? */
static bool join(lua_State *L, struct process *p, int64_t deadline) {
  int err = cr_child_wait(cr_family(L), &p->child, deadline);
  if (err == EINTR) cr_raise_interrupt(L);
  if (err == 0) settle(L, p);
  return err == 0;
}

static int process_join(lua_State *L) {
  struct process *p = check_own(L, "join");
  lua_pushboolean(L, join(L, p, cr_check_deadline(L, 2)));
  return 1;
}

static int process__close(lua_State *L) {
  struct process *p = check_process(L, 1);
  if (p->state == STARTED && p->maker == this_process()) join(L, p, CR_FOREVER);
  return 0;
}

static int process__ready(lua_State *L) {
  struct process *p = check_own(L, "wait for");
  struct cr_wait wait;
  bool ready = cr_child_ready(cr_family(L), &p->child, &wait);
  if (ready) settle(L, p);
  lua_pushboolean(L, ready);
  lua_pushlightuserdata(L, wait.word);
  lua_pushinteger(L, wait.value);
  return 3;
}

static int raise_lost(lua_State *L, struct process *p) {
  const char *name = push_name(L, 1);
  int code = cr_child_exitcode(&p->child);
  if (code < 0)
    lua_pushfstring(L, "process %s (pid %d) was killed by signal %d (SIG%s)",
                    name, (int)p->child.pid, -code, sigabbrev_np(-code));
  else
    lua_pushfstring(L, "process %s (pid %d) was left by os.exit(%d)", name,
                    (int)p->child.pid, code);
  return cr_raise_lost(L, lua_tostring(L, -1));
}

/* Pushes the list of what it returned or raised. */
static void push_outcome(lua_State *L, struct process *p) {
  if (lua_getiuservalue(L, 1, RESULT) != LUA_TNIL) return;
  p->kind = cr_result_fetch(L, &p->result);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, RESULT);
  cr_result_close(&p->result);
}

static int process_result(lua_State *L) {
  struct process *p = check_own(L, "get the result of");
  int64_t deadline = cr_check_deadline(L, 2);
  lua_settop(L, 1);
  if (!join(L, p, deadline)) return cr_raise(L, CR_ERROR_TIMEOUT);
  if (p->kind == CR_CELL_EMPTY) return raise_lost(L, p);
  if (p->kind == CR_CELL_NO_MEMORY)
    return luaL_error(L, "no room for the result: shared memory exhausted");
  if (lua_getiuservalue(L, 1, RESULT) == LUA_TNIL && p->result.cell == NULL)
    return 0;
  push_outcome(L, p);
  int list = lua_gettop(L);
  lua_getfield(L, list, "n");
  int n = (int)lua_tointeger(L, -1);
  luaL_checkstack(L, n, "too many results");
  for (int i = 1; i <= n; i++) lua_rawgeti(L, list, i);
  return p->kind == CR_CELL_ERROR ? lua_error(L) : n;
}

static int process_is_alive(lua_State *L) {
  struct process *p = check_started(L, "ask about");
  lua_pushboolean(L, is_alive(L, p));
  return 1;
}

static int signal_process(lua_State *L, const char *what, int sig) {
  struct process *p = check_own(L, what);
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
  struct process *p = check_process(L, 1);
  if (p->state == STARTED && is_alive(L, p))
    return luaL_error(L, "cannot close a process that is still running");
  p->state = CLOSED;
  cr_result_close(&p->result);
  for (int i = TARGET; i <= VALUES; i++) {
    if (i == NAME) continue;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, i);
  }
  return 0;
}

static int process__gc(lua_State *L) {
  struct process *p = lua_touserdata(L, 1);
  cr_result_close(&p->result);
  return 0;
}

/* ---- fields ---- */

static int get_pid(lua_State *L, struct process *p) {
  if (p->state == INITIAL)
    lua_pushnil(L);
  else
    lua_pushinteger(L, p->child.pid);
  return 1;
}

static int get_exitcode(lua_State *L, struct process *p) {
  bool own = p->maker == this_process();
  if (p->state == INITIAL || (own && !has_ended(L, p)) || !p->child.reaped)
    lua_pushnil(L);
  else
    lua_pushinteger(L, cr_child_exitcode(&p->child));
  return 1;
}

static int process__index(lua_State *L) {
  struct process *p = check_process(L, 1);
  const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (strcmp(field, "name") == 0) return push_name(L, 1), 1;
  if (p->state == CLOSED) check_open(L, "ask about");
  if (strcmp(field, "pid") == 0) return get_pid(L, p);
  if (strcmp(field, "exitcode") == 0) return get_exitcode(L, p);
  if (strcmp(field, "daemon") == 0) lua_pushboolean(L, p->child.daemon);
  return 1;
}

static void set_name(lua_State *L) {
  luaL_argcheck(L, lua_type(L, 3) == LUA_TSTRING, 3, "name must be a string");
  lua_settop(L, 3);
  lua_setiuservalue(L, 1, NAME);
  cr_push_relative(L, CR_CURRENT);
  if (lua_rawequal(L, 1, -1)) tell_name(L, 1);
}

static int process__newindex(lua_State *L) {
  struct process *p = check_open(L, "change");
  const char *field = luaL_tolstring(L, 2, NULL);
  if (strcmp(field, "name") == 0) {
    set_name(L);
  } else if (strcmp(field, "daemon") == 0) {
    luaL_argcheck(L, lua_isboolean(L, 3), 3, "daemon must be a boolean");
    if (p->state != INITIAL)
      return luaL_error(L, "cannot set daemon once a process is started");
    p->child.daemon = lua_toboolean(L, 3);
  } else {
    return luaL_error(L, "cannot set field '%s' of a Process", field);
  }
  return 0;
}

static void push_state(lua_State *L, struct process *p) {
  int pid = (int)p->child.pid;
  const char *daemon = p->child.daemon ? ", daemon" : "";
  if (p->state == CLOSED)
    lua_pushliteral(L, "closed");
  else if (p->state == INITIAL)
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
  struct process *p = check_process(L, 1);
  const char *name = push_name(L, 1);
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
