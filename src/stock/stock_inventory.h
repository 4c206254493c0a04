/*-------------------------------------------------------------------------
 *
 * stock_inventory.h
 *		Inventory models of the textbooks: what their parts share.
 *
 * Everything here is pure: no SPI, no clock, no settings.  Demand is given by
 * the name of a distribution, its mean and its standard deviation.  Costs may
 * be in any currency and times in any unit, as long as it is one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_STOCK_INVENTORY_H
#define EC_STOCK_INVENTORY_H

#include "compat/compat.h"

#include "fmgr.h"

/* no argument is larger: products of four of them are still numbers */
#define EC_INVENTORY_MAX 1e15

typedef enum EcDemandKind
{
	EC_DEMAND_NORMAL,
	EC_DEMAND_POISSON,
	EC_DEMAND_NEGBIN,
	EC_DEMAND_GAMMA,
	EC_DEMAND_EXPONENTIAL,
	EC_DEMAND_LOGNORMAL
} EcDemandKind;

/* Demand of a time. */
typedef struct EcDemand
{
	EcDemandKind kind;
	double		mean;
	double		sd;
} EcDemand;

/*
 * What demand X leaves of a stock of x, in the mean.  The second ones are
 * E[max(X - x, 0)^2] / 2 and E[max(x - X, 0)^2] / 2, and, where demand is in
 * whole units, E[(X - x)(X - x - 1); X > x] / 2 and
 * E[(x - X)(x - X + 1); X <= x] / 2.
 */
typedef struct EcLoss
{
	double		shortage;		/* E[max(X - x, 0)] */
	double		leftover;		/* E[max(x - X, 0)] */
	double		shortage2;
	double		leftover2;
} EcLoss;

/* ---- stock_loss.c ---- */
extern double ec_inventory_number(FunctionCallInfo fcinfo, int n, const char *name, bool above_zero);
extern double ec_inventory_amount(double value, const char *name, bool above_zero);
extern bool ec_inventory_missing(FunctionCallInfo fcinfo, int n);
extern Datum ec_inventory_row(FunctionCallInfo fcinfo, const double *values, int n);
extern void ec_demand_arguments(FunctionCallInfo fcinfo, int mean, int sd, int distribution, EcDemand *demand);
extern void ec_demand_over(const EcDemand *demand, double times, EcDemand *sum);
extern bool ec_demand_is_discrete(const EcDemand *demand);
extern double ec_demand_cdf(const EcDemand *demand, double x);
extern double ec_demand_level(const EcDemand *demand, double p);
extern void ec_loss(const EcDemand *demand, double x, EcLoss *loss);

/* ---- stock_newsvendor.c ---- */
extern double ec_stock_cost(const EcDemand *demand, double x, double holding_cost, double stockout_cost);

#endif							/* EC_STOCK_INVENTORY_H */
