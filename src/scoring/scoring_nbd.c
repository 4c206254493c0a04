/*-------------------------------------------------------------------------
 *
 * scoring_nbd.c
 *		How often customers buy while they are customers, and until when.
 *
 * Three models of a customer who buys at random at a rate of his own (gamma
 * distributed over customers: r, alpha) until he leaves, which nobody sees:
 *
 *	BG/NBD		after each repeat purchase with a probability of his own (beta:
 *				a, b).  Fader, Hardie, Lee: "Counting Your Customers" the Easy
 *				Way, 2005.
 *	MBG/NBD		the same, and after the first purchase too.  Batislam, Denizel,
 *				Filiztekin: Empirical validation and comparison of models for
 *				customer base analysis, 2007.
 *	Pareto/NBD	at any time, at a rate of his own (gamma: s, beta).
 *				Schmittlein, Morrison, Colombo: Counting Your Customers, 1987.
 *
 * Under BG/NBD whoever bought once is alive for certain, so that it ranks
 * churn worse than a coin does; the other two do not.
 *
 * What the literature writes with Gauss's hypergeometric function is
 * integrated here: its series fail where parameters are large or its
 * argument is near 1, which real shops reach.
 *
 * Likelihoods are computed from logarithms, with analytic gradients, over
 * histories (scoring_history.c) and in their order: terms that depend on the
 * number of purchases alone are computed once for each number.  Times are
 * divided by the longest one while fitting.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/float.h"

#include "scoring/scoring.h"

const char *const ec_nbd_names[EC_NBD_MODELS] = {"bgnbd", "mbgnbd", "paretonbd"};

/* bounds of the parameters' logarithms: r, alpha (of the longest time), a | s, b | beta */
static const double lower[EC_PARAMS_MAX] = {-9, -12, -9, -9};
static const double upper[EC_PARAMS_MAX] = {9, 12, 9, 9};

/* histories that a first, rough fit looks at */
#define ROUGH_ROWS 20000

/* histories between looks at interrupts */
#define ROWS_BETWEEN_INTERRUPTS 65536

typedef struct NbdFit
{
	EcNbd		model;
	const EcHistory *rows;
	int			nrows;
	int			every;			/* look at every such row only */
	double		scale;			/* times are divided by it */
	double		weight;			/* the objective is this times the log-likelihood */
	double		prior;			/* weight of what is usual, in customers; 0: none */
	double		typical[EC_PARAMS_MAX]; /* and what is usual, as logarithms */
} NbdFit;

/*
 * Logarithm of the integral of (alpha + y)^-p (beta + y)^-q over [from, to],
 * p, q > 0, and the means under that integrand of what its derivatives need:
 * mean[] is of log(alpha + y), 1 / (alpha + y), log(beta + y), 1 / (beta + y);
 * NULL if nobody wants them.
 *
 * Gauss and Legendre's rule in u = log(c + y) with c the lesser of alpha and
 * beta, from where it begins to where nothing is left: in u the integrand
 * falls off almost exponentially, at a rate known at its beginning, and 32
 * nodes give exp(-z) over [0, 45] to the last digit.
 */
static double
power_integral(double alpha, double beta, double p, double q, double from, double to, double *mean)
{
	double		c = Min(alpha, beta);
	double		u0 = log(c + from);
	double		span = log((c + to) / (c + from));
	double		rate = p * (c + from) / (alpha + from) + q * (c + from) / (beta + from) - 1;
	double		reach;
	double		base = -p * log(alpha + from) - q * log(beta + from);
	double		sum = 0;
	double		sums[4] = {0};
	const double *x;
	const double *weight;

	if (to <= from)
		return -HUGE_VAL;
	rate = Max(rate, 0.1);
	reach = Min(span, 45 / rate);
	ec_legendre(&x, &weight);
	for (int i = 0; i < EC_LEGENDRE; i++)
	{
		double		cy = exp(u0 + reach * (x[i] + 1) / 2);	/* c + y */
		double		ay = cy + (alpha - c);
		double		by = cy + (beta - c);
		double		log_a = log(ay);
		double		log_b = log(by);
		double		term = weight[i] / 2 * reach * exp(-p * log_a - q * log_b - base) * cy;

		sum += term;
		sums[0] += term * log_a;
		sums[1] += term / ay;
		sums[2] += term * log_b;
		sums[3] += term / by;
	}
	if (mean != NULL)
		for (int i = 0; i < 4; i++)
			mean[i] = sums[i] / sum;
	return base + log(sum);
}

/*
 * Log-likelihood of BG/NBD and MBG/NBD; adds the gradient by parameters.
 */
static double
beta_geometric(const NbdFit *fit, const double *param, double *gradient)
{
	double		r = param[0];
	double		alpha = param[1];
	double		a = param[2];
	double		b = param[3];
	double		first = fit->model == EC_MBGNBD ? 1 : 0;	/* chances to leave before the first repeat */
	double		log_alpha = log(alpha);
	double		log_a = log(a);
	double		of_x = -1;		/* what the following are for */
	double		constant = 0;
	double		dr = 0;
	double		da = 0;
	double		db = 0;
	double		odds = 0;		/* log of a / (b + x - 1) */
	double		stays = 0;
	double		sum = 0;
	int			since = 0;

	for (int i = 0; i < fit->nrows; i += fit->every)
	{
		const EcHistory *h = &fit->rows[i];
		double		t = alpha + h->t / fit->scale;
		double		tx = alpha + h->tx / fit->scale;
		double		log_t = log(t);
		double		log_tx = log(tx);
		double		rx = r + h->x;
		double		alive = -rx * log_t;
		double		gone;
		double		total;
		double		p_gone;

		if (++since == ROWS_BETWEEN_INTERRUPTS)
		{
			CHECK_FOR_INTERRUPTS();
			since = 0;
		}
		if (h->x != of_x)
		{
			double		k = h->x + first;

			of_x = h->x;
			constant = lgamma(rx) - lgamma(r) + r * log_alpha
				+ lgamma(a + b) + lgamma(b + k) - lgamma(b) - lgamma(a + b + k);
			dr = ec_digamma(rx) - ec_digamma(r) + log_alpha;
			da = ec_digamma(a + b) - ec_digamma(a + b + k);
			db = da + ec_digamma(b + k) - ec_digamma(b);
			stays = b + k - 1;
			odds = k > 0 ? log_a - log(stays) : 0;
		}
		if (h->x + first > 0)
		{
			gone = odds - rx * log_tx;
			total = ec_log_sum(alive, gone);
			p_gone = exp(gone - total);
		}
		else
		{
			total = alive;
			p_gone = 0;
		}
		sum += h->n * (constant + total);
		gradient[0] += h->n * (dr - (1 - p_gone) * log_t - p_gone * log_tx);
		gradient[1] += h->n * (r / alpha - rx * ((1 - p_gone) / t + p_gone / tx));
		gradient[2] += h->n * (da + p_gone / a);
		gradient[3] += h->n * (db - (p_gone > 0 ? p_gone / stays : 0));
	}
	return sum;
}

/*
 * Log-likelihood of Pareto/NBD; adds the gradient by parameters.
 */
static double
pareto(const NbdFit *fit, const double *param, double *gradient)
{
	double		r = param[0];
	double		alpha = param[1];
	double		s = param[2];
	double		beta = param[3];
	double		of_x = -1;
	double		constant = 0;
	double		dr = 0;
	double		sum = 0;
	int			since = 0;

	for (int i = 0; i < fit->nrows; i += fit->every)
	{
		const EcHistory *h = &fit->rows[i];
		double		t = h->t / fit->scale;
		double		tx = h->tx / fit->scale;
		double		rx = r + h->x;
		double		log_at = log(alpha + t);
		double		log_bt = log(beta + t);
		double		mean[4] = {0};
		double		alive = -rx * log_at - s * log_bt;
		double		gone = log(s) + power_integral(alpha, beta, rx, s + 1, tx, t, mean);
		double		total = ec_log_sum(alive, gone);
		double		p_gone = exp(gone - total);
		double		p_alive = 1 - p_gone;

		if (++since == ROWS_BETWEEN_INTERRUPTS / 16)
		{
			CHECK_FOR_INTERRUPTS();
			since = 0;
		}
		if (h->x != of_x)
		{
			of_x = h->x;
			constant = lgamma(rx) - lgamma(r) + r * log(alpha) + s * log(beta);
			dr = ec_digamma(rx) - ec_digamma(r) + log(alpha);
		}
		sum += h->n * (constant + total);
		gradient[0] += h->n * (dr - p_alive * log_at - p_gone * mean[0]);
		gradient[1] += h->n * (r / alpha - rx * (p_alive / (alpha + t) + p_gone * mean[1]));
		gradient[2] += h->n * (log(beta) - p_alive * log_bt + p_gone * (1 / s - mean[2]));
		gradient[3] += h->n * (s / beta - p_alive * s / (beta + t) - p_gone * (s + 1) * mean[3]);
	}
	return sum;
}

/* EcObjective: by logarithms of parameters. */
static double
objective(const double *theta, double *gradient, void *arg)
{
	const NbdFit *fit = arg;
	double		param[EC_PARAMS_MAX];
	double		value;

	for (int i = 0; i < EC_PARAMS_MAX; i++)
	{
		param[i] = exp(theta[i]);
		gradient[i] = 0;
	}
	value = fit->model == EC_PARETONBD ? pareto(fit, param, gradient)
		: beta_geometric(fit, param, gradient);
	value *= fit->weight;
	for (int i = 0; i < EC_PARAMS_MAX; i++)
	{
		double		off = theta[i] - fit->typical[i];

		gradient[i] = fit->weight * (gradient[i] * param[i] - fit->prior * off);
		value -= fit->weight * fit->prior * off * off / 2;
	}
	return value;
}

/*
 * Fit a model to histories by maximum likelihood.
 *
 * prior: how many customers' worth of evidence the usual parameters count
 * for (a normal prior on the logarithms: about what published customer bases
 * have); 0 for none.  Times and so the parameter alpha (and beta) are in the
 * unit of the histories.  Callers have seen to it that somebody bought again
 * and that time has passed, or give a prior.
 */
void
ec_nbd_fit(EcNbd model, const EcHistories *histories, double prior, EcFit *fit)
{
	static const double usual[EC_NBD_MODELS][EC_PARAMS_MAX] = {
		{0.5, 0.2, 0.8, 2.5}, {0.5, 0.2, 0.6, 1.5}, {0.6, 0.25, 0.6, 0.3}
	};
	NbdFit		work = {0};
	double		theta[EC_PARAMS_MAX];
	double		inverse[EC_PARAMS_MAX * EC_PARAMS_MAX] = {0};
	double		gradient[EC_PARAMS_MAX];
	bool		rough;

	memset(fit, 0, sizeof(EcFit));
	fit->customers = histories->customers;
	fit->repeaters = histories->repeaters;

	work.model = model;
	work.rows = histories->rows;
	work.nrows = histories->nrows;
	work.scale = histories->t_max > 0 ? histories->t_max : 1;
	work.prior = prior;
	for (int i = 0; i < EC_PARAMS_MAX; i++)
	{
		theta[i] = work.typical[i] = log(usual[model][i]);
		inverse[i * EC_PARAMS_MAX + i] = 1;
	}

	/* a rough answer from part of the rows, then few steps with all of them */
	work.every = Max(1, histories->nrows / ROUGH_ROWS);
	rough = work.every > 1;
	if (rough)
	{
		double		n = 0;

		for (int i = 0; i < work.nrows; i += work.every)
			n += work.rows[i].n;
		work.weight = 1 / n;
		(void) ec_maximise(objective, &work, EC_PARAMS_MAX, theta, lower, upper, 1e-6, inverse,
						   &fit->converged);
		work.every = 1;
	}
	work.weight = 1 / Max(histories->customers, 1);
	(void) ec_maximise(objective, &work, EC_PARAMS_MAX, theta, lower, upper, 1e-7,
					   rough ? inverse : NULL, &fit->converged);

	work.weight = 1;
	for (int i = 0; i < EC_PARAMS_MAX; i++)
		fit->held[i] = theta[i] <= lower[i] || theta[i] >= upper[i];
	fit->covariance_known = ec_covariance(objective, &work, EC_PARAMS_MAX, theta, fit->held,
										  fit->covariance);
	work.prior = 0;
	/* a density over x times: each is divided by the scale */
	fit->log_likelihood = objective(theta, gradient, &work)
		- histories->purchases * log(work.scale);
	for (int i = 0; i < EC_PARAMS_MAX; i++)
	{
		double		unit = (i == 1 || (i == 3 && model == EC_PARETONBD)) ? work.scale : 1;

		fit->param[i] = exp(theta[i]) * unit;
	}
	ec_fit_errors(fit, EC_PARAMS_MAX);
}

/*
 * Log-likelihood of histories under parameters.
 */
double
ec_nbd_log_likelihood(EcNbd model, const double *param, const EcHistories *histories)
{
	NbdFit		work = {0};
	double		gradient[EC_PARAMS_MAX];

	work.model = model;
	work.rows = histories->rows;
	work.nrows = histories->nrows;
	work.every = 1;
	work.scale = 1;
	return model == EC_PARETONBD ? pareto(&work, param, gradient)
		: beta_geometric(&work, param, gradient);
}

/* ---- what a fitted model says of one customer ---- */

/*
 * Probability that he is still a customer at the end of his history.
 */
double
ec_nbd_p_alive(EcNbd model, const double *param, const EcHistory *h)
{
	double		rx = param[0] + h->x;
	double		log_odds;		/* of having left */

	if (model == EC_PARETONBD)
	{
		double		alive = -rx * log(param[1] + h->t) - param[2] * log(param[3] + h->t);

		log_odds = log(param[2]) - alive +
			power_integral(param[1], param[3], rx, param[2] + 1, h->tx, h->t, NULL);
	}
	else
	{
		double		stays = param[3] + h->x - (model == EC_BGNBD ? 1 : 0);

		if (model == EC_BGNBD && h->x == 0)
			return 1;
		log_odds = log(param[2]) - log(stays) + rx * log((param[1] + h->t) / (param[1] + h->tx));
	}
	return 1 / (1 + exp(log_odds));
}

/*
 * Purchases expected of him within horizon (in the unit of time of his
 * history) after its end.
 */
double
ec_nbd_expected(EcNbd model, const double *param, const EcHistory *h, double horizon)
{
	double		rx = param[0] + h->x;
	double		alive = ec_nbd_p_alive(model, param, h);

	if (horizon <= 0)
		return 0;
	if (model == EC_PARETONBD)
	{
		double		s = param[2];
		double		span = log1p(horizon / (param[3] + h->t));
		double		factor = fabs(s - 1) < 1e-9 ? span : -expm1(-(s - 1) * span) / (s - 1);

		return alive * rx * (param[3] + h->t) / (param[1] + h->t) * factor;
	}
	else
	{
		/*
		 * Who is alive buys at a rate distributed as gamma(rx, alpha + t), and
		 * leaves after a purchase with a probability p distributed as beta;
		 * given both, (1 - exp(-rate p horizon)) / p purchases are expected.
		 */
		const EcBetaRule *rule;
		double		b = param[3] + h->x + (model == EC_MBGNBD ? 1 : 0);
		double		tau = horizon / (param[1] + h->t);
		double		sum = rx * tau; /* with p = 0 */

		rule = ec_beta_rule_kept(param[2], b);
		for (int i = 0; i < EC_BETA_NODES; i++)
		{
			double		p = rule->p[i];

			if (rule->w[i] > 0 && p * tau > 1e-300)
				sum += rule->w[i] * (-expm1(-rx * log1p(p * tau)) / p - rx * tau);
		}
		return alive * Max(sum, 0);
	}
}

/*
 * Probability that he buys within horizon after the end of his history.
 */
double
ec_nbd_p_buys(EcNbd model, const double *param, const EcHistory *h, double horizon)
{
	double		rx = param[0] + h->x;
	double		alive = ec_nbd_p_alive(model, param, h);
	double		alpha = param[1] + h->t;

	if (horizon <= 0)
		return 0;
	if (model == EC_PARETONBD)
	{
		double		beta = param[3] + h->t;

		return alive * exp(log(rx) + rx * log(alpha) + param[2] * log(beta) +
						   power_integral(alpha, beta, rx + 1, param[2], 0, horizon, NULL));
	}
	return alive * -expm1(-rx * log1p(horizon / alpha));
}
