/* Where a thread can be stopped: hooks, ours and the script's. See gil.h.
**
** Normally a state has no hook: even one that never fires makes Lua twice as
** slow. A trap is a count hook for the next instruction. Lua notices a hook set
** from a signal only at jumps and calls, so the trap sets itself once more, a
** random few instructions on: then any instruction can be where threads switch.
**
** C code runs coroutines without telling (lua_pcall, lua_resume). One that is
** made while the state it is made from has a trap that has not caught anything
** gets a copy of it, and is found by it. From then on both are trapped. The
** registry keeps it alive meanwhile, as traps are set from signals.
**
** A state with a hook of the script's has a hook of ours in its place, which
** calls the script's when its time has come; else a count hook of a million
** would start over at each trap and never fire.
*/
#include <stdlib.h>

#include "gil.h"
#include "raw.h"

enum {
  SKEW = 32,  /* instructions that a switch may come later */
  STEP = 1000 /* instructions between two looks while the script has a hook */
};

int cr_forced_switch;

/* lua_gc is refused while a finalizer is called, to whichever thread. */
bool cr_in_finalizer(const struct cr_thread *t) {
  return !t->gil->finalizer_waits && lua_gc(t->running, LUA_GCCOUNT, 0) == -1;
}

/* Others that come for the section would only wait for it: it is left first,
** unless that takes until one has asked again. */
static bool is_busy(const struct cr_thread *t) {
  return t->deferred && t->backoff <= 1 && cr_forced_switch == 0;
}

/* Where a thread stops between two instructions. */
static void poll(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL) return;
  cr_dump_if_wanted(t);
  bool drop = t->drop || (cr_forced_switch && atomic_load(&t->gil->waiting));
  if (drop && !is_busy(t) && !cr_in_finalizer(t)) cr_gil_yield(t);
  if (cr_interrupted(t) && L != t->shielded) cr_interrupt_here(L);
}

static unsigned random_bits(void) {
  static _Thread_local unsigned x = 2463534242u;
  x ^= x << 13;
  x ^= x >> 17;
  return x ^= x << 5;
}

static void find_out(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL || L == t->running || L == t->found) return;
  t->found = NULL;
  lua_pushthread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)&t->found);
  t->found = L;
}

void cr_found_drop(struct cr_thread *t) {
  lua_State *L = t->found;
  if (L == NULL) return;
  t->found = NULL;
  if (!lua_checkstack(L, 1)) return; /* it goes with the next one's coming */
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)&t->found);
}

static void trapped(lua_State *L, lua_Debug *ar) {
  (void)ar;
  cr_raw_sethook(L, NULL, 0, 0);
  find_out(L);
  poll(L);
}

static void trap(lua_State *L, lua_Debug *ar) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL || !t->drop || cr_interrupted(t) || cr_dump_wanted == t->gil)
    trapped(L, ar);
  else
    cr_raw_sethook(L, trapped, LUA_MASKCOUNT, 1 + (int)(random_bits() % SKEW));
}

static void forced(lua_State *L, lua_Debug *ar) {
  (void)ar;
  poll(L);
}

/* The script's hook, and ours that calls it, look for themselves. A trap that is
** there already may be without effect, as Lua looks at its hooks without locks:
** it is set again. */
void cr_trap_state(lua_State *L) {
  if (L == NULL || cr_forced_switch > 0) return;
  lua_Hook f = cr_raw_gethook(L);
  if (f == NULL || f == trap || f == trapped)
    cr_raw_sethook(L, trap, LUA_MASKCOUNT, 1);
}

void cr_trap(const struct cr_thread *t) {
  cr_trap_state(t->running);
  cr_trap_state(t->found);
}

/* ---- the script's hooks, by state ---- */

enum { BUCKETS = 256 }; /* a power of two */

struct hook {
  struct hook *next;
  lua_State *state;
  lua_Hook f;
  int mask, count;
  int left; /* instructions until its count event */
};

struct cr_hooks {
  int n;
  struct hook *bucket[BUCKETS];
};

static struct hook **bucket_of(struct cr_hooks *h, const lua_State *L) {
  return &h->bucket[(uintptr_t)L / 64 & (BUCKETS - 1)];
}

static struct hook *find(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  struct cr_hooks *h = t != NULL ? t->gil->hooks : NULL;
  if (h == NULL || h->n == 0) return NULL;
  struct hook *k = *bucket_of(h, L);
  while (k != NULL && k->state != L) k = k->next;
  return k;
}

static struct hook *find_or_make(lua_State *L) {
  struct hook *k = find(L);
  struct cr_thread *t = cr_thread_of(L);
  if (k != NULL || t == NULL) return k;
  struct cr_gil *g = t->gil;
  if (g->hooks == NULL) g->hooks = calloc(1, sizeof *g->hooks);
  k = g->hooks != NULL ? calloc(1, sizeof *k) : NULL;
  if (k == NULL) return NULL;
  struct hook **bucket = bucket_of(g->hooks, L);
  k->state = L;
  k->next = *bucket;
  *bucket = k;
  g->hooks->n++;
  return k;
}

static void drop(lua_State *L) {
  struct cr_thread *t = cr_thread_of(L);
  struct cr_hooks *h = t != NULL ? t->gil->hooks : NULL;
  if (h == NULL) return;
  for (struct hook **p = bucket_of(h, L); *p != NULL; p = &(*p)->next) {
    if ((*p)->state != L) continue;
    struct hook *k = *p;
    *p = k->next;
    free(k);
    h->n--;
    return;
  }
}

void cr_hooks_free(struct cr_gil *g) {
  for (int i = 0; g->hooks != NULL && i < BUCKETS; i++) {
    struct hook *next;
    for (struct hook *k = g->hooks->bucket[i]; k != NULL; k = next) {
      next = k->next;
      free(k);
    }
  }
  free(g->hooks);
  g->hooks = NULL;
}

static int step(void) {
  return cr_forced_switch > 0 ? cr_forced_switch : STEP;
}

static void both(lua_State *L, lua_Debug *ar);

/* Sets ours so that it is called for every event of the script's, and often
** enough to look: at lines, or after some instructions. */
static void install(lua_State *L, struct hook *k) {
  int mask = k->mask, count = 0;
  if (mask & LUA_MASKCOUNT) {
    count = k->left < step() ? k->left : step();
  } else if (!(mask & LUA_MASKLINE) || cr_forced_switch > 0) {
    mask |= LUA_MASKCOUNT;
    count = step();
  }
  cr_raw_sethook(L, both, mask, count);
}

/* A count event of ours: is it one of the script's, too? */
static bool counted(lua_State *L, struct hook *k) {
  if (!(k->mask & LUA_MASKCOUNT)) return false;
  k->left -= cr_raw_gethookcount(L);
  bool due = k->left <= 0;
  if (due) k->left = k->count;
  if (k->count > step()) install(L, k);
  return due;
}

static void both(lua_State *L, lua_Debug *ar) {
  struct hook *k = find(L);
  if (k == NULL) { /* a coroutine's copy, left over */
    cr_raw_sethook(L, NULL, 0, 0);
    find_out(L);
    return;
  }
  bool call = ar->event != LUA_HOOKCOUNT || counted(L, k);
  poll(L);
  k = find(L); /* other threads have run */
  if (call && k != NULL) k->f(L, ar);
}

/* What a state without a hook of the script's has. */
static void set_none(lua_State *L) {
  if (cr_forced_switch > 0)
    cr_raw_sethook(L, forced, LUA_MASKCOUNT, cr_forced_switch);
  else
    cr_raw_sethook(L, NULL, 0, 0);
}

void cr_hook_set(lua_State *L, lua_Hook f, int mask, int count) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL) {
    cr_raw_sethook(L, f, mask, count);
    return;
  }
  struct hook *k = NULL;
  if (f != NULL && mask != 0) k = find_or_make(L);
  if (k == NULL) {
    drop(L);
    set_none(L);
    if (t->drop || cr_interrupted(t)) cr_trap(t);
    return;
  }
  k->f = f;
  k->mask = mask;
  k->count = k->left = count;
  install(L, k);
}

lua_Hook cr_hook_get(lua_State *L, int *mask, int *count) {
  if (cr_thread_of(L) == NULL) {
    *mask = *count = 0;
    return NULL;
  }
  const struct hook *k = find(L);
  *mask = k != NULL ? k->mask : 0;
  *count = k != NULL ? k->count : 0;
  return k != NULL ? k->f : NULL;
}

void cr_hooks_open(lua_State *L) {
  const char *forced_switch = getenv("CLUARUN_SWITCH");
  if (forced_switch != NULL) cr_forced_switch = atoi(forced_switch);
  if (cr_forced_switch > 0) set_none(L);
}

void cr_hook_inherit(lua_State *L, lua_State *L1) {
  struct cr_thread *t = cr_thread_of(L);
  if (t == NULL) return;
  const struct hook *k = NULL;
  if (t->gil->hooks != NULL) {
    drop(L1); /* of one that had this address */
    k = find(L);
  }
  if (k != NULL)
    cr_hook_set(L1, k->f, k->mask, k->count);
  else if (cr_forced_switch > 0 || cr_raw_gethook(L1) != NULL)
    set_none(L1);
}
