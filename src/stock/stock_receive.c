/*-------------------------------------------------------------------------
 *
 * stock_receive.c
 *		What came from a supplier goes into the shop's stock, by the shop's
 *		own writer.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "shop/shop.h"

PG_FUNCTION_INFO_V1(ecauto_receive_stock);

/*
 * ecauto.receive_stock(skus text[], units numeric[], locations text[]) returns bigint; strict
 *
 * Adds units to the stock of each sku (key), no two the same, at its location.
 * Errors: the writer "receive_stock" is not bound; the shop has no stock of a
 * sku at its location; whatever the shop raises.  Then nothing was written.
 */
Datum
ecauto_receive_stock(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, NUMERICOID, TEXTOID};
	Datum	   *columns[3];
	bool	   *missing[3];
	int			n[3];
	EcWriter   *writer;
	Tuplestorestate *rows;
	TupleDesc	desc;
	int64		touched;

	ec_require_operator("receive stock");
	for (int c = 0; c < 3; c++)
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(c), types[c], -1, false, TYPALIGN_INT,
						  &columns[c], &missing[c], &n[c]);
	if (n[0] != n[1] || n[0] != n[2])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there must be as many skus as units and locations"),
				 errdetail("There are %d, %d and %d.", n[0], n[1], n[2])));
	writer = ec_writer_get("receive_stock");
	if (writer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("writer \"receive_stock\" is not bound"),
				 errhint("Bind it with ecauto.bind_write().")));
	desc = ec_writer_tupdesc(writer);
	rows = tuplestore_begin_heap(true, false, work_mem);
	for (int i = 0; i < n[0]; i++)
	{
		Datum		values[3];
		bool		nulls[3];

		for (int c = 0; c < 3; c++)
		{
			values[c] = columns[c][i];
			nulls[c] = missing[c][i];
		}
		tuplestore_putvalues(rows, desc, values, nulls);
	}
	touched = ec_writer_run(writer, rows, n[0]);
	tuplestore_end(rows);
	if (touched < n[0])
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the shop has no stock of %d of %d skus at that location", n[0] - (int) touched, n[0]),
				 errhint("Let the shop have it, or name another location.")));
	PG_RETURN_INT64(touched);
}
