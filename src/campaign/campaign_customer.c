/*-------------------------------------------------------------------------
 *
 * campaign_customer.c
 *		What the shop knows of the person behind an address: his key, his
 *		language, his time zone.
 *
 * The key comes from what the last tick saw, the rest from the shop's own
 * row.  All of it may be missing: a shop need not bind role "customer", need
 * not know languages or time zones, and writes to people who are no customers.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "campaign/campaign.h"
#include "shop/shop.h"

static const char *const key_sql =
	"SELECT s.key FROM ecauto_data.seen_customer s WHERE s.email = $1 "
	"ORDER BY s.active DESC NULLS LAST, s.guest NULLS LAST, s.key LIMIT 1";

/* What read_row() works on. */
typedef struct Reading
{
	EcBinding  *binding;
	EcAddressee *addressee;
	MemoryContext context;		/* of the results */
} Reading;

static char *
row_text(const EcRole *role, TupleTableSlot *slot, const char *name)
{
	int			number = (int) (ec_role_column(role, name) - role->columns);
	bool		isnull;
	Datum		value = slot_getattr(slot, number + 1, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* EcTryRun: the shop's row of a customer */
static void
read_row(void *arg)
{
	Reading    *reading = arg;
	const EcRole *role = reading->binding->role;
	Datum		key = CStringGetTextDatum(reading->addressee->customer);
	ArrayType  *keys = construct_array(&key, 1, TEXTOID, -1, false, TYPALIGN_INT);
	Tuplestorestate *store;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		nrows;

	store = ec_binding_fetch(reading->binding, "key", keys, 1, &desc, &nrows);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (tuplestore_gettupleslot(store, true, false, slot))
	{
		MemoryContext before = MemoryContextSwitchTo(reading->context);

		reading->addressee->locale = row_text(role, slot, "locale");
		reading->addressee->tz = row_text(role, slot, "tz");
		MemoryContextSwitchTo(before);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(store);
}

/* Does the query of a role return an optional column? */
static bool
returns(const EcBinding *binding, const char *name)
{
	return binding->types[ec_role_column(binding->role, name) - binding->role->columns] != NULL;
}

/*
 * Who has that (normalized) address; what is not known is NULL.  Results are
 * in the current context.  A broken role "customer" knows nothing.
 */
void
ec_addressee_find(const char *address, EcAddressee *addressee)
{
	static const Oid types[] = {TEXTOID};
	Reading		reading = {NULL, addressee, CurrentMemoryContext};
	Datum		value = CStringGetTextDatum(address);
	EcAs		as;

	memset(addressee, 0, sizeof(EcAddressee));
	ec_outbox_open(&as);
	if (ec_outbox_execute(key_sql, 1, types, &value, NULL) > 0)
	{
		char	   *key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		addressee->customer = SPI_palloc(strlen(key) + 1);
		strcpy(addressee->customer, key);
	}
	ec_outbox_close(&as);
	if (addressee->customer == NULL)
		return;
	reading.binding = ec_binding_get("customer");
	if (reading.binding != NULL && !reading.binding->broken &&
		(returns(reading.binding, "locale") || returns(reading.binding, "tz")))
	{
		ErrorData  *error = ec_try(read_row, &reading, true);

		if (error != NULL)
			FreeErrorData(error);
	}
	if (addressee->tz != NULL && pg_tzset(addressee->tz) == NULL)
		addressee->tz = NULL;
}
