/*-------------------------------------------------------------------------
 *
 * pricing_category.h
 *		The tree of the shop's categories.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_PRICING_CATEGORY_H
#define EC_PRICING_CATEGORY_H

#include "pricing/pricing_key_map.h"

typedef struct EcCategories
{
	EcKeyMap   *keys;			/* number of each category */
	int		   *parents;		/* by number; -1: none */
	int		   *depths;			/* by number; 0: has no parent */
} EcCategories;

extern EcCategories *ec_categories_read(void);

#endif							/* EC_PRICING_CATEGORY_H */
