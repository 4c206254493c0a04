/*-------------------------------------------------------------------------
 *
 * event_told.c
 *		Which events a tick is about.
 *
 * Those that the tick derives from the shop's tables lie between two
 * identifiers.  Those that sessions tell (track()), and those that a phase of
 * an earlier tick left for the next one, are waiting in event_told: a table
 * without index or constraint, so that sessions never wait for each other
 * there.  It is a queue and not a cursor over the events, since transactions
 * do not commit in the order of their identifiers.
 *
 * A phase names the events of its tick in a statement:
 *
 *		Datum args[EC_EVENTS_OF_TICK_ARGS];
 *		ec_event_tick_args(tick, args);
 *		"SELECT ... FROM " EC_EVENTS_OF_TICK " e WHERE e.kind = 'cart.changed'"
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "event/event.h"

/* told events that one tick takes; the rest wait for the next, which follows at once */
#define TOLD_PER_TICK 50000

const Oid	ec_event_tick_types[EC_EVENTS_OF_TICK_ARGS] = {
	TIMESTAMPTZOID, UUIDOID, UUIDOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID
};

/*
 * Take what was told from the queue, into arrays in the current context.
 * Called by the first phase, as nobody in particular, not connected to SPI.
 */
void
ec_event_told_take(EcTick *tick)
{
	MemoryContext outer = CurrentMemoryContext;
	static const Oid types[] = {INT8OID};
	Datum		args[1];
	SPIPlanPtr	plan;
	bool		isnull;
	EcAs		as;

	tick->told_ids = tick->told_at = NULL;
	args[0] = Int64GetDatum(TOLD_PER_TICK);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	plan = ec_plan("WITH t AS (DELETE FROM ecauto_data.event_told WHERE ctid = ANY (ARRAY("
				   "SELECT ctid FROM ecauto_data.event_told LIMIT $1)) RETURNING event_id, at) "
				   "SELECT pg_catalog.count(*), pg_catalog.array_agg(event_id ORDER BY event_id), "
				   "pg_catalog.array_agg(at ORDER BY event_id) FROM t", 1, types);
	if (SPI_execute_plan(plan, args, NULL, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not take what was told");
	tick->told = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (tick->told > 0)
	{
		MemoryContext spi = MemoryContextSwitchTo(outer);

		tick->told_ids = DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0],
															  SPI_tuptable->tupdesc, 2, &isnull));
		tick->told_at = DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0],
															 SPI_tuptable->tupdesc, 3, &isnull));
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();

	if (tick->told == TOLD_PER_TICK)
		ec_tick_due(tick, tick->at);
}

/*
 * Are there events in this tick at all?
 */
bool
ec_event_in_tick(const EcTick *tick)
{
	return tick->events > 0 || tick->told > 0;
}

/*
 * The values of $1 to $5 of EC_EVENTS_OF_TICK, of types ec_event_tick_types;
 * further parameters of a statement begin at $6.  Valid until the tick ends.
 */
void
ec_event_tick_args(const EcTick *tick, Datum *args)
{
	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = UUIDPGetDatum((pg_uuid_t *) tick->first_event);
	args[2] = UUIDPGetDatum((pg_uuid_t *) tick->last_event);
	args[3] = PointerGetDatum(tick->told_ids != NULL ? tick->told_ids
							  : construct_empty_array(UUIDOID));
	args[4] = PointerGetDatum(tick->told_at != NULL ? tick->told_at
							  : construct_empty_array(TIMESTAMPTZOID));
}

/*
 * A phase has written n events of its own, with at = tick->at and identifiers
 * of ecauto.new_id(): the phases after it see them as events of this tick.
 * What phases before it or the same one should see must go into event_told
 * instead, for the next tick.
 */
void
ec_event_emitted(EcTick *tick, int64 n)
{
	if (n <= 0)
		return;
	tick->events += n;
	ec_uuid_next(tick->last_event);
}
