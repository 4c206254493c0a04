/*-------------------------------------------------------------------------
 *
 * outbox_count.c
 *		Counting what came of tries to deliver: since the beginning, and by
 *		the minute.
 *
 * The counts are rows, so they survive restarts.  A process that delivers
 * adds them up in memory and writes them with a settle ten times a second, and
 * when it has nothing left to do; if it is killed, what it counted since is
 * lost, though no message is.  Only such processes write them:
 * no open transaction of a user holds them up.
 *
 * How long deliveries took is kept as a histogram whose bounds grow by the
 * eighth root of two, from a tenth of a millisecond to days.  A percentile
 * read from it is too high by at most 9.1 percent, and histograms of minutes
 * and processes add up.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "outbox/outbox.h"

static const char *const count_sql =
	"INSERT INTO ecauto_data.outbox_counter AS c "
	"(endpoint, delivered, retried, dead, last_delivered_at, last_failed_at, last_error) "
	"VALUES ($1, $2, $3, $4, CASE WHEN $2 > 0 THEN $5 END, CASE WHEN $3 + $4 > 0 THEN $5 END, $6) "
	"ON CONFLICT (endpoint) DO UPDATE SET delivered = c.delivered + excluded.delivered, "
	"retried = c.retried + excluded.retried, dead = c.dead + excluded.dead, "
	"last_delivered_at = coalesce(excluded.last_delivered_at, c.last_delivered_at), "
	"last_failed_at = coalesce(excluded.last_failed_at, c.last_failed_at), "
	"last_error = coalesce(excluded.last_error, c.last_error)";

static const char *const minute_sql =
	"INSERT INTO ecauto_data.outbox_minute AS m (endpoint, minute, delivered, failed, latency) "
	"VALUES ($1, date_trunc('minute', $2), $3, $4, $5) "
	"ON CONFLICT (endpoint, minute) DO UPDATE SET delivered = m.delivered + excluded.delivered, "
	"failed = m.failed + excluded.failed, "
	"latency = ARRAY(SELECT coalesce(u.a, 0) + coalesce(u.b, 0) FROM unnest(m.latency, excluded.latency) WITH ORDINALITY AS u(a, b, n) ORDER BY u.n)";

static const char *const trim_sql =
	"DELETE FROM ecauto_data.outbox_minute m WHERE m.minute < $1 - interval '1 day'";

static const char *const breaker_sql =
	"INSERT INTO ecauto_data.outbox_counter AS c (endpoint, breaker_until) VALUES ($1, $2) "
	"ON CONFLICT (endpoint) DO UPDATE SET breaker_until = excluded.breaker_until";

static const char *const breakers_sql =
	"UPDATE ecauto_data.outbox_counter c SET breaker_until = NULL WHERE c.breaker_until IS NOT NULL";

/* Element of the histogram, from 0, for a time in us. */
static int
bucket_of(int64 us)
{
	int			bucket = us <= 100 ? 0 : (int) ceil(8 * log2((double) us / 100) - 1e-9);

	return Min(bucket, EC_LATENCY_BUCKETS - 1);
}

/*
 * Count a result.  No memory is allocated and no error raised.
 */
void
ec_tally_add(EcTally *tally, const EcResult *result)
{
	switch (result->outcome)
	{
		case EC_DELIVERED:
			tally->delivered++;
			tally->latency[bucket_of(result->latency)]++;
			break;
		case EC_RETRY:
			tally->retried++;
			break;
		case EC_DEAD:
			tally->dead++;
			break;
		case EC_UNWANTED:
		case EC_RELEASE:
			return;				/* nothing was tried */
	}
	if (result->outcome != EC_DELIVERED && result->error != NULL)
		strlcpy(tally->error, result->error,
				pg_mbcliplen(result->error, (int) strlen(result->error), sizeof(tally->error) - 1) + 1);
}

bool
ec_tally_is_empty(const EcTally *tally)
{
	return tally->delivered + tally->retried + tally->dead == 0;
}

/*
 * Add more to tally; the error of the later one stays.
 */
void
ec_tally_merge(EcTally *tally, const EcTally *more)
{
	tally->delivered += more->delivered;
	tally->retried += more->retried;
	tally->dead += more->dead;
	for (int i = 0; i < EC_LATENCY_BUCKETS; i++)
		tally->latency[i] += more->latency[i];
	if (more->error[0] != '\0')
		strlcpy(tally->error, more->error, sizeof(tally->error));
}

/*
 * Write what was counted for an endpoint.  Processes that write several do so
 * in the order of their names, so that two cannot wait for each other.  The
 * caller is connected to SPI and acts as the owner of the state.
 */
void
ec_tally_write(const EcTally *tally, const char *endpoint, TimestampTz now)
{
	static const Oid count_types[] = {TEXTOID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID};
	static const Oid minute_types[] = {TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8ARRAYOID};
	Datum		name = CStringGetTextDatum(endpoint);
	Datum		latency[EC_LATENCY_BUCKETS];
	Datum		values[6];
	char		nulls[] = "      ";
	int			n = 0;

	values[0] = name;
	values[1] = Int64GetDatum(tally->delivered);
	values[2] = Int64GetDatum(tally->retried);
	values[3] = Int64GetDatum(tally->dead);
	values[4] = TimestampTzGetDatum(now);
	values[5] = tally->error[0] ? CStringGetTextDatum(tally->error) : (Datum) 0;
	nulls[5] = tally->error[0] ? ' ' : 'n';
	(void) ec_outbox_execute(count_sql, 6, count_types, values, nulls);

	/* no zeros behind the slowest */
	for (int i = 0; i < EC_LATENCY_BUCKETS; i++)
	{
		latency[i] = Int64GetDatum(tally->latency[i]);
		if (tally->latency[i] != 0)
			n = i + 1;
	}
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int64GetDatum(tally->delivered);
	values[3] = Int64GetDatum(tally->retried + tally->dead);
	values[4] = PointerGetDatum(construct_array(latency, n, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	(void) ec_outbox_execute(minute_sql, 5, minute_types, values, NULL);
}

/*
 * Forget minutes that are a day old.  The caller is connected to SPI and acts
 * as the owner of the state.
 */
void
ec_outbox_count_trim(void)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(ec_now())};

	(void) ec_outbox_execute(trim_sql, 1, types, values, NULL);
}

/*
 * Let everybody see until when an endpoint's circuit breaker is open; 0: it
 * is closed.  endpoint NULL: all are closed, as they are when a worker starts.
 */
void
ec_outbox_show_breaker(const char *endpoint, TimestampTz until)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum		values[2] = {(Datum) 0, TimestampTzGetDatum(until)};
	char		nulls[2] = {' ', until == 0 ? 'n' : ' '};
	EcAs		as;

	ec_outbox_open(&as);
	if (endpoint == NULL)
		(void) ec_outbox_execute(breakers_sql, 0, NULL, NULL, NULL);
	else
	{
		values[0] = CStringGetTextDatum(endpoint);
		(void) ec_outbox_execute(breaker_sql, 2, types, values, nulls);
	}
	ec_outbox_close(&as);
}
