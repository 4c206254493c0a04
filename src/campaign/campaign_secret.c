/*-------------------------------------------------------------------------
 *
 * campaign_secret.c
 *		What only this shop can compute: hashes of addresses and tokens.
 *
 * Both are HMAC-SHA256 (RFC 2104) under the key in
 * ecauto_data.campaign_secret, which only the owner of the state may read.
 * What the hash is for goes into it first, so that no token of one kind is
 * one of another.
 *
 * A token is a letter that tells its kind and 24 bytes in base64url: the
 * number of what it is about, and the first 16 bytes of the hash.  Nobody
 * who has one can make another, and it says nothing about anybody.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "campaign/campaign.h"

PG_FUNCTION_INFO_V1(ecauto_address_hash);

#define SECRET_LEN	  32
#define TOKEN_MAC_LEN 16
#define TOKEN_RAW_LEN (8 + TOKEN_MAC_LEN)	/* base64 of it needs no padding */
#define TOKEN_LEN	  (1 + TOKEN_RAW_LEN / 3 * 4)

/* the key that this session has read, and of which table */
static Oid	secret_relation = InvalidOid;
static uint8 secret[SECRET_LEN];

static void
secret_load(void)
{
	Oid			relation = ec_state_relation("campaign_secret", false);
	bool		isnull;
	bytea	   *value;
	EcAs		as;

	if (relation == secret_relation)
		return;
	ec_outbox_open(&as);
	if (ec_outbox_execute("SELECT s.secret FROM ecauto_data.campaign_secret s", 0, NULL, NULL, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the key of tokens is missing"),
				 errdetail("Table \"ecauto_data.campaign_secret\" must hold one row."),
				 errhint("Restore it from a backup: without it no link in earlier mails works.")));
	value = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (VARSIZE_ANY_EXHDR(value) != SECRET_LEN)
		elog(ERROR, "the key of tokens has %d bytes", (int) VARSIZE_ANY_EXHDR(value));
	memcpy(secret, VARDATA_ANY(value), SECRET_LEN);
	ec_outbox_close(&as);
	secret_relation = relation;
}

/* HMAC of what it is for, a zero byte, and the bytes. */
static void
keyed_hash(const char *purpose, const void *bytes, size_t len, uint8 *digest)
{
	pg_hmac_ctx *hmac;

	secret_load();
	hmac = pg_hmac_create(PG_SHA256);
	if (hmac == NULL || pg_hmac_init(hmac, secret, SECRET_LEN) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) purpose, strlen(purpose) + 1) < 0 ||
		pg_hmac_update(hmac, bytes, len) < 0 ||
		pg_hmac_final(hmac, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a keyed hash");
	pg_hmac_free(hmac);
}

/*
 * The hash by which an address is found: hash has room for
 * EC_ADDRESS_HASH_LEN bytes.  The address must be normalized.
 */
void
ec_address_hash(const char *address, unsigned char *hash)
{
	StaticAssertStmt(EC_ADDRESS_HASH_LEN == PG_SHA256_DIGEST_LENGTH, "length of an address's hash");
	keyed_hash("address", address, strlen(address), hash);
}

/* The same as bytea, in the current context. */
Datum
ec_address_hash_datum(const char *address)
{
	bytea	   *value = palloc(VARHDRSZ + EC_ADDRESS_HASH_LEN);

	SET_VARSIZE(value, VARHDRSZ + EC_ADDRESS_HASH_LEN);
	ec_address_hash(address, (uint8 *) VARDATA(value));
	return PointerGetDatum(value);
}

static void
token_raw(EcTokenKind kind, int64 id, uint8 *raw)
{
	uint64		number = pg_hton64((uint64) id);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	memcpy(raw, &number, sizeof(number));
	keyed_hash(kind == EC_TOKEN_UNSUBSCRIBE ? "unsubscribe" : "confirm", raw, sizeof(number), digest);
	memcpy(raw + sizeof(number), digest, TOKEN_MAC_LEN);
}

/*
 * A token for what has that number, in the current context.
 */
char *
ec_token_make(EcTokenKind kind, int64 id)
{
	uint8		raw[TOKEN_RAW_LEN];
	char	   *token = palloc(TOKEN_LEN + 1);
	int			len;

	token_raw(kind, id, raw);
	token[0] = (char) kind;
	len = pg_b64_encode((const void *) raw, TOKEN_RAW_LEN, token + 1, TOKEN_LEN - 1);
	if (len != TOKEN_LEN - 1)
		elog(ERROR, "could not encode a token");
	token[TOKEN_LEN] = '\0';
	/* base64url: RFC 4648, section 5 */
	for (char *p = token + 1; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return token;
}

/*
 * The number that a token is about; false if it is none of that kind that we
 * have made.
 */
bool
ec_token_read(EcTokenKind kind, const char *token, int64 *id)
{
	char		text[TOKEN_LEN];
	uint8		raw[TOKEN_RAW_LEN + 2];
	uint8		expected[TOKEN_RAW_LEN];
	uint64		number;
	uint8		differs = 0;

	if (strlen(token) != TOKEN_LEN || token[0] != (char) kind)
		return false;
	for (int i = 1; i < TOKEN_LEN; i++)
	{
		if (token[i] == '+' || token[i] == '/' || token[i] == '=')
			return false;
		text[i - 1] = token[i] == '-' ? '+' : token[i] == '_' ? '/' : token[i];
	}
	if (pg_b64_decode(text, TOKEN_LEN - 1, (void *) raw, sizeof(raw)) != TOKEN_RAW_LEN)
		return false;
	memcpy(&number, raw, sizeof(number));
	*id = (int64) pg_ntoh64(number);
	token_raw(kind, *id, expected);
	/* all bytes, so that the time it takes does not tell how many are right */
	for (int i = 0; i < TOKEN_RAW_LEN; i++)
		differs |= raw[i] ^ expected[i];
	return differs == 0;
}

/*
 * ecauto.address_hash(address text) returns bytea
 */
Datum
ecauto_address_hash(PG_FUNCTION_ARGS)
{
	ec_state_require();
	ec_require_operator("compute the hash of an address");
	return ec_address_hash_datum(ec_address_normalize(NULL, text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
