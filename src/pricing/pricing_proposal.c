/*-------------------------------------------------------------------------
 *
 * pricing_proposal.c
 *		Changes of many prices: frozen, applied, undone.
 *
 * Every change that ecauto makes to prices is kept as a proposal: what each
 * price was and what it became.  One that breaks no guard is applied at once.
 * One that does is held, and somebody looks at it; approve_proposal() then
 * writes exactly the frozen rows, whatever the rules would say by now, or
 * nothing if the shop's prices are not what they were.
 *
 * The rows are frozen as arrays, some thousand prices in a row of the table:
 * keeping a million of them one by one would cost as much as writing them to
 * the shop.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"

#include "pricing/pricing.h"
#include "pricing/pricing_key_map.h"
#include "pricing/pricing_proposal.h"
#include "pricing/pricing_reprice.h"
#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_approve_proposal);
PG_FUNCTION_INFO_V1(ecauto_undo_proposal);

/* prices in one row of the table */
#define PART_SIZE 1000

/* up to this many, the shop's prices are read by key */
#define KEYS_AT_MOST 20000

/* differences that an error names */
#define DIFFERENCES_NAMED 5

/* the advisory lock that holds off other changes of prices; "ec" and a number */
#define LOCK_CLASS	0x6563
#define LOCK_ID		5

static const Oid column_types[EC_CHANGE_COLUMNS] = {
	TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, TEXTOID, NUMERICOID, TEXTOID
};

static const char *const column_names[EC_CHANGE_COLUMNS] = {
	"sku", "currency", "old", "new", "reason", "base", "violation"
};

/* Changes of prices wait for each other until the end of the transaction. */
void
ec_price_lock(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_CLASS, LOCK_ID, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* ---- prices that are to change ---- */

/* In the current context, which is to outlive them. */
void
ec_changes_begin(EcChanges *changes)
{
	memset(changes, 0, sizeof(EcChanges));
	changes->desc = CreateTemplateTupleDesc(EC_CHANGE_COLUMNS);
	for (int i = 0; i < EC_CHANGE_COLUMNS; i++)
	{
		TupleDescInitEntry(changes->desc, i + 1, column_names[i], column_types[i], -1, 0);
		if (i == EC_CHANGE_SKU || i == EC_CHANGE_CURRENCY)
			TupleDescInitEntryCollation(changes->desc, i + 1, C_COLLATION_OID);
	}
	changes->store = tuplestore_begin_heap(true, false, work_mem);
}

void
ec_changes_put(EcChanges *changes, const Datum *values, const bool *nulls)
{
	tuplestore_putvalues(changes->store, changes->desc, unconstify(Datum *, values), unconstify(bool *, nulls));
	changes->n++;
	if (!nulls[EC_CHANGE_BASE])
		changes->based++;
}

void
ec_changes_end(EcChanges *changes)
{
	tuplestore_end(changes->store);
}

/* ---- freezing ---- */

typedef struct Part
{
	int			n;
	Datum		values[EC_CHANGE_COLUMNS][PART_SIZE];
	bool		nulls[EC_CHANGE_COLUMNS][PART_SIZE];
} Part;

static void
part_write(int64 proposal, int number, Part *part)
{
	static const Oid types[] = {
		INT8OID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID, TEXTARRAYOID, NUMERICARRAYOID,
		TEXTARRAYOID
	};
	Datum		values[lengthof(types)];
	char		nulls[] = "         ";

	values[0] = Int64GetDatum(proposal);
	values[1] = Int32GetDatum(number);
	for (int c = 0; c < EC_CHANGE_COLUMNS; c++)
	{
		bool		some = false;
		int			lower = 1;

		for (int i = 0; i < part->n && !some; i++)
			some = !part->nulls[c][i];
		if (some)
			values[c + 2] = PointerGetDatum(construct_md_array(part->values[c], part->nulls[c], 1, &part->n, &lower,
															   column_types[c], -1, false, TYPALIGN_INT));
		else
			nulls[c + 2] = 'n';
	}
	ec_pricing_run("INSERT INTO ecauto_data.price_proposal_part"
				   " (proposal_id, part, skus, currencies, olds, news, reasons, bases, violations)"
				   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", lengthof(types), types, values, nulls,
				   SPI_OK_INSERT);
}

/*
 * Keep changes as a proposal; returns its number.  violations: list of char *,
 * what they break.
 */
int64
ec_proposal_keep(EcChanges *changes, const char *state, const char *note, List *violations)
{
	static const Oid types[] = {TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTARRAYOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "       ";
	Datum	   *texts = palloc((list_length(violations) + 1) * sizeof(Datum));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ecauto price proposal", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Part	   *part = palloc(sizeof(Part));
	ListCell   *lc;
	int64		proposal;
	int			number = 0;
	int			n = 0;
	bool		isnull;
	bool		more;

	foreach(lc, violations)
		texts[n++] = CStringGetTextDatum(lfirst(lc));
	values[0] = CStringGetTextDatum(state);
	nulls[1] = note ? ' ' : 'n';
	values[1] = note ? CStringGetTextDatum(note) : (Datum) 0;
	values[2] = Int64GetDatum(changes->priced);
	values[3] = Int64GetDatum(changes->n);
	values[4] = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[5] = TimestampTzGetDatum(ec_now());
	/* in the statement we are the owner of the state, and this is somebody's deed */
	values[6] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("INSERT INTO ecauto_data.price_proposal AS p"
				   " (state, note, priced, rows, violations, made_at, made_by, settled_at, settled_by)"
				   " VALUES ($1, $2, $3, $4, $5, $6, $7::name, CASE $1 WHEN 'applied' THEN $6 END,"
				   " CASE $1 WHEN 'applied' THEN $7::name END) RETURNING p.proposal_id",
				   lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING);
	proposal = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

	old = MemoryContextSwitchTo(context);
	part->n = 0;
	tuplestore_rescan(changes->store);
	do
	{
		more = tuplestore_gettupleslot(changes->store, true, false, slot);
		if (more)
		{
			slot_getallattrs(slot);
			for (int c = 0; c < EC_CHANGE_COLUMNS; c++)
			{
				part->nulls[c][part->n] = slot->tts_isnull[c];
				part->values[c][part->n] = slot->tts_isnull[c] ? (Datum) 0
					: PointerGetDatum(PG_DETOAST_DATUM_COPY(slot->tts_values[c]));
			}
			part->n++;
		}
		if (part->n == PART_SIZE || (!more && part->n > 0))
		{
			CHECK_FOR_INTERRUPTS();
			part_write(proposal, ++number, part);
			part->n = 0;
			MemoryContextReset(context);
		}
	} while (more);
	MemoryContextSwitchTo(old);
	SPI_finish();
	MemoryContextDelete(context);
	ExecDropSingleTupleTableSlot(slot);
	pfree(part);
	return proposal;
}

/* ---- writing ---- */

/* Remember what prices were made from that were made from the current price. */
static void
bases_keep(EcChanges *changes)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	EcAs		as;
	int			rc;

	enr->md.name = "ec_change";
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = changes->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = changes->n;
	enr->reldata = changes->store;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", enr->md.name);
	ec_as_state_owner(&as);
	rc = SPI_execute("INSERT INTO ecauto_data.price_base AS b (sku, currency, base, written)"
					 " SELECT c.sku, c.currency, c.base, c.new FROM ec_change c WHERE c.base IS NOT NULL"
					 " ON CONFLICT (sku, currency) DO UPDATE SET base = excluded.base, written = excluded.written",
					 false, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "SPI_execute returned %s", SPI_result_code_string(rc));
	ec_as_end(&as);
	SPI_finish();
}

/*
 * Write the new prices to the shop by its writer, and to the shop's index by
 * set_price_index if there is one.  Errors: object_not_in_prerequisite_state
 * if the shop has no writer; those of the writer.
 */
void
ec_prices_write(EcChanges *changes)
{
	EcWriter   *writer = ec_writer_get("set_price");
	EcWriter   *index = ec_writer_get("set_price_index");
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	Tuplestorestate *rows;
	TupleDesc	desc;
	int64		touched;
	bool		nulls[EC_ACTION_PARAMS] = {false};

	if (writer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("prices cannot be written: the shop has no writer \"set_price\""),
				 errhint("Bind one with ecauto.bind_write().")));
	desc = ec_writer_tupdesc(writer);
	rows = tuplestore_begin_heap(true, false, work_mem);
	tuplestore_rescan(changes->store);
	while (tuplestore_gettupleslot(changes->store, true, false, slot))
	{
		Datum		values[EC_ACTION_PARAMS];

		slot_getallattrs(slot);
		values[0] = slot->tts_values[EC_CHANGE_SKU];
		values[1] = slot->tts_values[EC_CHANGE_NEW];
		values[2] = slot->tts_values[EC_CHANGE_CURRENCY];
		tuplestore_putvalues(rows, desc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	touched = ec_writer_run(writer, rows, changes->n);
	if (touched < changes->n)
		ereport(WARNING,
				(errmsg("writer \"set_price\" wrote %lld of %lld prices", (long long) touched, (long long) changes->n),
				 errhint("Compare the rows that it writes with those that role \"price\" reads.")));
	if (index != NULL)
		(void) ec_writer_run(index, rows, changes->n);
	tuplestore_end(rows);
	if (changes->based > 0)
		bases_keep(changes);
}

/* ---- what was frozen ---- */

/* Lock a proposal; returns its state, in the current context. */
static char *
proposal_lock(int64 proposal)
{
	static const Oid types[] = {INT8OID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = Int64GetDatum(proposal);
	char	   *state = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT p.state FROM ecauto_data.price_proposal p WHERE p.proposal_id = $1 FOR UPDATE",
				   1, types, &value, NULL, SPI_OK_SELECT);
	if (SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		state = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	if (state == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("price proposal %lld does not exist", (long long) proposal),
				 errhint("See ecauto.price_proposals().")));
	return state;
}

static void
proposal_settle(int64 proposal, const char *state)
{
	static const Oid types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[4];

	values[0] = Int64GetDatum(proposal);
	values[1] = CStringGetTextDatum(state);
	values[2] = TimestampTzGetDatum(ec_now());
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("UPDATE ecauto_data.price_proposal SET state = $2, settled_at = $3, settled_by = $4::name"
				   " WHERE proposal_id = $1", 4, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
}

/* The frozen rows of a proposal. */
static void
proposal_load(int64 proposal, EcChanges *changes)
{
	static const Oid types[] = {INT8OID};
	Datum		value = Int64GetDatum(proposal);
	Portal		portal;
	EcAs		as;
	uint64		fetched;

	ec_changes_begin(changes);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	portal = SPI_cursor_open_with_args(NULL,
									   "SELECT r.sku, r.currency, r.old, r.new, r.reason, r.base, r.violation"
									   " FROM ecauto_data.price_proposal_part p,"
									   " ROWS FROM (pg_catalog.unnest(p.skus), pg_catalog.unnest(p.currencies),"
									   "  pg_catalog.unnest(p.olds), pg_catalog.unnest(p.news), pg_catalog.unnest(p.reasons),"
									   "  pg_catalog.unnest(p.bases), pg_catalog.unnest(p.violations))"
									   "  AS r (sku, currency, old, new, reason, base, violation)"
									   " WHERE p.proposal_id = $1",
									   1, (Oid *) types, &value, NULL, true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, 10000);
		fetched = SPI_processed;
		for (uint64 i = 0; i < fetched; i++)
		{
			Datum		values[EC_CHANGE_COLUMNS];
			bool		nulls[EC_CHANGE_COLUMNS];

			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
			ec_changes_put(changes, values, nulls);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (fetched > 0);
	SPI_cursor_close(portal);
	ec_as_end(&as);
	SPI_finish();
}

/* ---- what the shop has now ---- */

typedef struct Current
{
	MemoryContext context;
	EcKeyMap   *pairs;			/* of sku and currency */
	Datum	   *amounts;		/* by number of a pair; 0: the shop has none */
	TimestampTz at;
} Current;

/* EcRowTake: key, currency, amount, list_key, valid_from, valid_until */
static void
current_take(TupleTableSlot *slot, void *arg)
{
	Current    *current = arg;
	int			pair;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1] || slot->tts_isnull[2] || !slot->tts_isnull[3] ||
		(!slot->tts_isnull[4] && DatumGetTimestampTz(slot->tts_values[4]) > current->at) ||
		(!slot->tts_isnull[5] && DatumGetTimestampTz(slot->tts_values[5]) <= current->at))
		return;
	pair = ec_pair_find(current->pairs, slot->tts_values[0], slot->tts_values[1]);
	if (pair >= 0 && current->amounts[pair] == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(current->context);

		current->amounts[pair] = NumericGetDatum(DatumGetNumericCopy(slot->tts_values[2]));
		MemoryContextSwitchTo(old);
	}
}

/*
 * Until the end of the transaction nobody else writes to the tables that role
 * "price" comes from; who reads is not held up.  What is compared with the
 * frozen prices is so what is written over.
 */
static void
shop_hold(void)
{
	int			n;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("SELECT DISTINCT c.oid FROM ecauto_data.source s"
				   " JOIN pg_catalog.pg_namespace m ON m.nspname = s.schema_name"
				   " JOIN pg_catalog.pg_class c ON c.relnamespace = m.oid AND c.relname = s.table_name"
				   " WHERE s.role = 'price' AND c.relkind IN ('r', 'p') ORDER BY 1", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		LockRelationOid(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)),
						ShareRowExclusiveLock);
	}
	SPI_finish();
}

/* The shop's base prices of the skus in changes. */
static void
current_read(Current *current, EcChanges *changes)
{
	static const char *const columns[] = {"key", "currency", "amount", "list_key", "valid_from", "valid_until"};
	EcBinding  *binding = ec_binding_get("price");
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	Datum	   *keys = palloc((Min(changes->n, KEYS_AT_MOST) + 1) * sizeof(Datum));
	ArrayType  *wanted = NULL;
	int			n = 0;

	if (binding == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"price\" is not bound")));
	current->context = CurrentMemoryContext;
	current->at = ec_now();
	current->pairs = ec_key_map_create(changes->n);
	tuplestore_rescan(changes->store);
	while (tuplestore_gettupleslot(changes->store, true, false, slot))
	{
		slot_getallattrs(slot);
		(void) ec_pair_put(current->pairs, slot->tts_values[EC_CHANGE_SKU], slot->tts_values[EC_CHANGE_CURRENCY]);
		if (changes->n <= KEYS_AT_MOST)
			keys[n++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(slot->tts_values[EC_CHANGE_SKU]));
	}
	ExecDropSingleTupleTableSlot(slot);
	current->amounts = MemoryContextAllocExtended(CurrentMemoryContext,
												  (ec_key_map_count(current->pairs) + 1) * sizeof(Datum),
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (changes->n <= KEYS_AT_MOST)
		wanted = construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT);
	(void) ec_binding_scan(binding, columns, lengthof(columns), false, wanted, current_take, current);
}

static Datum
current_find(const Current *current, TupleTableSlot *slot)
{
	int			pair = ec_pair_find(current->pairs, slot->tts_values[EC_CHANGE_SKU],
									slot->tts_values[EC_CHANGE_CURRENCY]);

	return pair < 0 ? (Datum) 0 : current->amounts[pair];
}

static bool
amounts_equal(Datum a, Datum b)
{
	return a != (Datum) 0 && DatumGetBool(DirectFunctionCall2(numeric_eq, a, b));
}

static char *
amount_text(Datum amount)
{
	return amount == (Datum) 0 ? "no price" : DatumGetCString(DirectFunctionCall1(numeric_out, amount));
}

/* Refuse if the shop's prices are not those that were frozen. */
static void
current_require(const Current *current, EcChanges *changes, int64 proposal)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(changes->desc, &TTSOpsMinimalTuple);
	StringInfoData list;
	int64		differ = 0;

	initStringInfo(&list);
	tuplestore_rescan(changes->store);
	while (tuplestore_gettupleslot(changes->store, true, false, slot))
	{
		Datum		now;

		slot_getallattrs(slot);
		now = current_find(current, slot);
		if (amounts_equal(now, slot->tts_values[EC_CHANGE_OLD]))
			continue;
		if (differ++ < DIFFERENCES_NAMED)
			appendStringInfo(&list, "%s%s %s: was %s, is %s", differ > 1 ? "; " : "",
							 TextDatumGetCString(slot->tts_values[EC_CHANGE_SKU]),
							 TextDatumGetCString(slot->tts_values[EC_CHANGE_CURRENCY]),
							 amount_text(slot->tts_values[EC_CHANGE_OLD]), amount_text(now));
	}
	ExecDropSingleTupleTableSlot(slot);
	if (differ > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("prices of proposal %lld have changed since it was made", (long long) proposal),
				 errdetail("%lld of %lld have: %s%s.", (long long) differ, (long long) changes->n, list.data,
						   differ > DIFFERENCES_NAMED ? "; ..." : ""),
				 errhint("Reject it with ecauto.reject_proposal() and make another.")));
}

/*
 * ecauto.approve_proposal(id bigint) returns bigint
 */
Datum
ecauto_approve_proposal(PG_FUNCTION_ARGS)
{
	int64		proposal = PG_GETARG_INT64(0);
	EcChanges	changes;
	Current		current = {0};
	char	   *state;

	ec_state_require();
	ec_require_operator("approve a price proposal");
	ec_price_lock();
	state = proposal_lock(proposal);
	if (strcmp(state, "open") != 0 && strcmp(state, "held") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("price proposal %lld cannot be approved", (long long) proposal),
				 errdetail("It was %s.", state)));
	proposal_load(proposal, &changes);
	shop_hold();
	current_read(&current, &changes);
	current_require(&current, &changes, proposal);
	ec_prices_write(&changes);
	proposal_settle(proposal, "applied");
	ec_changes_end(&changes);
	PG_RETURN_INT64(changes.n);
}

/*
 * ecauto.undo_proposal(id bigint)
 *		returns table(sku text, currency text, written numeric, found numeric)
 */
Datum
ecauto_undo_proposal(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		proposal = PG_GETARG_INT64(0);
	Datum		id = Int64GetDatum(proposal);
	EcChanges	changes;
	EcChanges	back;
	Current		current = {0};
	TupleTableSlot *slot;
	char	   *state;

	ec_state_require();
	ec_require_operator("undo a price proposal");
	InitMaterializedSRF(fcinfo, 0);
	ec_price_lock();
	state = proposal_lock(proposal);
	if (strcmp(state, "applied") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("price proposal %lld cannot be undone", (long long) proposal),
				 errdetail("It is %s.", state)));
	proposal_load(proposal, &changes);
	shop_hold();
	current_read(&current, &changes);

	ec_changes_begin(&back);
	slot = MakeSingleTupleTableSlot(changes.desc, &TTSOpsMinimalTuple);
	tuplestore_rescan(changes.store);
	while (tuplestore_gettupleslot(changes.store, true, false, slot))
	{
		Datum		now;
		Datum		values[EC_CHANGE_COLUMNS];
		bool		nulls[EC_CHANGE_COLUMNS];

		slot_getallattrs(slot);
		now = current_find(&current, slot);
		if (amounts_equal(now, slot->tts_values[EC_CHANGE_NEW]))
		{
			memset(nulls, true, sizeof(nulls));
			nulls[EC_CHANGE_SKU] = nulls[EC_CHANGE_CURRENCY] = nulls[EC_CHANGE_OLD] = nulls[EC_CHANGE_NEW] = false;
			values[EC_CHANGE_SKU] = slot->tts_values[EC_CHANGE_SKU];
			values[EC_CHANGE_CURRENCY] = slot->tts_values[EC_CHANGE_CURRENCY];
			values[EC_CHANGE_OLD] = slot->tts_values[EC_CHANGE_NEW];
			values[EC_CHANGE_NEW] = slot->tts_values[EC_CHANGE_OLD];
			ec_changes_put(&back, values, nulls);
		}
		else
		{
			values[0] = slot->tts_values[EC_CHANGE_SKU];
			values[1] = slot->tts_values[EC_CHANGE_CURRENCY];
			values[2] = slot->tts_values[EC_CHANGE_NEW];
			values[3] = now;
			memset(nulls, false, sizeof(nulls));
			nulls[3] = now == (Datum) 0;
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	if (back.n > 0)
		ec_prices_write(&back);

	/* what they were made from is what they are again */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_pricing_run("DELETE FROM ecauto_data.price_base b USING ecauto_data.price_proposal_part p,"
				   " ROWS FROM (pg_catalog.unnest(p.skus), pg_catalog.unnest(p.currencies)) AS r (sku, currency)"
				   " WHERE p.proposal_id = $1 AND p.bases IS NOT NULL AND b.sku = r.sku AND b.currency = r.currency",
				   1, types, &id, NULL, SPI_OK_DELETE);
	SPI_finish();
	proposal_settle(proposal, "undone");
	ec_changes_end(&back);
	ec_changes_end(&changes);
	return (Datum) 0;
}
