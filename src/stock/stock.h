/*-------------------------------------------------------------------------
 *
 * stock.h
 *		Stock: position, forecast, alerts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EC_STOCK_H
#define EC_STOCK_H

#include "core/core.h"

/* ---- stock_alert.c ---- */
extern void ec_stock_tick(EcTick *tick);

#endif							/* EC_STOCK_H */
