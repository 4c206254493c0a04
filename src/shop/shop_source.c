/*-------------------------------------------------------------------------
 *
 * shop_source.c
 *		Sources: which tables tell that a key of a role changed.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "shop/shop.h"

void
ec_source_resolve(int tap, ArrayType *noted, EcSourceAdd add, void *arg)
{
	static const Oid types[] = {INT4OID};
	Datum		args[1] = {Int32GetDatum(tap)};
	MemoryContext outer = CurrentMemoryContext;
	List	   *roles = NIL;
	ListCell   *lc;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan("SELECT role FROM ecauto_data.source WHERE tap = $1", 1, types),
						 args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the sources");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(outer);

		roles = lappend(roles, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		MemoryContextSwitchTo(spi);
	}
	ec_as_end(&as);
	SPI_finish();
	foreach(lc, roles)
		add(lfirst(lc), noted, arg);
}
