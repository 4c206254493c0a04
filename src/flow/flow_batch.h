/*-------------------------------------------------------------------------
 *
 * flow_batch.h
 *		Many events or runs at once, and the rows of the shop they are about.
 *
 * A batch is a relation "ec_batch" that exists only while the batch does, and
 * further ones with rows of roles, fetched by the keys that the batch names.
 * Everybody may read them, so a definer's condition or template can be
 * evaluated over what he could not read in ecauto_data.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_FLOW_BATCH_H
#define EC_FLOW_BATCH_H

#include "compat/compat.h"

#include "core/core.h"
#include "nodes/pg_list.h"

typedef struct EcFlowBatch
{
	MemoryContext context;
	TimestampTz at;				/* facts of customers are as of then */
	List	   *relations;		/* of EcFlowRelation; "ec_batch" is the first */
	uint32		rows;			/* EC_ROW_BIT of what was fetched */
	bool		lines;			/* lines of carts and orders, too */
} EcFlowBatch;

/* columns of "ec_batch", and of ec_e where a statement needs no batch */
#define EC_BATCH_COLUMNS \
	"n, event_id, event_at, kind, role, key, session, customer, sku, product, order_key, cart_key, " \
	"old, new, run, subject, occasion, started_at, line, lines, results"

extern EcFlowBatch *ec_flow_batch_create(TimestampTz at);
extern int64 ec_flow_batch_fill(EcFlowBatch *batch, const char *sql, int nargs, const Oid *types,
								const Datum *values, const char *nulls);
extern int64 ec_flow_batch_of_runs(EcFlowBatch *batch, ArrayType *ids);
extern void ec_flow_batch_add(EcFlowBatch *batch, const char *name, const char *sql, int nargs,
							  const Oid *types, const Datum *values);
extern void ec_flow_batch_need(EcFlowBatch *batch, uint32 rows, bool lines);
extern uint32 ec_flow_batch_bound(uint32 rows);
extern void ec_flow_batch_register(EcFlowBatch *batch);
extern char *ec_flow_batch_joins(uint32 rows);
extern void ec_flow_batch_end(EcFlowBatch *batch);
extern void ec_flow_history_set(bool on);
extern bool ec_flow_history(void);

#endif							/* EC_FLOW_BATCH_H */
