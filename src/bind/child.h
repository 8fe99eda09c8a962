/* The children of this process: made by fork(), waited for one by one.
**
** Only children that were made here are ever waited for, and each by its pid:
** the status of another library's child is never taken. Who waits sleeps on a
** word that a SIGCHLD handler rings. No Lua here, but each Lua state has a family
** of its own.
*/
#ifndef CR_CHILD_H
#define CR_CHILD_H

#include "slot.h"

struct cr_child {
  struct cr_child *next, *previous; /* in its family, until it is reaped */
  struct cr_slot *slot;
  uint32_t incarnation;
  pid_t pid;        /* 0: not forked yet */
  const char *name; /* for reports; NULL: its parent's */
  int status;       /* as waitpid gave it, once reaped */
  bool reaped;
  bool taken;  /* somebody else in this program took the status */
  bool raw;    /* made by fork(), not a Process */
  bool waited; /* a raw one whose status was told */
  bool daemon;
};

/* The live and unreaped children, in the order of their birth. */
struct cr_family {
  struct cr_child *first, *last;
  uint32_t owner;        /* incarnation of the process it is of */
  uint32_t seen;         /* rings seen when it was last looked at */
  uint32_t made;         /* Processes made here, for their names */
  bool left;             /* the wait for them at the end was interrupted */
  struct cr_child *born; /* set around a fork: the child that is being made */
};

/* Is it that of the parent still, whose children are not ours? */
bool cr_family_foreign(const struct cr_family *f);
/* Makes it the family of this process, without children. Returns the record of
** the fork that made this process, or NULL. */
struct cr_child *cr_family_adopt(struct cr_family *f);

/* Flushes the C streams and forks. In the parent the child is added to the
** family; in the child c is its own record. Returns 0 and sets *pid as fork()
** does, or an errno value. */
int cr_child_fork(struct cr_family *f, struct cr_child *c, pid_t *pid);

/* Has it ended? Then it is reaped and leaves the family. */
bool cr_child_ended(struct cr_family *f, struct cr_child *c);
/* The same; if it has not, fills in what to sleep on. */
enum { CR_CHILD_WAITS = 2 };
bool cr_child_ready(struct cr_family *f, struct cr_child *c,
                    struct cr_wait wait[CR_CHILD_WAITS]);
/* Waits until it has: 0, ETIMEDOUT, EINTR. */
int cr_child_wait(struct cr_family *f, struct cr_child *c, int64_t deadline);
/* Waits for any raw one; *found is NULL if there is none at all. */
int cr_child_wait_any(struct cr_family *f, int64_t deadline,
                      struct cr_child **found);
/* Counts the SIGCHLDs of this process; given `wait`, also what to sleep on. */
uint32_t cr_child_rings(struct cr_wait *wait);
/* Reaps all Processes that have ended; cheap when none has since the last time.
** Returns how many. */
int cr_family_reap(struct cr_family *f);

/* Names the process whose leader has the slot. */
void cr_child_name(struct cr_slot *leader, const char *name);
/* n of exit(n), or -s when signal s killed it. */
int cr_child_exitcode(const struct cr_child *c);

#endif
