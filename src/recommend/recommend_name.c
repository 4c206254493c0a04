/*-------------------------------------------------------------------------
 *
 * recommend_name.c
 *		Numbers 0, 1, 2, ... for keys of the shop.
 *
 * An open-addressing table of numbers beside the keys themselves: a build
 * asks for the number of a key twice for each order line.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"

#include "recommend/recommend.h"

struct EcNames
{
	MemoryContext context;
	int			n;
	int			size;			/* of place: a power of 2 */
	int		   *place;			/* number + 1; 0: free */
	int			room;			/* of the arrays below */
	uint32	   *hash;
	EcName	   *name;
};

static int *
names_find_place(const EcNames *names, uint32 hash, const char *key, int len)
{
	uint32		at = hash & (names->size - 1);

	for (;; at = (at + 1) & (names->size - 1))
	{
		int			number = names->place[at] - 1;

		if (number < 0 ||
			(names->hash[number] == hash && names->name[number].len == len &&
			 memcmp(names->name[number].key, key, len) == 0))
			return &names->place[at];
	}
}

/* An empty table in the current context, with which it goes. */
EcNames *
ec_names_create(void)
{
	EcNames    *names = palloc0(sizeof(EcNames));

	names->context = CurrentMemoryContext;
	names->size = 1024;
	names->place = palloc0(names->size * sizeof(int));
	names->room = names->size / 2;
	names->hash = palloc(names->room * sizeof(uint32));
	names->name = palloc(names->room * sizeof(EcName));
	return names;
}

/* The number of a key, which is copied if it is new. */
int
ec_names_put(EcNames *names, const char *key, int len)
{
	uint32		hash = hash_bytes((const unsigned char *) key, len);
	int		   *place = names_find_place(names, hash, key, len);
	char	   *copy;

	if (*place > 0)
		return *place - 1;
	if (names->n == names->room)
	{
		if (names->size > PG_INT32_MAX / 4)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many different keys"),
					 errdetail("There are more than %d.", names->n)));
		names->room *= 2;
		names->size *= 2;
		names->hash = repalloc_huge(names->hash, names->room * sizeof(uint32));
		names->name = repalloc_huge(names->name, names->room * sizeof(EcName));
		pfree(names->place);
		names->place = MemoryContextAllocExtended(names->context, names->size * sizeof(int),
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		for (int i = 0; i < names->n; i++)
			*names_find_place(names, names->hash[i], names->name[i].key, names->name[i].len) = i + 1;
		place = names_find_place(names, hash, key, len);
	}
	copy = MemoryContextAlloc(names->context, Max(len, 1));
	memcpy(copy, key, len);
	names->hash[names->n] = hash;
	names->name[names->n].key = copy;
	names->name[names->n].len = len;
	*place = ++names->n;
	return names->n - 1;
}

/* The number of a key; -1 if it has none. */
int
ec_names_find(const EcNames *names, const char *key, int len)
{
	return *names_find_place(names, hash_bytes((const unsigned char *) key, len), key, len) - 1;
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
