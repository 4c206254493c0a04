/*-------------------------------------------------------------------------
 *
 * outbox_row.h
 *		Rows of the outbox's own tables, written without SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_OUTBOX_ROW_H
#define EC_OUTBOX_ROW_H

#include "compat/compat.h"

#include "executor/executor.h"
#include "executor/tuptable.h"

/* Columns of ecauto_data.outbox, in the order of state_001.sql; from 0. */
enum
{
	OUTBOX_ID, OUTBOX_LEASE_UNTIL, OUTBOX_ATTEMPTS, OUTBOX_LEASED_BY, OUTBOX_PRIORITY,
	OUTBOX_LAST_STATUS, OUTBOX_NEXT_AT, OUTBOX_CREATED_AT, OUTBOX_QUEUED_AT, OUTBOX_EXPIRES_AT,
	OUTBOX_ENDPOINT, OUTBOX_SENDER, OUTBOX_KEY, OUTBOX_PATH, OUTBOX_METHOD, OUTBOX_BODY,
	OUTBOX_ENTITY, OUTBOX_TEMPLATE, OUTBOX_PURPOSE, OUTBOX_WANTED, OUTBOX_HEADERS, OUTBOX_PAYLOAD,
	OUTBOX_REMAINING, OUTBOX_LAST_ERROR, OUTBOX_LAST_ANSWER, OUTBOX_REFUSED,
	OUTBOX_COLUMNS
};

/* Columns of ecauto_data.outbox_history and its partitions. */
enum
{
	HISTORY_ID, HISTORY_FINISHED_AT, HISTORY_STATE, HISTORY_ATTEMPTS, HISTORY_PRIORITY,
	HISTORY_LAST_STATUS, HISTORY_CREATED_AT, HISTORY_QUEUED_AT, HISTORY_EXPIRES_AT,
	HISTORY_ENDPOINT, HISTORY_SENDER, HISTORY_KEY, HISTORY_PATH, HISTORY_METHOD, HISTORY_BODY,
	HISTORY_ENTITY, HISTORY_TEMPLATE, HISTORY_PURPOSE, HISTORY_WANTED, HISTORY_HEADERS,
	HISTORY_PAYLOAD, HISTORY_LAST_ERROR, HISTORY_LAST_ANSWER, HISTORY_REMAINING,
	HISTORY_COLUMNS
};

/* A table that is being written to. */
typedef struct EcRows
{
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *result;
	EPQState	epq;
	TupleTableSlot *slot;		/* the row to be written */
	int			columns;		/* that are ours; there may be more behind them */
	bool		plain;			/* insert without triggers and constraints */
} EcRows;

extern bool ec_rows_plain(Oid relation, int columns);
extern void ec_rows_open(EcRows *rows, Oid relation, int columns, bool plain);
extern void ec_rows_close(EcRows *rows);
extern void ec_rows_begin(EcRows *rows);
extern void ec_rows_begin_from(EcRows *rows, TupleTableSlot *old);
extern void ec_rows_insert(EcRows *rows);
extern void ec_rows_update(EcRows *rows, TupleTableSlot *old);
extern void ec_rows_delete(EcRows *rows, TupleTableSlot *old);

static inline void
ec_rows_set(EcRows *rows, int column, Datum value)
{
	rows->slot->tts_values[column] = value;
	rows->slot->tts_isnull[column] = false;
}

static inline void
ec_rows_set_null(EcRows *rows, int column)
{
	rows->slot->tts_values[column] = (Datum) 0;
	rows->slot->tts_isnull[column] = true;
}

/* NULL leaves the column as it is. */
extern void ec_rows_set_text(EcRows *rows, int column, const char *value);

#endif							/* EC_OUTBOX_ROW_H */
