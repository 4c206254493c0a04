-- A rule makes the price it says, to the cent, and explains how.
BEGIN;
\ir shop.psql
SELECT plan(6);
SELECT ecauto.set_vat_rate(23) \g /dev/null
UPDATE cost SET cost = 52.10 WHERE variant_id = 1;
CREATE FUNCTION new_price(sku text) RETURNS numeric LANGUAGE sql AS $$ SELECT r.new_price FROM ecauto.reprice() r WHERE r.sku = $1 $$;
CREATE FUNCTION rule(definition jsonb) RETURNS void LANGUAGE sql AS $$
	SELECT ecauto.create_price_rule('test', '{"sku": "1"}' || definition) $$;

SELECT rule('{"markup": 40}') \g /dev/null
SELECT is(new_price('1')::text, '89.72', 'cost 52.10, tax 23%, markup 40%');
SELECT rule('{"margin": 40}') \g /dev/null
SELECT is(new_price('1')::text, '106.81', 'margin 40%: dividing first would give 106.80');
SELECT rule('{"markup": 40, "endings": ".99"}') \g /dev/null
SELECT is(new_price('1')::text, '89.99', 'charm ending');
SELECT is((SELECT note FROM ecauto.explain_price('V1', 'pln') WHERE step = 'true margin'), '28.79%', 'and its true margin');
UPDATE price SET amount = 79.99 WHERE variant_id = 1;
SELECT rule('{"markup": 40, "endings": ".99", "max_change": 5}') \g /dev/null
SELECT is(new_price('1')::text, '83.99', 'capped at 5% above 79.99');
SELECT results_eq($$ SELECT step, rule, before, after, note FROM ecauto.explain_price('1', 'PLN') $$,
	$$ VALUES ('cost', 'test', NULL, 52.10, NULL),
		('tax', 'test', 52.10, 64.083, '23%'),
		('markup', 'test', 64.083, 89.7162, '40%'),
		('ending', 'test', 89.7162, 89.99, '0.99, nearest'),
		('most change in a run', 'test', 89.99, 83.99, '5%'),
		('true margin', NULL, NULL, NULL, '23.70%'),
		('price', NULL, 79.99, 83.99, 'rule "test"; held by most change in a run') $$, 'every step is told');
SELECT * FROM finish();
ROLLBACK;
