/*-------------------------------------------------------------------------
 *
 * outbox_history.c
 *		The weeks of outbox_history: made when they are needed, dropped when
 *		they are old.
 *
 * A week begins on Monday, 00:00 UTC.  Its partition is made as a table of
 * its own and then attached, because that locks the parent only against
 * other changes of its partitions, not against readers and writers.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "outbox/outbox.h"

#define WEEK_USECS (7 * USECS_PER_DAY)

/* Monday, 3 January 2000: the first week boundary of our calendar */
#define WEEK_ORIGIN (2 * USECS_PER_DAY)

/* the week whose partition this session has seen; its table, in case of DROP */
static TimestampTz known_week = DT_NOBEGIN;
static Oid	known_relation = InvalidOid;

static TimestampTz
week_of(TimestampTz at)
{
	TimestampTz since = at - WEEK_ORIGIN;
	TimestampTz start = since / WEEK_USECS * WEEK_USECS;

	if (since < 0 && start != since)
		start -= WEEK_USECS;
	return start + WEEK_ORIGIN;
}

static char *
week_name(TimestampTz week)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(week, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("outbox_history_%04d%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
}

static void
run(const char *text)
{
	int			code = SPI_execute(text, false, 0);

	if (code < 0)
		elog(ERROR, "SPI_execute returned %s for \"%s\"", SPI_result_code_string(code), text);
}

/* A bound that reads the same under every DateStyle and TimeZone. */
static char *
week_bound(TimestampTz week)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(week, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("%04d-%02d-%02d 00:00:00+00", tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * Make sure that a message that ends at that time has a place in the history,
 * and return the partition.
 * The caller is connected to SPI and acts as the owner of the state.
 */
Oid
ec_history_ensure(TimestampTz at)
{
	TimestampTz week = week_of(at);
	char	   *name;
	Oid			relation;

	if (week == known_week && ec_state_relation("outbox_history", true) != InvalidOid &&
		ec_state_relation(week_name(week), true) == known_relation)
		return known_relation;

	name = week_name(week);
	relation = ec_state_relation(name, true);
	if (!OidIsValid(relation))
	{
		/* two sessions may come here at once: the second waits and finds it made */
		run("LOCK TABLE ecauto_data.outbox_history IN SHARE UPDATE EXCLUSIVE MODE");
		relation = ec_state_relation(name, true);
	}
	if (!OidIsValid(relation))
	{
		run(psprintf("CREATE TABLE ecauto_data.%s (LIKE ecauto_data.outbox_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)", name));
		run(psprintf("ALTER TABLE ecauto_data.outbox_history ATTACH PARTITION ecauto_data.%s FOR VALUES FROM ('%s') TO ('%s')",
					 name, week_bound(week), week_bound(week + WEEK_USECS)));
		relation = ec_state_relation(name, false);
	}
	known_week = week;
	known_relation = relation;
	return relation;
}

/*
 * Drop the weeks that are older than ecauto.history_keep and forget the keys
 * of that time.  Returns how many weeks went.  The caller is connected to SPI
 * and acts as the owner of the state.
 *
 * If somebody uses the history just now, nothing is done until the next time.
 */
int64
ec_history_trim(void)
{
	TimestampTz keep = week_of(ec_now() - (TimestampTz) ec_guc_history_keep * USECS_PER_DAY);
	char	   *oldest = week_name(keep);
	static const Oid types[] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(oldest)};
	SPITupleTable *weeks;
	uint64		nweeks;
	static const Oid key_types[] = {TIMESTAMPTZOID};
	Datum		key_values[1] = {TimestampTzGetDatum(keep)};

	if (SPI_execute_plan(ec_plan("SELECT c.relname FROM pg_catalog.pg_inherits i "
								 "JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid "
								 "WHERE i.inhparent = 'ecauto_data.outbox_history'::pg_catalog.regclass "
								 "AND c.relname::pg_catalog.text COLLATE \"C\" < $1 "
								 "AND c.relname ~ '^outbox_history_[0-9]{8}$' "
								 "ORDER BY 1", 1, types),
						 values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the weeks of the history");
	nweeks = SPI_processed;
	weeks = SPI_tuptable;

	/* waiting for the lock would make everybody else wait behind us */
	if (nweeks > 0 &&
		!ConditionalLockRelationOid(ec_state_relation("outbox_history", false), AccessExclusiveLock))
		return 0;
	for (uint64 i = 0; i < nweeks; i++)
		run(psprintf("DROP TABLE ecauto_data.%s",
					 quote_identifier(SPI_getvalue(weeks->vals[i], weeks->tupdesc, 1))));
	if (nweeks > 0 &&
		SPI_execute_plan(ec_plan("DELETE FROM ecauto_data.outbox_key k WHERE k.at < $1 "
								 "AND NOT EXISTS (SELECT FROM ecauto_data.outbox o WHERE o.id = k.id) "
								 "AND NOT EXISTS (SELECT FROM ecauto_data.outbox_history h WHERE h.id = k.id)",
								 1, key_types),
						 key_values, NULL, false, 0) < 0)
		elog(ERROR, "could not forget old keys");
	return (int64) nweeks;
}
