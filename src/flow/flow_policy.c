/*-------------------------------------------------------------------------
 *
 * flow_policy.c
 *		The tick's last phase: what the shop does by itself about the events
 *		of this tick.
 *
 * Two automations, each one set-wise statement (sql/flow/functions.sql): order
 * what runs low, and tell customers what became of their orders.  They run as
 * the owner of the state, in the transaction that wrote the events.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "flow/flow.h"

static const char *const policies[] = {
	"SELECT ecauto.run_stock_policy($1, $2, $3)",
	"SELECT ecauto.run_order_mail($1, $2, $3)",
};

void
ec_flow_policy_tick(EcTick *tick)
{
	static const Oid types[] = {TIMESTAMPTZOID, UUIDOID, UUIDOID};
	Datum		args[3];
	EcAs		as;

	if (tick->events == 0)
		return;

	args[0] = TimestampTzGetDatum(tick->at);
	args[1] = UUIDPGetDatum((pg_uuid_t *) tick->first_event);
	args[2] = UUIDPGetDatum((pg_uuid_t *) tick->last_event);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	for (int i = 0; i < lengthof(policies); i++)
	{
		bool		isnull;

		if (SPI_execute_plan(ec_plan(policies[i], 3, types), args, NULL, false, 0) != SPI_OK_SELECT ||
			SPI_processed != 1)
			elog(ERROR, "could not run \"%s\"", policies[i]);
		tick->messages += DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
													  1, &isnull));
	}
	ec_as_end(&as);
	SPI_finish();
}
