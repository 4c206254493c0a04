/*-------------------------------------------------------------------------
 *
 * event_keys.c
 *		Sets of keys: which of many are there twice?
 *
 * Open addressing with linear probing, never more than half full.  Sorting
 * the keys would do as well and takes several times as long, and a tick may
 * have hundreds of thousands.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "event/event.h"

typedef struct KeyPlace
{
	uint64		hash;
	const text *key;			/* NULL: free */
} KeyPlace;

struct EcKeySet
{
	uint64		mask;
	int64		n;
	KeyPlace	places[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * An empty set with room for size keys, in the current context.
 */
EcKeySet *
ec_keys_create(int64 size)
{
	uint64		places = pg_nextpower2_64((uint64) Max(size, 8) * 2);
	EcKeySet   *set;

	set = MemoryContextAllocExtended(CurrentMemoryContext,
									 offsetof(EcKeySet, places) + places * sizeof(KeyPlace),
									 MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);
	set->mask = places - 1;
	return set;
}

/*
 * Put a key in, which must stay where it is as long as the set is used.
 * Returns false if the set has it already.
 */
bool
ec_keys_put(EcKeySet *set, const text *key)
{
	int			len = VARSIZE_ANY_EXHDR(key);
	uint64		hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(key), len, 0);

	Assert((uint64) set->n * 2 <= set->mask);
	for (uint64 i = hash & set->mask;; i = (i + 1) & set->mask)
	{
		KeyPlace   *place = &set->places[i];

		if (place->key == NULL)
		{
			place->hash = hash;
			place->key = key;
			set->n++;
			return true;
		}
		if (place->hash == hash && VARSIZE_ANY_EXHDR(place->key) == len &&
			memcmp(VARDATA_ANY(place->key), VARDATA_ANY(key), len) == 0)
			return false;
	}
}

int64
ec_keys_count(const EcKeySet *set)
{
	return set->n;
}

/*
 * Drop repetitions from an array of keys (text Datums, not toasted), keeping
 * the order of the first ones; returns how many are left.
 */
int
ec_keys_unique(Datum *keys, int nkeys)
{
	EcKeySet   *set;
	int			n = 0;

	if (nkeys < 2)
		return nkeys;
	set = ec_keys_create(nkeys);
	for (int i = 0; i < nkeys; i++)
		if (ec_keys_put(set, (const text *) DatumGetPointer(keys[i])))
			keys[n++] = keys[i];
	pfree(set);
	return n;
}
