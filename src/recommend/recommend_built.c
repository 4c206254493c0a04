/*-------------------------------------------------------------------------
 *
 * recommend_built.c
 *		Rows of the state, written by the thousand.
 *
 * A build writes some ten thousand rows whose columns are arrays that are in
 * memory already.  An INSERT for each costs more than the row; so they go
 * into the table in batches, as COPY does, with what the server has for its
 * catalogs (heap and index alike, and WAL as for every row).  That does not
 * look at triggers, check constraints and row security, and cannot compute
 * expressions of indexes: these tables have none, and whoever calls acts as
 * their owner.  A table that somebody has given one is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "recommend/recommend.h"

/* a batch ends after so many rows or bytes */
#define BATCH_ROWS 256
#define BATCH_BYTES (512 * 1024)

struct EcBuilt
{
	Relation	rel;
	CatalogIndexState indexes;	/* plain columns, nothing deferred */
	BulkInsertState bulk;
	TupleTableSlot *slot[BATCH_ROWS];
	int			n;
	int			nslots;			/* that were made */
	Size		bytes;
	MemoryContext parent;		/* where this is */
	MemoryContext context;		/* tuples of the batch */
};

/* Refuse a table that is not as it was made; what: what is different. */
pg_noreturn static void
rows_refuse(const EcBuilt *rows, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s.%s\" is not as ecauto.setup() made it", EC_STATE_SCHEMA, RelationGetRelationName(rows->rel)),
			 errdetail("It has %s.", what),
			 errhint("Undo what was changed about it.")));
}

/*
 * Open a table of the state to write rows of so many columns; in the current
 * context, until ec_built_close().  Errors: the table was altered.
 */
EcBuilt *
ec_built_open(const char *table, int ncolumns)
{
	EcBuilt	   *rows = palloc0(sizeof(EcBuilt));
	TupleDesc	desc;

	rows->rel = table_open(ec_state_relation(table, false), RowExclusiveLock);
	desc = RelationGetDescr(rows->rel);
	if (rows->rel->rd_rel->relkind != RELKIND_RELATION || rows->rel->rd_tableam != GetHeapamTableAmRoutine())
		rows_refuse(rows, "another kind of storage");
	if (desc->natts != ncolumns)
		rows_refuse(rows, "other columns");
	if (rows->rel->trigdesc != NULL || rows->rel->rd_rules != NULL ||
		(desc->constr != NULL && desc->constr->num_check > 0))
		rows_refuse(rows, "a trigger, a rule or a constraint");
	rows->indexes = CatalogOpenIndexes(rows->rel);
	for (int k = 0; k < rows->indexes->ri_NumIndices; k++)
	{
		const IndexInfo *info = rows->indexes->ri_IndexRelationInfo[k];

		if (info->ii_Expressions != NIL || info->ii_Predicate != NIL || info->ii_ExclusionOps != NULL ||
			!rows->indexes->ri_IndexRelationDescs[k]->rd_index->indimmediate)
			rows_refuse(rows, "an index on an expression, with a condition, or that is checked later");
	}
	rows->bulk = GetBulkInsertState();
	rows->parent = CurrentMemoryContext;
	rows->context = AllocSetContextCreate(CurrentMemoryContext, "ecauto rows", ALLOCSET_DEFAULT_SIZES);
	return rows;
}

static void
rows_flush(EcBuilt *rows)
{
	MemoryContext old;

	if (rows->n == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(rows->context);
	heap_multi_insert(rows->rel, rows->slot, rows->n, GetCurrentCommandId(true), 0, rows->bulk);
	for (int k = 0; k < rows->indexes->ri_NumIndices; k++)
	{
		Relation	index = rows->indexes->ri_IndexRelationDescs[k];
		IndexInfo  *info = rows->indexes->ri_IndexRelationInfo[k];

		/* one that is being made concurrently finds the rows by itself */
		if (!info->ii_ReadyForInserts)
			continue;
		for (int i = 0; i < rows->n; i++)
		{
			Datum		values[INDEX_MAX_KEYS];
			bool		nulls[INDEX_MAX_KEYS];

			FormIndexDatum(info, rows->slot[i], NULL, values, nulls);
			index_insert(index, values, nulls, &rows->slot[i]->tts_tid, rows->rel,
						 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
		}
	}
	MemoryContextSwitchTo(old);
	for (int i = 0; i < rows->n; i++)
		ExecClearTuple(rows->slot[i]);
	MemoryContextReset(rows->context);
	rows->n = 0;
	rows->bytes = 0;
}

/* Add a row; values are copied.  No column may be NULL. */
void
ec_built_put(EcBuilt *rows, Datum *values)
{
	TupleDesc	desc = RelationGetDescr(rows->rel);
	bool		nulls[16] = {false};
	HeapTuple	tuple;
	MemoryContext old;

	Assert(desc->natts <= lengthof(nulls));
	old = MemoryContextSwitchTo(rows->parent);
	if (rows->n == rows->nslots)
		rows->slot[rows->nslots++] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	MemoryContextSwitchTo(rows->context);
	tuple = heap_form_tuple(desc, values, nulls);
	MemoryContextSwitchTo(old);
	rows->bytes += tuple->t_len;
	ExecStoreHeapTuple(tuple, rows->slot[rows->n++], false);
	if (rows->n == BATCH_ROWS || rows->bytes >= BATCH_BYTES)
		rows_flush(rows);
}

/*
 * Replace the row at tid, which the caller has seen; nobody else may change
 * it meanwhile (he holds the lock on recommend_model).
 */
void
ec_built_replace(EcBuilt *rows, ItemPointer tid, Datum *values)
{
	bool		nulls[16] = {false};
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	HeapTuple	tuple;

	CHECK_FOR_INTERRUPTS();
	tuple = heap_form_tuple(RelationGetDescr(rows->rel), values, nulls);
	CatalogTupleUpdateWithInfo(rows->rel, tid, tuple, rows->indexes);
	heap_freetuple(tuple);
	MemoryContextSwitchTo(old);
}

/*
 * Make the row at *tid (invalid: there is none) be these values (NULL: be no
 * more); as ec_built_put() and ec_built_replace().
 */
void
ec_built_change(EcBuilt *rows, ItemPointer tid, Datum *values)
{
	if (ItemPointerIsValid(tid) && values != NULL)
		ec_built_replace(rows, tid, values);
	else if (ItemPointerIsValid(tid))
		simple_heap_delete(rows->rel, tid);
	else if (values != NULL)
		ec_built_put(rows, values);
}

/* Write what is left, and make it visible to the statements that follow. */
void
ec_built_close(EcBuilt *rows)
{
	rows_flush(rows);
	for (int i = 0; i < rows->nslots; i++)
		ExecDropSingleTupleTableSlot(rows->slot[i]);
	FreeBulkInsertState(rows->bulk);
	CatalogCloseIndexes(rows->indexes);
	table_close(rows->rel, NoLock);
	MemoryContextDelete(rows->context);
	pfree(rows);
	CommandCounterIncrement();
}

/* ---- arrays ---- */

/* An integer[] of n values. */
Datum
ec_int_array(const int *values, int n)
{
	ArrayType  *array;
	Size		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(int);

	if (n == 0)
		return PointerGetDatum(construct_empty_array(INT4OID));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, n * sizeof(int));
	return PointerGetDatum(array);
}

/* A real[] of n values. */
Datum
ec_real_array(const float *values, int n)
{
	Datum		array = ec_int_array((const int *) values, n);

	((ArrayType *) DatumGetPointer(array))->elemtype = FLOAT4OID;
	return array;
}
