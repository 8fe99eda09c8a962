/* What a Process and a Thread have in common: a function with its arguments. */
#ifndef CR_TASK_H
#define CR_TASK_H

#include <lauxlib.h>
#include <lua.h>

/* Checks the option table at index 1 and pushes its target, args, name and
** daemon as indices 2 to 5. */
void cr_task_check(lua_State *L);
/* Raises unless the value can be called: "target must be a function, got ...". */
void cr_task_check_target(lua_State *L, int arg, const char *name);

/* Raises for that argument unless the n of the table at the index `args`, if it
** has one, can be a number of arguments. */
void cr_task_check_count(lua_State *L, int args, int arg);

/* How many arguments the table at that index holds: its n if that is a number,
** else its length. Raises when there are too many. */
int cr_task_count(lua_State *L, int args);
/* Replaces the table (or nil) on top of the stack by what it holds; returns how
** many values that is. */
int cr_task_push_args(lua_State *L);

/* Replaces the values above the index by a list of them with its n. */
void cr_task_pack(lua_State *L, int below);
/* Pushes the values of such a list on top of the stack; returns how many. */
int cr_task_unpack(lua_State *L);

#endif
