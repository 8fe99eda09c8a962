/* Reading a packet that was taken out of a queue or pipe. */
#ifndef CR_RECEIVE_H
#define CR_RECEIVE_H

#include <lua.h>

#include "message.h"

/* Decoding ended with that status: was it for lack of memory, or for an interrupt
** (of which there were so many before), and not for the message's sake? */
bool cr_may_decode_again(lua_State *L, int status, uint32_t interrupts);

/* Pushes the one value of the packet and frees it; returns 1. When memory runs
** out, or an interrupt comes, the packet goes back by `unget` first, so that
** nothing is lost; then, and when the value cannot be rebuilt here, raises. */
int cr_receive(lua_State *L, struct cr_packet *p,
               int (*unget)(void *from, struct cr_packet *p), void *from);

#endif
