-- A rule makes the price it says, to the cent, and explains how; the right one of several makes it.
BEGIN;
\ir shop.psql
SET LOCAL client_min_messages = error; -- what cannot be made is told in warnings: see bad.sql
SELECT plan(78);
SELECT ecauto.set_vat_rate(23) \g /dev/null
UPDATE cost SET cost = 52.10 WHERE variant_id = 1;
CREATE FUNCTION new_price(sku text, currency text DEFAULT 'PLN') RETURNS numeric LANGUAGE sql AS $$
	SELECT r.new_price FROM ecauto.reprice() r WHERE r.sku = $1 AND r.currency = $2 $$;
CREATE FUNCTION rule(definition jsonb) RETURNS void LANGUAGE sql AS $$
	SELECT ecauto.create_price_rule('test', '{"sku": "1"}' || definition) $$;
CREATE FUNCTION made(definition jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM s.rule(definition);
	RETURN s.new_price('1')::text;
END $$;

-- ---- markup, margin, tax ----
SELECT is(made('{"markup": 40}'), '89.72', 'cost 52.10, tax 23%, markup 40%');
SELECT is(made('{"margin": 40}'), '106.81', 'margin 40%: dividing first would give 106.80');
SELECT is(made('{"markup": 40, "endings": ".99"}'), '89.99', 'charm ending');
SELECT is((SELECT note FROM ecauto.explain_price('V1', 'pln') WHERE step = 'true margin'), '28.79%', 'and its true margin');
UPDATE price SET amount = 79.99 WHERE variant_id = 1;
SELECT is(made('{"markup": 40, "endings": ".99", "max_change": 5}'), '83.99', 'capped at 5% above 79.99');
SELECT results_eq($$ SELECT step, rule, before, after, note FROM ecauto.explain_price('1', 'PLN') $$,
	$$ VALUES ('cost', 'test', NULL, 52.10, NULL),
		('tax', 'test', 52.10, 64.083, '23%'),
		('markup', 'test', 64.083, 89.7162, '40%'),
		('ending', 'test', 89.7162, 89.99, '0.99, nearest'),
		('most change in a run', 'test', 89.99, 83.99, '5%'),
		('true margin', NULL, NULL, NULL, '23.70%'),
		('price', NULL, 79.99, 83.99, 'rule "test"; held by most change in a run') $$, 'every step is told');
UPDATE price SET gross = false WHERE variant_id = 1;
SELECT is(made('{"markup": 40}'), '72.94', 'a net price holds no tax');
SELECT is(made('{"margin": 40}'), '86.83', 'nor does a margin of it');
UPDATE price SET gross = true WHERE variant_id = 1;
SELECT is(made('{"markup": 0.5}'), '64.40', 'half a percent');
SELECT is(made('{"markup": -10}'), '57.67', 'below cost');
SELECT is(made('{"margin": -10}'), '58.26', 'and so by margin');
SELECT is(made('{"markup": 40, "vat": 8}'), '78.78', 'a rule may say the tax');
SELECT is(made('{"markup": 40, "percent_off": 10, "add": 2.50}'), '83.24', 'percent off, then an amount: one rounding');
SELECT is(made('{"price": 66.6}'), '66.60', 'a fixed price');
SELECT is(made('{"base": "price", "percent_off": 10}'), '71.99', 'from the current price');
SELECT ecauto.set_list_price('1', 'PLN', 120) \g /dev/null
SELECT is(made('{"base": "list_price", "percent_off": 25}'), '90.00', 'from the list price');
SELECT ecauto.set_cost('V1', 40, 'PLN', 'offer') \g /dev/null
SELECT is(made('{"base": "best_offer", "markup": 50}'), '73.80', 'from the best offer of a supplier');
SELECT ecauto.set_cost('V1', 50, 'PLN') \g /dev/null
SELECT is(made('{"markup": 40}'), '86.10', 'ecauto''s own cost comes before the shop''s');
SELECT ecauto.set_cost('V1', 33.33333333333333333333333333333333, 'PLN') \g /dev/null
SELECT is(made('{"margin": 33.333333}'), '61.50', 'a cost of thirty-four digits is as exact');
SELECT ecauto.set_cost('V1', NULL, 'PLN') \g /dev/null

-- ---- rounding and endings ----
SELECT is(made('{"price": 12.34, "round_to": 0.05}'), '12.35', 'to five hundredths');
SELECT is(made('{"price": 12.34, "round_to": 0.05, "direction": "down"}'), '12.30', 'down');
SELECT is(made('{"price": 12.31, "round_to": 0.5, "direction": "up"}'), '12.50', 'up');
SELECT is(made('{"price": 12.30, "round_to": 0.05, "direction": "up"}'), '12.30', 'what is a multiple stays');
SELECT is(made('{"price": 89.49, "endings": 0.99}'), '89.99', 'of two endings as near the higher');
SELECT is(made('{"price": 89.48, "endings": 0.99}'), '88.99', 'else the nearer');
SELECT is(made('{"price": 89.48, "endings": 0.99, "direction": "up"}'), '89.99', 'or the next above');
SELECT is(made('{"price": 0.30, "endings": 0.99, "direction": "down"}'), '0.99', 'there is none below the first');
SELECT is(made('{"price": 123, "endings": "9.00"}'), '119.00', 'ends in 9.00: each ten');
SELECT is(made('{"price": 9.3, "endings": [{"below": 10, "ending": 0.95}, {"below": 100, "ending": 0.99}, {"ending": "9.00"}]}'), '8.95', 'a band');
SELECT is(made('{"price": 10, "endings": [{"below": 10, "ending": 0.95}, {"below": 100, "ending": 0.99}, {"ending": "9.00"}]}'), '9.99', 'begins where the one before ends');
SELECT is(made('{"price": 1004, "endings": [{"below": 10, "ending": 0.95}, {"below": 100, "ending": 0.99}, {"ending": "9.00"}]}'), '1009.00', 'and the last has no end');

-- ---- limits ----
SELECT is(made('{"markup": 40, "ceiling": 85}'), '85.00', 'ceiling');
SELECT is(made('{"markup": 40, "floor": 95}'), '95.00', 'floor');
SELECT is(made('{"markup": 10, "min_margin": 20}'), '80.11', 'least margin: rounded up, or it would be less');
SELECT is(made('{"markup": 40, "max_change": 0}'), NULL, 'no change');
SELECT is(made('{"price": 10, "max_change": 50}'), '40.00', 'down, too');
SELECT is(made('{"price": 10, "max_change": 50, "floor": 60}'), '60.00', 'the floor is stronger than the change');
SELECT ecauto.set_minimum_price('1', 'PLN', 88.80) \g /dev/null
SELECT is(made('{"price": 10}'), '88.80', 'minimum advertised price');
SELECT is(made('{"price": 10, "ignore_minimum": true}'), '10.00', 'unless the rule need not care');
SELECT ecauto.set_minimum_price('1', 'PLN', NULL) \g /dev/null

SELECT price_is(1, 100, '2026-02-01 09:00+01') \g /dev/null
SELECT price_is(1, 104, '2026-02-01 12:00+01') \g /dev/null
SELECT set_config('ecauto.clock', '2026-02-02 12:00+01', true) \g /dev/null
UPDATE price SET amount = 108 WHERE variant_id = 1;
SELECT is(made('{"price": 200, "max_change_day": 10}'), '114.40', 'ten percent above what the day began with');
UPDATE price SET amount = 114.40 WHERE variant_id = 1;
SELECT is(made('{"price": 200, "max_change_day": 10}'), NULL, 'and no more that day');
SET LOCAL ecauto.clock = '2026-01-01 00:00:00+01';
SELECT ecauto.drop_price_rule('test') \g /dev/null

-- ---- which rule ----
SELECT ecauto.create_price_rule('all', '{"markup": 100}') \g /dev/null
SELECT is(new_price('2'), 24.60, 'a rule for all');
SELECT ecauto.create_price_rule('condition', '{"condition": "price.amount < 30 AND product.brand = ''Acme''", "price": 1.01}') \g /dev/null
SELECT is(new_price('2'), 1.01, 'a condition is more specific');
SELECT is(new_price('4'), 49.20, 'where it holds');
SELECT ecauto.create_price_rule('brand', '{"brand": "Acme", "price": 2.02}') \g /dev/null
SELECT is(new_price('2'), 2.02, 'a brand even more');
SELECT is(new_price('3'), 36.90, 'for its products only');
SELECT ecauto.create_price_rule('clothes', '{"category": "1", "price": 3.03}') \g /dev/null
SELECT is(new_price('2'), 3.03, 'a category more');
SELECT is(new_price('3'), 3.03, 'and it holds for those below it');
SELECT is(new_price('4'), 2.02, 'not for others');
SELECT ecauto.create_price_rule('t-shirts', '{"scope": {"category": ["4"]}, "price": 4.04}') \g /dev/null
SELECT is(new_price('3'), 4.04, 'the deeper category is more specific');
SELECT is(new_price('2'), 3.03, 'where it holds');
SELECT ecauto.create_price_rule('product', '{"product": 3, "price": 5.05}') \g /dev/null
SELECT is(new_price('3'), 5.05, 'a product more');
SELECT ecauto.create_price_rule('sku', '{"sku": ["V3", "V2"], "price": 6.06}') \g /dev/null
SELECT is(new_price('3'), 6.06, 'a sku most, by key or code');
SELECT ecauto.create_price_rule('sku 2', '{"sku": "3", "price": 7.07, "priority": 1}') \g /dev/null
SELECT is(new_price('3'), 7.07, 'of equally specific ones the higher priority');
SELECT is(new_price('2'), 6.06, 'where it holds');
SELECT ecauto.create_price_rule('both', '{"category": "1", "brand": "Acme", "price": 8.08, "priority": 5}') \g /dev/null
SELECT ecauto.drop_price_rule('sku') \g /dev/null
SELECT is(new_price('2'), 8.08, 'a scope of two parts needs both');
SELECT is(new_price('1'), 3.03, 'not one');
SELECT ecauto.enable_price_rule('both', false) \g /dev/null
SELECT is(new_price('2'), 3.03, 'switched off, a rule does nothing');

-- ---- rules that follow each other ----
SELECT ecauto.create_price_rule('minus 10%', '{"category": "2", "percent_off": 10, "exclusive": false}') \g /dev/null
SELECT is(ARRAY(SELECT step || coalesce(' ' || after, '') FROM ecauto.explain_price('1', 'PLN') WHERE step NOT LIKE '%margin%'),
	'{fixed price 3.03,percent off 2.727,rounding 2.73,price 2.73}'::text[], 'what is not exclusive is applied to what the weaker one made');
SELECT is((SELECT reason FROM ecauto.reprice() WHERE sku = '1'), 'rules "clothes", "minus 10%"', 'and both are the reason');
SELECT ecauto.create_price_rule('end', '{"sku": "1", "endings": 0.99, "exclusive": false}') \g /dev/null
SELECT is(new_price('1'), 2.99, 'and so on');

-- ---- time ----
SELECT ecauto.create_price_rule('easter', '{"sku": "1", "price": 5, "priority": 9, "valid_from": "2026-04-05", "valid_until": "2026-04-07"}') \g /dev/null
SELECT is(new_price('1'), 2.99, 'not yet');
SET LOCAL ecauto.clock = '2026-04-05 00:00:00+02';
SELECT is(new_price('1'), 5.00, 'from midnight in the shop''s time zone');
SET LOCAL ecauto.clock = '2026-04-07 00:00:00+02';
SELECT is(new_price('1'), 2.99, 'until midnight');
DELETE FROM ecauto_data.price_rule;

-- ---- currencies ----
INSERT INTO price (variant_id, currency, amount) VALUES (1, 'EUR', 20), (1, 'JPY', 2000), (1, 'USD', 20);
SELECT ecauto.set_fx_rate('EUR', 'PLN', 4.25, '2026-04-03') \g /dev/null
SELECT ecauto.set_fx_rate('EUR', 'JPY', 160, '2026-04-03') \g /dev/null
SELECT ecauto.create_price_rule('money', '{"sku": "1", "markup": 100}') \g /dev/null
SELECT is(new_price('1', 'EUR'), 30.16, 'a cost in another currency, by the rate the other way round: 52.10 / 4.25');
SELECT is(new_price('1', 'JPY'), 4825::numeric, 'through a third currency, in whole yen');
SELECT is(new_price('1', 'USD'), NULL, 'not without a rate');
SELECT is((SELECT array_agg(currency || ': ' || problem) FROM ecauto.price_problems()), '{USD: no exchange rate is known for the cost}', 'which is told');
SET LOCAL ecauto.clock = '2026-04-12 00:00:00+02';
SELECT is(new_price('1', 'EUR'), NULL, 'nor with one that is nine days old');
SELECT ecauto.drop_price_rule('money') \g /dev/null
SELECT rule('{"markup": 100, "fx_max_age": 10}') \g /dev/null
SELECT is(new_price('1', 'EUR'), 30.16, 'unless that will do');
SELECT rule('{"markup": 100, "fx_day": "2026-04-03", "currency": ["EUR"]}') \g /dev/null
SELECT is(new_price('1', 'EUR') || ' ' || coalesce(new_price('1'), 0), '30.16 0', 'a rule may be for one currency, and by the rate of a day');

-- ---- tax of products, categories, countries, days ----
SELECT rule('{"price": 1, "min_margin": 0}') \g /dev/null
SELECT is(new_price('1'), 64.09, 'cost with 23%');
SELECT ecauto.set_vat_rate(8, category => '1') \g /dev/null
SELECT is(new_price('1'), 56.27, 'of a category above it');
SELECT ecauto.set_vat_rate(5, product => '1') \g /dev/null
SELECT ecauto.set_vat_rate(0, product => '1', valid_from => '2026-05-01') \g /dev/null
SELECT is(new_price('1'), 54.71, 'of its product');
SET LOCAL ecauto.clock = '2026-05-01 00:00:00+02';
SELECT is(new_price('1'), 52.10, 'from a day on');
SELECT ecauto.set_vat_rate(19, country => 'de') \g /dev/null
SELECT rule('{"price": 1, "min_margin": 0, "country": "de"}') \g /dev/null
SELECT is(new_price('1'), 62.00, 'of a country');

-- ---- prices with lists and dates are left alone ----
UPDATE price SET since = '2026-06-01' WHERE variant_id = 1;
SELECT is(new_price('1'), NULL, 'a price that is not in force is not made');
UPDATE price SET since = NULL, list = 'vip' WHERE variant_id = 1;
SELECT is(new_price('1'), NULL, 'nor one of a list');
SELECT * FROM finish();
ROLLBACK;
