-- Numbers of the report are those that plain SQL over the shop's tables gives.
BEGIN;
\ir shop.psql
SELECT plan(19);

SELECT results_eq('SELECT currency COLLATE "default", orders, revenue, refunded, net, donations, units, cancelled_orders, cancelled FROM ecauto.report_sales(' || quote_literal('2026-05-18 00:00+02') || ',' || quote_literal('2026-06-17 00:00+02') || ')',
	$$ SELECT o.currency, count(*), sum(o.total) - l.donated, sum(o.refunded), sum(o.total) - l.donated - sum(o.refunded), l.donated, l.units,
			(SELECT count(*) FROM orders c WHERE c.cancelled AND c.currency = o.currency AND c.placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02'),
			(SELECT coalesce(sum(total), 0) FROM orders c WHERE c.cancelled AND c.currency = o.currency AND c.placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02')
		FROM orders o JOIN (SELECT currency, coalesce(sum(amount) FILTER (WHERE variant_id = 7), 0) AS donated, sum(units) FILTER (WHERE variant_id <> 7)::numeric AS units
			FROM sold WHERE placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY 1) l USING (currency)
		WHERE NOT o.cancelled AND o.placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY o.currency, l.donated, l.units ORDER BY 2 DESC $$,
	'orders, revenue, refunds, donations, units and what was cancelled, by currency');
SELECT results_eq($$ SELECT day, orders, revenue FROM ecauto.report_days('2026-05-18 00:00+02', '2026-06-17 00:00+02') WHERE currency = 'PLN' $$,
	$$ SELECT (o.placed AT TIME ZONE 'Europe/Warsaw')::date, count(*), sum(o.total - (SELECT coalesce(sum(l.amount), 0) FROM sold l WHERE l.id = o.id AND l.variant_id = 7))
		FROM orders o WHERE NOT o.cancelled AND o.currency = 'PLN' AND o.placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY 1 ORDER BY 1 $$,
	'by days of the shop''s zone');
SELECT isnt((SELECT count(*) FROM orders WHERE (placed AT TIME ZONE 'UTC')::date <> (placed AT TIME ZONE 'Europe/Warsaw')::date), 0::bigint, 'which are others than those of UTC');
SELECT results_eq($$ SELECT sku COLLATE "default", orders, units, revenue FROM ecauto.report_best_sellers('2026-05-18 00:00+02', '2026-06-17 00:00+02', 5) $$,
	$$ SELECT variant_id::text, count(*), sum(units)::numeric, sum(amount) FROM sold WHERE currency = 'PLN' AND variant_id <> 7
		AND placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY 1 ORDER BY 4 DESC LIMIT 5 $$,
	'best sellers, donations apart and cancelled orders left out');
SELECT results_eq($$ SELECT sku COLLATE "default", orders, revenue FROM ecauto.report_best_sellers('2026-05-18 00:00+02', '2026-06-17 00:00+02', NULL, true) $$,
	$$ SELECT variant_id::text, count(*), sum(amount) FROM sold WHERE variant_id = 7
		AND placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY 1 $$,
	'and the donations');
SELECT is((SELECT round(sum(share)::numeric, 6) FROM ecauto.report_best_sellers('2026-05-18 00:00+02', '2026-06-17 00:00+02', NULL) WHERE currency = 'PLN'), 1.0, 'their shares are of one whole');

-- margin
SELECT results_eq($$ SELECT currency COLLATE "default", goods, costed, net, cost, margin FROM ecauto.report_margin('2026-05-18 00:00+02', '2026-06-17 00:00+02') WHERE currency = 'PLN' $$,
	$$ SELECT currency, sum(amount), sum(amount) FILTER (WHERE cost IS NOT NULL), sum(amount) FILTER (WHERE cost IS NOT NULL), sum(cost), sum(amount) FILTER (WHERE cost IS NOT NULL) - sum(cost)
		FROM sold WHERE currency = 'PLN' AND variant_id <> 7 AND placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' GROUP BY 1 $$,
	'margin, of what has a cost');
SELECT is((SELECT cost FROM ecauto.report_margin('2026-05-18 00:00+02', '2026-06-17 00:00+02') WHERE currency = 'EUR'), NULL, 'no cost in a currency without a rate');
SELECT ecauto.set_fx_rate('EUR', 'PLN', 4, '2026-01-01') \g /dev/null
SELECT is((SELECT round(cost, 6) FROM ecauto.report_margin('2026-05-18 00:00+02', '2026-06-17 00:00+02') WHERE currency = 'EUR'), round(2 * 7 / 4.0, 6), 'with a rate');
SELECT ecauto.set_vat_rate(25) \g /dev/null
SELECT is((SELECT round(net - costed / 1.25, 6) FROM ecauto.report_margin('2026-05-18 00:00+02', '2026-06-17 00:00+02') WHERE currency = 'PLN'), 0.0, 'tax is taken off');
SELECT ecauto.set_cost('1', 1, 'PLN') \g /dev/null
SELECT is((SELECT cost FROM ecauto.report_costs() WHERE sku = '1'), 1::numeric, 'a cost of ecauto''s own comes first');

SELECT results_eq($$ SELECT customers, new_customers FROM ecauto.report_customers('2026-05-18 00:00+02', '2026-06-17 00:00+02') $$,
	$$ WITH o AS (SELECT coalesce(customer_id::text, 'guest' || id % 7) AS who, placed FROM orders WHERE NOT cancelled)
		SELECT count(DISTINCT who), count(DISTINCT who) FILTER (WHERE NOT EXISTS (SELECT FROM o b WHERE b.who = o.who AND b.placed < '2026-05-18 00:00+02'))
		FROM o WHERE placed BETWEEN '2026-05-18 00:00+02' AND '2026-06-16 23:59:59+02' $$,
	'customers, and those who are new');

-- the forecast
SELECT results_eq($$ SELECT day, actual FROM ecauto.report_forecast('2026-05-18 00:00+02', '2026-06-16 00:00+02') $$,
	$$ SELECT d::date, coalesce((SELECT sum(units) FROM sold WHERE day = d::date AND variant_id <> 7), 0)::float8 FROM generate_series(timestamp '2026-05-18', '2026-06-15', '1 day') d ORDER BY 1 $$,
	'units sold each day');
SELECT results_eq($$ SELECT round(forecast::numeric, 6) FROM ecauto.report_forecast('2026-05-18 00:00+02', '2026-06-16 00:00+02') $$,
	$$ SELECT round(mean::numeric, 6) FROM ecauto.forecast((SELECT array_agg(coalesce((SELECT sum(units) FROM sold WHERE day = d::date AND variant_id <> 7), 0)::float8 ORDER BY d)
		FROM generate_series((SELECT min(day) FROM sold)::timestamp, '2026-05-17', '1 day') d), 7, 29) $$,
	'and what was forecast by what was known before');
SELECT is((SELECT count(actual) FROM ecauto.report_forecast('2026-06-10 00:00+02', '2026-06-20 00:00+02')), 6::bigint, 'today and later are not over');

-- periods
SELECT results_eq('SELECT starts, ends FROM ecauto.report_period(NULL, NULL)', $$ VALUES (timestamptz '2026-05-18 00:00+02', timestamptz '2026-06-17 00:00+02') $$, 'the last 30 days');
SELECT is((SELECT starts FROM ecauto.report_period('-infinity', 'infinity')), (SELECT min(placed AT TIME ZONE 'Europe/Warsaw')::date::timestamp AT TIME ZONE 'Europe/Warsaw' FROM orders), 'all that is known');
SELECT throws_ok($$ SELECT ecauto.report_html('2026-06-02', '2026-06-01') $$, '22023', 'the period of a report must end after it begins', 'backwards');
SELECT throws_ok($$ SELECT ecauto.report_html('infinity', NULL) $$, '22023', 'the period of a report must end after it begins', 'at the end of time');

SELECT * FROM finish();
ROLLBACK;
