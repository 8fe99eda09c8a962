/* Claims on files: who is in the middle of reading or writing. See stream.h.
**
** One list for the process, since its states share stdin and stdout; each
** claim lies with its owner. The oldest one of a FILE and access has its turn.
*/
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "state.h"
#include "stream.h"
#include "undo.h"

/* Held for an instant. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct cr_claim *first;
static cr_word changed; /* a claim has ended, or its file */
static unsigned queued; /* sleep on that word */
atomic_uint cr_claims;

/* The other threads, and what they were in the middle of, are not in a child. */
static void in_child(void) {
  pthread_mutex_init(&mutex, NULL);
  first = NULL;
  queued = 0;
  atomic_store(&cr_claims, 0);
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, in_child);
}

static bool same(const struct cr_claim *c, const FILE *f, enum cr_access a) {
  return c->file == f && c->access == a;
}

/* Under the mutex. The oldest such claim. */
static struct cr_claim *oldest(const FILE *f, enum cr_access access) {
  struct cr_claim *c = first;
  while (c != NULL && !same(c, f, access)) c = c->next;
  return c;
}

bool cr_claimed(FILE *f, enum cr_access access) {
  pthread_mutex_lock(&mutex);
  bool found = oldest(f, access) != NULL;
  pthread_mutex_unlock(&mutex);
  return found;
}

static void enqueue(struct cr_claim *c) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&mutex);
  struct cr_claim **end = &first;
  while (*end != NULL) end = &(*end)->next;
  *end = c;
  pthread_mutex_unlock(&mutex);
  atomic_fetch_add(&cr_claims, 1);
}

/* 0: it is its turn. EAGAIN: not yet, sleep while `changed` is *seen. */
static int turn(const struct cr_claim *c, uint32_t *seen) {
  int result = EAGAIN;
  pthread_mutex_lock(&mutex);
  *seen = atomic_load(&changed);
  if (c->closed)
    result = CR_FILE_CLOSED;
  else if (oldest(c->file, c->access) == c)
    result = 0;
  else
    queued++;
  pthread_mutex_unlock(&mutex);
  return result;
}

static void left_queue(void) {
  pthread_mutex_lock(&mutex);
  if (queued > 0) queued--;
  pthread_mutex_unlock(&mutex);
}

/* A thread whose state is closed meanwhile ends in its wait: its claims go. (A
** collected one went with the state, its memory too.) */
static void end(void *claim) {
  if (claim != NULL) cr_claim_end(claim);
}

static void *mine(struct cr_claim *c) {
  return c->collected ? NULL : c;
}

static int sleep_in_queue(struct cr_claim *c, const struct cr_wait *wait) {
  int err;
  struct cr_undo undo;
  cr_undo_push(&undo, end, mine(c));
  err = cr_sleep(wait, 1, CR_FOREVER);
  cr_undo_pop();
  return err;
}

int cr_claim_begin(struct cr_claim *c, FILE *f, enum cr_access access) {
  c->file = f;
  c->access = access;
  c->closed = false;
  c->owner = cr_self;
  c->next = NULL;
  enqueue(c);
  for (;;) {
    uint32_t seen;
    int err = turn(c, &seen);
    if (err != EAGAIN) return err;
    err = sleep_in_queue(c, &(struct cr_wait){&changed, seen});
    left_queue();
    if (err == EINTR) return err;
  }
}

void cr_claim_end(struct cr_claim *c) {
  free(c->scratch);
  c->scratch = NULL;
  if (c->file == NULL) return;
  pthread_mutex_lock(&mutex);
  struct cr_claim **at = &first;
  while (*at != NULL && *at != c) at = &(*at)->next;
  bool found = *at == c; /* not after a fork in the middle of it */
  if (found) *at = c->next;
  bool ring = queued > 0;
  pthread_mutex_unlock(&mutex);
  c->file = NULL;
  if (found) atomic_fetch_sub(&cr_claims, 1);
  if (ring) cr_ring(&changed);
}

/* Not CR_FOREVER: what comes over a file does not wait for a thread. */
int cr_claim_wait(struct cr_claim *c, short events) {
  int err;
  struct cr_undo undo;
  cr_undo_push(&undo, end, mine(c));
  err = cr_wait_fd(fileno(c->file), events, CR_FOREVER - 1);
  cr_undo_pop();
  return c->closed ? CR_FILE_CLOSED : err;
}

int cr_claim_write(struct cr_claim *c, const char *bytes, size_t n,
                   size_t *done) {
  int err;
  struct cr_undo undo;
  cr_undo_push(&undo, end, mine(c));
  err = cr_write_unlocked(fileno(c->file), bytes, n, done);
  cr_undo_pop();
  return c->closed ? CR_FILE_CLOSED : err;
}

void cr_claims_close(FILE *f) {
  if (atomic_load(&cr_claims) == 0) return;
  pthread_mutex_lock(&mutex);
  for (struct cr_claim *c = first; c != NULL; c = c->next)
    if (c->file == f) {
      c->closed = true;
      if (c->owner != NULL) cr_poll_wake(c->owner);
    }
  bool ring = queued > 0;
  pthread_mutex_unlock(&mutex);
  if (ring) cr_ring(&changed);
}
