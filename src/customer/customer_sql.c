/*-------------------------------------------------------------------------
 *
 * customer_sql.c
 *		Facts of customers from SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "customer/customer.h"

PG_FUNCTION_INFO_V1(ecauto_customer_facts);
PG_FUNCTION_INFO_V1(ecauto_set_main_currency);

/* rows taken from the cursor at a time */
#define ROWS_PER_FETCH 1000

/*
 * ecauto.customer_facts(keys text[], as_of timestamptz) returns setof
 * ecauto.customer_row as table; the columns are those of ec_customer_columns
 */
Datum
ecauto_customer_facts(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = PG_ARGISNULL(0);
	Datum		args[2];
	char		nulls[] = {all ? 'n' : ' ', ' '};
	Datum	   *values;
	bool	   *isnull;
	Portal		cursor;
	EcAs		as;

	ec_state_require();
	ec_require_reader("read facts of customers");
	InitMaterializedSRF(fcinfo, 0);
	if (result->setDesc->natts != ec_customer_ncolumns)
		elog(ERROR, "ecauto.customer_facts() has %d columns, the library knows %d",
			 result->setDesc->natts, ec_customer_ncolumns);
	values = palloc(sizeof(Datum) * ec_customer_ncolumns);
	isnull = palloc(sizeof(bool) * ec_customer_ncolumns);
	args[0] = all ? (Datum) 0 : PG_GETARG_DATUM(0);
	args[1] = PG_ARGISNULL(1) ? TimestampTzGetDatum(ec_now()) : PG_GETARG_DATUM(1);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_expr_begin_as_owner(&as);
	cursor = SPI_cursor_open_with_args(NULL, ec_customer_rows_sql(all ? NULL : "$1", "$2", NULL), 2,
									   (Oid *) types, args, nulls, true, 0);
	do
	{
		SPI_cursor_fetch(cursor, true, ROWS_PER_FETCH);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, isnull);
			tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(cursor);
	ec_expr_end(&as);
	SPI_finish();
	return (Datum) 0;
}

/*
 * ecauto.set_main_currency(currency text) returns void
 */
Datum
ecauto_set_main_currency(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID};
	char	   *currency = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		args[1];
	EcAs		as;

	ec_state_require();
	ec_require_operator("choose the main currency");
	if (strlen(currency) != 3 || strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("currency must be a code of three capital letters"),
				 errdetail("The currency is \"%s\".", currency),
				 errhint("Such as EUR.")));
	args[0] = PG_GETARG_DATUM(0);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("UPDATE ecauto_data.customer_setting SET currency = $1, by_hand = true", 1, types),
						 args, NULL, false, 0) != SPI_OK_UPDATE ||
		SPI_execute_plan(ec_plan("INSERT INTO ecauto_data.customer_stale VALUES (NULL, NULL, NULL)", 0, NULL),
						 NULL, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not set the main currency");
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_VOID();
}
