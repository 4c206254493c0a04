/*-------------------------------------------------------------------------
 *
 * core_uuid.c
 *		Identifiers that sort by the time they were made.
 *
 * UUID version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then a
 * counter that starts at a random value each millisecond (section 6.2, method
 * 1), so those of one backend are strictly ascending, then random bits drawn
 * once per millisecond.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <sys/time.h>

#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/uuid.h"

#include "core/core.h"

StaticAssertDecl(EC_UUID_LEN == UUID_LEN, "a UUID has 16 bytes");

PG_FUNCTION_INFO_V1(ecauto_new_id);

/*
 * Write the next identifier to uuid (16 bytes).  It is greater than every
 * earlier one of this backend, even if the system's clock is set back.
 */
void
ec_uuid_next(unsigned char *uuid)
{
	static uint64 last_ms = 0;
	static uint32 counter;		/* 26 bits: 12 in rand_a, 14 in rand_b */
	static unsigned char random[6];
	struct timeval tv;
	uint64		ms;

	gettimeofday(&tv, NULL);
	ms = (uint64) tv.tv_sec * 1000 + tv.tv_usec / 1000;

	if (ms > last_ms || counter >= (1U << 26) - 1)
	{
		unsigned char seed[4];

		if (!pg_strong_random(random, sizeof(random)) || !pg_strong_random(seed, sizeof(seed)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		last_ms = Max(ms, last_ms + 1);
		/* the upper bit stays free, so that the counter has room to grow */
		memcpy(&counter, seed, sizeof(counter));
		counter &= (1U << 25) - 1;
	}
	else
		counter++;

	for (int i = 0; i < 6; i++)
		uuid[i] = (unsigned char) (last_ms >> (40 - 8 * i));
	uuid[6] = 0x70 | (unsigned char) (counter >> 22);
	uuid[7] = (unsigned char) (counter >> 14);
	uuid[8] = 0x80 | (unsigned char) ((counter >> 8) & 0x3F);
	uuid[9] = (unsigned char) counter;
	memcpy(uuid + 10, random, sizeof(random));
}

/*
 * ecauto.new_id() returns uuid
 */
Datum
ecauto_new_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	ec_uuid_next(uuid->data);
	PG_RETURN_UUID_P(uuid);
}
