/*-------------------------------------------------------------------------
 *
 * scoring_fit.c
 *		The fitters and what they predict, for SQL, on arrays and numbers.
 *
 * Nothing here reads a table: what a shop's tables are turned into is
 * scoring_clv.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "scoring/scoring.h"

PG_FUNCTION_INFO_V1(ecauto_bgnbd_fit);
PG_FUNCTION_INFO_V1(ecauto_mbgnbd_fit);
PG_FUNCTION_INFO_V1(ecauto_paretonbd_fit);
PG_FUNCTION_INFO_V1(ecauto_gamma_gamma_fit);
PG_FUNCTION_INFO_V1(ecauto_clv_p_alive);
PG_FUNCTION_INFO_V1(ecauto_clv_expected_orders);
PG_FUNCTION_INFO_V1(ecauto_clv_p_buys);
PG_FUNCTION_INFO_V1(ecauto_gamma_gamma_value);
PG_FUNCTION_INFO_V1(ecauto_clv_errors);
PG_FUNCTION_INFO_V1(ecauto_gamma_gamma_error);
PG_FUNCTION_INFO_V1(ecauto_clv_log_likelihood);

/* most that a number of purchases or a time may be */
#define HISTORY_MAX 1e9

static const char *const param_names[EC_NBD_MODELS][EC_PARAMS_MAX] = {
	{"r", "alpha", "a", "b"}, {"r", "alpha", "a", "b"}, {"r", "alpha", "s", "beta"}
};

/* ---- arrays ---- */

/*
 * The elements of a float8[] argument; raises unless it has one dimension and
 * no NULL, and every element is finite and not negative.
 */
static const double *
array_values(ArrayType *array, const char *name, int *n)
{
	const double *values;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name),
				 errdetail("It has %d.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name)));
	*n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	values = (const double *) ARR_DATA_PTR(array);
	for (int i = 0; i < *n; i++)
		if (!(values[i] >= 0 && values[i] <= HISTORY_MAX))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("array \"%s\" must hold numbers between 0 and %.0g", name, HISTORY_MAX),
					 errdetail("Element %d is %g.", i + 1, values[i])));
	return values;
}

static void
check_lengths(int n, int other, const char *name, const char *other_name)
{
	if (n != other)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"%s\" and \"%s\" must have the same length", name, other_name),
				 errdetail("They have %d and %d elements.", n, other)));
}

/* Raises if a history cannot be; i counts from 0, negative: there is but one. */
static void
check_history(double x, double tx, double t, int i)
{
	const char *problem = NULL;

	if (!(x == 0 || x >= 1))
		problem = "Its frequency is neither 0 nor at least 1.";
	else if (!(tx <= t))
		problem = "Its recency is longer than the time it was observed.";
	else if (x == 0 && tx != 0)
		problem = "Its recency is not 0 though its frequency is.";
	if (problem == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 i >= 0 ? errmsg("history %d is not possible: frequency %g, recency %g, t %g", i + 1, x, tx, t)
			 : errmsg("history is not possible: frequency %g, recency %g, t %g", x, tx, t),
			 errdetail_internal("%s", problem),
			 errhint("frequency counts the purchases after the first, recency is the time from the first purchase to the last, t that from the first to the end of the data.")));
}

/* Histories of three arguments from the one of number i on. */
static EcHistories *
histories_from_arrays(FunctionCallInfo fcinfo, int first)
{
	int			nx;
	int			ntx;
	int			nt;
	const double *x = array_values(PG_GETARG_ARRAYTYPE_P(first), "frequency", &nx);
	const double *tx = array_values(PG_GETARG_ARRAYTYPE_P(first + 1), "recency", &ntx);
	const double *t = array_values(PG_GETARG_ARRAYTYPE_P(first + 2), "t", &nt);
	EcHistory  *rows;

	check_lengths(nx, ntx, "frequency", "recency");
	check_lengths(nx, nt, "frequency", "t");
	rows = palloc_extended(Max(nx, 1) * sizeof(EcHistory), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nx; i++)
	{
		check_history(x[i], tx[i], t[i], i);
		rows[i].x = x[i];
		rows[i].tx = tx[i];
		rows[i].t = t[i];
		rows[i].n = 1;
	}
	return ec_histories_group(rows, nx);
}

/* ---- results ---- */

/*
 * What a fit leaves open, in words; NULL if nothing.
 */
static char *
fit_note(const EcFit *fit, const char *const *names, int nparams)
{
	StringInfoData note;
	int			nheld = 0;

	initStringInfo(&note);
	for (int i = 0; i < nparams; i++)
		if (fit->held[i])
			appendStringInfo(&note, "%s%s", nheld++ > 0 ? ", " : "", names[i]);
	if (nheld > 0)
		appendStringInfo(&note, " ran off to %s: the data do not tell %s",
						 nheld > 1 ? "their bounds" : "its bound", nheld > 1 ? "them" : "it");
	if (!fit->converged)
		appendStringInfo(&note, "%sthe search ended before the maximum was certain",
						 nheld > 0 ? "; " : "");
	for (int i = 0; i < nparams && nheld == 0; i++)
		if (isnan(fit->error[i]) || fit->error[i] > 2 * fit->param[i])
		{
			appendStringInfo(&note, "%s%s is hardly told by the data", note.len > 0 ? "; " : "", names[i]);
			break;
		}
	return note.len > 0 ? note.data : NULL;
}

/*
 * A row of the parameters, the log-likelihood, standard_errors float8[]
 * (NULL where not known), converged, a note, and the covariance of the
 * parameters as float8[][] (NULL: not known).
 */
static Datum
fit_row(FunctionCallInfo fcinfo, const EcFit *fit, const char *const *names, int nparams)
{
	TupleDesc	desc;
	Datum		values[EC_PARAMS_MAX + 5];
	bool		nulls[EC_PARAMS_MAX + 5] = {false};
	Datum		errors[EC_PARAMS_MAX];
	bool		unknown[EC_PARAMS_MAX];
	Datum		covariance[EC_PARAMS_MAX * EC_PARAMS_MAX];
	int			sides[2] = {nparams, nparams};
	int			lower[2] = {1, 1};
	char	   *note = fit_note(fit, names, nparams);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < nparams; i++)
	{
		values[i] = Float8GetDatum(fit->param[i]);
		unknown[i] = isnan(fit->error[i]);
		errors[i] = Float8GetDatum(unknown[i] ? 0 : fit->error[i]);
	}
	values[nparams] = Float8GetDatum(fit->log_likelihood);
	values[nparams + 1] = PointerGetDatum(construct_md_array(errors, unknown, 1, sides, lower,
															 FLOAT8OID, sizeof(float8),
															 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[nparams + 2] = BoolGetDatum(fit->converged);
	nulls[nparams + 3] = note == NULL;
	values[nparams + 3] = note != NULL ? CStringGetTextDatum(note) : (Datum) 0;
	for (int i = 0; i < nparams * nparams; i++)
		covariance[i] = Float8GetDatum(fit->covariance[i]);
	nulls[nparams + 4] = !fit->covariance_known;
	values[nparams + 4] = PointerGetDatum(construct_md_array(covariance, NULL, 2, sides, lower,
															 FLOAT8OID, sizeof(float8),
															 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---- the fitters ---- */

static Datum
nbd_fit(FunctionCallInfo fcinfo, EcNbd model)
{
	EcHistories *histories = histories_from_arrays(fcinfo, 0);
	double		prior = PG_GETARG_FLOAT8(3);
	EcFit		fit;

	if (!(prior >= 0 && prior <= HISTORY_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("prior must be a finite number and not negative"),
				 errdetail("It is %g.", prior)));
	if (prior == 0)
	{
		const char *lacking = NULL;

		if (histories->customers == 0)
			lacking = "There is no customer.";
		else if (histories->t_max <= 0)
			lacking = "No time passed after any customer's first purchase.";
		else if (histories->repeaters == 0)
			lacking = "No customer bought again after the first purchase.";
		if (lacking != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot fit a model of purchases to these customers"),
					 errdetail_internal("%s", lacking),
					 errhint("Give more history, or a prior, which is what is usual counted as so many customers.")));
	}
	ec_nbd_fit(model, histories, prior, &fit);
	return fit_row(fcinfo, &fit, param_names[model], EC_PARAMS_MAX);
}

/*
 * ecauto.bgnbd_fit(frequency float8[], recency float8[], t float8[], prior float8)
 *		returns (r, alpha, a, b, log_likelihood, standard_errors, converged, note,
 *				 covariance)
 */
Datum
ecauto_bgnbd_fit(PG_FUNCTION_ARGS)
{
	return nbd_fit(fcinfo, EC_BGNBD);
}

/*
 * ecauto.mbgnbd_fit(): as bgnbd_fit()
 */
Datum
ecauto_mbgnbd_fit(PG_FUNCTION_ARGS)
{
	return nbd_fit(fcinfo, EC_MBGNBD);
}

/*
 * ecauto.paretonbd_fit(): as bgnbd_fit(), with (r, alpha, s, beta, ...)
 */
Datum
ecauto_paretonbd_fit(PG_FUNCTION_ARGS)
{
	return nbd_fit(fcinfo, EC_PARETONBD);
}

typedef struct ValueRow
{
	double		x;
	double		m;
} ValueRow;

static int
value_compare(const void *a, const void *b)
{
	const ValueRow *left = a;
	const ValueRow *right = b;

	if (left->x != right->x)
		return left->x < right->x ? -1 : 1;
	return left->m < right->m ? -1 : left->m > right->m;
}

/*
 * ecauto.gamma_gamma_fit(frequency float8[], value float8[])
 *		returns (p, q, v, log_likelihood, standard_errors, converged, note, covariance)
 */
Datum
ecauto_gamma_gamma_fit(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"p", "q", "v"};
	int			nx;
	int			nm;
	const double *x = array_values(PG_GETARG_ARRAYTYPE_P(0), "frequency", &nx);
	const double *m = array_values(PG_GETARG_ARRAYTYPE_P(1), "value", &nm);
	ValueRow   *rows;
	double	   *column;
	int			n = 0;
	int			groups = 0;
	EcFit		fit;

	check_lengths(nx, nm, "frequency", "value");
	rows = palloc_extended(Max(nx, 1) * sizeof(ValueRow), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nx; i++)
		if (x[i] > 0 && m[i] > 0)
		{
			rows[n].x = x[i];
			rows[n++].m = m[i];
		}
	qsort(rows, n, sizeof(ValueRow), value_compare);
	column = palloc_extended(3 * (Size) Max(n, 1) * sizeof(double), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		if (groups > 0 && column[groups - 1] == rows[i].x && column[n + groups - 1] == rows[i].m)
			column[2 * (Size) n + groups - 1] += 1;
		else
		{
			column[groups] = rows[i].x;
			column[n + groups] = rows[i].m;
			column[2 * (Size) n + groups++] = 1;
		}
	}
	if (groups < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot fit a model of order values to these customers"),
				 errdetail("Customers with orders of a value above zero that differ are needed, and there are %d.",
						   groups)));
	ec_gamma_gamma_fit(column, column + n, column + 2 * (Size) n, groups, &fit);
	return fit_row(fcinfo, &fit, names, 3);
}

/* ---- predictions ---- */

static EcNbd
model_argument(text *name)
{
	char	   *wanted = text_to_cstring(name);

	for (int i = 0; i < EC_NBD_MODELS; i++)
		if (strcmp(wanted, ec_nbd_names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("model \"%s\" does not exist", wanted),
			 errhint("The models are bgnbd, mbgnbd and paretonbd.")));
}

/*
 * The n parameters in an array; raises unless all are finite and above zero.
 */
static const double *
param_argument(ArrayType *array, int n)
{
	int			found;
	const double *values = array_values(array, "params", &found);

	if (found != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"params\" must have %d elements", n),
				 errdetail("It has %d.", found)));
	for (int i = 0; i < n; i++)
		if (values[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("parameters of a model must be above zero"),
					 errdetail("Element %d is %g.", i + 1, values[i])));
	return values;
}

static double
number_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	double		value = PG_GETARG_FLOAT8(i);

	if (!(value >= 0 && value <= HISTORY_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a number between 0 and %.0g", name, HISTORY_MAX),
				 errdetail("It is %g.", value)));
	return value;
}

/* Arguments 0 to 4 of a prediction. */
static EcNbd
history_arguments(FunctionCallInfo fcinfo, const double **param, EcHistory *h)
{
	EcNbd		model = model_argument(PG_GETARG_TEXT_PP(0));

	*param = param_argument(PG_GETARG_ARRAYTYPE_P(1), EC_PARAMS_MAX);
	h->x = number_argument(fcinfo, 2, "frequency");
	h->tx = number_argument(fcinfo, 3, "recency");
	h->t = number_argument(fcinfo, 4, "t");
	h->n = 1;
	check_history(h->x, h->tx, h->t, -1);
	return model;
}

/*
 * ecauto.clv_p_alive(model text, params float8[], frequency float8,
 *					  recency float8, t float8) returns float8
 */
Datum
ecauto_clv_p_alive(PG_FUNCTION_ARGS)
{
	const double *param;
	EcHistory	h;
	EcNbd		model = history_arguments(fcinfo, &param, &h);

	PG_RETURN_FLOAT8(ec_nbd_p_alive(model, param, &h));
}

/*
 * ecauto.clv_expected_orders(model text, params float8[], frequency float8,
 *							  recency float8, t float8, horizon float8) returns float8
 */
Datum
ecauto_clv_expected_orders(PG_FUNCTION_ARGS)
{
	const double *param;
	EcHistory	h;
	EcNbd		model = history_arguments(fcinfo, &param, &h);

	PG_RETURN_FLOAT8(ec_nbd_expected(model, param, &h, number_argument(fcinfo, 5, "horizon")));
}

/*
 * ecauto.clv_p_buys(): arguments as clv_expected_orders()
 */
Datum
ecauto_clv_p_buys(PG_FUNCTION_ARGS)
{
	const double *param;
	EcHistory	h;
	EcNbd		model = history_arguments(fcinfo, &param, &h);

	PG_RETURN_FLOAT8(ec_nbd_p_buys(model, param, &h, number_argument(fcinfo, 5, "horizon")));
}

/*
 * ecauto.gamma_gamma_value(params float8[], frequency float8, value float8)
 *		returns float8
 *
 * The mean value of an order of a customer whose "frequency" orders had the
 * mean "value": between his own mean and everybody's.  NULL if there is no
 * finite one (no order of his own, and q <= 1).
 */
Datum
ecauto_gamma_gamma_value(PG_FUNCTION_ARGS)
{
	const double *param = param_argument(PG_GETARG_ARRAYTYPE_P(0), 3);
	double		x = number_argument(fcinfo, 1, "frequency");
	double		m = number_argument(fcinfo, 2, "value");
	double		worth = ec_gamma_gamma_value(param, x, m);

	if (worth < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(worth);
}

/* ---- how certain predictions are ---- */

/* parameters are moved by such a part of theirs to see what a prediction does */
#define STEP 1e-5

/*
 * The n by n elements of a float8[][] argument; raises unless they are finite.
 */
static const double *
covariance_argument(ArrayType *array, int n)
{
	const double *values = (const double *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) != 2 || ARR_DIMS(array)[0] != n || ARR_DIMS(array)[1] != n || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"covariance\" must have %d rows of %d numbers", n, n)));
	for (int i = 0; i < n * n; i++)
		if (!isfinite(values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("array \"covariance\" must hold finite numbers")));
	return values;
}

/*
 * The standard error of something whose derivatives by n parameters are slope:
 * the root of slope' covariance slope (the delta method); NaN if that is beyond
 * what numbers hold.
 */
static double
delta_error(const double *slope, const double *covariance, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			sum += slope[i] * covariance[i * n + j] * slope[j];
	return isfinite(sum) ? sqrt(Max(sum, 0)) : get_float8_nan();
}

/*
 * ecauto.clv_errors(model text, params float8[], frequency float8, recency float8,
 *					 t float8, horizon float8, covariance float8[],
 *					 OUT p_alive float8, OUT expected_orders float8)
 */
Datum
ecauto_clv_errors(PG_FUNCTION_ARGS)
{
	const double *param;
	EcHistory	h;
	EcNbd		model = history_arguments(fcinfo, &param, &h);
	double		horizon = number_argument(fcinfo, 5, "horizon");
	const double *covariance = covariance_argument(PG_GETARG_ARRAYTYPE_P(6), EC_PARAMS_MAX);
	double		alive = ec_nbd_p_alive(model, param, &h);
	double		orders = ec_nbd_expected(model, param, &h, horizon);
	double		alive_slope[EC_PARAMS_MAX];
	double		orders_slope[EC_PARAMS_MAX];
	double		errors[2];
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < EC_PARAMS_MAX; i++)
	{
		double		near[EC_PARAMS_MAX];
		double		step = param[i] * STEP;

		memcpy(near, param, sizeof(near));
		near[i] += step;
		alive_slope[i] = (ec_nbd_p_alive(model, near, &h) - alive) / step;
		orders_slope[i] = (ec_nbd_expected(model, near, &h, horizon) - orders) / step;
	}
	errors[0] = delta_error(alive_slope, covariance, EC_PARAMS_MAX);
	errors[1] = delta_error(orders_slope, covariance, EC_PARAMS_MAX);
	for (int i = 0; i < 2; i++)
	{
		nulls[i] = isnan(errors[i]);
		values[i] = Float8GetDatum(errors[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * ecauto.gamma_gamma_error(params float8[], frequency float8, value float8,
 *							covariance float8[]) returns float8
 *
 * NULL where gamma_gamma_value() is, or where the error is out of range.
 */
Datum
ecauto_gamma_gamma_error(PG_FUNCTION_ARGS)
{
	const double *param = param_argument(PG_GETARG_ARRAYTYPE_P(0), 3);
	double		x = number_argument(fcinfo, 1, "frequency");
	double		m = number_argument(fcinfo, 2, "value");
	const double *covariance = covariance_argument(PG_GETARG_ARRAYTYPE_P(3), 3);
	double		worth = ec_gamma_gamma_value(param, x, m);
	double		slope[3];
	double		error;

	if (worth < 0)
		PG_RETURN_NULL();
	for (int i = 0; i < 3; i++)
	{
		double		near[3];
		double		step = param[i] * STEP;

		memcpy(near, param, sizeof(near));
		near[i] += step;
		slope[i] = (ec_gamma_gamma_value(near, x, m) - worth) / step;
	}
	error = delta_error(slope, covariance, 3);
	if (isnan(error))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(error);
}

/*
 * ecauto.clv_log_likelihood(model text, params float8[], frequency float8[],
 *							 recency float8[], t float8[]) returns float8
 */
Datum
ecauto_clv_log_likelihood(PG_FUNCTION_ARGS)
{
	EcNbd		model = model_argument(PG_GETARG_TEXT_PP(0));
	const double *param = param_argument(PG_GETARG_ARRAYTYPE_P(1), EC_PARAMS_MAX);

	PG_RETURN_FLOAT8(ec_nbd_log_likelihood(model, param, histories_from_arrays(fcinfo, 2)));
}
