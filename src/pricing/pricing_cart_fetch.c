/*-------------------------------------------------------------------------
 *
 * pricing_cart_fetch.c
 *		What pricing a cart has to ask the database for, and only if it must.
 *
 * Promotions are kept in memory; what changes from cart to cart (counters of
 * budgets, codes, stock of gifts, segments, attributes that the caller left
 * out) is read when a promotion first asks for it, one statement for all
 * promotions and lines.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"

#include "pricing/pricing_cart.h"
#include "shop/shop.h"

/*
 * Run a statement on the state as its owner.  The caller is connected to SPI.
 * The snapshot is a new one, so that counters are those of this moment.
 */
static uint64
ask(const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	EcAs		as;
	int			code;

	ec_as_state_owner(&as);
	code = SPI_execute_plan(ec_plan(sql, nargs, types), values, nulls, false, 0);
	ec_as_end(&as);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(code));
	return SPI_processed;
}

static Datum
cell(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static int64
cell_int64(uint64 row, int column)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static Datum
word_datum(const EcWord *word)
{
	return PointerGetDatum(cstring_to_text_with_len(word->data ? word->data : "", word->len));
}

static Datum
text_array(Datum *texts, int n)
{
	return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Who the customer is where uses are counted: his mail address, if the shop
 * knows the one that belongs to his key.  The caller is connected to SPI.
 */
static void
identify(EcCart *cart, MemoryContext context)
{
	char	   *key;

	if (cart->identified || cart->email.data != NULL || cart->customer_key.data == NULL)
		return;
	key = pnstrdup(cart->customer_key.data, cart->customer_key.len);
	cart->identity = MemoryContextStrdup(context, ec_use_identity(key));
	cart->identified = true;
}

/* ---- counters ---- */

static const char *const usage_sql =
	"SELECT p.id, u.amount, u.uses, c.uses,"
	" (SELECT sum(o.amount) FROM ecauto_data.promotion_use o"
	"  WHERE o.order_key = $3 AND o.promotion_id = p.id AND o.returned_at IS NULL),"
	" (SELECT count(*) FROM ecauto_data.promotion_use o"
	"  WHERE o.order_key = $3 AND o.promotion_id = p.id AND o.returned_at IS NULL) "
	"FROM pg_catalog.unnest($1) p (id)"
	" LEFT JOIN ecauto_data.promotion_usage u ON u.promotion_id = p.id"
	" LEFT JOIN ecauto_data.promotion_customer c ON c.promotion_id = p.id AND c.customer = $2";

static EcMoney
cell_money(uint64 row, int column, int decimals)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);
	int64		result = 0;

	if (!isnull && !ec_numeric_scaled(DatumGetNumeric(value), decimals, &result))
		result = PG_INT64_MAX / 2;
	return result;
}

static void
usage_load(EcCart *cart, const EcPromotions *promotions)
{
	static const Oid types[] = {INT8ARRAYOID, TEXTOID, TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *ids = palloc(sizeof(Datum) * (promotions->n + 1));
	Datum		values[3];
	char		nulls[] = "   ";
	int			n = 0;
	uint64		rows;

	for (int i = 0; i < promotions->n; i++)
		if (promotions->list[i]->has_budget && promotions->list[i]->id != 0)
			ids[n++] = Int64GetDatum(promotions->list[i]->id);
	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	nulls[2] = cart->order_key.data ? ' ' : 'n';
	values[2] = word_datum(&cart->order_key);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	identify(cart, caller);
	nulls[1] = cart->identity ? ' ' : 'n';
	values[1] = cart->identity ? CStringGetTextDatum(cart->identity) : (Datum) 0;
	rows = ask(usage_sql, 3, types, values, nulls);
	cart->usage = MemoryContextAlloc(caller, sizeof(EcUsage) * (rows + 1));
	for (uint64 i = 0; i < rows; i++)
	{
		EcUsage    *usage = &cart->usage[i];

		usage->promotion = cell_int64(i, 1);
		usage->amount = cell_money(i, 2, cart->decimals);
		usage->uses = cell_int64(i, 3);
		usage->customer_uses = cell_int64(i, 4);
		usage->order_amount = cell_money(i, 5, cart->decimals);
		usage->order_uses = cell_int64(i, 6);
	}
	cart->nusage = rows;
	cart->usage_loaded = true;
	SPI_finish();
}

/* Counters of a promotion, which has a budget. */
const EcUsage *
ec_cart_usage(EcCart *cart, const EcPromotions *promotions, int64 promotion)
{
	static const EcUsage none = {0};

	if (!cart->usage_loaded)
		usage_load(cart, promotions);
	for (int i = 0; i < cart->nusage; i++)
		if (cart->usage[i].promotion == promotion)
			return &cart->usage[i];
	return &none;
}

/* ---- codes ---- */

static const char *const codes_sql =
	"SELECT g.n, b.promotion_id, c.used, b.uses, b.uses_per_customer, b.valid_from, b.valid_until,"
	" b.customer, b.cart_key, c.blocked, coalesce(k.uses, 0),"
	" EXISTS (SELECT FROM ecauto_data.promotion_use o"
	"  WHERE o.order_key = $3 AND o.code = c.code AND o.returned_at IS NULL) "
	"FROM pg_catalog.unnest($1) WITH ORDINALITY g (code, n)"
	" JOIN ecauto_data.coupon c ON c.code = g.code"
	" JOIN ecauto_data.coupon_batch b ON b.batch_id = c.batch_id"
	" LEFT JOIN ecauto_data.coupon_customer k ON k.code = c.code AND k.customer = $2";

/* Why a code of row i cannot be used with this cart, or NULL. */
static const char *
code_status(EcCart *cart, uint64 row)
{
	bool		isnull;
	Datum		value;

	/* what this order holds already stays its own */
	if (DatumGetBool(cell(row, 12, &isnull)))
		return NULL;
	if (DatumGetBool(cell(row, 10, &isnull)))
		return "blocked";
	value = cell(row, 6, &isnull);
	if (!isnull && cart->at < DatumGetTimestampTz(value))
		return "not yet valid";
	value = cell(row, 7, &isnull);
	if (!isnull && cart->at >= DatumGetTimestampTz(value))
		return "expired";
	value = cell(row, 8, &isnull);
	if (!isnull && (cart->identity == NULL || strcmp(TextDatumGetCString(value), cart->identity) != 0))
		return "of another customer";
	value = cell(row, 9, &isnull);
	if (!isnull)
	{
		char	   *bound = TextDatumGetCString(value);

		if (cart->cart_key.data == NULL || strlen(bound) != cart->cart_key.len ||
			memcmp(bound, cart->cart_key.data, cart->cart_key.len) != 0)
			return "of another cart";
	}
	value = cell(row, 4, &isnull);
	if (!isnull && cell_int64(row, 3) >= DatumGetInt64(value))
		return "used up";
	value = cell(row, 5, &isnull);
	if (!isnull && cell_int64(row, 11) >= DatumGetInt64(value))
		return "used up by this customer";
	return NULL;
}

/* Look up the codes that came with the cart. */
void
ec_cart_fetch_codes(EcCart *cart)
{
	static const Oid types[] = {TEXTARRAYOID, TEXTOID, TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *codes;
	Datum		values[3];
	char		nulls[] = "   ";
	uint64		rows;
	TimestampTz until;
	int			unknown = 0;

	if (cart->ncodes == 0)
		return;
	/* whoever may look whether a code is good may guess, too */
	if (cart->client != NULL && ec_coupon_blocked(cart->client, &until))
	{
		for (int i = 0; i < cart->ncodes; i++)
			cart->codes[i].status = "not looked at: too many wrong codes";
		return;
	}
	codes = palloc(sizeof(Datum) * cart->ncodes);
	for (int i = 0; i < cart->ncodes; i++)
	{
		codes[i] = CStringGetTextDatum(cart->codes[i].code);
		cart->codes[i].status = "unknown";
	}
	values[0] = text_array(codes, cart->ncodes);
	nulls[2] = cart->order_key.data ? ' ' : 'n';
	values[2] = word_datum(&cart->order_key);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	identify(cart, caller);
	nulls[1] = cart->identity ? ' ' : 'n';
	values[1] = cart->identity ? CStringGetTextDatum(cart->identity) : (Datum) 0;
	rows = ask(codes_sql, 3, types, values, nulls);
	for (uint64 i = 0; i < rows; i++)
	{
		EcCode	   *code = &cart->codes[cell_int64(i, 1) - 1];

		code->promotion = cell_int64(i, 2);
		code->status = code_status(cart, i);
	}
	SPI_finish();
	for (int i = 0; i < cart->ncodes; i++)
		unknown += cart->codes[i].promotion == 0;
	if (cart->client != NULL && unknown > 0)
		ec_coupon_attempt_failed(cart->client, unknown);
}

/* ---- stock ---- */

static const char *const stock_sql =
	"SELECT k.key, k.track, s.on_hand - s.reserved FROM"
	" (SELECT key, track_stock AS track FROM ecauto_data.seen_sku WHERE key = $1"
	"  UNION ALL (SELECT key, track_stock FROM ecauto_data.seen_sku WHERE sku = $1 ORDER BY key LIMIT 1) LIMIT 1) k"
	" LEFT JOIN ecauto_data.seen_stock s ON s.key = k.key";

/*
 * How many whole units of a sku there are: by the caller's word, else as the
 * last tick saw it.  False if it is not counted.
 */
bool
ec_cart_stock(EcCart *cart, const EcWord *sku, int64 *available)
{
	static const Oid types[] = {TEXTOID};
	Datum		value = word_datum(sku);
	bool		known = false;

	if (cart->stock != NULL)
	{
		JsonbValue	space;
		JsonbValue *given = getKeyJsonValueFromContainer(cart->stock, sku->data, sku->len, &space);

		if (given != NULL && given->type == jbvNumeric)
		{
			Datum		whole = DirectFunctionCall1(numeric_floor, NumericGetDatum(given->val.numeric));

			return ec_numeric_scaled(DatumGetNumeric(whole), 0, available);
		}
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (ask(stock_sql, 1, types, &value, NULL) > 0)
	{
		bool		isnull;

		value = cell(0, 2, &isnull);
		known = isnull || DatumGetBool(value);
		*available = 0;
		value = cell(0, 3, &isnull);
		if (known && !isnull)
			(void) ec_numeric_scaled(DatumGetNumeric(DirectFunctionCall1(numeric_floor, value)), 0, available);
	}
	SPI_finish();
	return known;
}

/* ---- segments ---- */

/*
 * Is the customer in one of these segments?  By the caller's word if he gave
 * the customer's segments, else by ecauto.in_segment().
 */
bool
ec_cart_in_segment(EcCart *cart, const EcWords *segments)
{
	static const Oid types[] = {TEXTOID, TEXTARRAYOID};
	Datum		values[2];
	Datum	   *names;
	bool		found;

	if (cart->segments_known)
	{
		for (int i = 0; i < cart->segments.n; i++)
			if (ec_words_have(segments, cart->segments.words[i].data, cart->segments.words[i].len))
				return true;
		return false;
	}
	if (cart->customer_key.data == NULL)
		return false;
	names = palloc(sizeof(Datum) * segments->n);
	for (int i = 0; i < segments->n; i++)
		names[i] = word_datum(&segments->words[i]);
	values[0] = word_datum(&cart->customer_key);
	values[1] = text_array(names, segments->n);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	found = ask("SELECT FROM pg_catalog.unnest($2) s (name) WHERE ecauto.in_segment($1, s.name)", 2, types, values, NULL) > 0;
	SPI_finish();
	return found;
}

/* ---- names of skus ---- */

static void
set_word(EcWord *word, uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		value = cell(row, column, &isnull);
	MemoryContext old;

	if (isnull || word->data != NULL)
		return;
	old = MemoryContextSwitchTo(context);
	word->data = TextDatumGetCString(value);
	word->len = strlen(word->data);
	MemoryContextSwitchTo(old);
}

static const char *const other_names_sql =
	"SELECT DISTINCT o.name FROM pg_catalog.unnest($1) g (name) CROSS JOIN LATERAL ("
	"SELECT s.sku AS name FROM ecauto_data.seen_sku s WHERE s.key = g.name AND s.sku <> s.key"
	" AND NOT EXISTS (SELECT FROM ecauto_data.seen_sku k WHERE k.key = s.sku)"
	" UNION ALL SELECT s.key FROM ecauto_data.seen_sku s WHERE s.sku = g.name"
	" AND NOT EXISTS (SELECT FROM ecauto_data.seen_sku k WHERE k.key = g.name)) o";

/*
 * A sku is named by its key, else by its code, and a line of a cart may have
 * either, so the other names of skus go on the list, too; a name that is
 * another sku's key is that one's.  Skus as the last tick saw them: when there
 * are new ones, ec_promotion_tick() lets promotions be read again.
 */
void
ec_cart_other_sku_names(EcWords *skus)
{
	static const Oid types[] = {TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *names;
	Datum		value;
	uint64		n;

	if (skus->n == 0)
		return;
	names = palloc(sizeof(Datum) * skus->n);
	for (int i = 0; i < skus->n; i++)
		names[i] = word_datum(&skus->words[i]);
	value = text_array(names, skus->n);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	n = ask(other_names_sql, 1, types, &value, NULL);
	if (n > 0)
	{
		EcWord	   *words = MemoryContextAlloc(caller, sizeof(EcWord) * (skus->n + n));

		memcpy(words, skus->words, sizeof(EcWord) * skus->n);
		skus->words = words;
	}
	for (uint64 i = 0; i < n; i++)
	{
		EcWord	   *word = &skus->words[skus->n++];

		word->data = NULL;
		set_word(word, i, 1, caller);
	}
	SPI_finish();
	ec_words_sort(skus);
}

/* ---- attributes ---- */

static const char *const sku_sql =
	"SELECT g.n, s.product_key, p.brand FROM pg_catalog.unnest($1) WITH ORDINALITY g (sku, n)"
	" CROSS JOIN LATERAL (SELECT k.product_key FROM ecauto_data.seen_sku k WHERE k.key = g.sku"
	"  UNION ALL (SELECT k.product_key FROM ecauto_data.seen_sku k WHERE k.sku = g.sku ORDER BY k.key LIMIT 1) LIMIT 1) s"
	" LEFT JOIN ecauto_data.seen_product p ON p.key = s.product_key";

static void
words_add(EcWords *words, Datum key)
{
	char	   *data = TextDatumGetCString(key);
	EcWord		word = {data, strlen(data)};

	for (int i = 0; i < words->n; i++)
		if (ec_word_cmp(&words->words[i], &word) == 0)
			return;
	words->words = words->n == 0 ? palloc(sizeof(EcWord)) : repalloc(words->words, sizeof(EcWord) * (words->n + 1));
	words->words[words->n++] = word;
}

/*
 * Rows of two keys of a role, those whose column "by" is among keys: calls
 * take() with both.
 */
typedef void (*PairTake) (EcCart *cart, Datum first, Datum second, void *arg);

static void
fetch_pairs(EcCart *cart, const char *role, ArrayType *keys, const char *first, const char *second,
			PairTake take, void *arg)
{
	EcBinding  *binding = ec_binding_get(role);
	Tuplestorestate *rows;
	TupleTableSlot *slot;
	TupleDesc	desc;
	int64		n;
	int			a = 0;
	int			b = 0;

	if (binding == NULL || binding->broken)
		return;
	rows = ec_binding_fetch(binding, "key", keys, 0, &desc, &n);
	for (int i = 0; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), first) == 0)
			a = i + 1;
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), second) == 0)
			b = i + 1;
	}
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		a_null;
		bool		b_null;
		Datum		a_value = slot_getattr(slot, a, &a_null);
		Datum		b_value = slot_getattr(slot, b, &b_null);

		if (!a_null && !b_null)
			take(cart, a_value, b_value, arg);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
}

static void
take_product_category(EcCart *cart, Datum product, Datum category, void *arg)
{
	text	   *key = DatumGetTextPP(product);

	for (int i = 0; i < cart->nlines; i++)
	{
		EcLine	   *line = &cart->lines[i];

		if (!line->categories_known && line->product.data != NULL && line->product.len == VARSIZE_ANY_EXHDR(key) &&
			memcmp(line->product.data, VARDATA_ANY(key), line->product.len) == 0)
			words_add(&line->categories, category);
	}
}

/* A child brings its parent to every line that has the child. */
static void
take_parent(EcCart *cart, Datum child, Datum parent, void *arg)
{
	char	   *key = TextDatumGetCString(child);
	bool	   *added = arg;

	for (int i = 0; i < cart->nlines; i++)
	{
		EcWords    *words = &cart->lines[i].categories;
		int			before = words->n;

		if (cart->lines[i].categories_known)
			continue;
		for (int j = 0; j < before; j++)
			if (words->words[j].len == strlen(key) && memcmp(words->words[j].data, key, words->words[j].len) == 0)
			{
				words_add(words, parent);
				break;
			}
		*added = *added || words->n > before;
	}
}

static ArrayType *
all_categories(EcCart *cart)
{
	Datum	   *keys;
	int			n = 0;
	int			max = 0;

	for (int i = 0; i < cart->nlines; i++)
		max += cart->lines[i].categories.n;
	keys = palloc(sizeof(Datum) * (max + 1));
	for (int i = 0; i < cart->nlines; i++)
		for (int j = 0; j < cart->lines[i].categories.n && !cart->lines[i].categories_known; j++)
			keys[n++] = word_datum(&cart->lines[i].categories.words[j]);
	return (ArrayType *) DatumGetPointer(text_array(keys, n));
}

/* Product and brand, as the last tick saw them. */
static void
fetch_products(EcCart *cart)
{
	static const Oid types[] = {TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *keys = palloc(sizeof(Datum) * (cart->nlines + 1));
	int		   *lines = palloc(sizeof(int) * (cart->nlines + 1));
	Datum		value;
	int			n = 0;
	uint64		rows;

	for (int i = 0; i < cart->nlines; i++)
	{
		/* categories hang on the product */
		if (cart->lines[i].attributes && (cart->lines[i].categories_known || cart->lines[i].product.data != NULL))
			continue;
		lines[n] = i;
		keys[n++] = word_datum(&cart->lines[i].sku);
	}
	if (n == 0)
		return;
	value = text_array(keys, n);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rows = ask(sku_sql, 1, types, &value, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		EcLine	   *line = &cart->lines[lines[cell_int64(i, 1) - 1]];

		set_word(&line->product, i, 2, caller);
		set_word(&line->brand, i, 3, caller);
	}
	SPI_finish();
	for (int i = 0; i < n; i++)
		cart->lines[lines[i]].attributes = true;
}

/* Categories of their products with all those above, as the shop has them. */
static void
fetch_categories(EcCart *cart)
{
	Datum	   *keys = palloc(sizeof(Datum) * (cart->nlines + 1));
	int			n = 0;
	bool		added;

	for (int i = 0; i < cart->nlines; i++)
		if (!cart->lines[i].categories_known && cart->lines[i].product.data != NULL)
			keys[n++] = word_datum(&cart->lines[i].product);
	if (n == 0)
		return;
	fetch_pairs(cart, "product_category", (ArrayType *) DatumGetPointer(text_array(keys, n)),
				"key", "category_key", take_product_category, NULL);
	/* a circle of parents adds nothing the second time round */
	do
	{
		ArrayType  *categories = all_categories(cart);

		added = false;
		if (ARR_NDIM(categories) > 0)
			fetch_pairs(cart, "category", categories, "key", "parent_key", take_parent, &added);
	} while (added);
	for (int i = 0; i < cart->nlines; i++)
	{
		if (!cart->lines[i].categories_known)
			ec_words_sort(&cart->lines[i].categories);
		cart->lines[i].categories_known = true;
	}
}

/*
 * What promotions ask of the lines and the caller did not say: product, brand
 * and categories.
 */
void
ec_cart_fetch_attributes(EcCart *cart, const EcPromotions *promotions)
{
	bool		categories = false;

	if (!promotions->any_attributes)
		return;
	for (int i = 0; i < cart->nlines; i++)
	{
		if (!promotions->any_categories)
			cart->lines[i].categories_known = true;
		categories = categories || !cart->lines[i].categories_known;
	}
	fetch_products(cart);
	if (categories)
		fetch_categories(cart);
}
