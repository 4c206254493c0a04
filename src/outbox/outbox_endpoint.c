/*-------------------------------------------------------------------------
 *
 * outbox_endpoint.c
 *		Endpoints: foreign servers of ecauto_endpoint and their options.
 *
 * PostgreSQL keeps for us what an endpoint needs: an address, options, an
 * owner, the right to use it, and secrets per user that only the right people
 * see.  There is nothing to scan, so the wrapper has no handler; its
 * validator is ecauto_endpoint_validator().  One table of options serves the
 * validator, its hints, and ec_endpoint_load(), so that what was accepted can
 * be loaded.
 *
 * Enqueue asks "may I, and is it for mail?" for every message, so those
 * answers are kept per name until the catalogs change.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "outbox/outbox.h"
#include "outbox/outbox_address.h"

PG_FUNCTION_INFO_V1(ecauto_endpoint_validator);

#define DEFAULT_TIMEOUT		  10000 /* ms */
#define DEFAULT_CONCURRENCY	  16
#define DEFAULT_MAX_ATTEMPTS  12
#define DEFAULT_GIVE_UP_AFTER ((int64) 3 * 24 * 3600 * 1000)	/* ms */
#define DEFAULT_BREAKER		  10

#define MAX_CONCURRENCY		  1000
#define MAX_TIMEOUT			  (10 * 60 * 1000.0)			/* ms */
#define MAX_GIVE_UP_AFTER	  (366 * 24 * 3600 * 1000.0)	/* ms */

/*
 * Take one value over into the endpoint; NULL, or what is wrong with it.
 */
typedef char *(*OptionTake) (const char *value, EcEndpoint *endpoint);

typedef struct Option
{
	const char *name;
	Oid			catalog;		/* whose option: a server's or a user mapping's */
	OptionTake	take;
	const char *hint;			/* what a right value looks like, or NULL */
} Option;

/*
 * A duration with its unit, in ms.  A bare number is refused: the reader
 * would have to know which unit it is in.
 */
static char *
take_duration(const char *value, double least, double most, double *result)
{
	const char *guc_hint = NULL;
	size_t		length = strlen(value);

	if (length == 0 || (value[length - 1] >= '0' && value[length - 1] <= '9') ||
		!parse_real(value, result, GUC_UNIT_MS, &guc_hint) || isnan(*result))
		return psprintf("\"%s\" is not a duration with a unit.", value);
	if (*result < least || *result > most)
		return psprintf("%s is not between %g s and %g s.", value, least / 1000, most / 1000);
	return NULL;
}

static char *
take_int(const char *value, int least, int most, int *result)
{
	if (!parse_int(value, result, 0, NULL))
		return psprintf("\"%s\" is not an integer.", value);
	if (*result < least || *result > most)
		return psprintf("%d is not between %d and %d.", *result, least, most);
	return NULL;
}

static char *
take_secret(const char *value, char **result)
{
	if (*value == '\0')
		return pstrdup("It is empty.");
	if (ec_line_problem(value) != NULL)
		return pstrdup("It has a line break or another control character.");
	*result = pstrdup(value);
	return NULL;
}

static char *
take_breaker(const char *value, EcEndpoint *endpoint)
{
	return take_int(value, 0, 1000000, &endpoint->breaker);
}

static char *
take_ca_file(const char *value, EcEndpoint *endpoint)
{
	if (!is_absolute_path(value))
		return psprintf("\"%s\" is not an absolute path.", value);
	endpoint->ca_file = pstrdup(value);
	return NULL;
}

static char *
take_concurrency(const char *value, EcEndpoint *endpoint)
{
	return take_int(value, 1, MAX_CONCURRENCY, &endpoint->concurrency);
}

static char *
take_give_up_after(const char *value, EcEndpoint *endpoint)
{
	double		ms = 0;
	char	   *problem = take_duration(value, 0, MAX_GIVE_UP_AFTER, &ms);

	endpoint->give_up_after = (int64) ms;
	return problem;
}

static char *
take_max_attempts(const char *value, EcEndpoint *endpoint)
{
	return take_int(value, 1, 1000, &endpoint->max_attempts);
}

static char *
take_rate(const char *value, EcEndpoint *endpoint)
{
	static const struct
	{
		const char *unit;
		double		seconds;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	char	   *end;
	double		count;

	errno = 0;
	count = strtod(value, &end);
	if (end != value && errno == 0 && *end == '/' && isfinite(count))
	{
		for (int i = 0; i < (int) lengthof(units); i++)
		{
			if (strcmp(end + 1, units[i].unit) != 0)
				continue;
			if (count <= 0 || count > 1e9)
				return psprintf("%s is not above 0 and at most 1e9.", value);
			endpoint->rate = count / units[i].seconds;
			return NULL;
		}
	}
	return psprintf("\"%s\" is not a rate.", value);
}

static char *
take_sender(const char *value, EcEndpoint *endpoint)
{
	endpoint->sender = pstrdup(value);
	return ec_mailbox_problem(value);
}

static char *
take_starttls(const char *value, EcEndpoint *endpoint)
{
	if (strcmp(value, "require") != 0 && strcmp(value, "try") != 0 && strcmp(value, "never") != 0)
		return psprintf("There is no mode \"%s\".", value);
	endpoint->starttls = pstrdup(value);
	return NULL;
}

static char *
take_timeout(const char *value, EcEndpoint *endpoint)
{
	double		ms = 0;
	char	   *problem = take_duration(value, 1, MAX_TIMEOUT, &ms);

	endpoint->timeout = (int) ms;
	return problem;
}

static char *
take_url(const char *value, EcEndpoint *endpoint)
{
	EcUrl		url;
	char	   *problem = ec_url_parse(value, &url);

	if (problem != NULL)
		return problem;
	endpoint->url = url.text;
	endpoint->scheme = url.scheme;
	endpoint->host = url.host;
	endpoint->port = url.port;
	endpoint->path = url.path;
	return NULL;
}

static char *
take_verify_peer(const char *value, EcEndpoint *endpoint)
{
	if (!parse_bool(value, &endpoint->verify_peer))
		return psprintf("\"%s\" is not a boolean.", value);
	return NULL;
}

static char *
take_bearer_token(const char *value, EcEndpoint *endpoint)
{
	return take_secret(value, &endpoint->bearer_token);
}

static char *
take_hmac_secret(const char *value, EcEndpoint *endpoint)
{
	return take_secret(value, &endpoint->hmac_secret);
}

static char *
take_password(const char *value, EcEndpoint *endpoint)
{
	return take_secret(value, &endpoint->password);
}

static char *
take_username(const char *value, EcEndpoint *endpoint)
{
	return take_secret(value, &endpoint->username);
}

#define DURATION_HINT "Give a number and a unit: ms, s, min, h or d."

static const Option options[] = {
	{"breaker", ForeignServerRelationId, take_breaker,
	"Give the number of failures in a row after which nothing is sent for a while; 0 for never."},
	{"ca_file", ForeignServerRelationId, take_ca_file, NULL},
	{"concurrency", ForeignServerRelationId, take_concurrency, NULL},
	{"give_up_after", ForeignServerRelationId, take_give_up_after, DURATION_HINT},
	{"max_attempts", ForeignServerRelationId, take_max_attempts, NULL},
	{"rate", ForeignServerRelationId, take_rate,
	"Give messages per unit of time, such as 50/s, 100/min, 1000/h or 5000/d."},
	{"sender", ForeignServerRelationId, take_sender,
	"Give a mail address, such as shop@example.com or \"Shop <shop@example.com>\"."},
	{"starttls", ForeignServerRelationId, take_starttls, "Give require, try or never."},
	{"timeout", ForeignServerRelationId, take_timeout, DURATION_HINT},
	{"url", ForeignServerRelationId, take_url,
	"Give scheme, host, and optionally port and path, such as https://supplier.example/api; secrets belong in a user mapping."},
	{"verify_peer", ForeignServerRelationId, take_verify_peer, NULL},
	{"bearer_token", UserMappingRelationId, take_bearer_token, NULL},
	{"hmac_secret", UserMappingRelationId, take_hmac_secret, NULL},
	{"password", UserMappingRelationId, take_password, NULL},
	{"username", UserMappingRelationId, take_username, NULL},
};

static const Option *
option_find(const char *name, Oid catalog)
{
	for (int i = 0; i < (int) lengthof(options); i++)
		if (options[i].catalog == catalog && strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static void
option_unknown(const char *name, Oid catalog)
{
	StringInfoData valid;

	initStringInfo(&valid);
	for (int i = 0; i < (int) lengthof(options); i++)
		if (options[i].catalog == catalog)
			appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", options[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 valid.len > 0
			 ? errhint("Valid options in this context are: %s", valid.data)
			 : errhint("There are no valid options in this context.")));
}

/* An endpoint with every option at its default. */
static EcEndpoint *
endpoint_blank(void)
{
	EcEndpoint *endpoint = palloc0(sizeof(EcEndpoint));

	endpoint->verify_peer = true;
	endpoint->timeout = DEFAULT_TIMEOUT;
	endpoint->concurrency = DEFAULT_CONCURRENCY;
	endpoint->max_attempts = DEFAULT_MAX_ATTEMPTS;
	endpoint->give_up_after = DEFAULT_GIVE_UP_AFTER;
	endpoint->breaker = DEFAULT_BREAKER;
	return endpoint;
}

/*
 * Take options over into the endpoint.  Errors: invalid_option_name, or
 * invalid_parameter_value, without the value where it is a secret.
 */
static void
endpoint_take(EcEndpoint *endpoint, List *defs, Oid catalog)
{
	ListCell   *cell;

	foreach(cell, defs)
	{
		DefElem    *def = lfirst_node(DefElem, cell);
		const Option *option = option_find(def->defname, catalog);
		char	   *problem;

		if (option == NULL)
			option_unknown(def->defname, catalog);
		problem = option->take(defGetString(def), endpoint);
		if (problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for option \"%s\"", option->name),
					 errdetail_internal("%s", problem),
					 option->hint ? errhint("%s", option->hint) : 0));
	}
}

/* What follows from other options. */
static void
endpoint_complete(EcEndpoint *endpoint)
{
	if (endpoint->starttls == NULL)
		endpoint->starttls = ec_host_is_loopback(endpoint->host) ? "never" : "require";
}

/*
 * ecauto.endpoint_validator(options text[], catalog oid)
 */
Datum
ecauto_endpoint_validator(PG_FUNCTION_ARGS)
{
	List	   *defs = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	EcEndpoint *endpoint = endpoint_blank();

	endpoint_take(endpoint, defs, catalog);
	if (catalog != ForeignServerRelationId)
		PG_RETURN_VOID();

	if (endpoint->url == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_DYNAMIC_PARAMETER_VALUE_NEEDED),
				 errmsg("option \"url\" is needed"),
				 errdetail("An endpoint without an address cannot be reached."),
				 errhint("%s", option_find("url", catalog)->hint)));
	if (!EC_SCHEME_IS_MAIL(endpoint->scheme) &&
		(endpoint->sender != NULL || endpoint->starttls != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" is for mail servers",
						endpoint->sender != NULL ? "sender" : "starttls"),
				 errdetail("The scheme of the option \"url\" is neither smtp nor smtps.")));

	/* the server process will open it, so whoever sets it must be trusted with files */
	if (endpoint->ca_file != NULL && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"ca_file\""),
				 errdetail("Only roles with the privileges of \"pg_read_server_files\" may name files of the server.")));
	PG_RETURN_VOID();
}

/*
 * The options in the user mapping of a user (InvalidOid: PUBLIC) for a
 * server; false if there is no such mapping.
 */
static bool
mapping_options(Oid user, Oid server, List **defs)
{
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(user),
							ObjectIdGetDatum(server));
	if (!HeapTupleIsValid(tuple))
		return false;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	*defs = isnull ? NIL : untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return true;
}

/*
 * The foreign server of that name if it is one of ours, else NULL or an error.
 */
static ForeignServer *
endpoint_server(const char *name, bool missing_ok)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	ForeignDataWrapper *wrapper = server ? GetForeignDataWrapperExtended(server->fdwid, FDW_MISSING_OK) : NULL;

	if (wrapper != NULL && strcmp(wrapper->fdwname, EC_ENDPOINT_WRAPPER) == 0)
		return server;
	if (missing_ok)
		return NULL;
	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", name),
				 errhint("Create it: CREATE SERVER %s FOREIGN DATA WRAPPER %s OPTIONS (url '...').",
						 quote_identifier(name), EC_ENDPOINT_WRAPPER)));
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("foreign server \"%s\" is not an endpoint", name),
			 errdetail("Its foreign data wrapper is not %s.", EC_ENDPOINT_WRAPPER)));
}

EcEndpoint *
ec_endpoint_load(const char *name, Oid sender, bool missing_ok)
{
	ForeignServer *server = endpoint_server(name, missing_ok);
	EcEndpoint *endpoint;
	List	   *defs = NIL;

	if (server == NULL)
		return NULL;
	endpoint = endpoint_blank();
	endpoint->serverid = server->serverid;
	endpoint->name = pstrdup(name);
	endpoint_take(endpoint, server->options, ForeignServerRelationId);
	endpoint_complete(endpoint);
	if ((OidIsValid(sender) && mapping_options(sender, server->serverid, &defs)) ||
		mapping_options(InvalidOid, server->serverid, &defs) ||
		mapping_options(server->owner, server->serverid, &defs))
		endpoint_take(endpoint, defs, UserMappingRelationId);
	return endpoint;
}

List *
ec_endpoint_names(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(EC_ENDPOINT_WRAPPER, true);
	List	   *names = NIL;
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(wrapper))
		return NIL;
	catalog = table_open(ForeignServerRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_foreign_server form = (Form_pg_foreign_server) GETSTRUCT(tuple);

		if (form->srvfdw == wrapper)
			names = lappend(names, pstrdup(NameStr(form->srvname)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return names;
}

/* ---- what enqueue asks for every message ---- */

typedef struct UsageEntry
{
	char		name[NAMEDATALEN];	/* hash key, must be first */
	Oid			server;
	bool		mail;
} UsageEntry;

static HTAB *usage_cache = NULL;
static uint64 usage_generation = 0; /* of what is in the cache */
static uint64 generation = 1;

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
}

/*
 * A number that grows whenever a server, a user mapping, a wrapper or a role
 * may have changed.
 */
uint64
ec_endpoint_generation(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, catalog_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, catalog_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, catalog_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
		registered = true;
	}
	return generation;
}

/*
 * The endpoint's server, and *mail: is it for mail?  Errors: undefined_object,
 * wrong_object_type, or insufficient_privilege if the current user has no
 * USAGE on it.
 */
Oid
ec_endpoint_check_usage(const char *name, bool *mail)
{
	uint64		now = ec_endpoint_generation();
	NameData	key;
	UsageEntry *entry;
	AclResult	acl;

	if (strlen(name) >= NAMEDATALEN)
		(void) endpoint_server(name, false);

	if (usage_cache == NULL || usage_generation != now)
	{
		HASHCTL		ctl = {0};

		if (usage_cache != NULL)
			hash_destroy(usage_cache);
		usage_cache = NULL;
		ctl.keysize = NAMEDATALEN;
		ctl.entrysize = sizeof(UsageEntry);
		usage_cache = hash_create("ecauto endpoints", 32, &ctl, HASH_ELEM | HASH_STRINGS);
		usage_generation = now;
	}

	namestrcpy(&key, name);
	entry = hash_search(usage_cache, NameStr(key), HASH_FIND, NULL);
	if (entry == NULL)
	{
		EcEndpoint *endpoint = ec_endpoint_load(name, InvalidOid, false);

		entry = hash_search(usage_cache, NameStr(key), HASH_ENTER, NULL);
		entry->server = endpoint->serverid;
		entry->mail = EC_SCHEME_IS_MAIL(endpoint->scheme);
	}

	acl = ec_foreign_server_aclcheck(entry->server, GetUserId(), ACL_USAGE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FOREIGN_SERVER, name);
	*mail = entry->mail;
	return entry->server;
}
