/*-------------------------------------------------------------------------
 *
 * event_partition.c
 *		Partitions of the event table: a month (UTC) each, made when the first
 *		event of the month arrives, dropped when they have aged.
 *
 * A partition is made as a table of its own and then attached, which takes
 * SHARE UPDATE EXCLUSIVE on the parent where CREATE TABLE ... PARTITION OF
 * would take ACCESS EXCLUSIVE and so wait for, and hold up, every reader.
 *
 * Who makes one holds up others who need it until his transaction ends.  So a
 * tick makes the next month's ahead, and a transaction of the shop that calls
 * track() rarely has to.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "event/event.h"

PG_FUNCTION_INFO_V1(ecauto_drop_old_events);

/* keys of the advisory lock that making partitions takes; see core_tick.c */
#define PARTITION_LOCK_CLASS 0x6563
#define PARTITION_LOCK_ID	 3

/* Months since year 0 of a point in time, in UTC. */
static int
month_of(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return tm.tm_year * 12 + tm.tm_mon - 1;
}

static void
partition_name(char *name, int month)
{
	snprintf(name, NAMEDATALEN, "event_y%04dm%02d", month / 12, month % 12 + 1);
}

/* The name of the partition that holds events of this time; NAMEDATALEN bytes. */
void
ec_event_partition_name(char *name, TimestampTz at)
{
	partition_name(name, month_of(at));
}

static void
execute(const char *statement)
{
	if (SPI_execute(statement, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", statement);
}

/*
 * Make the partition that holds events of this time unless it is there.
 * Acts as the owner of the state; the caller need not be connected to SPI.
 */
void
ec_event_partition_ensure(TimestampTz at)
{
	int			month = month_of(at);
	char		name[NAMEDATALEN];
	LOCKTAG		tag;
	EcAs		as;

	partition_name(name, month);
	if (OidIsValid(ec_state_relation(name, true)))
		return;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, PARTITION_LOCK_CLASS, PARTITION_LOCK_ID, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	/* acquiring the lock has processed invalidations, so this look is fresh */
	AcceptInvalidationMessages();
	if (OidIsValid(ec_state_relation(name, true)))
		return;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	/* the caller's default may be a tablespace that is not for the owner */
	(void) set_config_option("default_tablespace", "", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	execute(psprintf("CREATE TABLE ecauto_data.%s (LIKE ecauto_data.event INCLUDING DEFAULTS)", name));
	execute(psprintf("ALTER TABLE ecauto_data.event ATTACH PARTITION ecauto_data.%s "
					 "FOR VALUES FROM ('%04d-%02d-01 00:00:00+00') TO ('%04d-%02d-01 00:00:00+00')",
					 name, month / 12, month % 12 + 1, (month + 1) / 12, (month + 1) % 12 + 1));
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Make the partition of this time and of the month after it.
 */
void
ec_event_partition_ensure_ahead(TimestampTz at)
{
	ec_event_partition_ensure(at);
	ec_event_partition_ensure(at + 31 * USECS_PER_DAY);
}

/*
 * ecauto.drop_old_events(keep interval) returns integer
 *
 * Drops the partitions that hold nothing younger than ecauto.now() - keep and
 * returns how many.
 */
Datum
ecauto_drop_old_events(PG_FUNCTION_ARGS)
{
	TimestampTz limit = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
																 TimestampTzGetDatum(ec_now()),
																 PG_GETARG_DATUM(0)));
	int			month;
	int			dropped = 0;
	char		oldest_kept[NAMEDATALEN];
	Oid			types[2] = {TEXTOID, TIMESTAMPTZOID};
	Datum		args[2];
	SPITupleTable *found;
	uint64		nfound;
	EcAs		as;

	ec_state_require();
	ec_require_operator("drop old events");
	if (TIMESTAMP_NOT_FINITE(limit) || limit > ec_now())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("interval to keep events must not be negative")));
	month = month_of(limit);
	partition_name(oldest_kept, month);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);

	/* names sort as their months do */
	args[0] = CStringGetTextDatum(oldest_kept);
	args[1] = TimestampTzGetDatum(limit);
	if (SPI_execute_with_args("SELECT c.relname::text FROM pg_catalog.pg_inherits i "
							  "JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid "
							  "WHERE i.inhparent = 'ecauto_data.event'::pg_catalog.regclass "
							  "AND c.relname::text COLLATE \"C\" < $1 COLLATE \"C\" "
							  "AND c.relname ~ '^event_y[0-9]{4}m[0-9]{2}$'",
							  1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not list the partitions");
	found = SPI_tuptable;
	nfound = SPI_processed;
	for (uint64 i = 0; i < nfound; i++)
	{
		CHECK_FOR_INTERRUPTS();
		execute(psprintf("DROP TABLE ecauto_data.%s",
						 quote_identifier(SPI_getvalue(found->vals[i], found->tupdesc, 1))));
		dropped++;
	}
	if (SPI_execute_with_args("DELETE FROM ecauto_data.event_key WHERE at < $2",
							  2, types, args, NULL, false, 0) != SPI_OK_DELETE ||
		SPI_execute_with_args("DELETE FROM ecauto_data.seen_cart WHERE completed_at < $2",
							  2, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete what belongs to old events");
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_INT32(dropped);
}
