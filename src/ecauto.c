/*-------------------------------------------------------------------------
 *
 * ecauto.c
 *		Module entry: what happens when the library is loaded.
 *
 * The only file that knows all domains.  Each of them registers here what it
 * hooks into the server; the order of the tick's phases is the order below.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"

#include "campaign/campaign.h"
#include "core/core.h"
#include "customer/customer.h"
#include "event/event.h"
#include "flow/flow.h"
#include "pricing/pricing.h"
#include "recommend/recommend.h"
#include "segment/segment.h"
#include "scoring/scoring.h"
#include "shop/shop.h"
#include "stock/stock.h"
#include "worker/worker.h"

EC_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	ec_settings_init();
	ec_wake_init();
	ec_progress_init();
	ec_capture_init();
	ec_tick_add_phase("event", ec_event_tick);
	ec_tick_add_phase("customer", ec_customer_tick);
	ec_tick_add_phase("scoring", ec_scoring_tick);
	ec_tick_add_phase("segment", ec_segment_tick);
	ec_tick_add_phase("pricing", ec_pricing_tick);
	ec_tick_add_phase("promotion", ec_promotion_tick);
	ec_tick_add_phase("stock", ec_stock_tick);
	ec_tick_add_phase("recommend", ec_recommend_tick);
	ec_tick_add_phase("flow", ec_flow_tick);
	/* behind flow, so that mails of one tick are weighed against each other in it */
	ec_tick_add_phase("campaign", ec_campaign_tick);
	ec_campaign_init();
	ec_worker_init();
}
