/*-------------------------------------------------------------------------
 *
 * worker_poll.h
 *		The sockets of the delivery worker: who wants to hear about which.
 *
 * One EcPoll holds every socket that HTTP and SMTP transfers wait for.  It is
 * itself a file descriptor, so the worker waits for it together with its
 * latch.  Nothing here raises an error or allocates from a memory context,
 * so it may be called from within libcurl's callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_POLL_H
#define EC_WORKER_POLL_H

#include "compat/compat.h"

#define EC_POLL_IN	1
#define EC_POLL_OUT 2
#define EC_POLL_ERR 4

typedef struct EcPoll EcPoll;

/* events: what the socket is ready for, EC_POLL_* or-ed */
typedef void (*EcPollReady) (int fd, int events, void *arg);

extern EcPoll *ec_poll_create(void);	/* NULL: errno says why */
extern void ec_poll_destroy(EcPoll *poll);
extern int	ec_poll_fd(EcPoll *poll);

/*
 * From now on tell ready() when fd can do one of events (EC_POLL_IN | _OUT),
 * level-triggered; events 0 is ec_poll_forget().  Cheap: the kernel is told
 * only before the next wait, and only if something changed.  Call
 * ec_poll_forget() before fd is closed.  False if out of memory.
 */
extern bool ec_poll_want(EcPoll *poll, int fd, int events, EcPollReady ready, void *arg);
extern void ec_poll_forget(EcPoll *poll, int fd);

/*
 * Want nothing, but probably soon again: the kernel keeps its entry, and is
 * told only if the socket becomes ready meanwhile.
 */
extern void ec_poll_rest(EcPoll *poll, int fd);

/* Tell the kernel what changed; before waiting for ec_poll_fd(). */
extern void ec_poll_apply(EcPoll *poll);

/*
 * Call ready() for every socket that is ready; does not wait.  Returns how
 * many there were.  ready() may call all of the above but destroy.
 */
extern int	ec_poll_dispatch(EcPoll *poll);

#endif							/* EC_WORKER_POLL_H */
