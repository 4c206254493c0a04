/*-------------------------------------------------------------------------
 *
 * pricing_promotion_cache.c
 *		Promotions as this session keeps them.
 *
 * They are read and parsed once, and again after one of them changed.  Who
 * changes the table sends the server's own message that a relation's
 * description is stale (ec_promotions_changed()): it reaches every session
 * with the commit and not before it, and nobody with a rollback.
 *
 * Two traps.  What is read must not be older than the message that made us
 * read, so reading takes a new snapshot; and where the transaction's snapshot
 * is one for all its statements, what was read serves that transaction only.
 *
 * Somebody up the stack may be at work on a list when a new one is read (a
 * condition can call a function that prices a cart), so lists are thrown away
 * when the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "pricing/pricing_cart.h"
#include "shop/shop.h"

static MemoryContext current_context = NULL;
static EcPromotions *current = NULL;
static bool valid = false;
static bool for_this_xact = false;	/* read with a snapshot that may be old */
static uint64 generation = 0;
static Oid	relation = InvalidOid;
static List *stale_contexts = NIL;

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == relation)
	{
		valid = false;
		generation++;
	}
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (for_this_xact)
		valid = for_this_xact = false;
	if (stale_contexts != NIL)
	{
		ListCell   *cell;

		foreach(cell, stale_contexts)
			MemoryContextDelete(lfirst(cell));
		list_free(stale_contexts);
		stale_contexts = NIL;
	}
}

/* Tell every session that a promotion changed, if this transaction commits. */
void
ec_promotions_changed(void)
{
	CacheInvalidateRelcacheByRelid(ec_state_relation("promotion", false));
}

/* qsort: lane, then priority, greater first, then name */
int
ec_promotion_order(const void *a, const void *b)
{
	const EcPromotion *x = *(EcPromotion *const *) a;
	const EcPromotion *y = *(EcPromotion *const *) b;

	if (x->lane != y->lane)
		return x->lane - y->lane;
	if (x->priority != y->priority)
		return y->priority - x->priority;
	return strcmp(x->name, y->name);
}

/* What any of the promotions asks. */
void
ec_promotions_summarize(EcPromotions *promotions)
{
	for (int i = 0; i < promotions->n; i++)
	{
		const EcPromotion *promotion = promotions->list[i];

		promotions->any_attributes = promotions->any_attributes || promotion->needs_attributes;
		promotions->any_categories = promotions->any_categories || promotion->needs_categories;
		promotions->any_can_fail = promotions->any_can_fail || promotion->can_fail;
	}
}

/* What a row of the table becomes; for ec_try(). */
typedef struct Parse
{
	const char *name;
	Jsonb	   *definition;
	const char *definer;
	const char *zone;
	EcPromotion *promotion;
} Parse;

static void
parse(void *arg)
{
	Parse	   *p = arg;

	p->promotion = ec_promotion_parse(p->name, p->definition, ec_shop_definer(p->definer, "the promotion"), p->zone);
}

static const char *const load_sql =
	"SELECT p.promotion_id, p.name, p.definition, p.definer, p.zone "
	"FROM ecauto_data.promotion p WHERE p.dropped_at IS NULL";

static void
load(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "ecauto promotions", ALLOCSET_DEFAULT_SIZES);
	EcPromotions *promotions = MemoryContextAllocZero(context, sizeof(EcPromotions));
	uint64		before;
	int			n;
	Parse	   *rows;
	EcAs		as;
	MemoryContext old;

	before = generation;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(load_sql, 0, NULL), NULL, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the promotions");
	ec_as_end(&as);

	n = SPI_processed;
	old = MemoryContextSwitchTo(context);
	rows = palloc0(sizeof(Parse) * (n + 1));
	promotions->list = palloc0(sizeof(EcPromotion *) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		promotions->list[i] = palloc0(sizeof(EcPromotion));
		promotions->list[i]->id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		rows[i].name = SPI_getvalue(tuple, desc, 2);
		rows[i].definition = DatumGetJsonbPCopy(SPI_getbinval(tuple, desc, 3, &isnull));
		rows[i].definer = SPI_getvalue(tuple, desc, 4);
		rows[i].zone = SPI_getvalue(tuple, desc, 5);
	}
	MemoryContextSwitchTo(old);
	SPI_finish();

	MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
	{
		EcPromotion *promotion = promotions->list[i];
		int64		id = promotion->id;
		ErrorData  *error = ec_try(parse, &rows[i], false);

		if (error == NULL)
			promotion = rows[i].promotion;
		else
		{
			/* it applies to nobody, and says why */
			promotion->name = rows[i].name;
			promotion->lane = 2;
			promotion->active = true;
			promotion->from = DT_NOBEGIN;
			promotion->until = DT_NOEND;
			promotion->on_price = true;
			promotion->error = error->message;
		}
		promotion->id = id;
		promotions->list[i] = promotion;
	}
	promotions->n = n;
	ec_promotions_summarize(promotions);
	qsort(promotions->list, n, sizeof(EcPromotion *), ec_promotion_order);
	if (current_context != NULL)
	{
		MemoryContextSwitchTo(TopMemoryContext);
		stale_contexts = lappend(stale_contexts, current_context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
	current_context = context;
	current = promotions;
	for_this_xact = IsolationUsesXactSnapshot();
	valid = before == generation;
}

/*
 * All promotions that were not dropped, in the order in which they are tried;
 * valid until the end of the transaction.  The caller must not be connected to
 * SPI.
 */
const EcPromotions *
ec_promotions(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		RegisterXactCallback(xact_callback, NULL);
		registered = true;
	}
	AcceptInvalidationMessages();
	if (!valid)
	{
		relation = ec_state_relation("promotion", false);
		load();
	}
	return current;
}
