/*-------------------------------------------------------------------------
 *
 * recommend_read.h
 *		Rows of the state by index, without a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_RECOMMEND_READ_H
#define EC_RECOMMEND_READ_H

#include "access/genam.h"
#include "access/sdir.h"
#include "executor/tuptable.h"
#include "storage/itemptr.h"

#include "core/core.h"

#define EC_READ_KEYS 4
#define EC_READ_COLUMNS 12

/*
 * What is read of a table of the state.  A static variable; the part below is
 * filled in when it is first used, and again when the table has changed.
 */
typedef struct EcReadTable
{
	const char *name;
	const char *keys[EC_READ_KEYS]; /* compared by "=": the first columns of an index, in its order */
	const char *columns[EC_READ_COLUMNS];	/* in the order in which they come back */
	bool		partial;		/* may the index have a predicate?  its rows are what is wanted then */
	bool		hash;			/* is it a hash index?  rows of other keys come too then */

	bool		listed;
	Oid			schema;			/* InvalidOid: not looked up yet */
	Oid			relation;
	Oid			index;
	int			nkeys;
	int			ncolumns;
	RegProcedure equal[EC_READ_KEYS];
	Oid			collation[EC_READ_KEYS];
	AttrNumber	attribute[EC_READ_COLUMNS];
	AttrNumber	last;			/* the greatest of them */
} EcReadTable;

typedef struct EcRead
{
	EcReadTable *table;
	Relation	heap;
	Relation	index;
	IndexScanDesc scan;			/* NULL until something is looked for */
	ScanDirection direction;
	TupleTableSlot *slot;
	Datum		values[EC_READ_COLUMNS];	/* of the row, until the next one */
	bool		nulls[EC_READ_COLUMNS];
} EcRead;

/* A row as it was when it was read; rows that are written again differ. */
typedef struct EcReadIdentity
{
	Oid			relation;		/* InvalidOid: no row */
	ItemPointerData tid;
	TransactionId xmin;
} EcReadIdentity;

extern EcRead *ec_read_begin(EcReadTable *table);
extern void ec_read_find(EcRead *read, ScanDirection direction, int nkeys, const Datum *keys);
extern bool ec_read_next(EcRead *read);
extern bool ec_read_one(EcRead *read, int nkeys, const Datum *keys);
extern void ec_read_end(EcRead *read);
extern EcReadIdentity ec_read_identity(const EcRead *read);
extern bool ec_read_same(const EcReadIdentity *a, const EcReadIdentity *b);

extern char *ec_read_text(const EcRead *read, int column);
extern void *ec_read_array(const EcRead *read, int column, int *n);

#endif							/* EC_RECOMMEND_READ_H */
