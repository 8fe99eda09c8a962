/* Describing objects and waits. See describe.h.
**
** All is read from the stack of the thread that waits: the object is the first
** argument of the C function that sleeps, and the word that it sleeps on says
** what it needs of it.
*/
#include "describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gil.h"
#include "object.h"
#include "pool.h"
#include "queue.h"
#include "state.h"
#include "synch.h"
#include "value.h"

/* ---- where ---- */

/* "SOURCE:LINE"; every new object comes by here, so without snprintf. */
static void put_line(char *out, const lua_Debug *ar) {
  char digits[12];
  size_t n = strlen(ar->short_src), d = sizeof digits;
  unsigned line = (unsigned)ar->currentline;
  _Static_assert(LUA_IDSIZE + sizeof digits <= CR_SITE_MAX, "they fit");
  digits[--d] = 0;
  do digits[--d] = (char)('0' + line % 10);
  while ((line /= 10) > 0);
  digits[--d] = ':';
  memcpy(out, ar->short_src, n);
  memcpy(out + n, digits + d, sizeof digits - d);
}

void cr_where(lua_State *L, char *out) {
  lua_Debug ar;
  out[0] = 0;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "l", &ar);
    if (ar.currentline <= 0) continue;
    lua_getinfo(L, "S", &ar);
    if (out[0] != 0 && cr_is_ours(&ar)) continue;
    put_line(out, &ar);
    if (!cr_is_ours(&ar)) return;
  }
}

void cr_set_site(lua_State *L, struct cr_block *b) {
  if (atomic_load_explicit(&b->type, memory_order_relaxed) == CR_VALUE)
    b = &cr_value_lock((struct cr_value *)b)->head;
  char *site = cr_site(b);
  if (site != NULL) cr_where(L, site);
}

/* ---- what ---- */

static const char *const type_names[CR_TYPES] = {
    [CR_LOCK] = "Lock",
    [CR_RLOCK] = "RLock",
    [CR_SEMAPHORE] = "Semaphore",
    [CR_EVENT] = "Event",
    [CR_CONDITION] = "Condition",
    [CR_BARRIER] = "Barrier",
    [CR_QUEUE] = "Queue",
    [CR_LIFO_QUEUE] = "LifoQueue",
    [CR_PRIORITY_QUEUE] = "PriorityQueue",
    [CR_PIPE] = "Pipe",
};

static void say(char *out, const char *before, struct cr_block *b,
                const char *after) {
  uint32_t type = atomic_load(&b->type);
  const char *site = cr_site(b);
  const char *name = type < CR_TYPES ? type_names[type] : NULL;
  snprintf(out, CR_WHAT_MAX, "%s%s%s%s%s", before,
           name != NULL ? name : "an object", site != NULL && *site ? " " : "",
           site != NULL ? site : "", after);
}

static void say_queue(char *out, struct cr_block *b, const cr_word *word) {
  switch (cr_queue_need((struct cr_queue *)b, word)) {
    case CR_NEED_ITEM: say(out, "an item of ", b, ""); break;
    case CR_NEED_ROOM: say(out, "room in ", b, ""); break;
    case CR_NEED_DONE: say(out, "the last task_done of ", b, ""); break;
  }
}

static void say_barrier(char *out, struct cr_block *b) {
  char after[32];
  snprintf(after, sizeof after, " of %u parties",
           cr_barrier_parties((struct cr_barrier *)b));
  say(out, "", b, after);
}

/* Returns whether it is a lock. */
static bool say_object(char *out, struct cr_block *b, const cr_word *word) {
  switch (atomic_load(&b->type)) {
    case CR_CONDITION: {
      struct cr_lock *l = cr_condition_lock((struct cr_condition *)b);
      bool locked = word == &l->lock.word;
      say(out, "", locked ? &l->head : b, "");
      return locked;
    }
    case CR_QUEUE:
    case CR_LIFO_QUEUE:
    case CR_PRIORITY_QUEUE: say_queue(out, b, word); return false;
    case CR_PIPE: say(out, "a message of ", b, ""); return false;
    case CR_BARRIER: say_barrier(out, b); return false;
    case CR_LOCK:
    case CR_RLOCK: say(out, "", b, ""); return true;
    default: say(out, "", b, ""); return false;
  }
}

/* A thread of this process, or another process. */
static void say_end(char *out, const struct cr_slot *s) {
  bool thread = s->leader == cr_self->leader &&
                s->leader_incarnation == cr_self->leader_incarnation;
  const char *name = thread ? s->thread_name : s->process_name;
  if (!thread && strcmp(name, cr_self->process_name) == 0)
    snprintf(out, CR_WHAT_MAX, "process %d to end", (int)cr_slot_pid(s));
  else
    snprintf(out, CR_WHAT_MAX, "%.*s (pid %d) to end", CR_NAME_MAX, name,
             (int)cr_slot_pid(s));
}

static void say_lives(char *out, const struct cr_wait *waits, int n) {
  struct cr_slot *first = NULL;
  int found = 0;
  for (int i = 0; i < n; i++) {
    struct cr_slot *s = cr_slot_of_life(waits[i].word);
    if (s == NULL) continue;
    if (found++ == 0) first = s;
  }
  if (found == 1)
    say_end(out, first);
  else
    snprintf(out, CR_WHAT_MAX, found > 0 ? "one of %d to end" : "something",
             found);
}

/* Pools wait: in a call of the script for results, else for work. */
static bool say_pool(lua_State *L, char *out) {
  char where[CR_SITE_MAX];
  lua_Debug ar;
  if (!lua_getstack(L, 0, &ar) || !lua_getinfo(L, "f", &ar)) return false;
  lua_CFunction f = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  if (f != cr_pool_wait && f != cr_pool_take) return false;
  cr_where(L, where);
  bool call = f == cr_pool_wait && where[0] != '[';
  snprintf(out, CR_WHAT_MAX, "%s",
           call ? "results of its pool" : "work from its pool");
  return true;
}

bool cr_what(lua_State *L, const struct cr_wait *waits, int n, char *out) {
  lua_Debug ar;
  struct cr_block *b = NULL;
  int listed = 0;
  if (lua_getstack(L, 0, &ar) && lua_getlocal(L, &ar, 1) != NULL) {
    b = cr_object_peek(L, -1);
    if (lua_istable(L, -1)) listed = (int)lua_rawlen(L, -1);
    lua_pop(L, 1);
  }
  if (say_pool(L, out)) return false;
  if (b != NULL) return say_object(out, b, waits[0].word);
  if (listed > 0)
    snprintf(out, CR_WHAT_MAX, "any of %d objects", listed);
  else
    say_lives(out, waits, n);
  return false;
}

static void describe(const struct cr_wait *waits, int n) {
  struct cr_untimed *u = &cr_self->untimed;
  const struct cr_thread *t = cr_thread_self;
  if (t == NULL) return;
  lua_State *L = t->running;
  cr_where(L, u->where);
  u->held = cr_what(L, waits, n, u->what);
}

/* ---- mode ---- */

int cr_deadlock_mode(const char *name) {
  static const char *const names[] = {"off", "report", "raise"};
  for (int i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

void cr_deadlock_open(enum cr_deadlock_mode otherwise) {
  static bool decided;
  if (decided) return;
  decided = true;
  cr_describe = describe;
  const char *name = getenv("CLUARUN_DEADLOCK");
  int mode = name != NULL ? cr_deadlock_mode(name) : (int)otherwise;
  if (mode < 0) {
    fprintf(stderr,
            "cluarun: CLUARUN_DEADLOCK is ignored: not off, report or raise: "
            "'%s'\n",
            name);
    mode = otherwise;
  }
  cr_deadlock_set((enum cr_deadlock_mode)mode);
}
