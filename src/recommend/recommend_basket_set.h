/*-------------------------------------------------------------------------
 *
 * recommend_basket_set.h
 *		Who is in which basket: the value of type ecauto.basket_set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_RECOMMEND_BASKET_SET_H
#define EC_RECOMMEND_BASKET_SET_H

#include "utils/expandeddatum.h"

#include "recommend/recommend.h"

/* In memory. */
typedef struct EcBasketSet
{
	ExpandedObjectHeader eoh;	/* must be first */
	MemoryContext keys;			/* of all that follows; below the object's own */
	int			level;			/* baskets whose hash ends in so many zeros */
	EcNames    *baskets;
	EcNames    *items;
	TimestampTz *at;			/* by basket; DT_NOBEGIN: unknown */
	int			basket_room;
	uint64	   *place;			/* hash table of what is in what, see entry_place() */
	Size		nplaces;
	int64		n;				/* entries in it */
	Size		bytes;			/* what it counts as, by what is in it */
} EcBasketSet;

typedef struct EcBasketSetKey
{
	EcName		name;
	int			number;			/* in the set */
} EcBasketSetKey;

/* The same in the order of keys. */
typedef struct EcBasketSetSorted
{
	int			nbaskets;
	int			nitems;
	EcBasketSetKey *basket;
	EcBasketSetKey *sku;
	int64	   *start;			/* [nbaskets + 1] into item */
	int		   *item;			/* places in sku */
} EcBasketSetSorted;

extern EcBasketSet *ec_basket_set_get(Datum value);
extern EcBasketSetSorted *ec_basket_set_sort(const EcBasketSet *set);

#endif							/* EC_RECOMMEND_BASKET_SET_H */
