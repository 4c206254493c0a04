/*-------------------------------------------------------------------------
 *
 * recommend_past.c
 *		What one customer or visitor bought and did, as it is asked for.
 *
 * Orders are found by the index on customer and time, guests' by that on the
 * address, what was done by those of the event table, of which the partitions
 * of the last 30 days are read.  A customer with 50,000 purchases is read
 * whole, since none of them may be recommended; that takes a moment, but no
 * statement and no sort of lines.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

/* an order says so much less about what is bought next than the one after it */
#define ORDER_DECAY 0.9

/* what was done longer ago says nothing, ... */
#define DONE_DAYS 30
/* ... a week ago half, ... */
#define DONE_HALF_LIFE (7 * (double) USECS_PER_DAY)
/* ... and only the last so many of one customer or session count */
#define DONE_EVENTS 500
/* of one customer so many sessions are looked at */
#define DONE_SESSIONS 100

/* ---- purchases ---- */

typedef struct Order
{
	TimestampTz at;
	Datum		key;
} Order;

typedef struct Orders
{
	int			n;
	int			room;
	Order	   *order;
} Orders;

static int
order_compare(const void *a, const void *b)
{
	TimestampTz left = ((const Order *) a)->at;
	TimestampTz right = ((const Order *) b)->at;

	return (left < right) - (left > right);
}

/* Orders by this index entry; of_guests: those without a customer. */
static void
orders_read(EcServe *serve, EcServeTable table, Datum key, bool of_guests, Orders *orders)
{
	EcRead	   *read = ec_serve_read(serve, table);

	ec_read_find(read, BackwardScanDirection, 1, &key);
	while (ec_read_next(read))
	{
		TimestampTz at;

		CHECK_FOR_INTERRUPTS();
		if (read->nulls[0] || read->nulls[1] || (!read->nulls[2] && DatumGetBool(read->values[2])) ||
			(of_guests && !read->nulls[3]))
			continue;
		at = DatumGetTimestampTz(read->values[1]);
		if (at > serve->now)
			continue;
		if (orders->n == orders->room)
		{
			orders->room *= 2;
			orders->order = repalloc_huge(orders->order, orders->room * sizeof(Order));
		}
		orders->order[orders->n].at = at;
		orders->order[orders->n++].key = PointerGetDatum(PG_DETOAST_DATUM_COPY(read->values[0]));
	}
}

/*
 * What a customer (key; a guest's is his address) bought until now, in orders
 * that were not cancelled.  In the current context.
 */
EcPast *
ec_past_orders(EcServe *serve, const char *customer)
{
	EcPast	   *past = palloc0(sizeof(EcPast));
	Datum		key = CStringGetTextDatum(customer);
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	Orders		orders = {0, 32, palloc(32 * sizeof(Order))};
	EcRead	   *fact;
	EcRead	   *line;
	int			room = 32;
	int64		purchases = 64;
	double		weight = 1;
	double		total = 0;

	orders_read(serve, EC_SERVE_ORDER, key, false, &orders);
	fact = ec_serve_read(serve, EC_SERVE_FACT);
	if (ec_read_one(fact, 1, &key) && !fact->nulls[0])
	{
		Datum		email = PointerGetDatum(PG_DETOAST_DATUM_COPY(fact->values[0]));
		int			own = orders.n;

		orders_read(serve, EC_SERVE_GUEST_ORDER, email, true, &orders);
		if (own > 0 && orders.n > own)
			qsort(orders.order, orders.n, sizeof(Order), order_compare);
	}

	past->names = ec_names_create();
	past->bought = palloc(room * sizeof(EcBoughtSku));
	past->purchase_sku = palloc(purchases * sizeof(int));
	past->purchase_at = palloc(purchases * sizeof(TimestampTz));
	past->norders = orders.n;
	line = orders.n > 0 ? ec_serve_read(serve, EC_SERVE_LINE) : NULL;
	for (int i = 0; i < orders.n; i++)
	{
		ec_read_find(line, ForwardScanDirection, 1, &orders.order[i].key);
		while (ec_read_next(line))
		{
			text	   *sku;
			int			number;

			CHECK_FOR_INTERRUPTS();
			if (!line->nulls[1] && !DatumGetBool(DirectFunctionCall2(numeric_gt, line->values[1], zero)))
				continue;
			sku = DatumGetTextPP(line->values[0]);
			number = ec_names_put(past->names, VARDATA_ANY(sku), VARSIZE_ANY_EXHDR(sku));
			if (number == past->n)
			{
				if (past->n == room)
				{
					room *= 2;
					past->bought = repalloc_huge(past->bought, room * sizeof(EcBoughtSku));
				}
				past->bought[past->n++] = (EcBoughtSku) {text_to_cstring(sku), 0, orders.order[i].at, 0};
			}
			past->bought[number].times++;
			past->bought[number].share += weight;
			if (past->npurchases == purchases)
			{
				purchases *= 2;
				past->purchase_sku = repalloc_huge(past->purchase_sku, purchases * sizeof(int));
				past->purchase_at = repalloc_huge(past->purchase_at, purchases * sizeof(TimestampTz));
			}
			past->purchase_sku[past->npurchases] = number;
			past->purchase_at[past->npurchases++] = orders.order[i].at;
		}
		total += weight;
		weight *= ORDER_DECAY;
	}
	for (int i = 0; i < past->n; i++)
		past->bought[i].share /= total;
	return past;
}

static int
float_compare(const void *a, const void *b)
{
	double		left = *(const double *) a;
	double		right = *(const double *) b;

	return (left > right) - (left < right);
}

/*
 * The median of the days between the purchases of a sku, at least one; 0 if it
 * was bought at one instant only.
 */
double
ec_past_gap(const EcPast *past, int number)
{
	int			n = 0;
	double	   *gaps = palloc(Max(past->bought[number].times, 1) * sizeof(double));
	TimestampTz last = past->bought[number].last;
	double		median;

	for (int64 i = 0; i < past->npurchases; i++)
		if (past->purchase_sku[i] == number && past->purchase_at[i] < last)
		{
			gaps[n++] = (last - past->purchase_at[i]) / (double) USECS_PER_DAY;
			last = past->purchase_at[i];
		}
	if (n == 0)
		return 0;
	qsort(gaps, n, sizeof(double), float_compare);
	median = n % 2 == 1 ? gaps[n / 2] : (gaps[n / 2 - 1] + gaps[n / 2]) / 2;
	pfree(gaps);
	return Max(median, 1);
}

/* ---- what was done ---- */

/* Tables of a month, by customer and by session; of those that were asked for last. */
typedef struct Month
{
	char		name[NAMEDATALEN];
	EcReadTable by_customer;
	EcReadTable by_session;
} Month;

#define MONTHS 4
static Month event_months[MONTHS];

static const EcReadTable month_by_customer =
{NULL, {"customer", "at"}, {"at", "kind", "sku", "role", "customer"}, .partial = true};
static const EcReadTable month_by_session =
{NULL, {"session", "at"}, {"at", "kind", "sku", "role", "customer"}, .partial = true};

static void
month_set(Month *month, const char *name)
{
	/* these stay in the list of tables that are told of changes */
	bool		listed[2] = {month->by_customer.listed, month->by_session.listed};

	strlcpy(month->name, name, NAMEDATALEN);
	month->by_customer = month_by_customer;
	month->by_session = month_by_session;
	month->by_customer.name = month->by_session.name = month->name;
	month->by_customer.listed = listed[0];
	month->by_session.listed = listed[1];
}

/* Weights of what was done, by sku. */
typedef struct Doing
{
	EcNames    *names;
	EcDone	   *done;
	int			n;
	int			room;
	TimestampTz now;
} Doing;

static double
kind_weight(Datum kind)
{
	static const struct
	{
		const char *name;
		double		weight;
	}			kinds[] = {
		{"view", 0.2}, {"click", 0.2}, {"wish", 0.5}, {"wishlist", 0.5}, {"cart", 0.5}, {"add_to_cart", 0.5},
	};
	text	   *name = DatumGetTextPP(kind);

	for (int i = 0; i < lengthof(kinds); i++)
		if (VARSIZE_ANY_EXHDR(name) == strlen(kinds[i].name) &&
			memcmp(VARDATA_ANY(name), kinds[i].name, strlen(kinds[i].name)) == 0)
			return kinds[i].weight;
	return 0;
}

static void
doing_put(Doing *doing, const EcRead *read)
{
	TimestampTz at = DatumGetTimestampTz(read->values[0]);
	double		weight = kind_weight(read->values[1]);
	text	   *sku;
	int			number;

	if (weight == 0 || read->nulls[2] || !read->nulls[3])
		return;
	sku = DatumGetTextPP(read->values[2]);
	number = ec_names_put(doing->names, VARDATA_ANY(sku), VARSIZE_ANY_EXHDR(sku));
	if (number == doing->n)
	{
		if (doing->n == doing->room)
		{
			doing->room *= 2;
			doing->done = repalloc(doing->done, doing->room * sizeof(EcDone));
		}
		doing->done[doing->n++] = (EcDone) {text_to_cstring(sku), 0};
	}
	doing->done[number].weight += weight * exp2((at - doing->now) / DONE_HALF_LIFE);
}

/* Events of one customer or session in one month, the last ones first. */
static void
doing_read(Doing *doing, EcReadTable *table, Datum key, bool anonymous)
{
	EcRead	   *read = ec_read_begin(table);
	TimestampTz since = doing->now - DONE_DAYS * USECS_PER_DAY;
	int			n = 0;

	ec_read_find(read, BackwardScanDirection, 1, &key);
	while (n < DONE_EVENTS && ec_read_next(read))
	{
		TimestampTz at = DatumGetTimestampTz(read->values[0]);

		CHECK_FOR_INTERRUPTS();
		if (at <= since)
			break;
		if (at > doing->now || (anonymous && !read->nulls[4]))
			continue;
		doing_put(doing, read);
		n++;
	}
	ec_read_end(read);
}

/*
 * What a customer (key) did, in sessions that turned out to be his too, or
 * what was done in a session (the other is NULL) by somebody unknown; the
 * greatest weight is below that of a few purchases.  *n: of how many skus.
 * The caller has asked whether he objected to profiling.  In the current
 * context.
 */
EcDone *
ec_past_done(EcServe *serve, const char *customer, const char *session, int *n)
{
	Doing		doing = {ec_names_create(), palloc(16 * sizeof(EcDone)), 0, 16, serve->now};
	Datum		sessions[DONE_SESSIONS];
	Datum		key = CStringGetTextDatum(customer != NULL ? customer : session);
	int			nsessions = 0;
	char		last[NAMEDATALEN] = "";

	if (customer != NULL)
	{
		EcRead	   *read = ec_serve_read(serve, EC_SERVE_SESSION);

		ec_read_find(read, ForwardScanDirection, 1, &key);
		while (nsessions < DONE_SESSIONS && ec_read_next(read))
			sessions[nsessions++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(read->values[0]));
	}
	else
		sessions[nsessions++] = key;

	/* 15 days cannot leap over a month */
	for (int back = 0; back <= DONE_DAYS; back += 15)
	{
		char		name[NAMEDATALEN];
		Month	   *month = NULL;

		ec_event_partition_name(name, serve->now - back * USECS_PER_DAY);
		if (strcmp(name, last) == 0 || !OidIsValid(ec_state_relation(name, true)))
			continue;
		strlcpy(last, name, NAMEDATALEN);
		for (int i = 0; i < MONTHS && month == NULL; i++)
			if (strcmp(event_months[i].name, name) == 0)
				month = &event_months[i];
		if (month == NULL)
		{
			static int	next = 0;

			month = &event_months[next++ % MONTHS];
			month_set(month, name);
		}
		if (customer != NULL)
			doing_read(&doing, &month->by_customer, key, false);
		for (int i = 0; i < nsessions; i++)
			doing_read(&doing, &month->by_session, sessions[i], true);
	}
	*n = doing.n;
	return doing.done;
}
