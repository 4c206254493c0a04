/*-------------------------------------------------------------------------
 *
 * template_kept.c
 *		Mail templates that this session has read, until one changes.
 *
 * A statement that sends ten thousand mails reads its template once.  Whoever
 * changes a template (template_store.c) invalidates the relation cache entry
 * of the table, which every session learns before it looks at a template the
 * next time, and which a rolled-back change does, too.
 *
 * What is read under a snapshot that may be older than the last invalidation
 * (that of a transaction above READ COMMITTED) is not kept, nor is what was
 * read while another invalidation came in.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "template/template.h"

#define KEPT_MOST 256
#define KEY_LEN	  300			/* longer ones are not kept */

static const char *const localized_sql =
	"SELECT EXISTS (SELECT FROM ecauto_data.mail_template t WHERE t.name = $1 AND t.locale <> '')";

typedef struct KeptEntry
{
	char		key[KEY_LEN];	/* hash key, must be first: name, a line feed, locale */
	bool		localized;		/* of an entry without locale, where that ends the key */
	EcMailKept	mail;
} KeptEntry;

static HTAB *kept = NULL;
static MemoryContext kept_context = NULL;
static Oid	kept_relation = InvalidOid;
static uint64 generation = 0;	/* grows with each invalidation */
static uint64 kept_generation = 0;

static void
relcache_callback(Datum arg, Oid relation)
{
	if (relation == kept_relation || !OidIsValid(relation))
		generation++;
}

/* Forget what does not hold any more; false if nothing may be kept now. */
static bool
kept_ready(void)
{
	static bool registered = false;
	Oid			relation = ec_state_relation("mail_template", false);

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}
	if (IsolationUsesXactSnapshot())
		return false;
	if (kept != NULL && kept_relation == relation && kept_generation == generation &&
		hash_get_num_entries(kept) < KEPT_MOST)
		return true;

	if (kept != NULL)
	{
		kept = NULL;
		MemoryContextReset(kept_context);
	}
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(TopMemoryContext, "ecauto mail templates", ALLOCSET_SMALL_SIZES);
	{
		HASHCTL		ctl = {0};

		ctl.keysize = KEY_LEN;
		ctl.entrysize = sizeof(KeptEntry);
		ctl.hcxt = kept_context;
		kept = hash_create("ecauto mail templates", 32, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	kept_relation = relation;
	kept_generation = generation;
	return true;
}

static KeptEntry *
kept_find(const char *key)
{
	return kept_ready() && strlen(key) < KEY_LEN ? hash_search(kept, key, HASH_FIND, NULL) : NULL;
}

/* An entry to be filled, unless something has changed since begun. */
static KeptEntry *
kept_enter(const char *key, uint64 begun)
{
	if (IsolationUsesXactSnapshot() || begun != generation || kept == NULL || strlen(key) >= KEY_LEN)
		return NULL;
	return hash_search(kept, key, HASH_ENTER, NULL);
}

void
ec_mail_kept_forget(void)
{
	CacheInvalidateRelcacheByRelid(ec_state_relation("mail_template", false));
}

EcMailKept *
ec_mail_kept_get(const char *name, const char *locale)
{
	char	   *key = psprintf("%s\n%s", name, locale);
	KeptEntry  *entry = kept_find(key);
	MemoryContext context;
	MemoryContext before;
	EcMailKept *mail;
	uint64		begun = generation;

	if (entry != NULL)
		return &entry->mail;

	context = AllocSetContextCreate(CurrentMemoryContext, "ecauto mail template", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(context);
	mail = palloc0(sizeof(EcMailKept));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	mail->template = ec_mail_template_load(name, locale, true);
	if (mail->template != NULL)
		ec_mail_partials_load(&mail->partials, mail->template, true);
	SPI_finish();
	MemoryContextSwitchTo(before);
	if (mail->template == NULL)
		return NULL;
	entry = kept_enter(key, begun);
	if (entry == NULL)
		return mail;
	MemoryContextSetParent(context, kept_context);
	entry->mail = *mail;
	return &entry->mail;
}

bool
ec_mail_kept_localized(const char *name)
{
	static const Oid types[] = {TEXTOID};
	char	   *key = psprintf("%s\n\n", name);
	KeptEntry  *entry = kept_find(key);
	uint64		begun = generation;
	Datum		value;
	bool		isnull;
	bool		localized;
	EcAs		as;

	if (entry != NULL)
		return entry->localized;
	value = CStringGetTextDatum(name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(localized_sql, 1, types), &value, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for the locales of a mail template");
	localized = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	ec_as_end(&as);
	SPI_finish();
	entry = kept_enter(key, begun);
	if (entry != NULL)
		entry->localized = localized;
	return localized;
}
