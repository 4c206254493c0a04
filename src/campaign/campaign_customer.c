/*-------------------------------------------------------------------------
 *
 * campaign_customer.c
 *		What is known of the person behind an address: his key, his language,
 *		his time zone, as the last tick saw them.
 *
 * All of it may be missing: a shop need not bind role "customer", need not
 * know languages or time zones, and writes to people who are no customers.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "campaign/campaign.h"

static const char *const customer_sql =
	"SELECT s.key, s.locale, s.tz FROM ecauto_data.seen_customer s WHERE s.email = $1 "
	"ORDER BY s.active DESC NULLS LAST, s.guest NULLS LAST, s.key LIMIT 1";

static char *
kept(HeapTuple tuple, TupleDesc desc, int column)
{
	char	   *text = SPI_getvalue(tuple, desc, column);
	char	   *copy;

	if (text == NULL)
		return NULL;
	copy = SPI_palloc(strlen(text) + 1);
	return strcpy(copy, text);
}

/*
 * Who has that (normalized) address; what is not known is NULL.  Results are
 * in the current context.
 */
void
ec_addressee_find(const char *address, EcAddressee *addressee)
{
	static const Oid types[] = {TEXTOID};
	Datum		value = CStringGetTextDatum(address);
	EcAs		as;

	memset(addressee, 0, sizeof(EcAddressee));
	ec_outbox_open(&as);
	if (ec_outbox_execute(customer_sql, 1, types, &value, NULL) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		addressee->customer = kept(tuple, desc, 1);
		addressee->locale = kept(tuple, desc, 2);
		addressee->tz = kept(tuple, desc, 3);
	}
	ec_outbox_close(&as);
}
