-- What cannot be right is refused, or told, and never makes a price.
BEGIN;
\ir shop.psql
SELECT plan(53);
CREATE FUNCTION rule(definition jsonb) RETURNS void LANGUAGE sql AS $$ SELECT ecauto.create_price_rule('test', definition) $$;
CREATE FUNCTION problems() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(sku || ': ' || problem, '; ' ORDER BY sku COLLATE "C") FROM ecauto.price_problems() $$;
SET LOCAL client_min_messages = error;

-- ---- rules ----
SELECT throws_ok($$ SELECT s.rule('{"margin": 100}') $$, '22023', '"margin" of a price rule must be below 100 percent', 'margin of 100%');
SELECT throws_ok($$ SELECT s.rule('{"min_margin": 100.5, "markup": 1}') $$, '22023', '"min_margin" of a price rule must be below 100 percent', 'least margin above 100%');
SELECT throws_ok($$ SELECT s.rule('{"base": "price", "percent_off": 101}') $$, '22023', '"percent_off" of a price rule must be between 0 and 100 percent', 'percent over 100');
SELECT throws_ok($$ SELECT s.rule('{"base": "price", "percent_off": -1}') $$, '22023', NULL, 'percent below 0');
SELECT throws_ok($$ SELECT s.rule('{"markup": -100}') $$, '22023', NULL, 'markup of -100%');
SELECT throws_ok($$ SELECT s.rule('{"markup": 1e30}') $$, '22023', NULL, 'markup of 1e30');
SELECT throws_ok($$ SELECT s.rule('{"markup": 1.2345678}') $$, '22023', NULL, 'seven digits after the point');
SELECT throws_ok($$ SELECT s.rule('{"markup": "40%"}') $$, '22023', NULL, 'a percent sign');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "margin": 40}') $$, '22023', 'a price rule has a markup or a margin, not both', 'markup and margin');
SELECT throws_ok($$ SELECT s.rule('{"price": 1, "base": "cost"}') $$, '22023', NULL, 'fixed price and base');
SELECT throws_ok($$ SELECT s.rule('{"price": 0}') $$, '22023', NULL, 'a price of 0');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "floor": 10, "ceiling": 9}') $$, '22023', NULL, 'floor above ceiling');
SELECT throws_ok($$ SELECT s.rule('{"sku": "1"}') $$, '22023', 'a price rule must say what becomes of a price', 'nothing to do');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "base": "result"}') $$, '22023', NULL, 'an exclusive rule on the result of others');
SELECT throws_ok($$ SELECT s.rule('{"mark_up": 40}') $$, '22023', 'definition of a price rule cannot say "mark_up"', 'a key that is not known');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "scope": {"markup": 1}}') $$, '22023', NULL, 'nor in a scope');
SELECT throws_ok($$ SELECT s.rule('[]') $$, '22023', NULL, 'no object');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "currency": "ZZZ"}') $$, '22023', 'currency "ZZZ" does not exist', 'a currency that does not exist');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "valid_from": "2026-02-01", "valid_until": "2026-02-01"}') $$, '22023', NULL, 'never valid');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "valid_from": "soon"}') $$, '22007', NULL, 'not a time');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "condition": "price.amnt > 1"}') $$, '42703', NULL, 'a condition on a column that is not there');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "condition": "price.amount"}') $$, '42804', NULL, 'a condition that is none');
SELECT throws_ok($$ SELECT s.rule('{"price": 5, "endings": [0.99, 0.95]}') $$, '22023', NULL, 'two bands without end');
SELECT throws_ok($$ SELECT s.rule('{"markup": 40, "sku": []}') $$, '22023', NULL, 'an empty list');
SELECT throws_ok($$ SELECT ecauto.create_price_rule('', '{"markup": 1}') $$, '42602', NULL, 'a rule without name');

-- ---- rules that contradict each other ----
SELECT ecauto.create_price_rule('one', '{"category": "1", "markup": 10}') \g /dev/null
SELECT throws_ok($$ SELECT ecauto.create_price_rule('two', '{"category": ["5", "1"], "markup": 20}') $$, '42710',
	'price rules "two" and "one" are exclusive and of equal priority', 'two exclusive rules of equal priority');
SELECT lives_ok($$ SELECT ecauto.create_price_rule('two', '{"category": ["5", "1"], "markup": 20, "priority": 1}') $$, 'with another it is well');
SELECT ecauto.set_vat_rate(0) \g /dev/null
DELETE FROM ecauto_data.price_rule;
SELECT ecauto.create_price_rule('three', '{"brand": "Acme", "markup": 20}') \g /dev/null
SELECT ecauto.create_price_rule('four', '{"brand": "Acme", "condition": "price.amount > 60", "markup": 30}') \g /dev/null
SELECT is(problems(), '10: two exclusive rules of equal priority apply; 8: two exclusive rules of equal priority apply', 'where it shows later, the price stays');
SELECT is((SELECT note FROM ecauto.explain_price('8', 'PLN')), 'stays: rules "four" and "three" are exclusive and of equal priority', 'and says why');
DELETE FROM ecauto_data.price_rule;

-- ---- costs, rates ----
SELECT throws_ok($$ SELECT ecauto.set_cost('1', -1, 'PLN') $$, '22023', 'cost must be a finite number and not negative', 'negative cost');
SELECT throws_ok($$ SELECT ecauto.set_cost('1', 'NaN', 'PLN') $$, '22023', NULL, 'NaN');
SELECT throws_ok($$ SELECT ecauto.set_cost('1', 'Infinity', 'PLN') $$, '22023', NULL, 'Infinity');
SELECT throws_ok($$ SELECT ecauto.set_cost('1', 1, 'XXQ') $$, '22023', 'currency "XXQ" does not exist', 'a currency that does not exist');
SELECT throws_ok($$ SELECT ecauto.set_cost('none', 1, 'PLN') $$, 'P0002', 'sku "none" does not exist', 'a sku that does not exist');
SELECT throws_ok($$ SELECT ecauto.set_fx_rate('EUR', 'PLN', 0) $$, '22023', NULL, 'exchange for nothing');
SELECT throws_ok($$ SELECT ecauto.set_vat_rate(101) $$, '22023', NULL, 'tax over 100%');
SELECT throws_ok($$ SELECT ecauto.explain_price('1', 'EUR') $$, 'P0002', 'sku "1" has no price in EUR', 'a currency it has no price in');
SELECT ecauto.create_price_rule('all', '{"markup": 100}') \g /dev/null
UPDATE cost SET cost = -1 WHERE variant_id = 1;
UPDATE cost SET cost = NULL WHERE variant_id = 2;
UPDATE cost SET cost = 'NaN' WHERE variant_id = 3;
UPDATE cost SET cost = 0 WHERE variant_id = 4;
UPDATE cost SET cost = 1e20 WHERE variant_id = 5;
UPDATE cost SET currency = 'EUR' WHERE variant_id = 6;
DELETE FROM cost WHERE variant_id = 7;
SELECT is(problems(), '1: the cost is negative or not a number; 2: no cost is known; 3: the cost is negative or not a number; '
	'4: the price would not be above zero; 5: the price would be too large; 6: no exchange rate is known for the cost; 7: no cost is known', 'what cannot be made is told, and why');
SELECT is((SELECT count(*) FROM ecauto.reprice(true)), 0::bigint, 'and stays as it is');
SELECT is((SELECT note FROM ecauto.explain_price('6', 'PLN') WHERE step = 'price'), 'stays: no exchange rate is known for the cost', 'explained, too');
SELECT ecauto.set_vat_rate(NULL) \g /dev/null
UPDATE cost SET cost = 1, currency = 'PLN';
SELECT matches(problems(), 'no rate of value added tax is known', 'a gross price is not made of a net cost without the tax');

-- ---- categories in a circle ----
SELECT ecauto.drop_price_rule('all') \g /dev/null
SELECT ecauto.set_vat_rate(0) \g /dev/null
UPDATE category SET parent = 4 WHERE id = 1;
SELECT ecauto.create_price_rule('clothes', '{"category": "1", "price": 7}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.reprice()), 8::bigint, 'categories in a circle end somewhere');
UPDATE category SET parent = 1 WHERE id = 1;
SELECT is((SELECT count(*) FROM ecauto.reprice()), 8::bigint, 'as does one that is its own parent');

-- ---- warnings ----
SELECT lives_ok($$ SELECT ecauto.create_price_rule('nothing', '{"brand": "Acne", "markup": 1}') $$, 'a rule for nothing is made, with a warning: see test/sql/pricing.sql');

-- ---- history ----
SELECT lives_ok($$ SELECT ecauto.record_price('1', 'PLN', 9, '[2025-01-01, 2025-06-01)') $$, 'what was before ecauto can be told');
SELECT throws_ok($$ SELECT ecauto.record_price('1', 'PLN', 8, '[2025-05-01, 2025-07-01)') $$, '23P01', 'price history of sku "1" has a price in PLN in that period', 'but not twice');
SELECT throws_ok($$ SELECT ecauto.record_price('1', 'PLN', 8, '[2025-07-01,)') $$, '23P01', NULL, 'nor what goes on while another is in force');
SELECT throws_ok($$ INSERT INTO ecauto_data.price_history SELECT series_id, '[2025-05-01, 2025-07-01)', 8, true, 'i' FROM ecauto_data.price_series WHERE sku = '1' AND currency = 'PLN' $$,
	'23P01', NULL, 'even past the function');
SELECT throws_ok($$ SELECT ecauto.record_price('1', 'PLN', 8, 'empty') $$, '22023', NULL, 'an empty period');
SELECT throws_ok($$ SELECT ecauto.set_prior_price_policy('{"dayz": 3}') $$, '22023', 'there is no option "dayz" of a prior price', 'an option that is not there');
SELECT throws_ok($$ SELECT ecauto.set_price_guard('{"max_share": 10}') $$, '22023', NULL, 'a share of what?');
SELECT throws_ok($$ SELECT * FROM ecauto.set_prices('{1,V1}', '{PLN,PLN}', '{5,6}') $$, '21000', NULL, 'two prices for one sku');
SELECT throws_ok($$ SELECT * FROM ecauto.set_prices('{1}', '{PLN}', '{NaN}') $$, '22023', NULL, 'not a price');
SELECT * FROM finish();
ROLLBACK;
