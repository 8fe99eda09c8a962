/* Threads that somebody else started: a host's own. See slot.h.
**
** Making a slot takes a lock, and holding a lock takes a slot: so a thread
** without one takes that lock with a slot in its own memory, which nobody else
** sees. When it dies then, the kernel frees the lock as it does for any other.
**
** The leader's slot stands for its process and must live as long. Who leaves it
** before hands it to a bare thread, the guard: not one of the C library's, which
** would keep the process from ending with the last of those.
*/
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena_impl.h"

/* ---- leaving at the end of a thread ---- */

static pthread_key_t key;
static int key_error;
static char soon, now; /* values of the key */

/* Other destructors may still need the slot: it goes one round after them. Who
** leaves clears up after those that left before. */
static void at_end(void *when) {
  if (cr_self == NULL) return;
  if (when == &soon && pthread_setspecific(key, &now) == 0) return;
  cr_reap_all();
  cr_slot_leave();
}

static void make_key(void) {
  key_error = pthread_key_create(&key, at_end);
}

int cr_slot_until_end(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  return key_error != 0 ? key_error : pthread_setspecific(key, &soon);
}

/* ---- joining ---- */

static void *robust_list(void) {
  void *head;
  size_t size;
  return syscall(SYS_get_robust_list, 0, &head, &size) == 0 ? head : NULL;
}

/* A slot that no arena knows: good for taking and releasing one lock. */
static void make_private(struct cr_slot *s) {
  memset(s, 0, sizeof *s);
  s->index = UINT32_MAX;
  s->robust.offset = CR_FUTEX_OFFSET;
  s->robust.next = &s->life.node;
  s->life.node.next = s->life.node.prev = (struct cr_rnode *)&s->robust;
  atomic_store(&s->life.word, (uint32_t)syscall(SYS_gettid));
}

/* An embryo of this process; its leader, which lives, counts as its parent. */
static struct cr_slot *make_embryo(void) {
  struct cr_slot mine;
  void *old = robust_list();
  make_private(&mine);
  cr_set_robust(&mine.robust);
  cr_self = &mine;
  struct cr_slot *s =
      cr_slot_conceive(atomic_load(&cr_leader->life.incarnation), cr_leader);
  cr_self = NULL;
  cr_set_robust(old);
  return s;
}

int cr_slot_join(void) {
  if (cr_self != NULL) return 0;
  struct cr_slot *s = make_embryo();
  if (s == NULL) return EAGAIN;
  int err = cr_slot_enter(s, atomic_load(&s->life.incarnation));
  if (err != 0) return err;
  strcpy(s->thread_name, "MainThread"); /* of its state, if nobody names it */
  err = cr_slot_until_end();
  if (err != 0) cr_slot_leave();
  return err;
}

/* ---- the guard ---- */

enum { GUARD_STACK = 8192 };
static _Alignas(64) unsigned char guard_stack[GUARD_STACK];

/* Runs with the thread-local memory of a thread that will be gone: it calls
** nothing but the kernel, and nothing that fails. Its robust list names the life
** word from before it is its own. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
guard(struct cr_slot *s) {
  static struct {
    struct cr_rnode *next;
    long offset;
    struct cr_rnode *pending;
  } head;
  uint32_t tid = (uint32_t)syscall(SYS_gettid);
  head.next = (struct cr_rnode *)&head;
  head.offset = CR_FUTEX_OFFSET;
  head.pending = &s->life.node;
  syscall(SYS_set_robust_list, &head, sizeof head);
  uint32_t old = atomic_load(&s->life.word);
  while (
      !atomic_compare_exchange_weak(&s->life.word, &old, (old & ~CR_TID) | tid))
    ;
  syscall(SYS_set_robust_list, &s->robust, sizeof s->robust);
  for (;;) syscall(SYS_pause);
}

/* clone() without the C library's, which a sanitizer takes for a fork. Returns
** the thread's id or a negative errno value. */
static long start_bare(void (*f)(struct cr_slot *), struct cr_slot *s) {
  long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
               CLONE_THREAD | CLONE_SYSVSEM;
  long result = SYS_clone;
  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "xor %%ebp, %%ebp\n\t"
                   "mov %[s], %%rdi\n\t"
                   "call *%[f]\n\t"
                   "1:"
                   : "+a"(result)
                   : "D"(flags), "S"(guard_stack + GUARD_STACK),
                     "d"(0), [f] "r"(f), [s] "r"(s)
                   : "rcx", "r11", "memory", "cc");
  return result;
}

/* With all signals blocked, also the C library's own, which sigfillset leaves
** out. Returns 0 or an errno value. */
static int start_guard(struct cr_slot *s) {
  uint64_t all = UINT64_MAX, before;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  long tid = start_bare(guard, s);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  return tid < 0 ? (int)-tid : 0;
}

int cr_slot_guard(void) {
  struct cr_slot *s = cr_self;
  uint32_t me = atomic_load(&s->life.word) & CR_TID;
  int err = start_guard(s);
  if (err != 0) {
    fprintf(stderr, "cluarun: no thread to keep what this process holds: %s\n",
            strerror(err));
    return err;
  }
  while ((atomic_load(&s->life.word) & CR_TID) == me) sched_yield();
  cr_self = NULL;
  cr_alarm = NULL;
  cr_set_robust(s->old_robust);
  return 0;
}
