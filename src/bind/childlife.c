/* The life of a Process's child: from fork to the end of its target.
**
** The child writes as little as it can: each page that it writes first is one
** to copy. So nothing here allocates Lua memory unless the target fails.
*/
#include <string.h>
#include <unistd.h>

#include "marshal.h"
#include "object.h"
#include "process.h"
#include "state.h"
#include "task.h"
#include "thread.h"

/* Of the child; its only thread comes by here. */
static bool failed, interrupted;
static int levels_below; /* levels of the stack up to child_main */

/* Keeps the traceback, which begins with a new line; the error itself may be
** any value. */
static int child_handler(lua_State *L) {
  interrupted = cr_is_interrupt(L, 1);
  if (interrupted) return 1;
  cr_push_relative(L, CR_CURRENT);
  cr_traceback(L, "", 1, levels_below);
  lua_setiuservalue(L, -2, CR_RESULT);
  lua_settop(L, 1);
  return 1;
}

/* Pushes the traceback of the error, or "" if there was no memory for one. The
** process may be one that the target has forked. */
static const char *push_traceback(lua_State *L) {
  cr_push_relative(L, CR_CURRENT);
  bool known = lua_getiuservalue(L, -1, CR_RESULT) == LUA_TSTRING;
  lua_remove(L, -2);
  if (known) return lua_tostring(L, -1);
  lua_pop(L, 1);
  return lua_pushliteral(L, "");
}

/* Prints the error on top of the stack, in one piece. */
static void report_error(lua_State *L, const char *name) {
  size_t n;
  cr_result_error_text(L, -1);
  const char *text = lua_tostring(L, -1), *trace = push_traceback(L);
  lua_pushfstring(L, "Process %s (pid %d):\n%s%s\n", name, (int)getpid(), text,
                  trace);
  text = lua_tolstring(L, -1, &n);
  cr_write_all(STDERR_FILENO, text, n);
  lua_pop(L, 3);
}

void cr_process_fail(lua_State *L) {
  int error = lua_gettop(L);
  failed = true;
  interrupted = cr_is_interrupt(L, error);
  if (interrupted) return;
  cr_push_relative(L, CR_CURRENT);
  const char *name = cr_process_push_name(L, -1);
  lua_pushvalue(L, error);
  report_error(L, name);
  lua_settop(L, error);
}

/* Reports the error on top of the stack and leaves it for the parent. */
static void fail(lua_State *L, struct cr_process *p) {
  failed = true;
  int error = lua_gettop(L);
  const char *name = cr_process_push_name(L, 1);
  lua_insert(L, error++);
  report_error(L, name);
  const char *trace = push_traceback(L);
  if (*trace != 0 && lua_type(L, error) == LUA_TSTRING)
    lua_pushfstring(L, "%s\nin Process %s (pid %d), %s", lua_tostring(L, error),
                    name, (int)getpid(), trace + 1);
  else
    lua_pushvalue(L, error);
  cr_result_leave(L, &p->result, CR_CELL_ERROR, lua_gettop(L), 1);
}

/* With the Process as its argument. */
static int child_main(lua_State *L) {
  struct cr_process *p = lua_touserdata(L, 1);
  levels_below = cr_stack_levels(L);
  lua_pushcfunction(L, child_handler);
  lua_getiuservalue(L, 1, CR_TARGET);
  lua_getiuservalue(L, 1, CR_ARGS);
  int n = cr_task_push_args(L);
  if (lua_pcall(L, n, LUA_MULTRET, 2) == LUA_OK)
    cr_result_leave(L, &p->result, CR_CELL_VALUES, 3, lua_gettop(L) - 2);
  else if (!interrupted)
    fail(L, p);
  return 0;
}

/* Outside of child_main there is only the lack of memory to report. */
static void call(lua_State *L, int arguments) {
  if (lua_pcall(L, arguments, 0, 0) == LUA_OK) return;
  const char *text = lua_tostring(L, -1);
  interrupted = cr_is_interrupt(L, -1);
  failed = true;
  if (text == NULL || interrupted) return;
  cr_write_all(STDERR_FILENO, text, strlen(text));
  cr_write_all(STDERR_FILENO, "\n", 1);
}

/* An interrupt is for all its threads. */
static int end(lua_State *L) {
  if (interrupted) cr_threads_interrupt(L);
  return cr_process_end(L);
}

void cr_process_live(lua_State *L) {
  cr_thread_of(L)->deferred = false; /* it may be forked in a section */
  cr_interrupt_in_process(L);
  failed = interrupted = false;
  lua_settop(L, 1);
  lua_pushcfunction(L, child_main);
  lua_pushvalue(L, 1);
  call(L, 1);
  lua_settop(L, 1);
  bool was_interrupted = interrupted;
  lua_pushcfunction(L, end);
  call(L, 0);
  if (interrupted || was_interrupted) cr_leave_interrupted();
  cr_leave(failed);
}
