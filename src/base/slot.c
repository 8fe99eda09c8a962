/* Slots: birth, entry, death. See slot.h; handles are in handle.c. */
#include "slot.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena_impl.h"
#include "deadlock.h"
#include "handle.h"

enum { GRACE = 2000000000 }; /* ns for an embryo whose parent is gone */

_Thread_local struct cr_slot *cr_self;
_Thread_local struct cr_birth cr_birth;
void (*cr_on_death)(struct cr_slot *s);
void (*cr_on_units)(struct cr_block *semaphore, cr_word *units, bool killed);

struct cr_slot *cr_leader;

/* The slot of a fork's child is made before fork() by its parent. */
static _Thread_local bool birth_ready;

uint32_t cr_slot_high(void) {
  return atomic_load_explicit(&cr_arena->slot_high, memory_order_acquire);
}

struct cr_slot *cr_slot_at(uint32_t index) {
  return &cr_arena->slot[index < cr_arena->slots ? index : 0];
}

bool cr_slot_dead(const struct cr_slot *s) {
  return atomic_load(&s->life.word) & CR_DIED;
}

static uint32_t state_of(const struct cr_slot *s) {
  return atomic_load_explicit(&s->state, memory_order_acquire);
}

bool cr_slot_alive(const struct cr_slot *s, uint32_t incarnation) {
  return atomic_load(&s->life.incarnation) == incarnation &&
         state_of(s) == CR_SLOT_LIVE && !cr_slot_dead(s);
}

pid_t cr_slot_pid(const struct cr_slot *s) {
  return (pid_t)(uint32_t)atomic_load(&s->pid);
}

void cr_slot_copy_name(char to[CR_NAME_MAX], const char *name) {
  size_t n = strnlen(name, CR_NAME_MAX - 1);
  memcpy(to, name, n);
  to[n] = 0;
}

void cr_slot_set_pid(struct cr_slot *s, uint32_t incarnation, pid_t pid) {
  uint64_t old = (uint64_t)incarnation << 32;
  atomic_compare_exchange_strong(&s->pid, &old, old | (uint32_t)pid);
}

/* ---- entering ---- */

void cr_set_robust(void *head) {
  syscall(SYS_set_robust_list, head, sizeof cr_self->robust);
}

/* While the thread claims its slot, a robust list of its own names the life
** word: claiming and giving up an embryo are decided by one CAS, and from that
** store on the kernel marks our death. */
static bool claim(struct cr_slot *s, uint32_t incarnation, void **old) {
  static _Thread_local struct {
    struct cr_rnode *next;
    long offset;
    struct cr_rnode *pending;
  } head;
  size_t size;
  uint32_t tid = (uint32_t)syscall(SYS_gettid);
  head.next = (struct cr_rnode *)&head;
  head.offset = CR_FUTEX_OFFSET;
  head.pending = &s->life.node;
  syscall(SYS_get_robust_list, 0, old, &size);
  cr_set_robust(&head);
  uint64_t embryo = (uint64_t)incarnation << 32;
  if (atomic_compare_exchange_strong(&s->life.both, &embryo, embryo | tid))
    return true;
  head.pending = NULL;
  cr_set_robust(*old);
  return false;
}

int cr_slot_enter(struct cr_slot *s, uint32_t incarnation) {
  void *old = NULL;
  if (!claim(s, incarnation, &old)) return ESRCH;
  s->old_robust = old;
  s->robust.offset = CR_FUTEX_OFFSET;
  s->robust.pending = NULL;
  s->life.node.next = s->life.node.prev = (struct cr_rnode *)&s->robust;
  cr_step();
  s->robust.next = &s->life.node;
  cr_step();
  cr_set_robust(&s->robust);
  atomic_store(&s->pid, (uint64_t)incarnation << 32 | (uint32_t)getpid());
  atomic_store(&s->state, CR_SLOT_LIVE);
  cr_self = s;
  cr_alarm = &s->alarm;
  cr_untimed_end(false); /* what this OS thread waited for as another one */
  return 0;
}

/* ---- making ---- */

static void reap_lock(void) {
  cr_rlock_take(&cr_arena->reap); /* reaping starts over: no log to replay */
}

static void reap_unlock(void) {
  cr_rlock_release(&cr_arena->reap);
}

/* Makes the slot that the calling thread has just entered the leader's. */
static void lead(void) {
  cr_leader = cr_self;
}

static struct cr_slot *find_free(void) {
  uint32_t i = atomic_load(&cr_arena->slot_hint), high = cr_slot_high();
  while (i < high && state_of(cr_slot_at(i)) != CR_SLOT_FREE) i++;
  if (i >= cr_arena->slots) return NULL;
  if (i >= high) {
    atomic_store(&cr_arena->slot_high, i + 1);
    cr_sleepers(i + 1);
  }
  atomic_store(&cr_arena->slot_hint, i + 1);
  return cr_slot_at(i);
}

/* Fills in an embryo, of the leader's process or (NULL) of a new one. It becomes
** one by the store of its state. */
static void conceive(struct cr_slot *s, uint32_t parent,
                     const struct cr_slot *leader) {
  uint32_t incarnation = cr_unique();
  s->index = (uint32_t)(s - cr_arena->slot);
  s->parent = parent;
  s->leader = leader != NULL ? leader->index : s->index;
  s->leader_incarnation =
      leader != NULL ? leader->leader_incarnation : incarnation;
  s->limbo = 0;
  s->spin_average = s->spin_count = 0;
  s->born = cr_now();
  s->log_lock = NULL;
  s->log_wake = NULL;
  s->thread_name[0] = s->process_name[0] = 0;
  if (leader != NULL)
    memcpy(s->process_name, leader->process_name, CR_NAME_MAX);
  atomic_store(&s->log, NULL);
  atomic_store(&s->wants, NULL);
  atomic_store(&s->wait_number, 0);
  atomic_store(&s->untimed.reported, 0);
  atomic_store(&s->waits_in, 0);
  atomic_store(&s->note, 0);
  atomic_store(&s->orderly, 0);
  atomic_store(&s->alarm, 0);
  atomic_store(&s->polling, 0);
  atomic_store(&s->handles, NULL);
  atomic_store(&s->pid, (uint64_t)incarnation << 32);
  atomic_store(&s->life.both, (uint64_t)incarnation << 32);
  atomic_store(&s->state, CR_SLOT_EMBRYO);
}

struct cr_slot *cr_slot_conceive(uint32_t parent,
                                 const struct cr_slot *leader) {
  reap_lock();
  struct cr_slot *s = find_free();
  if (s != NULL) conceive(s, parent, leader);
  reap_unlock();
  return s;
}

struct cr_slot *cr_slot_new(bool same_process) {
  uint32_t me = atomic_load(&cr_self->life.incarnation);
  const struct cr_slot *leader = same_process ? cr_leader : NULL;
  struct cr_slot *s = cr_slot_conceive(me, leader);
  if (s != NULL) return s;
  atomic_store(&cr_arena->slot_hint, 0);
  cr_reap_all();
  return cr_slot_conceive(me, leader);
}

/* ---- fork ---- */

int cr_before_fork(void) {
  int err = cr_slot_join();
  if (err != 0) return err;
  struct cr_slot *s = cr_slot_new(false);
  if (s == NULL) return EAGAIN;
  cr_birth.slot = s;
  cr_birth.incarnation = atomic_load(&s->life.incarnation);
  memcpy(s->thread_name, cr_self->thread_name, CR_NAME_MAX);
  memcpy(s->process_name, cr_self->process_name, CR_NAME_MAX);
  if (cr_handles_copy(s) != 0) {
    cr_reap(s, cr_birth.incarnation);
    return ENOMEM;
  }
  birth_ready = true;
  return 0;
}

static void prepare(void) {
  if (cr_arena == NULL) return; /* it is being opened by another thread */
  if (!birth_ready && cr_before_fork() != 0) cr_birth.slot = NULL;
}

static void in_parent(void) {
  birth_ready = false;
}

/* The pages of shared memory are not mapped in a child until it touches them.
** Reading one maps its neighbours, too; writing maps only that one. */
static void touch(struct cr_birth b) {
  if (b.slot != NULL) (void)atomic_load(&b.slot->state);
}

static void in_child(void) {
  birth_ready = false;
  if (cr_leader == NULL) return;
  struct cr_birth b = cr_birth;
  touch(b);
  cr_self = NULL;
  cr_alarm = NULL;
  if (b.slot == NULL || cr_slot_enter(b.slot, b.incarnation) != 0) {
    static const char text[] = "cluarun: a child found no place in the arena\n";
    ssize_t n = write(2, text, sizeof text - 1);
    _exit(n > 0 ? 127 : 126);
  }
  lead();
  cr_handles_adopt();
}

int cr_slot_first(void) {
  struct cr_slot *s = cr_slot_at(0);
  conceive(s, 0, NULL);
  atomic_store(&cr_arena->slot_high, 1);
  int err = cr_slot_enter(s, atomic_load(&s->life.incarnation));
  if (err != 0) return err;
  strcpy(s->thread_name, "MainThread");
  strcpy(s->process_name, "MainProcess");
  lead();
  return pthread_atfork(prepare, in_parent, in_child);
}

/* ---- leaving and reaping ---- */

/* What the calling thread holds is free again, as if it had died. */
static void give_up_locks(void) {
  struct cr_slot *s = cr_self;
  struct cr_rnode *end = (struct cr_rnode *)&s->robust;
  while (s->life.node.next != end) {
    struct cr_rlock *l = (struct cr_rlock *)s->life.node.next;
    s->robust.pending = &l->node;
    cr_step();
    s->life.node.next = l->node.next;
    cr_step();
    uint32_t old = atomic_exchange(&l->word, CR_DIED | CR_WAITERS);
    if (old & CR_WAITERS) cr_wake(&l->word, 1);
    cr_step();
    s->robust.pending = NULL;
  }
}

void cr_slot_leave(void) {
  struct cr_slot *s = cr_self;
  void *old = s->old_robust;
  give_up_locks();
  if (s == cr_leader && cr_slot_guard() == 0) return;
  cr_self = NULL;
  cr_alarm = NULL;
  /* From here on the slot is dead; a relative or the next call reaps it. */
  atomic_fetch_or(&s->life.word, CR_DIED);
  cr_wake(&s->life.word, 1 << 30);
  cr_set_robust(old);
}

void cr_end_orderly(void) {
  if (cr_leader != NULL) atomic_store(&cr_leader->orderly, 1);
}

/* Whether a live or unborn thread besides s belongs to s's process. */
static bool has_siblings(const struct cr_slot *s) {
  for (uint32_t i = 0; i < cr_slot_high(); i++) {
    const struct cr_slot *o = cr_slot_at(i);
    if (o != s && o->leader == s->index && state_of(o) != CR_SLOT_FREE &&
        o->leader_incarnation == s->leader_incarnation)
      return true;
  }
  return false;
}

/* Completes the redo log that the dead one had in flight, before its effect on
** owner words is believed. A live next holder may be doing the same. */
static void finish_log(struct cr_slot *s) {
  struct cr_log *log = atomic_load(&s->log);
  if (log == NULL) return;
  struct cr_rlock *l = s->log_lock;
  if (l == NULL) cr_log_replay(log);
  while (l != NULL && atomic_load(&log->n) != 0) {
    if (cr_rlock_try(l) == EBUSY) {
      sched_yield();
      continue;
    }
    cr_log_recover(log, s->log_wake);
    cr_rlock_release(l);
  }
  atomic_store(&s->log, NULL);
}

/* Under the reap lock; may be started over at any point. */
static bool reap_slot(struct cr_slot *s) {
  uint32_t who = atomic_load(&s->life.incarnation);
  finish_log(s);
  if (cr_on_death != NULL) cr_on_death(s);
  cr_deadlock_moved(s);
  atomic_store(&s->waits_in, 0);
  struct cr_block *b;
  while (s->limbo > 0 && (b = cr_limbo_take(who)) != NULL) cr_destroy(b);
  if (s->leader == s->index) {
    if (has_siblings(s)) return false;
    cr_handles_release(s);
  }
  atomic_store(&s->state, CR_SLOT_FREE);
  if (s->index < atomic_load(&cr_arena->slot_hint))
    atomic_store(&cr_arena->slot_hint, s->index);
  return true;
}

static bool alive_incarnation(uint32_t incarnation) {
  for (uint32_t i = 0; i < cr_slot_high(); i++)
    if (cr_slot_alive(cr_slot_at(i), incarnation)) return true;
  return false;
}

bool cr_slot_stillborn(const struct cr_slot *s) {
  pid_t pid = cr_slot_pid(s);
  if (pid != 0) return kill(pid, 0) != 0 && errno == ESRCH;
  return !alive_incarnation(s->parent) && cr_now() - s->born > GRACE;
}

/* Gives up an embryo: from then on nobody can enter it. */
static bool give_up(struct cr_slot *s, uint32_t incarnation) {
  uint64_t embryo = (uint64_t)incarnation << 32;
  return atomic_compare_exchange_strong(&s->life.both, &embryo,
                                        embryo | CR_DIED);
}

static bool reap_if_dead(struct cr_slot *s) {
  uint32_t state = state_of(s);
  if (s == cr_self || state == CR_SLOT_FREE) return false;
  if (cr_slot_dead(s)) return reap_slot(s);
  return state == CR_SLOT_EMBRYO && atomic_load(&s->life.word) == 0 &&
         cr_slot_stillborn(s) &&
         give_up(s, atomic_load(&s->life.incarnation)) && reap_slot(s);
}

int cr_reap_all(void) {
  int n = 0;
  reap_lock();
  cr_ref_lock(); /* finishes what a dead one began there */
  cr_ref_unlock();
  /* Leaders last: they wait for the other threads of their process. */
  for (uint32_t i = cr_slot_high(); i-- > 0;)
    if (cr_slot_at(i)->leader != i) n += reap_if_dead(cr_slot_at(i));
  for (uint32_t i = cr_slot_high(); i-- > 0;)
    if (cr_slot_at(i)->leader == i) n += reap_if_dead(cr_slot_at(i));
  reap_unlock();
  return n;
}

void cr_reap(struct cr_slot *s, uint32_t incarnation) {
  reap_lock();
  cr_ref_lock();
  cr_ref_unlock();
  bool waits = false;
  if (atomic_load(&s->life.incarnation) == incarnation &&
      state_of(s) != CR_SLOT_FREE && s != cr_self) {
    if (atomic_load(&s->life.word) == 0) give_up(s, incarnation);
    waits = !reap_slot(s);
  }
  reap_unlock();
  if (waits) cr_reap_all(); /* its other threads are dead as well */
}
