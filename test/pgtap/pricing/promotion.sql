-- What is no promotion is refused with its place and the remedy; a price has its sale to the instant; what is
-- advertised is a reduction.
BEGIN;
\ir ../event/shop.psql
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SET LOCAL ecauto.clock = '2026-03-01 12:00+00';
SELECT plan(61);

-- ---- bad definitions ----
CREATE FUNCTION pg_temp.refused(definition jsonb, message text, what text) RETURNS text LANGUAGE sql AS
$$ SELECT throws_ok(format('SELECT ecauto.create_promotion(%L, %L)', 'p', definition), '22023', message, what) $$;
SELECT pg_temp.refused('{}', '"percent" of promotion "p" is missing', 'it does nothing');
SELECT pg_temp.refused('[]', 'definition of promotion "p" must be an object', 'no object');
SELECT pg_temp.refused('{"percent": 101}', '"percent" of promotion "p" must be a percentage above 0 and at most 100', 'more than all');
SELECT pg_temp.refused('{"percent": "ten"}', '"percent" of promotion "p" must be a percentage above 0 and at most 100', 'a word');
SELECT pg_temp.refused('{"percent": 10, "amount": 5}', '"amount" of promotion "p" stands beside another discount', 'two discounts');
SELECT pg_temp.refused('{"percent": 10, "shipping": "free"}', '"shipping" of promotion "p" stands beside "percent"', 'two things at once');
SELECT pg_temp.refused('{"amount": -5}', '"amount" of promotion "p" must be an amount of money above 0', 'a negative amount');
SELECT pg_temp.refused('{"amount": 5.555, "currency": "EUR"}', '"amount" of promotion "p" has more decimals than its currency, which has 2', 'a part of a cent');
SELECT pg_temp.refused('{"amount": 1e30}', '"amount" of promotion "p" must be an amount of money above 0', 'more money than there is');
SELECT pg_temp.refused('{"percent": 10, "currency": "EURO"}', '"currency" of promotion "p" is not a known currency', 'an unknown currency');
SELECT pg_temp.refused('{"percent": 10, "frm": "2026-01-01"}', '"frm" of promotion "p" is not known', 'an unknown field');
SELECT pg_temp.refused('{"percent": 10, "from": "tomorrow"}', '"from" of promotion "p" is not a time', 'a time that moves');
SELECT pg_temp.refused('{"percent": 10, "until": "2026-03-30"}', '"until" of promotion "p" is a day without a time', 'an end that could be two');
SELECT pg_temp.refused('{"percent": 10, "from": "2026-03-30 00:00", "until": "2026-03-29 00:00"}', '"until" of promotion "p" must be after "from"', 'an end before the beginning');
SELECT pg_temp.refused('{"percent": 10, "timezone": "Europe/Nowhere"}', '"timezone" of promotion "p" is not a time zone', 'an unknown time zone');
SELECT pg_temp.refused('{"percent": 10, "hours": [{"days": ["someday"]}]}', '"hours[1].days" of promotion "p" must be days of the week', 'an unknown day');
SELECT pg_temp.refused('{"bundle": {"items": [{"skus": ["A"]}, {"skus": ["B"], "qty": 0}], "percent": 5}}', '"bundle.items[2].qty" of promotion "p" must be a whole number between 1 and 1000', 'none of a thing in a bundle');
SELECT pg_temp.refused('{"bundle": {"items": [{"skus": ["A"]}]}}', '"bundle.percent" of promotion "p" is missing', 'a bundle for nothing');
SELECT pg_temp.refused('{"tiers": [{"min_total": 200, "percent": 5}, {"min_total": 100, "percent": 10}]}', '"tiers[2].min_total" of promotion "p" must be above that of the tier before', 'tiers upside down');
SELECT pg_temp.refused('{"percent": 10, "skus": []}', '"skus" of promotion "p" must not be empty', 'for nothing');
SELECT pg_temp.refused('{"percent": 10, "budget": {"amount": 100}}', '"budget.amount" of promotion "p" needs the promotion''s "currency"', 'a budget of no currency');
SELECT pg_temp.refused('{"percent": 10, "exclusive": true, "stack": "best"}', '"exclusive" of promotion "p" contradicts "stack"', 'exclusive and not');
SELECT pg_temp.refused('{"percent": 10, "advertised": true, "coupon": true}', '"advertised" of promotion "p" goes with a reduction of the price alone', 'a coupon is no reduction of a price');
SELECT throws_ok($$ SELECT ecauto.create_promotion('p', '{"percent": 10, "when": "customer.contry = ''PL''"}') $$, '42703', 'row "customer" has no column "contry"', 'a condition on what is not there');
SELECT throws_ok($$ SELECT ecauto.create_promotion('p', NULL) $$, '22004', 'definition of a promotion must not be null', 'no definition');
SELECT throws_ok($$ SELECT ecauto.create_promotion('', '{"percent": 10}') $$, '22023', 'invalid name of a promotion', 'no name');
SELECT is((SELECT count(*) FROM ecauto_data.promotion), 0::bigint, 'left nothing behind');

-- ---- exclusive ones need an order ----
SELECT lives_ok($$ SELECT ecauto.create_promotion('x1', '{"percent": 10, "exclusive": true, "skus": ["90"], "until": "2026-04-01 00:00"}') $$, 'an exclusive one');
SELECT throws_ok($$ SELECT ecauto.create_promotion('x2', '{"percent": 20, "exclusive": true}') $$, '22023', '"priority" of promotion "x2" is the same as that of "x1", and both are exclusive', 'another of the same priority');
SELECT lives_ok($$ SELECT ecauto.create_promotion('x2', '{"percent": 20, "exclusive": true, "skus": ["91"]}') $$, 'for other skus');
SELECT lives_ok($$ SELECT ecauto.create_promotion('x3', '{"percent": 20, "exclusive": true, "skus": ["90"], "from": "2026-04-01 00:00"}') $$, 'at another time');
SELECT lives_ok($$ SELECT ecauto.create_promotion('x4', '{"percent": 20, "exclusive": true, "priority": 1, "skus": ["90"]}') $$, 'of another priority');
SELECT is((SELECT bool_and(ecauto.drop_promotion(p)) FROM unnest('{x1, x2, x3, x4}'::text[]) p), true, 'dropped');
SELECT is(ecauto.drop_promotion('x1'), false, 'and gone');

-- ---- prices at an instant ----
SELECT is(ecauto.price_at('1', 'EUR'), 10.00, 'the shop''s price, by key');
SELECT is(ecauto.price_at('V2', 'eur'), 20.00, 'by code');
SELECT is(ecauto.price_at('V2', 'PLN'), NULL, 'none in that currency');
SELECT throws_ok($$ SELECT ecauto.price_at('V2', 'XYZ') $$, '22023', 'currency "XYZ" does not exist', 'no such currency');
SELECT throws_ok($$ SELECT ecauto.price_at('V99', 'EUR') $$, 'P0002', 'sku "V99" does not exist', 'no such sku');
SELECT ecauto.create_promotion('sale', '{"percent": 20, "from": "2026-03-29 00:00", "until": "2026-03-30 00:00"}') \g /dev/null
SELECT is((SELECT string_agg(ecauto.price_at('V2', 'EUR', at)::text, ' ' ORDER BY at) FROM unnest('{2026-03-28 22:59:59.999999+00, 2026-03-28 23:00:00+00, 2026-03-29 21:59:59.999999+00, 2026-03-29 22:00:00+00}'::timestamptz[]) at),
	'20.00 16.00 16.00 20.00', 'a sale of a day that has 23 hours');
SELECT is((SELECT valid_until - valid_from FROM ecauto_data.promotion WHERE name = 'sale'), interval '23 hours', 'as it is kept');
SELECT ecauto.create_promotion('app', '{"percent": 50, "channels": ["app"], "skus": ["2"]}') \g /dev/null
SELECT ecauto.create_promotion('code', '{"percent": 50, "coupon": true}') \g /dev/null
SELECT ecauto.create_promotion('lot', '{"percent": 50, "min_qty": 3}') \g /dev/null
SELECT is(ecauto.price_at('2', 'EUR', '2026-03-29 12:00+00') || ' ' || ecauto.price_at('2', 'EUR', '2026-03-29 12:00+00', '{"channel": "app"}'),
	'16.00 8.00', 'in a channel; coupons and quantities do not show on a price');
SELECT is(ecauto.price_at('2', 'EUR', context => '{"promotions": {"app": {"price": 1}}}'), 1.00, 'what if');
SELECT is((SELECT count(*) FROM (SELECT ecauto.drop_promotion(name) FROM ecauto_data.promotion WHERE dropped_at IS NULL) d), 4::bigint, 'dropped');

-- ---- advertised reductions ----
TRUNCATE ecauto_data.price_history;
SELECT ecauto.record_price('1', 'EUR', 80, '[2026-03-01 00:00+01, 2026-03-06 00:00+01)') \g /dev/null
SELECT ecauto.record_price('1', 'EUR', 90, '[2026-03-06 00:00+01,)') \g /dev/null
SELECT ecauto.record_price('1', 'EUR', 90, '[2025-01-01 00:00+01, 2026-03-01 00:00+01)') \g /dev/null
SELECT ecauto.record_price('2', 'EUR', 50, '[2025-01-01 00:00+01,)') \g /dev/null
UPDATE price SET amount = 90 WHERE variant_id = 1;
UPDATE price SET amount = 50 WHERE variant_id = 2;
UPDATE ecauto_data.seen_price SET amount = CASE key WHEN '1' THEN 90 ELSE 50 END WHERE key IN ('1', '2');
SELECT throws_ok($$ SELECT ecauto.create_promotion('adv', '{"price": 85, "skus": ["1"], "currency": "EUR", "from": "2026-03-20 00:00", "advertised": true}') $$,
	'23514', 'promotion "adv" advertises a reduction that is none: at most 0.0% may be claimed', '80 for five days in March: 85 is no reduction');
SELECT lives_ok($$ SELECT ecauto.create_promotion('adv', '{"price": 85, "skus": ["1"], "currency": "EUR", "from": "2026-03-20 00:00"}') $$, 'but a price');
SELECT throws_ok($$ SELECT ecauto.create_promotion('adv2', '{"percent": 20, "skus": ["1", "2"], "from": "2026-03-20 00:00", "advertised": true}') $$,
	'23514', 'promotion "adv2" claims 20.0%, but at most 10.0% may be claimed', '20% of 90 are 10% of 80');
SELECT lives_ok($$ SELECT ecauto.create_promotion('adv2', '{"percent": 20, "skus": ["2"], "from": "2026-03-20 00:00", "until": "2026-03-25 00:00", "advertised": true}') $$, '50 for ever: 20% may be claimed');
SELECT throws_ok($$ SELECT ecauto.create_promotion('adv3', '{"percent": 30, "skus": ["2"], "from": "2026-04-10 00:00", "advertised": true}') $$,
	'23514', 'promotion "adv3" claims 30.0%, but at most 12.5% may be claimed', 'a sale of ours counts, too: 35 after 40');
SELECT lives_ok($$ SELECT ecauto.create_promotion('adv3', '{"percent": 30, "claim": 12.5, "skus": ["2"], "from": "2026-04-10 00:00"}') $$, 'as much as may be claimed');
SELECT lives_ok($$ SELECT ecauto.create_promotion('adv4', '{"percent": 30, "skus": ["2"], "from": "2026-06-10 00:00", "until": "2026-06-11 00:00", "active": false, "advertised": true}') $$, 'one that is not active is not checked');

-- ---- skus by key or by code ----
SELECT throws_ok($$ SELECT ecauto.create_promotion('adv5', '{"price": 85, "skus": ["V1"], "currency": "EUR", "from": "2026-03-20 00:00", "advertised": true}') $$,
	'23514', 'promotion "adv5" advertises a reduction that is none: at most 0.0% may be claimed', 'by its code a price is looked at, too');
SELECT ecauto.drop_promotion(name) FROM ecauto_data.promotion WHERE dropped_at IS NULL \g /dev/null
SELECT ecauto.create_promotion('code', '{"percent": 50, "skus": ["V2"]}'), ecauto.create_promotion('key', '{"percent": 50, "skus": ["3"]}'),
	ecauto.create_promotion('product', '{"percent": 50, "products": ["4"]}'), ecauto.create_promotion('new', '{"percent": 50, "skus": ["V77"]}') \g /dev/null
CREATE FUNCTION pg_temp.half(sku text) RETURNS boolean LANGUAGE sql AS
$$ SELECT (ecauto.price_cart(jsonb_build_array(jsonb_build_object('sku', sku, 'qty', 1, 'unit_price', 10)), '{"currency": "EUR"}') ->> 'total')::numeric = 5 $$;
SELECT ok(pg_temp.half('V2'), 'a promotion by code, a line by code');
SELECT ok(pg_temp.half('2'), 'by key');
SELECT ok(pg_temp.half('V3') AND pg_temp.half('3'), 'a promotion by key');
SELECT ok(pg_temp.half('V4') AND pg_temp.half('4'), 'the product of a sku that is named by code');
SELECT ok(NOT pg_temp.half('V5') AND NOT pg_temp.half('5'), 'and no other');
SELECT is(ecauto.price_at('V2', 'EUR'), 25.00, 'price_at() says the same');
SELECT ok(pg_temp.half('V77') AND NOT pg_temp.half('77'), 'a sku that is not there yet');
INSERT INTO variant VALUES (77, 1, 'V77');
SELECT ecauto.tick() \g /dev/null
SELECT ok(pg_temp.half('V77') AND pg_temp.half('77'), 'is known by both when the tick saw it');
SELECT pg_temp.refused('{"percent": 10, "valid_until": "2026-03-30 00:00"}', '"valid_until" of promotion "p" is not known', 'a word of others');

SELECT * FROM finish();
ROLLBACK;
