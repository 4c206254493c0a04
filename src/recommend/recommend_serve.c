/*-------------------------------------------------------------------------
 *
 * recommend_serve.c
 *		Lists about a sku, and about what sells: ecauto.also_bought(),
 *		similar(), trending().
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

PG_FUNCTION_INFO_V1(ecauto_also_bought);
PG_FUNCTION_INFO_V1(ecauto_similar);
PG_FUNCTION_INFO_V1(ecauto_trending);

/* nearest items by orders, and by views, that similar() chooses from */
#define SIMILAR_ITEMS 150

/* ---- bought together ---- */

static char *
bought_text(double both)
{
	return psprintf(both == 1 ? "bought together once" : "bought together %.0f times", both);
}

/* EcMakeReason; arg: orders of the sku asked about */
static char *
reason_bought(EcServe *serve, EcShown *shown, void *arg)
{
	double		total = *(int *) arg;
	double		both = shown->score;

	shown->figures[0] = both;
	shown->figures[1] = both / serve->orders;
	shown->figures[2] = both / total;
	shown->figures[3] = both * serve->orders / (total * shown->total);
	shown->figures[4] = both / sqrt(total * shown->total);
	return bought_text(both);
}

/*
 * ecauto.also_bought(sku text, n integer) returns table(sku text, score float8, reason text,
 *		orders bigint, support float8, confidence float8, lift float8, cosine float8)
 */
Datum
ecauto_also_bought(PG_FUNCTION_ARGS)
{
	EcServe		serve;
	char	   *sku = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			item;
	EcRead	   *read;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 5);
	ec_serve_require(&serve);
	item = ec_serve_item_number(&serve, sku);
	if (item < 0 && (sku = ec_serve_sku_find(&serve, sku)) != NULL)
		item = ec_serve_item_number(&serve, sku);
	if (item >= 0)
	{
		Datum		keys[3] = {Int64GetDatum(serve.version), BoolGetDatum(false), Int32GetDatum(item)};

		read = ec_serve_read(&serve, EC_SERVE_PAIR);
		if (ec_read_one(read, 3, keys))
		{
			int			n;
			int		   *others = ec_read_array(read, 0, &n);
			int		   *counts = ec_read_array(read, 1, &n);
			int			total = DatumGetInt32(read->values[2]);
			EcShown    *shown = palloc0(Max(n, 1) * sizeof(EcShown));

			for (int i = 0; i < n; i++)
			{
				shown[i].item = others[i];
				shown[i].score = counts[i];
			}
			ec_serve_offer(&serve, shown, n, reason_bought, &total);
		}
	}
	ec_serve_end(&serve);
	return (Datum) 0;
}

/* ---- alike ---- */

static int
shown_compare(const void *a, const void *b)
{
	const EcShown *left = a;
	const EcShown *right = b;

	if (left->score != right->score)
		return left->score > right->score ? -1 : 1;
	/* keys, since numbers of late skus say nothing */
	return strcmp(left->sku, right->sku);
}

/* EcMakeReason */
static char *
reason_similar(EcServe *serve, EcShown *shown, void *arg)
{
	if (shown->figures[0] > 0)
		return bought_text(shown->figures[0]);
	return psprintf(shown->figures[1] == 1 ? "looked at together once" : "looked at together by %.0f visitors",
					shown->figures[1]);
}

/*
 * Candidates by SQL that returns sku, score and reason, run as the owner of
 * the state in the caller's snapshot; in the current context.
 */
EcShown *
ec_serve_candidates(const char *sql, int nargs, const Oid *types, Datum *values, int *n)
{
	MemoryContext context = CurrentMemoryContext;
	EcShown    *shown;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, nargs, types), values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for candidates");
	MemoryContextSwitchTo(context);
	*n = SPI_processed;
	shown = palloc0(Max(*n, 1) * sizeof(EcShown));
	for (int i = 0; i < *n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		Datum		value;

		shown[i].sku = TextDatumGetCString(SPI_getbinval(tuple, desc, 1, &isnull));
		shown[i].score = DatumGetFloat8(SPI_getbinval(tuple, desc, 2, &isnull));
		value = SPI_getbinval(tuple, desc, 3, &isnull);
		shown[i].reason = isnull ? NULL : TextDatumGetCString(value);
		shown[i].item = -1;
	}
	ec_as_end(&as);
	SPI_finish();
	MemoryContextSwitchTo(context);
	return shown;
}

/*
 * ecauto.similar(sku text, n integer) returns table(sku text, score float8, reason text)
 *
 * What was bought or looked at together first; behind it what is alike by
 * category, brand and title, which is all there is of a new item.
 */
Datum
ecauto_similar(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, FLOAT8OID, INT4OID, TEXTARRAYOID};
	EcServe		serve;
	EcShown    *shown;
	EcShown		self = {0};
	Datum		args[4];
	int			item;
	int			n = 0;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(1), 0);
	serve.one_per_product = true;
	self.sku = text_to_cstring(PG_GETARG_TEXT_PP(0));
	item = ec_serve_item_number(&serve, self.sku);
	if (item < 0)
	{
		self.sku = ec_serve_sku_find(&serve, self.sku);
		if (self.sku == NULL)
		{
			ec_serve_end(&serve);
			return (Datum) 0;
		}
		item = ec_serve_item_number(&serve, self.sku);
	}
	ec_shown_check(&self, 1);
	ec_serve_without(&serve, self.sku, self.product);

	if (item >= 0)
	{
		int			nbought;
		int			nviewed;
		EcNear	   *bought = ec_near_read(serve.version, item, false, SIMILAR_ITEMS, &nbought);
		EcNear	   *viewed = ec_near_read(serve.version, item, true, SIMILAR_ITEMS, &nviewed);

		shown = palloc0((nbought + nviewed + 1) * sizeof(EcShown));
		for (int i = 0; i < nbought; i++)
		{
			shown[n].item = bought[i].item;
			shown[n].figures[0] = bought[i].count;
			shown[n++].score = bought[i].nearness;
		}
		for (int i = 0; i < nviewed; i++)
		{
			double		score = viewed[i].nearness / 2;
			int			j = 0;

			while (j < nbought && bought[j].item != viewed[i].item)
				j++;
			if (j < nbought)
				shown[j].score += score;
			else
			{
				shown[n].item = viewed[i].item;
				shown[n].figures[1] = viewed[i].count;
				shown[n++].score = score;
			}
		}
		for (int i = 0; i < n; i++)
			ec_serve_item(&serve, &shown[i]);
		qsort(shown, n, sizeof(EcShown), shown_compare);
		ec_serve_offer(&serve, shown, n, reason_similar, NULL);
	}
	if (serve.found < serve.n)
	{
		args[0] = CStringGetTextDatum(self.sku);
		args[1] = Float8GetDatum(serve.lowest);
		args[2] = Int32GetDatum(4 * serve.n + 50);
		args[3] = PointerGetDatum(ec_product_categories(self.product));
		shown = ec_serve_candidates("SELECT sku, score * $2, reason FROM ecauto.recommend_alike($1, $4, $3)",
									4, types, args, &n);
		ec_serve_offer(&serve, shown, n, NULL, NULL);
	}
	ec_serve_end(&serve);
	return (Datum) 0;
}

/*
 * ecauto.trending(n integer) returns table(sku text, score float8, reason text)
 */
Datum
ecauto_trending(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT4OID};
	EcServe		serve;
	EcShown    *shown;
	Datum		args[2];
	int			n;

	ec_serve_begin(&serve, fcinfo, PG_GETARG_INT32(0), 0);
	args[0] = TimestampTzGetDatum(serve.now);
	args[1] = Int32GetDatum(4 * serve.n + 50);
	shown = ec_serve_candidates("SELECT sku, score, reason FROM ecauto.recommend_rising($1, $2)", 2, types, args, &n);
	ec_serve_offer(&serve, shown, n, NULL, NULL);
	ec_serve_end(&serve);
	return (Datum) 0;
}
