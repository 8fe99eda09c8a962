/* Event. */
#include "synchlib.h"

#include <errno.h>

static struct cr_event *check_event(lua_State *L) {
  return (struct cr_event *)cr_object_check(L, 1, "Event");
}

static int event_new(lua_State *L) {
  struct cr_object *o = cr_object_push(L, "Event");
  struct cr_event *e;
  int64_t took = 0;
  do {
    e = cr_event_new();
  } while (!cr_object_made(L, o, (struct cr_block *)e, &took));
  return 1;
}

static int event_set(lua_State *L) {
  cr_event_set(check_event(L));
  return 0;
}

static int event_clear(lua_State *L) {
  cr_event_clear(check_event(L));
  return 0;
}

static int event_is_set(lua_State *L) {
  lua_pushboolean(L, cr_event_is_set(check_event(L)));
  return 1;
}

static int event_wait(lua_State *L) {
  struct cr_event *e = check_event(L);
  int64_t deadline = cr_check_deadline(L, 2);
  return cr_push_acquired(L, cr_event_wait(e, deadline));
}

static int event__tostring(lua_State *L) {
  struct cr_event *e = check_event(L);
  lua_pushfstring(L, "<Event %p %s>", (void *)e,
                  cr_event_is_set(e) ? "set" : "unset");
  return 1;
}

static const luaL_Reg methods[] = {
    {"set", event_set},
    {"clear", event_clear},
    {"is_set", event_is_set},
    {"wait", event_wait},
    {"__tostring", event__tostring},
    {NULL, NULL},
};

int cr_open_event(lua_State *L) {
  cr_object_type(L, "Event", CR_EVENT, methods);
  lua_pushcfunction(L, event_new);
  lua_setfield(L, -2, "Event");
  return 0;
}
