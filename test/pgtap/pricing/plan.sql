-- What a planned price does to later claims; the proof of a prior price; the history it stands on; what flows do to prices.
BEGIN;
\ir shop.psql
SELECT plan(35);
SET LOCAL TimeZone = 'Europe/Warsaw';

-- ---- a dip caps a later claim ----
SELECT price_is(1, 100, '2026-01-01 00:00+01') \g /dev/null
SELECT ecauto.create_promotion('black friday', '{"percent": 25, "from": "2026-11-27 00:00", "until": "2026-12-01 00:00", "skus": ["1"]}') \g /dev/null
SELECT results_eq($$ SELECT kind, at, prior_price, planned_prior_price, highest_percent, planned_highest_percent FROM ecauto.plan_price('V1', 90, '2026-11-05', '2026-11-08') $$,
	$$ VALUES ('planned', '2026-11-05 00:00+01'::timestamptz, 100::numeric, 100::numeric, 10.0, 10.0),
		('dip', '2026-11-08 00:00+01', 100, 90, NULL, NULL),
		('promotion', '2026-11-27 00:00+01', 100, 90, 25.0, 16.6) $$, 'three days at 90 leave 16.6% to claim on Black Friday');
SELECT is((SELECT note FROM ecauto.plan_price('1', 90, '2026-11-05', '2026-11-08') WHERE kind = 'dip'),
	'until 2026-12-08 a reduction has the prior price 90 instead of 100: what claims 20% from 100 would be 11.1% from 90', 'and how long');
SELECT is((SELECT array_agg(kind) FROM ecauto.plan_price('1', 90, '2026-10-01', '2026-10-20')), '{planned,dip}', 'five weeks before they do not touch it');
SELECT is((SELECT array_agg(kind) FROM ecauto.plan_price('1', 110, '2026-11-05', '2026-11-08')), '{planned}', 'nor does a higher price');
SELECT is((SELECT note FROM ecauto.plan_price('1', 70, '2026-11-05', '2026-11-08') WHERE kind = 'promotion'), 'promotion "black friday" would be no reduction any more', 'a lower one ends it');
SELECT throws_ok($$ SELECT * FROM ecauto.plan_price('1', -1, '2026-11-05') $$, '22023', NULL, 'no price');
SELECT throws_ok($$ SELECT * FROM ecauto.plan_price('1', 5, '2026-11-05', '2026-11-05') $$, '22023', NULL, 'no time');

-- ---- proof ----
SELECT price_is(1, 80, '2026-11-05 00:00+01') \g /dev/null
SELECT price_is(1, 100, '2026-11-08 00:00+01') \g /dev/null
SELECT results_eq($$ SELECT prior_price, reduced_price, highest_percent, since, until, amount, counted, origin FROM ecauto.price_evidence('1', 'PLN', '2026-11-27 00:00+01', 75) $$,
	$$ VALUES (80::numeric, 75::numeric, 6.2, '2026-01-01 00:00+01'::timestamptz, '2026-11-05 00:00+01'::timestamptz, 100::numeric, true, 'reconciled'),
		(80, 75, 6.2, '2026-11-05 00:00+01', '2026-11-08 00:00+01', 80, true, 'captured'),
		(80, 75, 6.2, '2026-11-08 00:00+01', NULL, 100, true, 'captured') $$, 'each price of the window');
SELECT results_eq($$ SELECT DISTINCT sku, prior_price, reduced_price, highest_percent FROM ecauto.promotion_evidence('black friday') $$,
	$$ VALUES ('1', 80::numeric, 75::numeric, 6.2) $$, 'of a promotion');
SELECT is((SELECT count(*) FROM ecauto.promotion_evidence('black friday', 'V2')), 0::bigint, 'which lowers no other price');
SELECT throws_ok($$ SELECT * FROM ecauto.promotion_evidence('white friday') $$, '42704', NULL, 'a promotion that is not there');

-- ---- history: lists, dates, gaps, twice at one instant ----
SET LOCAL ecauto.clock = '2026-12-01 00:00:00+01';
INSERT INTO price VALUES (2, 'PLN', 15, true, 'vip', NULL, NULL), (2, 'PLN', 12, true, 'sale', '2026-12-03 10:00+01', '2026-12-04 10:00+01'), (2, 'EUR', 5, true, NULL, NULL, NULL);
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.price_history('2') WHERE list_key = 'sale'), 0::bigint, 'a price that is not in force yet has no history');
SET LOCAL ecauto.clock = '2026-12-10 00:00:00+01';
SELECT ecauto.tick() \g /dev/null
SELECT results_eq($$ SELECT currency, list_key, period, amount FROM ecauto.price_history('2') $$,
	$$ VALUES ('EUR', NULL, tstzrange('2026-12-01 00:00+01', NULL), 5::numeric), ('PLN', NULL, tstzrange('2026-01-01 00:00+01', NULL), 20),
		('PLN', 'sale', tstzrange('2026-12-03 10:00+01', '2026-12-04 10:00+01'), 12), ('PLN', 'vip', tstzrange('2026-12-01 00:00+01', NULL), 15) $$,
	'each list and currency on its own; what began and ended by its dates is kept with them, however late the tick');
SELECT is(ecauto.prior_price('2', 'PLN', '2026-12-10', list_key => 'vip'), 15::numeric, 'the prior price of a list');
DELETE FROM price WHERE variant_id = 2 AND list = 'vip';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT upper(period) FROM ecauto.price_history('2') WHERE list_key = 'vip'), '2026-12-10 00:00+01'::timestamptz, 'a price that is gone has ended');
INSERT INTO price VALUES (2, 'PLN', 14, true, 'vip', NULL, NULL);
SELECT ecauto.tick() \g /dev/null
UPDATE price SET amount = 13 WHERE list = 'vip';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT array_agg(amount) FROM ecauto.price_history('2') WHERE list_key = 'vip'), '{15,13}'::numeric[], 'of two prices at one instant the last counts');
DELETE FROM price WHERE list = 'vip';
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT array_agg(amount) FROM ecauto.price_history('2') WHERE list_key = 'vip'), '{15}'::numeric[], 'and of none');
SELECT is(ecauto.reconcile_price_history(), 0::bigint, 'nothing was missed');
DELETE FROM ecauto_data.price_history WHERE upper_inf(period);
SELECT is(ecauto.reconcile_price_history(), 11::bigint, 'what was lost begins anew');
SELECT is((SELECT count(*) FROM ecauto_data.price_history h JOIN ecauto_data.price_series USING (series_id) JOIN ecauto_data.seen_price p
	ON p.key = sku AND p.currency = price_series.currency AND p.list_key = price_series.list_key AND p.amount = h.amount WHERE upper_inf(period)), 11::bigint, 'as the shop''s prices');

-- ---- actions of flows ----
SELECT is(ecauto.action_set_price('{"price": 9.5, "sku": "V5"}', '{"flow": "f"}'), '{"sku": "5", "price": 9.5, "changed": true, "currency": "PLN", "old_price": 50}'::jsonb, 'set_price');
SELECT is(ecauto.action_set_price('{"price": 9.5}', '{"flow": "f", "event": {"sku": "5"}}'), '{"sku": "5", "price": 9.5, "changed": false, "currency": "PLN"}'::jsonb, 'once');
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.action_set_price('{"percent": -10}', '{"flow": "f", "sku": {"key": "5"}}') ->> 'price', '8.55', 'by percent');
SELECT is(ecauto.action_set_price('{"price": 1}', '{"flow": "f"}'), '{"skipped": "no_sku"}'::jsonb, 'of nothing');
SELECT throws_ok($$ SELECT ecauto.action_set_price('{"price": 1, "sku": "2"}', '{}') $$, '22023', 'sku "2" has prices in several currencies', 'in which currency?');
SELECT is((SELECT note FROM ecauto.price_proposals('applied') LIMIT 1), 'flow f', 'it is on record');
SELECT ecauto.set_price_guard('{"max_move": 20}') \g /dev/null
SET LOCAL client_min_messages = error;
SELECT is(ecauto.action_set_price('{"price": 5, "sku": "6"}', '{}') ->> 'held', 'moves over 20%', 'guards hold for flows, too');
SELECT is((SELECT amount FROM price WHERE variant_id = 6), 60::numeric, 'and nothing is written');
SELECT is(ecauto.action_set_active('{"active": false}', '{"event": {"sku": "5"}}'), '{"key": "5", "active": false, "changed": true}'::jsonb, 'set_active');
SELECT is((SELECT string_agg(id::text, ',') FROM variant WHERE NOT enabled), '5', 'switches off');
SELECT is(ecauto.action_set_active('{"sku": "V5", "active": true}', '{}') ->> 'changed', 'true', 'and on');
SELECT is(ecauto.check_action_set_price('{"prize": 1}'), 'needs either "price" or "percent"', 'what is wrong is told');
SELECT is(ecauto.check_action_set_price('{"price": 1, "sku": "x", "shop": 1}'), 'does not know "shop"', 'when a flow is made');
SELECT is(ecauto.check_action_set_price('{"price": "{{ event.new.price }}"}'), NULL, 'a template may stand there');
SELECT is(ecauto.check_action_set_active('{"activ": false}'), 'does not know "activ"', 'for both');
SELECT * FROM finish();
ROLLBACK;
