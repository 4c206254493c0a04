/*-------------------------------------------------------------------------
 *
 * pricing_proposal.h
 *		Changes of many prices: frozen, checked, applied, undone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_PROPOSAL_H
#define EC_PRICING_PROPOSAL_H

#include "compat/compat.h"

#include "access/tupdesc.h"
#include "pricing/pricing_ratio.h"
#include "utils/tuplestore.h"

/* Columns of a changed price. */
typedef enum EcChangeColumn
{
	EC_CHANGE_SKU,				/* text */
	EC_CHANGE_CURRENCY,			/* text */
	EC_CHANGE_OLD,				/* numeric */
	EC_CHANGE_NEW,				/* numeric */
	EC_CHANGE_REASON,			/* text, may be NULL */
	EC_CHANGE_BASE,				/* numeric: the price it was made from; may be NULL */
	EC_CHANGE_VIOLATION,		/* text: the guard it breaks; may be NULL */
	EC_CHANGE_COLUMNS
} EcChangeColumn;

/* Prices that are to change. */
typedef struct EcChanges
{
	TupleDesc	desc;
	Tuplestorestate *store;		/* random access */
	int64		n;
	int64		priced;			/* prices that were looked at */
	int64		based;			/* with EC_CHANGE_BASE */
} EcChanges;

/* ---- pricing_proposal.c ---- */
extern void ec_changes_begin(EcChanges *changes);
extern void ec_changes_put(EcChanges *changes, const Datum *values, const bool *nulls);
extern void ec_changes_end(EcChanges *changes);
extern void ec_price_lock(void);
extern int64 ec_proposal_keep(EcChanges *changes, const char *state, const char *note, List *violations);
extern void ec_prices_write(EcChanges *changes);

/* ---- pricing_proposal_guard.c ---- */
typedef struct EcGuard
{
	bool		given;			/* is there any? */
	int64		max_rows;		/* -1: any number */
	bool		moves;			/* are max_share and max_move given? */
	int64		max_share;		/* percent in micros */
	int64		max_move;
	bool		margins;
	int64		min_margin;
	bool		prior_price;
} EcGuard;

extern void ec_guard_read(EcGuard *guard);
extern bool ec_guard_moves(const EcGuard *guard, const EcAmount *old, int64 new_micros);
extern List *ec_guard_check(const EcGuard *guard, EcChanges *changes, int64 moved, int64 thin);

#endif							/* EC_PRICING_PROPOSAL_H */
