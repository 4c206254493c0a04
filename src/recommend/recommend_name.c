/*-------------------------------------------------------------------------
 *
 * recommend_name.c
 *		Numbers 0, 1, 2, ... for keys of the shop.
 *
 * An open-addressing table: a build asks for the number of a key twice for
 * each order line, and most of the time of that is waiting for memory.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"

#include "recommend/recommend.h"

/* bytes of a key in its place: a place is half a cache line */
#define PLACE_KEY 20

/* keys are copied one after the other into blocks of so many bytes */
#define NAME_BLOCK 65536

/*
 * A place of the table; short keys are told apart without a look at the key,
 * which lies elsewhere in memory.
 */
typedef struct Place
{
	uint32		hash;
	int			number;			/* + 1; 0: free */
	int			len;
	char		key[PLACE_KEY];	/* as much of it as fits */
} Place;

struct EcNames
{
	MemoryContext context;
	int			n;
	int			size;			/* of place: a power of 2 */
	Place	   *place;
	int			room;			/* of name */
	EcName	   *name;
	char	   *free;			/* where the next key is copied to, ... */
	Size		nfree;			/* ... and how many bytes are left there */
	int			last;			/* that was asked for; lines of an order come together */
};

static Place *
names_find_place(const EcNames *names, uint32 hash, const char *key, int len)
{
	uint32		at = hash & (names->size - 1);

	for (;; at = (at + 1) & (names->size - 1))
	{
		Place	   *place = &names->place[at];

		if (place->number == 0 ||
			(place->hash == hash && place->len == len &&
			 memcmp(place->key, key, Min(len, PLACE_KEY)) == 0 &&
			 (len <= PLACE_KEY || memcmp(names->name[place->number - 1].key, key, len) == 0)))
			return place;
	}
}

/* Is it the one that was asked for last? */
static inline bool
names_is_last(const EcNames *names, const char *key, int len)
{
	const EcName *last;

	if (names->last < 0)
		return false;
	last = &names->name[names->last];
	return last->len == len && memcmp(last->key, key, len) == 0;
}

/* An empty table in the current context, with which it goes. */
EcNames *
ec_names_create(void)
{
	EcNames    *names = palloc0(sizeof(EcNames));

	names->context = CurrentMemoryContext;
	names->size = 1024;
	names->place = palloc0(names->size * sizeof(Place));
	names->room = names->size / 2;
	names->last = -1;
	names->name = palloc(names->room * sizeof(EcName));
	return names;
}

static void
names_grow(EcNames *names)
{
	Place	   *before = names->place;
	int			size = names->size;

	if (size > PG_INT32_MAX / 4)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different keys"),
				 errdetail("There are more than %d.", names->n)));
	names->room *= 2;
	names->size *= 2;
	names->name = repalloc_huge(names->name, names->room * sizeof(EcName));
	names->place = MemoryContextAllocExtended(names->context, (Size) names->size * sizeof(Place),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < size; i++)
	{
		uint32		at = before[i].hash & (names->size - 1);

		if (before[i].number == 0)
			continue;
		while (names->place[at].number != 0)
			at = (at + 1) & (names->size - 1);
		names->place[at] = before[i];
	}
	pfree(before);
}

/* The number of a key, which is copied if it is new. */
int
ec_names_put(EcNames *names, const char *key, int len)
{
	uint32		hash;
	Place	   *place;

	if (names_is_last(names, key, len))
		return names->last;
	hash = hash_bytes((const unsigned char *) key, len);
	place = names_find_place(names, hash, key, len);
	if (place->number > 0)
		return names->last = place->number - 1;
	if (names->n == names->room)
	{
		names_grow(names);
		place = names_find_place(names, hash, key, len);
	}
	if (names->nfree < len)
	{
		names->nfree = Max(len, NAME_BLOCK);
		names->free = MemoryContextAlloc(names->context, names->nfree);
	}
	memcpy(names->free, key, len);
	names->name[names->n].key = names->free;
	names->name[names->n].len = len;
	names->free += len;
	names->nfree -= len;
	place->hash = hash;
	place->len = len;
	memcpy(place->key, key, Min(len, PLACE_KEY));
	place->number = ++names->n;
	return names->last = names->n - 1;
}

/* The number of a key; -1 if it has none. */
int
ec_names_find(EcNames *names, const char *key, int len)
{
	int			number;

	if (names_is_last(names, key, len))
		return names->last;
	number = names_find_place(names, hash_bytes((const unsigned char *) key, len), key, len)->number - 1;
	if (number >= 0)
		names->last = number;
	return number;
}

int
ec_names_count(const EcNames *names)
{
	return names->n;
}

/* Valid until the next key is put. */
const EcName *
ec_names_get(const EcNames *names, int number)
{
	return &names->name[number];
}
