/*-------------------------------------------------------------------------
 *
 * worker_pace.c
 *		Rate limit and circuit breaker of one endpoint.
 *
 * The rate is a token bucket that holds what flows in within a second, at
 * least one token: a burst after a pause is a second's worth.
 *
 * The breaker opens after so many failures in a row, for one second, and each
 * time it opens again for twice as long, up to five minutes.  When the time
 * is over it is half open: a single message goes out, and what becomes of it
 * closes or opens the breaker.  (M. Nygard, "Release It!", 2nd ed., 2018,
 * chapter 5, "Circuit Breaker".)
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <limits.h>

#include "datatype/timestamp.h"

#include "worker/worker_pace.h"

#define OPEN_FIRST	USECS_PER_SEC
#define OPEN_MOST	(300 * USECS_PER_SEC)

static double
bucket_size(const EcPace *pace)
{
	return Max(pace->rate, 1.0);
}

static double
tokens_at(const EcPace *pace, int64 now)
{
	double		tokens = pace->tokens + pace->rate * (double) (now - pace->filled_at) / USECS_PER_SEC;

	return Min(tokens, bucket_size(pace));
}

/*
 * Set or change the limits.  A new bucket is full; a changed one keeps what
 * it has.
 */
void
ec_pace_set(EcPace *pace, double rate, int limit, int64 now)
{
	if (pace->filled_at == 0 || (pace->rate == 0 && rate > 0))
		pace->tokens = Max(rate, 1.0);
	else
		pace->tokens = tokens_at(pace, now);
	pace->filled_at = now;
	pace->rate = rate;
	pace->tokens = Min(pace->tokens, bucket_size(pace));
	pace->limit = limit;
	if (limit == 0)
		pace->open_until = 0;
}

int
ec_pace_allows(EcPace *pace, int inflight, int64 now)
{
	int			most = INT_MAX;

	if (pace->open_until != 0)
	{
		if (now < pace->open_until || inflight > 0)
			return 0;
		most = 1;				/* half open */
	}
	if (pace->rate == 0)
		return most;
	pace->tokens = tokens_at(pace, now);
	pace->filled_at = now;
	/* a hair less than one token is one: sums of fractions */
	return Min(most, (int) Min(pace->tokens + 1e-9, (double) INT_MAX));
}

void
ec_pace_take(EcPace *pace)
{
	if (pace->rate > 0)
		pace->tokens = Max(pace->tokens - 1, 0);
}

int64
ec_pace_wait(const EcPace *pace, int inflight, int64 now)
{
	int64		wait = 0;

	if (pace->open_until != 0)
	{
		if (inflight > 0)
			return -1;
		wait = Max(pace->open_until - now, 0);
	}
	if (pace->rate > 0)
	{
		double		missing = 1 - tokens_at(pace, now);

		if (missing > 1e-9)
			wait = Max(wait, (int64) (missing / pace->rate * USECS_PER_SEC) + 1);
	}
	return wait;
}

bool
ec_pace_success(EcPace *pace)
{
	bool		was_open = (pace->open_until != 0);

	pace->failures = 0;
	pace->opened = 0;
	pace->open_until = 0;
	return was_open;
}

bool
ec_pace_failure(EcPace *pace, int64 now)
{
	int64		length = OPEN_FIRST;

	pace->failures++;
	if (pace->limit == 0)
		return false;
	/* those that were under way when it opened do not prolong it */
	if (pace->open_until > now)
		return false;
	if (pace->open_until == 0 && pace->failures < pace->limit)
		return false;
	for (int i = 0; i < pace->opened && length < OPEN_MOST; i++)
		length *= 2;
	pace->opened++;
	pace->open_until = now + Min(length, OPEN_MOST);
	return true;
}
