/* Shared memory that only garbage holds. See object.h.
**
** Lua's collector does not know of shared memory: a small userdata may hold
** much of it. So, as Lua does when its own memory runs out, garbage is
** collected when there is no more, and what failed is tried once more.
**
** Where memory is exhausted for good, whoever goes on trying would have all
** collected each time. So a collection in vain is not repeated for some time, in
** proportion to what it took.
*/
#include "gil.h"
#include "object.h"

/* So that at most a fifth of the time goes to collections in vain. */
enum { REST = 4 };

static int64_t collect(lua_State *L) {
  int64_t start = cr_now();
  /* In a finalizer it refuses. */
  if (lua_gc(L, LUA_GCCOLLECT) < 0) return 0;
  int64_t took = cr_now() - start;
  return took > 0 ? took : 1;
}

bool cr_reclaim(lua_State *L, int64_t *took) {
  struct cr_thread *me = cr_thread_of(L);
  if (*took > 0) {
    if (me != NULL) me->gil->reclaim_after = cr_now() + REST * *took;
    return false;
  }
  if (me != NULL && cr_now() < me->gil->reclaim_after) return false;
  /* Finalizers are called on this stack. */
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  *took = collect(L);
  return *took > 0;
}
