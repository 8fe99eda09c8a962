/* Pipe: two ends; each direction is a queue. An end is closed when the last
** process that held it has let go or died. */
#ifndef CR_PIPE_H
#define CR_PIPE_H

#include "queue.h"

struct cr_pipe;

/* Makes two ends in limbo; not duplex: ends[0] receives, ends[1] sends.
** Returns 0 or ENOMEM. */
int cr_pipe_new(bool duplex, struct cr_pipe *ends[2]);
bool cr_pipe_can_send(const struct cr_pipe *e);
bool cr_pipe_can_receive(const struct cr_pipe *e);
/* 0; EPIPE: nobody holds the other end; ENOMEM; EINTR. */
int cr_pipe_send(struct cr_pipe *e, struct cr_packet *p, int64_t deadline);
/* 0; EPIPE: drained and nobody holds the other end; EAGAIN: deadline; EINTR. */
int cr_pipe_receive(struct cr_pipe *e, struct cr_packet *p, int64_t deadline);
/* Waits until a receive would not: 0, EAGAIN, EINTR. */
int cr_pipe_wait(struct cr_pipe *e, int64_t deadline);
int cr_pipe_unget(struct cr_pipe *e, struct cr_packet *p);
/* Is a receive possible without waiting (a message, or the end)? Else fills in
** up to CR_PIPE_WAITS words to sleep on; *n is set to their number, *unborn when
** a process that holds the other end cannot be watched yet: look again soon. */
enum { CR_PIPE_WAITS = 9 };
bool cr_pipe_ready(struct cr_pipe *e, struct cr_wait *wait, int *n,
                   bool *unborn);

#endif
