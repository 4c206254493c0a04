/*-------------------------------------------------------------------------
 *
 * worker_settle.c
 *		Writing down what came of messages.
 *
 * Results are settled in batches, a transaction each.  The counters go with
 * one of them once a second, and with the last one.  If a batch fails, its
 * results are settled one by one, so that one that cannot be written does not
 * keep the others; its lease runs out, and it is tried again.
 *
 * A message whose row an open transaction holds is kept, and settled when that
 * has ended; most end in a moment, since another process that looks for
 * messages locks a row before it sees whose it is.  ecauto.deliver() does not
 * wait for long: it may be called in that very transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "worker/worker_delivery.h"

#define ERROR_KEPT 1000			/* bytes of an error */
#define BUSY_FIRST (USECS_PER_SEC / 100)	/* until rows that others hold are tried again, */
#define BUSY_WAIT  (USECS_PER_SEC / 4)	/* at most; */
#define BUSY_MOST  (3 * USECS_PER_SEC)	/* ecauto.deliver(): and for how long */

/*
 * What another computer said, as text that the database can store: cut off at
 * a character, with a question mark for what is not valid.  NULL for nothing.
 */
static char *
stored_text(const char *raw, size_t len)
{
	bool		utf8 = (GetDatabaseEncoding() == PG_UTF8);
	char	   *text;
	char	   *to;

	if (raw == NULL || len == 0)
		return NULL;
	to = text = palloc(len + 1);
	for (size_t i = 0; i < len;)
	{
		unsigned char c = (unsigned char) raw[i];
		int			n = 1;

		if (c >= 0x80 && utf8)
		{
			n = pg_utf_mblen((const unsigned char *) raw + i);
			if (i + n > len || !pg_utf8_islegal((const unsigned char *) raw + i, n))
				n = 0;
		}
		else if (c >= 0x80 || c == '\0')
			n = 0;
		if (n == 0)
		{
			*to++ = '?';
			i++;
			continue;
		}
		memcpy(to, raw + i, n);
		to += n;
		i += n;
	}
	*to = '\0';
	return text;
}

static char *
error_text(const char *raw)
{
	return raw ? stored_text(raw, Min(strlen(raw), ERROR_KEPT)) : NULL;
}

/*
 * The result of a job; one that was to be tried again may have used up its
 * tries or its time.
 */
static void
result_of(const EcJob *job, EcResult *result, TimestampTz now)
{
	const EcLane *lane = job->lane;

	memset(result, 0, sizeof(EcResult));
	result->id = job->id;
	result->tid = job->tid;
	result->endpoint = lane->name;
	result->outcome = job->outcome;
	result->attempts = job->attempts;
	result->status = job->status;
	result->error = error_text(job->error);
	result->answer = stored_text(job->answer, job->answer_len);
	result->nremaining = job->nremaining;
	result->remaining = job->remaining;
	result->refused = error_text(job->refused);
	result->latency = Max(now - job->queued_at - (ec_worker_clock() - job->ended), 0);
	if (job->outcome != EC_RETRY)
		return;

	result->wait = ec_backoff(job->attempts, job->retry_after,
							  pg_prng_double(&pg_global_prng_state));
	if (ec_outbox_gives_up(lane->max_attempts, lane->give_up_after, job->attempts,
						   (now - job->queued_at) / 1000 + result->wait))
	{
		result->outcome = EC_DEAD;
		/* which names those refused for good just now, too */
		result->error = psprintf("gave up after %d tries: %s", job->attempts,
								 result->error ? result->error : "no reason known");
	}
}

typedef struct Batch
{
	EcDelivery *delivery;
	EcJob	   *first;
	int			n;
	bool		last;			/* nothing else is in hand */
	bool		counted;		/* the counters were written */
	int64		count[EC_RELEASE + 1];
	int64		soonest;		/* ms until the first of them is due again; -1: none */
} Batch;

/* Write the counters, with what is being settled. */
static void
write_counters(EcDelivery *delivery)
{
	TimestampTz now = ec_now();
	EcAs		as;

	ec_outbox_open(&as);
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		EcTally		sum = lane->uncounted;

		ec_tally_merge(&sum, &lane->settling);
		if (!ec_tally_is_empty(&sum))
			ec_tally_write(&sum, lane->name, now);
	}
	ec_outbox_close(&as);
}

/* They are committed; or what was settled is, and they wait. */
static void
counters_done(EcDelivery *delivery, bool written)
{
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		if (written)
			memset(&lane->uncounted, 0, sizeof(EcTally));
		else if (!ec_tally_is_empty(&lane->settling))
		{
			ec_tally_merge(&lane->uncounted, &lane->settling);
			delivery->uncounted = true;
		}
		memset(&lane->settling, 0, sizeof(EcTally));
	}
	if (!written)
		return;
	delivery->uncounted = false;
	delivery->counted_at = ec_worker_clock();
}

static void
settle_batch(void *arg)
{
	Batch	   *batch = arg;
	EcDelivery *delivery = batch->delivery;
	EcResult   *results;
	TimestampTz now = ec_now();
	int			i = 0;

	MemoryContextSwitchTo(delivery->round);
	results = palloc(sizeof(EcResult) * batch->n);
	memset(batch->count, 0, sizeof(batch->count));
	batch->soonest = -1;
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		memset(&lane->settling, 0, sizeof(EcTally));
	for (EcJob *job = batch->first; i < batch->n; job = job->next, i++)
		result_of(job, &results[i], now);
	ec_outbox_settle(results, batch->n, MyProcPid);

	i = 0;
	for (EcJob *job = batch->first; i < batch->n; job = job->next, i++)
	{
		const EcResult *result = &results[i];

		job->busy = result->busy;
		if (job->busy)
			continue;
		ec_tally_add(&job->lane->settling, result);
		batch->count[result->outcome]++;
		if (result->outcome == EC_RETRY && (batch->soonest < 0 || result->wait < batch->soonest))
			batch->soonest = result->wait;
	}
	batch->counted = batch->last || ec_worker_clock() - delivery->counted_at >= EC_COUNT_INTERVAL;
	if (batch->counted)
		write_counters(delivery);

	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
	{
		if (!lane->breaker_changed)
			continue;
		ec_outbox_show_breaker(lane->name, lane->pace.open_until == 0 ? 0 :
							   now + Max(lane->pace.open_until - ec_worker_clock(), 0));
	}
}

/* The batch is written: forget its jobs. */
static void
batch_done(EcDelivery *delivery, const Batch *batch)
{
	int64		now = ec_worker_clock();

	counters_done(delivery, batch->counted);
	for (int outcome = 0; outcome <= EC_RELEASE; outcome++)
		delivery->count[outcome] += batch->count[outcome];
	if (batch->soonest >= 0)
		delivery->next_due_at = Min(delivery->next_due_at, now + batch->soonest * 1000 + 1000);
}

/*
 * Try again, with the next settle, what could not be settled because others
 * held the row.
 */
void
ec_delivery_settle_busy(EcDelivery *delivery)
{
	EcJob	   *job;

	if (delivery->busy.n > 0 && delivery->done.n == 0)
		delivery->done_since = ec_worker_clock();
	while ((job = ec_jobs_shift(&delivery->busy)) != NULL)
		ec_jobs_append(&delivery->done, job);
}

/*
 * Settle everything that is done.  False if not all of it could be; then the
 * rest is still there, or given up and logged.
 */
bool
ec_delivery_settle(EcDelivery *delivery)
{
	Batch		batch = {.delivery = delivery};
	bool		all = true;

	while (delivery->done.n > 0)
	{
		bool		ok;

		batch.first = delivery->done.first;
		batch.n = delivery->one_by_one ? 1 : delivery->done.n;
		batch.last = delivery->queued + delivery->inflight == 0 && batch.n == delivery->done.n;
		ok = ec_worker_transaction(settle_batch, &batch);
		MemoryContextReset(delivery->round);
		if (!ok && !delivery->one_by_one)
		{
			delivery->one_by_one = true;
			return false;
		}
		if (ok)
			batch_done(delivery, &batch);
		all = all && ok;
		for (int i = 0; i < batch.n; i++)
		{
			EcJob	   *job = ec_jobs_shift(&delivery->done);

			if (job->target != NULL)
				ec_target_release(delivery, job->target);
			job->target = NULL;
			if (ok && job->busy)
			{
				int64		now = ec_worker_clock();

				if (job->busy_since == 0)
					job->busy_since = now;
				if (!delivery->once || now - job->busy_since < BUSY_MOST)
				{
					int64		again = now + Min(BUSY_WAIT, BUSY_FIRST + now - job->busy_since);

					delivery->busy_until = delivery->busy.n > 0 ? Min(delivery->busy_until, again) : again;
					ec_jobs_append(&delivery->busy, job);
					continue;
				}
			}
			if (job->entity != NULL && ok && !job->busy)
				ec_lane_look_at(delivery, job->lane, job->entity);
			else if (job->entity != NULL)
				ec_lane_look_again(job->lane);
			ec_job_free(job);
		}
		for (EcLane *lane = delivery->lanes; ok && lane != NULL; lane = lane->next)
			lane->breaker_changed = false;
	}
	delivery->one_by_one = false;
	return all;
}

static void
count_batch(void *arg)
{
	EcDelivery *delivery = arg;

	MemoryContextSwitchTo(delivery->round);
	for (EcLane *lane = delivery->lanes; lane != NULL; lane = lane->next)
		memset(&lane->settling, 0, sizeof(EcTally));
	write_counters(delivery);
}

/*
 * Write the counters by themselves.  False if that failed; then they wait.
 */
bool
ec_delivery_count(EcDelivery *delivery)
{
	bool		ok;

	if (!delivery->uncounted)
		return true;
	ok = ec_worker_transaction(count_batch, delivery);
	if (ok)
		counters_done(delivery, true);
	return ok;
}
