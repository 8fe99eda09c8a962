/* Reading a packet that was taken out of a queue or pipe. */
#ifndef CR_RECEIVE_H
#define CR_RECEIVE_H

#include <lua.h>

#include "message.h"

/* Pushes the one value of the packet and frees it; returns 1. When memory runs
** out the packet goes back by `unget` first, so that nothing is lost; then,
** and when the value cannot be rebuilt here, raises. */
int cr_receive(lua_State *L, struct cr_packet *p,
               int (*unget)(void *from, struct cr_packet *p), void *from);

#endif
