/*-------------------------------------------------------------------------
 *
 * recommend_test.c
 *		Two ways of recommending side by side, and what can be said of them.
 *
 * A test is about how the weights that were built are used, or whether they
 * are used at all; both variants read one version.  Which variant a visitor is
 * follows from the names of the test and the visitor (ec_bucket()), so that it
 * is the same whenever and wherever it is asked, and nothing is stored.
 *
 * Intervals of a share are Wilson's (Probable Inference, the Law of
 * Succession, and Statistical Inference, 1927), those of the difference of two
 * are made of them (Newcombe, Interval estimation for the difference between
 * independent proportions, 1998, method 10); z is that of two shares with a
 * common variance.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "recommend/recommend.h"
#include "recommend/recommend_serve.h"

PG_FUNCTION_INFO_V1(ecauto_share_interval);
PG_FUNCTION_INFO_V1(ecauto_compare_shares);
PG_FUNCTION_INFO_V1(ecauto_recommendation_label);

/* 0.975 quantile of the normal distribution */
#define Z95 1.959963984540054

/*
 * Find out whether the visitor (a customer, or a session of nobody) is variant
 * B of the test that runs, and if so with which settings.
 */
void
ec_serve_draw(EcServe *serve, const char *visitor)
{
	EcRead	   *read = ec_serve_read(serve, EC_SERVE_TEST);
	Datum		running = BoolGetDatum(true);
	char	   *name;

	if (!ec_read_one(read, 1, &running))
		return;
	name = ec_read_text(read, 0);
	if (ec_bucket(name, strlen(name), visitor, strlen(visitor)) >= DatumGetFloat8(read->values[1]))
		return;
	serve->trial.on = true;
	serve->trial.half_life = read->nulls[2] ? -1 : DatumGetFloat8(read->values[2]);
	serve->trial.popular = read->nulls[3] ? -1 : DatumGetFloat8(read->values[3]);
	if (!read->nulls[4])
	{
		serve->repeats = ec_read_text(read, 4)[0];
		serve->repeats_known = true;
	}
	serve->trial.popular_only = !read->nulls[5] && !DatumGetBool(read->values[5]);
}

/* ---- figures ---- */

static void
check_counts(int64 successes, int64 n)
{
	if (successes < 0 || successes > n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of successes must be between 0 and the number of trials"),
				 errdetail("They are %lld of %lld.", (long long) successes, (long long) n)));
}

/* Wilson's score interval of x successes in n > 0 trials. */
static void
wilson(double x, double n, double *lo, double *hi)
{
	double		p = x / n;
	double		zz = Z95 * Z95;
	double		middle = 2 * x + zz;
	double		width = Z95 * sqrt(zz + 4 * x * (1 - p));

	*lo = x == 0 ? 0 : (middle - width) / (2 * (n + zz));
	*hi = x == n ? 1 : (middle + width) / (2 * (n + zz));
}

static Datum
float8_record(FunctionCallInfo fcinfo, const double *figures, int n)
{
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < n; i++)
	{
		nulls[i] = isnan(figures[i]);
		values[i] = Float8GetDatum(figures[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * ecauto.share_interval(successes bigint, n bigint, OUT share float8, OUT lo float8, OUT hi float8)
 */
Datum
ecauto_share_interval(PG_FUNCTION_ARGS)
{
	int64		x = PG_GETARG_INT64(0);
	int64		n = PG_GETARG_INT64(1);
	double		figures[3] = {NAN, NAN, NAN};

	check_counts(x, n);
	if (n > 0)
	{
		figures[0] = (double) x / n;
		wilson(x, n, &figures[1], &figures[2]);
	}
	return float8_record(fcinfo, figures, 3);
}

/*
 * ecauto.compare_shares(a_successes bigint, a bigint, b_successes bigint, b bigint,
 *		OUT difference float8, OUT lo float8, OUT hi float8, OUT z float8, OUT p float8)
 */
Datum
ecauto_compare_shares(PG_FUNCTION_ARGS)
{
	int64		xa = PG_GETARG_INT64(0);
	int64		na = PG_GETARG_INT64(1);
	int64		xb = PG_GETARG_INT64(2);
	int64		nb = PG_GETARG_INT64(3);
	double		figures[5] = {NAN, NAN, NAN, NAN, NAN};

	check_counts(xa, na);
	check_counts(xb, nb);
	if (na > 0 && nb > 0)
	{
		double		pa = (double) xa / na;
		double		pb = (double) xb / nb;
		double		both = ((double) xa + xb) / ((double) na + nb);
		double		error = sqrt(both * (1 - both) * (1.0 / na + 1.0 / nb));
		double		la;
		double		ua;
		double		lb;
		double		ub;

		wilson(xa, na, &la, &ua);
		wilson(xb, nb, &lb, &ub);
		figures[0] = pb - pa;
		figures[1] = pb - pa - sqrt((pb - lb) * (pb - lb) + (ua - pa) * (ua - pa));
		figures[2] = pb - pa + sqrt((ub - pb) * (ub - pb) + (pa - la) * (pa - la));
		if (error > 0)
		{
			figures[3] = (pb - pa) / error;
			figures[4] = erfc(fabs(figures[3]) / M_SQRT2);
		}
	}
	return float8_record(fcinfo, figures, 5);
}

/* ---- which one somebody gets ---- */

/*
 * ecauto.recommendation_label(customer text, session text) returns jsonb
 */
Datum
ecauto_recommendation_label(PG_FUNCTION_ARGS)
{
	static const char sql[] =
		"SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('version', m.version, 'test', t.name, 'variant',\n"
		"  CASE WHEN ecauto.bucket(t.name, v.visitor) < t.share THEN 'B' WHEN v.visitor IS NOT NULL AND t.name IS NOT NULL THEN 'A' END))\n"
		"FROM ecauto_data.recommend_model m LEFT JOIN ecauto_data.recommend_test t ON t.running\n"
		"CROSS JOIN (SELECT coalesce($1, (SELECT i.customer FROM ecauto_data.identity i WHERE i.session = $2), $2) AS visitor) v";
	static const Oid types[] = {TEXTOID, TEXTOID};
	Datum		args[2];
	char		nulls[] = "  ";
	Datum		result;
	bool		isnull;
	EcAs		as;

	ec_state_require();
	for (int i = 0; i < 2; i++)
	{
		args[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_state_owner(&as);
	if (SPI_execute_plan(ec_plan(sql, 2, types), args, nulls, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the version of recommendations");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	result = SPI_datumTransfer(result, false, -1);
	ec_as_end(&as);
	SPI_finish();
	PG_RETURN_DATUM(result);
}
