/*-------------------------------------------------------------------------
 *
 * outbox_recall.c
 *		Taking messages back that may already be in the hands of a process
 *		that delivers.
 *
 * Such a process has leased messages in memory, with no transaction open, and
 * may hold them for a while if the endpoint's rate is limited.  Who recalls
 * messages ends them in the outbox and invalidates the relation cache entry
 * of a table; the server tells that to every process when the transaction
 * commits, and to nobody if it does not.  A process that delivers starts a
 * transaction before it begins to send what could be recalled, which takes
 * note of invalidations, and if there were any it looks which of its messages
 * are still there.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "outbox/outbox.h"

/* whose invalidation tells of a recall; another reason for one does no harm */
#define SIGNAL_TABLE "outbox_pause"

/* whatever state it is in: who withdrew his consent need not wait for a lease to end */
static const char *const recall_sql =
	"WITH gone AS (DELETE FROM ecauto_data.outbox o WHERE o.id = ANY ($1) RETURNING o.*) "
	"INSERT INTO ecauto_data.outbox_history (id, finished_at, state, attempts, priority, last_status, created_at, "
	"queued_at, expires_at, endpoint, sender, key, path, method, body, entity, template, purpose, wanted, headers, "
	"payload, last_error, last_answer) "
	"SELECT g.id, $2, 'cancelled', g.attempts, g.priority, g.last_status, g.created_at, "
	"g.queued_at, g.expires_at, g.endpoint, g.sender, g.key, g.path, g.method, g.body, g.entity, g.template, "
	"g.purpose, g.wanted, g.headers, g.payload, $3, g.last_answer FROM gone g";

static const char *const find_sql =
	"SELECT i.n FROM pg_catalog.unnest($1) WITH ORDINALITY AS i(id, n) JOIN ecauto_data.outbox o ON o.id = i.id";

static uint64 recalls = 0;
static Oid	signal_table = InvalidOid;

static void
relcache_callback(Datum arg, Oid relation)
{
	if (!OidIsValid(relation) || relation == signal_table)
		recalls++;
}

int64
ec_outbox_recall(Datum ids, const char *reason)
{
	static const Oid types[] = {INT8ARRAYOID, TIMESTAMPTZOID, TEXTOID};
	TimestampTz now = ec_now();
	Datum		values[3] = {ids, TimestampTzGetDatum(now), CStringGetTextDatum(reason)};

	ec_history_ensure(now);
	CacheInvalidateRelcacheByRelid(ec_state_relation(SIGNAL_TABLE, false));
	return (int64) ec_outbox_execute(recall_sql, 3, types, values, NULL);
}

uint64
ec_outbox_recalls(void)
{
	static bool registered = false;
	Oid			table = ec_state_relation(SIGNAL_TABLE, true);

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	if (table != signal_table)
	{
		signal_table = table;
		recalls++;
	}
	return recalls;
}

void
ec_outbox_find(const int64 *ids, int n, bool *found)
{
	static const Oid types[] = {INT8ARRAYOID};
	Datum	   *datums = palloc(sizeof(Datum) * (n + 1));
	Datum		value;
	EcAs		as;

	for (int i = 0; i < n; i++)
	{
		datums[i] = Int64GetDatum(ids[i]);
		found[i] = false;
	}
	value = PointerGetDatum(construct_array(datums, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	ec_outbox_open(&as);
	(void) ec_outbox_execute(find_sql, 1, types, &value, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		found[DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)) - 1] = true;
	}
	ec_outbox_close(&as);
}
