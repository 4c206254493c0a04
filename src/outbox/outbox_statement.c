/*-------------------------------------------------------------------------
 *
 * outbox_statement.c
 *		Running our own statements on the tables of the outbox, as the owner of
 *		the state.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "outbox/outbox.h"

/*
 * Connect to SPI and act as the owner of the state, until ec_outbox_close().
 * Errors: as ec_state_require().
 */
void
ec_outbox_open(EcAs *as)
{
	ec_state_require();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(as);
}

void
ec_outbox_close(EcAs *as)
{
	ec_as_end(as);
	SPI_finish();
}

/*
 * Run a statement by its kept plan; returns how many rows it processed, which
 * are in SPI_tuptable if it returns any.  nulls: 'n' where a parameter is
 * NULL; NULL if none is.
 */
uint64
ec_outbox_execute(const char *text, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	int			code = SPI_execute_plan(ec_plan(text, nargs, types), values, nulls, false, 0);

	if (code < 0)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	return SPI_processed;
}
