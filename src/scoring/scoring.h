/*-------------------------------------------------------------------------
 *
 * scoring.h
 *		What customers are worth: points, recency-frequency-monetary groups,
 *		lifetime value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_SCORING_H
#define EC_SCORING_H

#include "core/core.h"
#include "expr/expr.h"

/* ---- scoring_special.c ---- */

#define EC_LEGENDRE 32
#define EC_BETA_NODES 161

typedef struct EcBetaRule
{
	double		p[EC_BETA_NODES];
	double		w[EC_BETA_NODES];
} EcBetaRule;

extern double ec_digamma(double x);
extern double ec_log_sum(double a, double b);
extern void ec_legendre(const double **x, const double **w);
extern void ec_beta_rule(double a, double b, EcBetaRule *rule);
extern const EcBetaRule *ec_beta_rule_kept(double a, double b);

/* ---- scoring_maximise.c ---- */

#define EC_PARAMS_MAX 4

/* The function's value at theta; sets its gradient. */
typedef double (*EcObjective) (const double *theta, double *gradient, void *arg);

extern double ec_maximise(EcObjective f, void *arg, int nparams, double *theta, const double *lo,
						  const double *hi, double tolerance, double *inverse, bool *converged);
extern bool ec_covariance(EcObjective f, void *arg, int nparams, const double *theta,
						  const bool *held, double *covariance);

/* A fitted model and how certain it is. */
typedef struct EcFit
{
	double		param[EC_PARAMS_MAX];
	double		error[EC_PARAMS_MAX];	/* standard errors; NaN: not known */
	double		covariance[EC_PARAMS_MAX * EC_PARAMS_MAX];	/* of as many as there are; 0 for those held */
	bool		covariance_known;
	double		log_likelihood;
	bool		converged;
	bool		held[EC_PARAMS_MAX];	/* ended at its bound */
	double		customers;
	double		repeaters;
} EcFit;

extern void ec_fit_errors(EcFit *fit, int nparams);

/* ---- scoring_history.c: what customers did, summed up ---- */

/* Customers with the same history. */
typedef struct EcHistory
{
	double		x;				/* repeat purchases */
	double		tx;				/* from the first purchase to the last; 0 if x is 0 */
	double		t;				/* from the first purchase to the end of the data */
	double		n;				/* customers */
} EcHistory;

/* Sorted, so that what is computed does not depend on the order of the input. */
typedef struct EcHistories
{
	EcHistory  *rows;			/* in order of x, t, tx */
	int			nrows;
	double		customers;
	double		repeaters;		/* customers with x > 0 */
	double		purchases;		/* repeat purchases of all */
	double		t_max;
} EcHistories;

extern EcHistories *ec_histories_group(EcHistory *rows, int nrows);

/* ---- scoring_nbd.c: how often customers buy, and until when ---- */

typedef enum EcNbd
{
	EC_BGNBD,
	EC_MBGNBD,
	EC_PARETONBD,
	EC_NBD_MODELS
} EcNbd;

/* parameters of a fit are r, alpha, then a, b or s, beta */
extern const char *const ec_nbd_names[EC_NBD_MODELS];
extern void ec_nbd_fit(EcNbd model, const EcHistories *histories, double prior, EcFit *fit);
extern double ec_nbd_log_likelihood(EcNbd model, const double *param, const EcHistories *histories);
extern double ec_nbd_p_alive(EcNbd model, const double *param, const EcHistory *h);
extern double ec_nbd_expected(EcNbd model, const double *param, const EcHistory *h, double horizon);
extern double ec_nbd_p_buys(EcNbd model, const double *param, const EcHistory *h, double horizon);

/* ---- scoring_value.c: how much an order is worth ---- */

extern void ec_gamma_gamma_fit(const double *x, const double *m, const double *n, int nrows,
							   EcFit *fit);
extern double ec_gamma_gamma_value(const double *param, double x, double m);

/* ---- scoring_point.c ---- */

/*
 * SQL of what points of time "at" come to at "now"; the exponent is kept from
 * where the server's power() raises an underflow.
 */
#define EC_SCORE_WORTH(points, at, now, half_life) \
	"(CASE WHEN extract(epoch FROM " now " - " at ")::float8 > 1000 * " half_life " THEN 0 " \
	"ELSE " points " * power(2::float8, extract(epoch FROM " at " - " now ")::float8 / " half_life ") END)"

extern void ec_scoring_tick(EcTick *tick);

/* ---- scoring_row.c: the rows "score", "rfm" and "clv" of conditions ---- */

typedef enum EcScoringRow
{
	EC_SCORING_SCORE,
	EC_SCORING_RFM,
	EC_SCORING_CLV,
	EC_SCORING_ROWS
} EcScoringRow;

typedef struct EcScoringColumn
{
	EcScoringRow row;
	const char *name;			/* without the row; NULL: for our own use, not in the scope */
	const char *full_name;		/* "score.value": the column's name in a query */
	Oid			type;
	const char *sql;			/* over what the row's join gives, and "customer" */
} EcScoringColumn;

/* days that clv.expected_orders and clv.expected_value are about */
#define EC_CLV_DAYS "365"

extern const EcScoringColumn ec_scoring_columns[];
extern const int ec_scoring_ncolumns;
extern const char *const ec_scoring_row_names[EC_SCORING_ROWS];

extern EcExprRow *ec_scoring_scope_row(EcScoringRow row);
extern bool ec_scoring_row_find(const char *name, EcScoringRow *row);
extern char *ec_scoring_columns_sql(const bool *rows, const char *as_of);
extern char *ec_scoring_joins_sql(const bool *rows, const char *keys, const char *as_of);
extern void ec_scoring_customer_columns(const bool *rows, bool *used);

#endif							/* EC_SCORING_H */
