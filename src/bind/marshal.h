/* Lua values to bytes and back: the one format in which values travel.
**
** Encoding never raises and never runs Lua code; it returns a message that says
** what cannot travel and where. Decoding trusts no length.
*/
#ifndef CR_MARSHAL_H
#define CR_MARSHAL_H

#include <lua.h>

#include "message.h"

/* Encodes the n values from stack index `first` on. Returns 0, ENOMEM (shared
** memory exhausted), EINVAL: an error message is pushed ("cannot send a
** coroutine (at [2].handler)"). On 0 the packet is ready to be put; `block`
** asks for one that lies in an arena block whatever its size. */
int cr_encode(lua_State *L, int first, int n, bool block,
              struct cr_packet *out);

/* The same with one more value, a list: the elements at + 1 to at + n of the table
** at stack index `list`, without looking at its metatable. */
struct cr_slice {
  int list;
  uint32_t n; /* at least 1 */
  lua_Integer at;
};
int cr_encode_slice(lua_State *L, int first, int n, struct cr_slice slice,
                    struct cr_packet *out);

/* The fast way for nil, a boolean or a number: writes it and returns how many
** bytes it took; 0 for other types. Such a packet needs no block. */
enum { CR_SIMPLE_MAX = 9 };
size_t cr_encode_simple(lua_State *L, int index,
                        unsigned char to[CR_SIMPLE_MAX]);

/* The same for a PriorityQueue's item, its sort key in front. EINVAL also when
** the value has no order (boolean, NaN ...). */
int cr_encode_prioritised(lua_State *L, int index, struct cr_packet *out);

/* Pushes the values of a packet and returns their number; raises an error
** (memory, damaged message). The packet stays the caller's; what decoding runs
** (a finalizer, a module that is required) may get another one meanwhile, so its
** bytes must not lie in the buffer of cr_queue_get and the like. */
int cr_decode(lua_State *L, const struct cr_packet *p);

/* The fast way for a packet that is one nil, boolean, integer or float, and owns
** no block: pushes it and returns true. */
bool cr_decode_simple(lua_State *L, const struct cr_packet *p);

/* Called once per state: prepares the table of names. */
void cr_marshal_open(lua_State *L);

#endif
