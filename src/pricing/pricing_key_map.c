/*-------------------------------------------------------------------------
 *
 * pricing_key_map.c
 *		Maps from keys of the shop to small numbers.
 *
 * Repricing meets each sku in several roles, a million times each.  Here a key
 * gets the number 0, 1, 2, ... when it is first put in, and what is known of
 * it stands under that number in plain arrays of the caller's.
 *
 * Open addressing with linear probing, at most half full.  The keys are copied,
 * as text values, into blocks that never move, so that a key can be handed out
 * as a Datum without another copy.
 *
 * Tables of one shop mostly come in the same order, and a product's skus
 * together.  So the key that was put in after the last one found is looked at
 * first, and then the last one: both lie in the processor's cache, while the
 * table of places hardly ever does.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "pricing/pricing_key_map.h"

#define BLOCK_SIZE (256 * 1024)

typedef struct Place
{
	uint32		hash;
	int32		number;			/* -1: free */
} Place;

struct EcKeyMap
{
	MemoryContext context;
	Place	   *places;
	uint32		mask;
	int			n;
	int			last;			/* the number that was found or given last */
	int			size;			/* of keys */
	text	  **keys;
	char	   *block;			/* the last one, */
	size_t		used;			/* and how much of it is used */
};

static void
places_make(EcKeyMap *map, uint32 n)
{
	map->places = MemoryContextAllocHuge(map->context, n * sizeof(Place));
	memset(map->places, 0xff, n * sizeof(Place));	/* number -1 */
	map->mask = n - 1;
}

/*
 * An empty map in the current context; size is how many keys are expected.
 */
EcKeyMap *
ec_key_map_create(int64 size)
{
	EcKeyMap   *map = palloc0(sizeof(EcKeyMap));

	map->context = CurrentMemoryContext;
	map->size = (int) Max(Min(size, 1 << 24), 16);
	map->keys = MemoryContextAllocHuge(map->context, map->size * sizeof(text *));
	map->used = BLOCK_SIZE;
	places_make(map, pg_nextpower2_32(map->size * 2));
	return map;
}

static void
map_grow(EcKeyMap *map)
{
	Place	   *old = map->places;
	uint32		n = map->mask + 1;

	if (n > PG_INT32_MAX / 4)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many keys in one run: %d", map->n)));
	places_make(map, n * 2);
	for (uint32 i = 0; i < n; i++)
	{
		if (old[i].number >= 0)
		{
			uint32		j = old[i].hash & map->mask;

			while (map->places[j].number >= 0)
				j = (j + 1) & map->mask;
			map->places[j] = old[i];
		}
	}
	pfree(old);
}

static text *
key_copy(EcKeyMap *map, const char *key, int len)
{
	size_t		size = MAXALIGN(len + VARHDRSZ);
	text	   *copy;

	if (size > BLOCK_SIZE / 8)
		copy = MemoryContextAlloc(map->context, size);
	else
	{
		if (map->used + size > BLOCK_SIZE)
		{
			map->block = MemoryContextAlloc(map->context, BLOCK_SIZE);
			map->used = 0;
		}
		copy = (text *) (map->block + map->used);
		map->used += size;
	}
	SET_VARSIZE(copy, len + VARHDRSZ);
	memcpy(VARDATA(copy), key, len);
	return copy;
}

/* The place of a key, or the free one where it belongs. */
static Place *
place_of(const EcKeyMap *map, const char *key, int len, uint32 hash)
{
	uint32		i = hash & map->mask;

	for (;; i = (i + 1) & map->mask)
	{
		Place	   *place = &map->places[i];
		text	   *other;

		if (place->number < 0)
			return place;
		if (place->hash != hash)
			continue;
		other = map->keys[place->number];
		if (VARSIZE(other) - VARHDRSZ == len && memcmp(VARDATA(other), key, len) == 0)
			return place;
	}
}

static inline bool
key_is(const EcKeyMap *map, int number, const char *key, int len)
{
	const text *other = map->keys[number];

	return VARSIZE(other) - VARHDRSZ == len && memcmp(VARDATA(other), key, len) == 0;
}

/* The number of a key if it is one of the likely ones, else -1. */
static inline int
likely_find(EcKeyMap *map, const char *key, int len)
{
	if (map->last + 1 < map->n && key_is(map, map->last + 1, key, len))
		return ++map->last;
	if (map->last < map->n && key_is(map, map->last, key, len))
		return map->last;
	/* one order ends, another begins */
	if (map->n > 0 && map->last + 1 == map->n && key_is(map, 0, key, len))
		return map->last = 0;
	return -1;
}

/*
 * The number of a key, which gets one if it has none; *found tells which.
 */
int
ec_key_map_put(EcKeyMap *map, const char *key, int len, bool *found)
{
	int			likely = likely_find(map, key, len);
	uint32		hash;
	Place	   *place;

	*found = true;
	if (likely >= 0)
		return likely;
	hash = hash_bytes((const unsigned char *) key, len);
	place = place_of(map, key, len, hash);
	if (place->number >= 0)
		return map->last = place->number;
	*found = false;
	if ((uint32) map->n * 2 >= map->mask)
	{
		map_grow(map);
		place = place_of(map, key, len, hash);
	}
	if (map->n == map->size)
	{
		map->size *= 2;
		map->keys = repalloc_huge(map->keys, map->size * sizeof(text *));
	}
	map->keys[map->n] = key_copy(map, key, len);
	place->hash = hash;
	place->number = map->n;
	map->last = map->n;
	return map->n++;
}

/*
 * The number of a key, or -1.
 */
int
ec_key_map_find(EcKeyMap *map, const char *key, int len)
{
	int			number = likely_find(map, key, len);

	if (number >= 0)
		return number;
	number = place_of(map, key, len, hash_bytes((const unsigned char *) key, len))->number;
	if (number >= 0)
		map->last = number;
	return number;
}

int
ec_key_map_put_text(EcKeyMap *map, Datum key)
{
	text	   *value = DatumGetTextPP(key);
	bool		found;

	return ec_key_map_put(map, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &found);
}

int
ec_key_map_find_text(EcKeyMap *map, Datum key)
{
	text	   *value = DatumGetTextPP(key);

	return ec_key_map_find(map, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

int
ec_key_map_count(const EcKeyMap *map)
{
	return map->n;
}

/*
 * The key with a number, which lives as long as the map.
 */
text *
ec_key_map_key(const EcKeyMap *map, int number)
{
	Assert(number >= 0 && number < map->n);
	return map->keys[number];
}
