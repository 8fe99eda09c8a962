/* Who writes to the terminal. See screen.h. */
#include "screen.h"

#include <pthread.h>
#include <stdbool.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;
/* Under the mutex: */
static bool busy;
static int prompts; /* waiting to enter */

void screen_enter(enum screen_user user) {
  pthread_mutex_lock(&mutex);
  if (user == SCREEN_PROMPT) prompts++;
  while (busy || (user == SCREEN_PUMP && prompts > 0))
    pthread_cond_wait(&left, &mutex);
  if (user == SCREEN_PROMPT) prompts--;
  busy = true;
  pthread_mutex_unlock(&mutex);
}

void screen_leave(void) {
  pthread_mutex_lock(&mutex);
  busy = false;
  pthread_cond_broadcast(&left);
  pthread_mutex_unlock(&mutex);
}

void screen_reset(void) {
  mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  left = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
  busy = false;
  prompts = 0;
}
