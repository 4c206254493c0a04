/*-------------------------------------------------------------------------
 *
 * core_bucket.c
 *		Which customers an experiment puts where: ecauto.bucket().
 *
 * A split or a holdout must put a customer where it put him before, on every
 * server and in every version, without remembering him; and two experiments
 * must not put the same customers together.  So the place is a hash of both
 * names:
 *
 *		h = FNV-1a, 64 bits, of name, a zero byte, customer
 *		bucket = top 53 bits of fmix64(h), divided by 2^53
 *
 * FNV-1a: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm" (IETF
 * draft, 2011).  Its high bits are poor for short keys; fmix64, the finalizer
 * of MurmurHash3 (Appleby, 2011), makes each bit of the result depend on each
 * bit of h.  Neither depends on the machine's byte order.
 *
 * The answers are a promise: another method would move customers between the
 * arms of experiments that are under way.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(ecauto_bucket);

static uint64
fnv1a(uint64 hash, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) bytes[i]) * UINT64CONST(0x100000001b3);
	return hash;
}

/*
 * The place of a customer in the experiment of that name, from 0 to below 1.
 * Over many customers it is uniform, and independent of other names' places.
 */
double
ec_bucket(const char *name, size_t name_len, const char *customer, size_t customer_len)
{
	uint64		hash = UINT64CONST(0xcbf29ce484222325);

	hash = fnv1a(hash, name, name_len);
	hash = fnv1a(hash, "", 1);
	hash = fnv1a(hash, customer, customer_len);

	hash ^= hash >> 33;
	hash *= UINT64CONST(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64CONST(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return (double) (hash >> 11) / (double) (UINT64CONST(1) << 53);
}

/*
 * ecauto.bucket(name text, customer text) returns float8
 */
Datum
ecauto_bucket(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	text	   *customer = PG_GETARG_TEXT_PP(1);

	PG_RETURN_FLOAT8(ec_bucket(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name),
							   VARDATA_ANY(customer), VARSIZE_ANY_EXHDR(customer)));
}
