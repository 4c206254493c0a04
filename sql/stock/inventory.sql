-- Inventory models of the textbooks: pure functions of costs and demand.
-- Costs are of any currency and times of any unit (a year, say), the same in all arguments.

CREATE OR REPLACE FUNCTION ecauto.eoq(
	fixed_cost float8, holding_cost float8, demand float8, quantity float8 DEFAULT NULL,
	OUT order_quantity float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_eoq'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.eoq(float8, float8, float8, float8) IS
'economic order quantity: order_quantity at which ordering (fixed_cost each time) and holding (holding_cost a unit and time) cost least at a demand a time, and what both cost a time; quantity: what another one costs; NULL if an argument is NULL; error unless all are above zero (F. W. Harris, 1913)';

CREATE OR REPLACE FUNCTION ecauto.eoq_backorders(
	fixed_cost float8, holding_cost float8, stockout_cost float8, demand float8,
	quantity float8 DEFAULT NULL, fraction float8 DEFAULT NULL,
	OUT order_quantity float8, OUT stockout_fraction float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_eoq_backorders'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.eoq_backorders(float8, float8, float8, float8, float8, float8) IS
'economic order quantity where customers wait, at stockout_cost a unit and time: order_quantity, the part of it that is sold before it comes, and the cost a time; quantity and fraction: what others cost; NULL if a cost or the demand is NULL; error unless they are above zero';

CREATE OR REPLACE FUNCTION ecauto.eoq_discounts(
	fixed_cost float8, holding_rate float8, demand float8, breaks float8[], prices float8[], incremental boolean DEFAULT false,
	OUT order_quantity float8, OUT tier integer, OUT unit_price float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_eoq_discounts'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.eoq_discounts(float8, float8, float8, float8[], float8[], boolean) IS
'economic order quantity at falling prices: prices[i] holds from breaks[i] units on, for all units of the order or (incremental) for those from there on; holding_rate: cost of holding a unit a time, as a part of its price; tier: place in the arrays, from 1; cost a time, of the goods too; NULL if an argument is NULL; error unless breaks ascend and prices fall';

CREATE OR REPLACE FUNCTION ecauto.epq(
	fixed_cost float8, holding_cost float8, demand float8, production float8, quantity float8 DEFAULT NULL,
	OUT order_quantity float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_epq'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.epq(float8, float8, float8, float8, float8) IS
'economic production quantity: as ecauto.eoq(), of what comes not at once but at a rate of production a time; error unless that is above the demand';

CREATE OR REPLACE FUNCTION ecauto.joint_replenishment(
	shared_cost float8, fixed_costs float8[], holding_costs float8[], demands float8[],
	OUT order_quantities float8[], OUT multiples integer[], OUT cycle float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_joint_replenishment'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.joint_replenishment(float8, float8[], float8[], float8[]) IS
'items that are ordered together: shared_cost of each order, fixed_costs of each item in it; an order each cycle, with item i in every multiples[i]-th; quantities and the cost a time; NULL if an argument is NULL (E. A. Silver''s heuristic, 1976)';

CREATE OR REPLACE FUNCTION ecauto.wagner_whitin(
	demand float8[], fixed_cost float8, holding_cost float8, purchase_cost float8 DEFAULT 0,
	OUT order_quantities float8[], OUT next_order integer[], OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_wagner_whitin'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000;
COMMENT ON FUNCTION ecauto.wagner_whitin(float8[], float8, float8, float8) IS
'the cheapest plan for a demand that is known for each period: fixed_cost of an order, holding_cost of a unit from one period to the next, purchase_cost of a unit; what to order in each period, next_order: when, if ordered in this one, the next order is best (periods from 1; one after the last: never); NULL if an argument is NULL; error for more than 10,000 periods (H. M. Wagner, T. M. Whitin, 1958)';

CREATE OR REPLACE FUNCTION ecauto.wagner_whitin(
	demand float8[], fixed_costs float8[], holding_costs float8[], purchase_costs float8[] DEFAULT NULL,
	OUT order_quantities float8[], OUT next_order integer[], OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_wagner_whitin_periods'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 1000;
COMMENT ON FUNCTION ecauto.wagner_whitin(float8[], float8[], float8[], float8[]) IS
'the cheapest plan for a demand that is known for each period, where costs differ by period: see the one of the same name with single costs; purchase_costs NULL: none';

CREATE OR REPLACE FUNCTION ecauto.loss_function(
	stock float8, mean float8, sd float8 DEFAULT NULL, distribution text DEFAULT NULL,
	OUT shortage float8, OUT leftover float8, OUT shortage2 float8, OUT leftover2 float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_loss_function'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.loss_function(float8, float8, float8, text) IS
'loss functions of demand X (distribution normal, poisson, negbin, gamma, exponential, lognormal, told by mean and sd; NULL: normal, without sd poisson) at a stock x: shortage E[max(X - x, 0)], leftover E[max(x - X, 0)], and half of their second moments, factorial ones where demand is in whole units; NULL if stock or mean is NULL; error for what is not such a distribution';

CREATE OR REPLACE FUNCTION ecauto.newsvendor(
	holding_cost float8, stockout_cost float8, mean float8, sd float8 DEFAULT NULL, lead_time float8 DEFAULT 0,
	distribution text DEFAULT NULL, stock float8 DEFAULT NULL,
	OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_newsvendor'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.newsvendor(float8, float8, float8, float8, float8, text, float8) IS
'newsvendor: how much to have for a period where a unit left over costs holding_cost and one missing stockout_cost: base_stock is the quantile of demand (mean and sd of a period; distributions as in ecauto.loss_function()) at the critical_ratio; lead_time: periods that an order takes, their demand is added; stock: what another level costs; NULL if a cost or the mean is NULL';

CREATE OR REPLACE FUNCTION ecauto.newsvendor(
	holding_cost float8, stockout_cost float8, sizes float8[], probabilities float8[] DEFAULT NULL, stock float8 DEFAULT NULL,
	OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_newsvendor_sizes'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.newsvendor(float8, float8, float8[], float8[], float8) IS
'newsvendor for a demand that has sizes[i] units with probabilities[i], or (NULL) was seen so: all sizes are equally likely; error unless probabilities sum to 1';

CREATE OR REPLACE FUNCTION ecauto.newsvendor_profit(
	revenue float8, purchase_cost float8, salvage_value float8, mean float8, sd float8 DEFAULT NULL,
	holding_cost float8 DEFAULT 0, stockout_cost float8 DEFAULT 0, distribution text DEFAULT NULL, stock float8 DEFAULT NULL,
	OUT base_stock float8, OUT critical_ratio float8, OUT profit float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_newsvendor_profit'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.newsvendor_profit(float8, float8, float8, float8, float8, float8, float8, text, float8) IS
'newsvendor by prices: a unit is bought at purchase_cost, sold at revenue, and what is left over at salvage_value; holding_cost of a unit left over and stockout_cost of one missing come on top; expected profit; distributions as in ecauto.loss_function(); error unless a unit too many and one too few both cost something';

CREATE OR REPLACE FUNCTION ecauto.newsvendor_myopic(
	holding_cost float8, stockout_cost float8, purchase_cost float8, next_purchase_cost float8, mean float8, sd float8 DEFAULT NULL,
	discount float8 DEFAULT 1, distribution text DEFAULT NULL, stock float8 DEFAULT NULL,
	OUT base_stock float8, OUT critical_ratio float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_newsvendor_myopic'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.newsvendor_myopic(float8, float8, float8, float8, float8, float8, float8, text, float8) IS
'newsvendor of a period after which the price changes from purchase_cost to next_purchase_cost: what is left over is worth the next price, discounted; cost with that of the goods, less what is left';

CREATE OR REPLACE FUNCTION ecauto.r_q_policy(
	holding_cost float8, stockout_cost float8, fixed_cost float8, mean float8, sd float8, lead_time float8,
	distribution text DEFAULT NULL, method text DEFAULT 'exact',
	OUT reorder_point float8, OUT order_quantity float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_r_q_policy'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10000;
COMMENT ON FUNCTION ecauto.r_q_policy(float8, float8, float8, float8, float8, float8, text, text) IS
'(r, Q) policy: order_quantity is ordered whenever the position is down to reorder_point; mean and sd of demand a time (sd NULL: Poisson), holding_cost and stockout_cost of a unit and time, fixed_cost of an order; cost a time; method: exact, or eoqb, eoqss, loss (approximations: quantity with backorders, economic quantity and safety stock, loss function), eil (expected inventory level: stockout_cost of a unit, however long it is missing); NULL if an argument is NULL; error where whole units would need too many levels';

CREATE OR REPLACE FUNCTION ecauto.r_q_cost(
	reorder_point float8, order_quantity float8, holding_cost float8, stockout_cost float8, fixed_cost float8,
	mean float8, sd float8, lead_time float8, distribution text DEFAULT NULL)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_r_q_cost'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 100;
COMMENT ON FUNCTION ecauto.r_q_cost(float8, float8, float8, float8, float8, float8, float8, float8, text) IS
'expected cost a time of an (r, Q) policy, see ecauto.r_q_policy()';

CREATE OR REPLACE FUNCTION ecauto.r_q_reorder_point(
	order_quantity float8, holding_cost float8, stockout_cost float8, mean float8, sd float8, lead_time float8,
	distribution text DEFAULT NULL)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_r_q_reorder_point'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 100;
COMMENT ON FUNCTION ecauto.r_q_reorder_point(float8, float8, float8, float8, float8, float8, text) IS
'the reorder point that is best for an order quantity that is given, see ecauto.r_q_policy()';

CREATE OR REPLACE FUNCTION ecauto.s_s_policy(
	holding_cost float8, stockout_cost float8, fixed_cost float8, mean float8, sd float8 DEFAULT NULL, lead_time float8 DEFAULT 0,
	distribution text DEFAULT NULL, method text DEFAULT NULL,
	OUT reorder_point float8, OUT order_up_to float8, OUT cost float8)
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_s_s_policy'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10000;
COMMENT ON FUNCTION ecauto.s_s_policy(float8, float8, float8, float8, float8, float8, text, text) IS
'(s, S) policy: each period, stock at or below reorder_point is filled up to order_up_to; mean and sd of demand of a period (sd NULL: Poisson), holding_cost and stockout_cost of a unit and period, fixed_cost of an order, lead_time in periods; method (NULL: exact where demand is in whole units, else power): exact (Y.-S. Zheng, A. Federgruen, 1991), power (R. Ehrhardt, C. Mosier, 1984), which tells no cost; NULL if a cost or the mean is NULL';

CREATE OR REPLACE FUNCTION ecauto.s_s_cost(
	reorder_point float8, order_up_to float8, holding_cost float8, stockout_cost float8, fixed_cost float8,
	mean float8, sd float8 DEFAULT NULL, lead_time float8 DEFAULT 0, distribution text DEFAULT NULL)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_s_s_cost'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 1000;
COMMENT ON FUNCTION ecauto.s_s_cost(float8, float8, float8, float8, float8, float8, float8, float8, text) IS
'expected cost a period of an (s, S) policy for demand in whole units, see ecauto.s_s_policy()';
