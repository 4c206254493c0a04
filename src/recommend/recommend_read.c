/*-------------------------------------------------------------------------
 *
 * recommend_read.c
 *		Rows of the state by index, without a statement.
 *
 * A recommendation looks up some dozens of rows by their keys.  As statements
 * each of them costs ten times what the descent of the index does: to act as
 * the owner of the state, to check the plan, to start and end the executor.
 * So the tables are opened here, and read by an index in the snapshot of the
 * caller's statement.  What a table and its index look like is looked up by
 * name once, and again after anything about the table was changed.
 *
 * Nobody's rights are asked, as for everything that C code does in
 * ecauto_data: callers give out what they may give out.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "recommend/recommend_read.h"

/* tables that were looked up, to be forgotten when they change */
#define TABLES_MAX 64
static EcReadTable *tables[TABLES_MAX];
static int	ntables = 0;

#define EQUAL_STRATEGY(table) ((table)->hash ? HTEqualStrategyNumber : BTEqualStrategyNumber)

/* relcache callback */
static void
table_changed(Datum arg, Oid relation)
{
	for (int i = 0; i < ntables; i++)
		if (relation == InvalidOid || tables[i]->relation == relation || tables[i]->index == relation)
			tables[i]->schema = InvalidOid;
}

/*
 * Find the index whose first columns are the keys.
 */
static void
index_find(EcReadTable *table, Relation heap)
{
	List	   *indexes = RelationGetIndexList(heap);
	AttrNumber	key[EC_READ_KEYS];
	ListCell   *lc;

	for (int i = 0; i < table->nkeys; i++)
		key[i] = get_attnum(table->relation, table->keys[i]);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		fits = index->rd_rel->relam == (table->hash ? HASH_AM_OID : BTREE_AM_OID) &&
			index->rd_index->indisvalid &&
			index->rd_index->indnkeyatts >= table->nkeys &&
			(table->partial || heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL));

		for (int i = 0; fits && i < table->nkeys; i++)
			fits = key[i] != InvalidAttrNumber && index->rd_index->indkey.values[i] == key[i];
		if (fits)
		{
			table->index = RelationGetRelid(index);
			for (int i = 0; i < table->nkeys; i++)
			{
				Oid			type = index->rd_opcintype[i];

				table->equal[i] = get_opcode(get_opfamily_member(index->rd_opfamily[i], type, type,
																 EQUAL_STRATEGY(table)));
				table->collation[i] = index->rd_indcollation[i];
			}
		}
		index_close(index, AccessShareLock);
		if (fits)
			break;
	}
	list_free(indexes);
	if (!OidIsValid(table->index))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s.%s\" has no usable index on column \"%s\"",
						EC_STATE_SCHEMA, table->name, table->keys[0]),
				 errdetail("ecauto.setup() made one, which is gone or was left invalid.")));
}

static void
table_look_up(EcReadTable *table, Oid schema)
{
	static bool registered = false;
	Relation	heap;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		registered = true;
	}
	if (!table->listed)
	{
		if (ntables == TABLES_MAX)
			elog(ERROR, "too many tables are read");
		tables[ntables++] = table;
		table->listed = true;
	}
	table->relation = ec_state_relation(table->name, false);
	table->index = InvalidOid;
	heap = table_open(table->relation, AccessShareLock);
	if (heap->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s.%s\" is not an ordinary table", EC_STATE_SCHEMA, table->name)));
	table->nkeys = table->ncolumns = table->last = 0;
	while (table->nkeys < EC_READ_KEYS && table->keys[table->nkeys] != NULL)
		table->nkeys++;
	for (; table->ncolumns < EC_READ_COLUMNS && table->columns[table->ncolumns] != NULL; table->ncolumns++)
	{
		AttrNumber	attribute = get_attnum(table->relation, table->columns[table->ncolumns]);

		if (attribute == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s.%s\" does not exist",
							table->columns[table->ncolumns], EC_STATE_SCHEMA, table->name)));
		table->attribute[table->ncolumns] = attribute;
		table->last = Max(table->last, attribute);
	}
	index_find(table, heap);
	table_close(heap, NoLock);
	table->schema = schema;
}

/*
 * Begin to read a table.  Errors: it, a column or the index is missing.
 */
EcRead *
ec_read_begin(EcReadTable *table)
{
	EcRead	   *read = palloc(sizeof(EcRead));
	Oid			schema = get_namespace_oid(EC_STATE_SCHEMA, true);

	if (!OidIsValid(schema))
		ec_state_require();
	if (table->schema != schema)
		table_look_up(table, schema);
	read->table = table;
	read->heap = try_table_open(table->relation, AccessShareLock);
	/* taking the lock may have brought the news that it has changed */
	if (read->heap == NULL || table->schema != schema)
	{
		if (read->heap != NULL)
			table_close(read->heap, NoLock);
		table_look_up(table, schema);
		read->heap = table_open(table->relation, AccessShareLock);
	}
	read->index = index_open(table->index, AccessShareLock);
	read->slot = table_slot_create(read->heap, NULL);
	read->scan = NULL;
	return read;
}

/*
 * Look for the rows with these values of the first nkeys keys; in the order
 * of the index's further columns, or the other way round.  Keys must stay
 * until the rows were read.
 */
void
ec_read_find(EcRead *read, ScanDirection direction, int nkeys, const Datum *keys)
{
	const EcReadTable *table = read->table;
	ScanKeyData key[EC_READ_KEYS];

	Assert(nkeys > 0 && nkeys <= table->nkeys);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitialize(&key[i], 0, i + 1, EQUAL_STRATEGY(table), InvalidOid,
							   table->collation[i], table->equal[i], keys[i]);
	if (read->scan != NULL && read->scan->numberOfKeys != nkeys)
	{
		index_endscan(read->scan);
		read->scan = NULL;
	}
	if (read->scan == NULL)
		read->scan = ec_index_beginscan(read->heap, read->index, GetActiveSnapshot(), nkeys);
	read->direction = direction;
	index_rescan(read->scan, key, nkeys, NULL, 0);
}

/*
 * The next row, into values and nulls; false: no more.
 */
bool
ec_read_next(EcRead *read)
{
	const EcReadTable *table = read->table;

	if (!index_getnext_slot(read->scan, read->direction, read->slot))
		return false;
	slot_getsomeattrs(read->slot, table->last);
	for (int i = 0; i < table->ncolumns; i++)
	{
		read->values[i] = read->slot->tts_values[table->attribute[i] - 1];
		read->nulls[i] = read->slot->tts_isnull[table->attribute[i] - 1];
	}
	return true;
}

/* The only row with these keys, or the first; false: none. */
bool
ec_read_one(EcRead *read, int nkeys, const Datum *keys)
{
	ec_read_find(read, ForwardScanDirection, nkeys, keys);
	return ec_read_next(read);
}

void
ec_read_end(EcRead *read)
{
	if (read->scan != NULL)
		index_endscan(read->scan);
	ExecDropSingleTupleTableSlot(read->slot);
	index_close(read->index, NoLock);
	table_close(read->heap, NoLock);
	pfree(read);
}

/* Which row was read last. */
EcReadIdentity
ec_read_identity(const EcRead *read)
{
	EcReadIdentity identity = {0};
	bool		isnull;

	identity.relation = read->table->relation;
	identity.tid = read->slot->tts_tid;
	identity.xmin = DatumGetTransactionId(slot_getsysattr(read->slot, MinTransactionIdAttributeNumber, &isnull));
	return identity;
}

bool
ec_read_same(const EcReadIdentity *a, const EcReadIdentity *b)
{
	return a->relation == b->relation &&
		(!OidIsValid(a->relation) ||
		 (ItemPointerEquals((ItemPointer) &a->tid, (ItemPointer) &b->tid) &&
		  a->xmin == b->xmin));
}

/* A column as a string in the current context; NULL for NULL. */
char *
ec_read_text(const EcRead *read, int column)
{
	return read->nulls[column] ? NULL : TextDatumGetCString(read->values[column]);
}

/*
 * A copy of an array without NULLs in the current context, and how many
 * elements it has; NULL for NULL.
 */
void *
ec_read_array(const EcRead *read, int column, int *n)
{
	ArrayType  *array;

	*n = 0;
	if (read->nulls[column])
		return NULL;
	array = DatumGetArrayTypePCopy(read->values[column]);
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return ARR_DATA_PTR(array);
}
