/*-------------------------------------------------------------------------
 *
 * worker_pace.h
 *		How fast an endpoint may be used, and whether at all.
 *
 * Pure arithmetic on times in microseconds of one monotonic clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_WORKER_PACE_H
#define EC_WORKER_PACE_H

#include "compat/compat.h"

typedef struct EcPace
{
	/* token bucket: a message takes one token */
	double		rate;			/* tokens a second; 0: unlimited */
	double		tokens;
	int64		filled_at;
	/* circuit breaker */
	int			limit;			/* failures in a row that open it; 0: never */
	int			failures;		/* in a row */
	int			opened;			/* times in a row */
	int64		open_until;		/* 0: closed */
} EcPace;

extern void ec_pace_set(EcPace *pace, double rate, int limit, int64 now);

/* Messages that may start now; at most INT_MAX. */
extern int	ec_pace_allows(EcPace *pace, int inflight, int64 now);
extern void ec_pace_take(EcPace *pace);

/* Time until ec_pace_allows() may be more than 0, in us; 0: now; -1: not by time. */
extern int64 ec_pace_wait(const EcPace *pace, int inflight, int64 now);

/* A try has ended.  True if that opened or closed the breaker. */
extern bool ec_pace_success(EcPace *pace);
extern bool ec_pace_failure(EcPace *pace, int64 now);

#endif							/* EC_WORKER_PACE_H */
