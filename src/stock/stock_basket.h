/*-------------------------------------------------------------------------
 *
 * stock_basket.h
 *		The cheapest suppliers for several items: a pure search.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_STOCK_BASKET_H
#define EC_STOCK_BASKET_H

#include "compat/compat.h"

/* What is to be bought, and from whom it can be; all amounts in one currency. */
typedef struct EcBasket
{
	int			items;
	int			suppliers;
	const double *goods;		/* [item * suppliers + supplier]: cost of the goods; NaN: not sold */
	const double *freight;		/* of an order to each supplier, ... */
	const double *free_from;	/* ... none from goods of this value on; infinity: always */
	const double *minimum;		/* least value of goods of an order */
} EcBasket;

/* Who sells what; total is infinity if nobody sells it all. */
typedef struct EcBasketPlan
{
	int		   *supplier;		/* of each item */
	double		total;
	double		bound;			/* no plan costs less than this */
	bool		exact;			/* total is the least there is */
} EcBasketPlan;

extern void ec_basket_solve(const EcBasket *basket, int64 steps, EcBasketPlan *plan);

#endif							/* EC_STOCK_BASKET_H */
