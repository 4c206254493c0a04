-- A block of recommendations for a mail: what is in it, and at what price.
BEGIN;
SET LOCAL ecauto.clock = '2026-01-05 12:00+00';
\ir ../event/shop.psql
SELECT plan(52);
SET LOCAL timezone = 'UTC';
SET LOCAL ecauto.timezone = 'UTC';
SET LOCAL ecauto.clock = '2026-06-15 12:00+00';
CREATE FUNCTION block(customer text, slots integer, rules jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(b.sku, ' ' ORDER BY b.place) FROM ecauto.recommend_block($1, $2, $3) b $$;

-- 1 to 4 are in category a, 5 to 7 in b, 8 and 9 in c, 10 in none
CREATE TABLE in_category (product_id int, category text, PRIMARY KEY (product_id, category));
INSERT INTO in_category SELECT i, CASE WHEN i < 5 THEN 'a' WHEN i < 8 THEN 'b' ELSE 'c' END FROM generate_series(1, 9) i;
SELECT ecauto.bind_role('category', $$ SELECT c AS key, c AS title FROM unnest('{a,b,c}'::text[]) c $$) \g /dev/null
SELECT ecauto.bind_role('product_category', 'SELECT product_id AS key, category AS category_key FROM in_category') \g /dev/null
SELECT ecauto.bind_source('product_category', 'in_category', 'product_id') \g /dev/null
DELETE FROM orders;
DELETE FROM order_line;
SELECT ecauto.tick() \g /dev/null

-- ---- before anything was built ----
SELECT is(block('1', 3), NULL, 'nothing sold, nothing to show');
INSERT INTO customer SELECT i, 'c' || i || '@shop.example' FROM generate_series(6, 60) i;
-- sku i was bought by 11 - i customers, who bought nothing else
INSERT INTO orders (id, customer_id, total, placed)
SELECT row_number() OVER (), 5 + row_number() OVER (), 10, '2026-06-01' FROM generate_series(1, 10) i, generate_series(1, 11 - i);
INSERT INTO order_line (id, order_id, variant_id, qty, unit_price)
SELECT row_number() OVER (), row_number() OVER (), i, 1, 10 FROM generate_series(1, 10) i, generate_series(1, 11 - i);
SELECT ecauto.tick() \g /dev/null
SELECT is(block('1', 3, '{"per_category": 9}'), '1 2 3', 'best sellers until it is built');
SELECT ecauto.build_recommendations() \g /dev/null

-- ---- what is in it ----
SELECT is(block('1', 10), '1 2 5 6 8 9 10', 'the most popular, two of a category');
SELECT is(block('1', 10, '{"per_category": 1}'), '1 5 8 10', 'one of a category');
SELECT is(block('1', 4, '{"per_category": 3}'), '1 2 3 5', 'as many as there are slots');
SELECT is((SELECT array_agg(place) FROM ecauto.recommend_block('1', 3)), '{1,2,3}', 'places count from 1');
SELECT is(block(NULL, 2), '1 2', 'somebody unknown');
SELECT is(block('nobody', 2), '1 2', 'somebody whom the shop does not know');
SELECT is(block('1', 0), NULL, 'no slots');
SELECT is(block('1', 3, NULL), '1 2 5', 'no rules');
SELECT results_eq($$ SELECT sku, code, product, title, price, currency, prior_price, discount, reason FROM ecauto.recommend_block('1', 1) $$,
	$$ VALUES ('1', 'V1', '1', 'Product 1', 10::numeric, 'EUR', NULL::numeric, NULL::integer, 'popular') $$, 'what a template needs');
SELECT is(block('1', 10, '{"min_price": 30, "max_price": 60, "per_category": 5}'), '3 4 5 6', 'by price');
SELECT is(block('1', 3, '{"exclude": ["1", "V5"]}'), '2 3 6', 'without skus, by key or code');
SELECT is(block('1', 3, '{"exclude": "1"}'), '2 3 5', 'or one');
SELECT is(block('1', 3, '{"include_category": "b"}'), '5 6', 'of a category');
SELECT is(block('1', 9, '{"include_category": ["b", "c"], "per_category": 1}'), '5 8', 'of two');
SELECT is(block('1', 3, '{"exclude_category": ["a", "b"]}'), '8 9 10', 'not of two');
SELECT is(block('1', 3, '{"list": "best_sellers", "per_category": 9}'), '1 2 3', 'of another list');
SELECT is(block('1', 3, '{"list": "buy_again"}'), NULL, 'of a list that has nothing for him');
SELECT is(block(NULL, 3, '{"list": "discover"}'), NULL, 'nor for somebody unknown');
SELECT is(block('1', 3, '{"currency": "usd"}'), NULL, 'without a price in the currency nothing is shown');
SELECT is(block('1', 3, '{"currency": "eur", "list": null}'), '1 2 5', 'a null is no rule');
-- customer 6 bought 1 a fortnight ago; as a grocery it may be shown again, but not within the days of the rule
SELECT is(block('6', 1), '2', 'not what he bought');
SELECT ecauto.set_recommendation_policy(repeats => 'all') \g /dev/null
SELECT is(block('6', 1), '1', 'unless it is bought again and again');
SELECT is(block('6', 1, '{"bought_within": 30}'), '2', 'and not of late');
SELECT ecauto.set_recommendation_policy() \g /dev/null

-- ---- what is wrong with it ----
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', 101) $$, '22023', 'number of slots must be between 0 and 100', 'too many');
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', NULL) $$, '22023', 'number of slots must be between 0 and 100', 'NULL');
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', 1, '[]') $$, '22023', 'rules of a block of recommendations must be an object', 'an array');
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', 1, '{"colour": 1}') $$, '22023', 'unknown rule "colour" of a block of recommendations', 'an unknown rule');
SELECT throws_ok(format($$ SELECT ecauto.recommend_block('1', 1, %L) $$, rules), '22023', format('rule "%s" of a block of recommendations must be %s', rule, must), rules)
FROM (VALUES ('{"per_category": 0}', 'per_category', 'a whole number from 1 to 1000'), ('{"per_category": 1.5}', 'per_category', 'a whole number from 1 to 1000'),
	('{"per_category": "x"}', 'per_category', 'a whole number from 1 to 1000'), ('{"min_price": -1}', 'min_price', 'a number that is not negative'),
	('{"discount_only": "yes"}', 'discount_only', 'true or false'), ('{"currency": 7}', 'currency', 'a code of ISO 4217'),
	('{"exclude": [1]}', 'exclude', 'a string or an array of strings'), ('{"include_category": {}}', 'include_category', 'a string or an array of strings'),
	('{"min_price": 5, "max_price": 4}', 'min_price', 'a number')) v (rules, rule, must) WHERE rules NOT LIKE '%max%';
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', 1, '{"min_price": 5, "max_price": 4}') $$, '22023', 'rule "min_price" of a block of recommendations must not be above "max_price"', 'nothing could be between');

-- ---- at this moment ----
UPDATE stock SET qty = 0 WHERE variant_id = 1;
SELECT is(block('1', 3), '2 3 5', 'sold out: gone, without a tick');
UPDATE stock SET qty = 10 WHERE variant_id = 1;
SELECT is(block('1', 3), '1 2 5', 'back in stock');
SET LOCAL ecauto.clock = '2026-06-16 12:00+00';
UPDATE price SET amount = 8 WHERE variant_id = 1;
SELECT results_eq($$ SELECT sku, price, prior_price, discount FROM ecauto.recommend_block('1', 1) $$, $$ VALUES ('1', 8::numeric, 10::numeric, 20) $$,
	'a price of this minute, and what it was before');
SELECT is(block('1', 9, '{"discount_only": true}'), '1', 'only what is reduced');
SELECT ecauto.tick() \g /dev/null
SET LOCAL ecauto.clock = '2026-06-20 12:00+00';
SELECT results_eq($$ SELECT price, prior_price, discount FROM ecauto.recommend_block('1', 1) $$, $$ VALUES (8::numeric, 10::numeric, 20) $$, 'still reduced days later');
UPDATE price SET amount = 12 WHERE variant_id = 1;
SELECT results_eq($$ SELECT price, prior_price, discount FROM ecauto.recommend_block('1', 1) $$, $$ VALUES (12::numeric, NULL::numeric, NULL::integer) $$, 'dearer is no reduction');
SELECT ecauto.create_promotion('june', '{"percent": 25, "skus": ["5"]}') \g /dev/null
SELECT results_eq($$ SELECT sku, price, prior_price, discount FROM ecauto.recommend_block('1', 9, '{"discount_only": true}') $$, $$ VALUES ('5', 37.50, 50::numeric, 25) $$, 'a promotion');

-- ---- in a mail ----
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SET LOCAL ecauto.mail_endpoint = 'mail';
SELECT ecauto.create_template('news', 'News', '<p>News</p>', '{{#recommended}}{{sku}} {{price}}{{#prior_price}} before {{prior_price}}{{/prior_price}};{{/recommended}}',
	sample => '{"recommended": [{"sku": "1", "price": 1, "prior_price": null}]}') \g /dev/null
SELECT ecauto.grant_consent('c1@shop.example', 'email', 'marketing') \g /dev/null
SELECT ecauto.send_campaign('june', NULL, 'news', customers => '{1}', data => '{"recommended": {"slots": 3}}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto_data.outbox), 0::bigint, 'a mail waits');
-- meanwhile 2 is sold out, and 1 gets cheaper
UPDATE stock SET qty = 0 WHERE variant_id = 2;
UPDATE price SET amount = 6 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT is((SELECT payload ->> 'text' FROM ecauto_data.outbox), '1 6.00 before 8;3 30.00;5 37.50 before 50;', 'what is sold out then is not in it, and the price is that of then');
SELECT ecauto.send_mail('c1@shop.example', 'news', '{"recommended": {"slots": 1}}', key => 'one') \g /dev/null
SELECT is((SELECT payload ->> 'text' FROM ecauto_data.outbox WHERE key = 'one'), '1 6.00 before 8;', 'one mail, by its address');
SELECT throws_ok($$ SELECT ecauto.send_mail('c1@shop.example', 'news', '{"recommended": {"slots": 1, "colour": 2}}') $$, '22023', 'unknown rule "colour" of a block of recommendations', 'a wrong rule is seen at once');
UPDATE stock SET qty = 10 WHERE variant_id = 2;

-- ---- who may ----
CREATE ROLE block_shop;
GRANT USAGE ON SCHEMA ecauto, s TO block_shop;
GRANT EXECUTE ON FUNCTION block(text, integer, jsonb) TO block_shop;
SET LOCAL ROLE block_shop;
SELECT throws_ok($$ SELECT ecauto.recommend_block('1', 1) $$, '42501', NULL, 'not everybody');
SELECT throws_ok($$ SELECT ecauto.recommend_candidates('recommend', '1', 1) $$, '42501', NULL, 'nor what is inside');
RESET ROLE;
GRANT EXECUTE ON FUNCTION ecauto.recommend_block(text, integer, jsonb) TO block_shop;
SET LOCAL ROLE block_shop;
SELECT is((SELECT sku FROM ecauto.recommend_block('1', 1)), '1', 'whom it is granted to, and he needs nothing else');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
