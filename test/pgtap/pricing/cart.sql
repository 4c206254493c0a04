-- A cart costs what its promotions say, to the cent, and says why.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL ecauto.timezone = 'Europe/Warsaw';
SELECT plan(69);

-- a line: sku, quantity, unit price, further fields
CREATE FUNCTION pg_temp.line(sku text, qty numeric, unit_price numeric, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('sku', sku, 'qty', qty, 'unit_price', unit_price) || more $$;
-- what a cart costs under these promotions alone
CREATE FUNCTION pg_temp.cart(promotions jsonb, lines jsonb, context jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
$$ SELECT ecauto.price_cart(lines, '{"currency": "EUR"}'::jsonb || context || jsonb_build_object('promotions', promotions)) $$;
CREATE FUNCTION pg_temp.line_totals(cart jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(l ->> 'total', ' ' ORDER BY (l ->> 'line')::int) FROM jsonb_array_elements(cart -> 'lines') l $$;
CREATE FUNCTION pg_temp.discounts(cart jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(l ->> 'discount', ' ' ORDER BY (l ->> 'line')::int) FROM jsonb_array_elements(cart -> 'lines') l $$;
-- what is said of a promotion that did not apply
CREATE FUNCTION pg_temp.why(cart jsonb, promotion text) RETURNS text LANGUAGE sql AS
$$ SELECT (n ->> 'reason') || coalesce(': ' || (n ->> 'message'), '') FROM jsonb_array_elements(cart -> 'not_applied') n WHERE n ->> 'promotion' = why.promotion $$;

-- ---- order, by priority and by lane ----
SELECT is(pg_temp.cart('{"a": {"percent": 10, "priority": 2}, "b": {"amount": 15, "priority": 1}}', jsonb_build_array(pg_temp.line('A', 1, 200))) ->> 'total',
	'165.00', '10% first, then 15 off');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "priority": 1}, "b": {"amount": 15, "priority": 2}}', jsonb_build_array(pg_temp.line('A', 1, 200))) ->> 'total',
	'166.50', '15 off first, then 10%');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "lane": "post", "priority": 9}, "b": {"amount": 15, "lane": "pre"}}', jsonb_build_array(pg_temp.line('A', 1, 200))) ->> 'total',
	'166.50', 'a lane goes before priority');

-- ---- sharing ----
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"amount": 10}}', jsonb_build_array(pg_temp.line('A', 1, 33.33), pg_temp.line('B', 1, 33.33), pg_temp.line('C', 1, 33.34)))),
	'3.33 3.33 3.34', '10.00 over three lines');
SELECT is(pg_temp.cart('{"a": {"amount": 10}}', jsonb_build_array(pg_temp.line('A', 1, 33.33), pg_temp.line('B', 1, 33.33), pg_temp.line('C', 1, 33.34, '{"returned": 1}'))) ->> 'refund',
	'30.00', 'the third comes back');
SELECT is(pg_temp.cart('{"a": {"amount": 10}}', jsonb_build_array(pg_temp.line('A', 1, 33.33, '{"returned": 1}'), pg_temp.line('B', 1, 33.33, '{"returned": 1}'), pg_temp.line('C', 1, 33.34, '{"returned": 1}'))) ->> 'refund',
	'90.00', 'all come back');
SELECT is((SELECT string_agg(pg_temp.cart('{"a": {"percent": 10}}', jsonb_build_array(pg_temp.line('A', 3, 9.99, jsonb_build_object('returned', 1, 'returned_before', n)))) ->> 'refund', ' ' ORDER BY n) FROM generate_series(0, 2) n),
	'8.99 8.99 8.99', 'one unit after the other');
SELECT is((SELECT string_agg(pg_temp.cart('{"a": {"amount": 0.01}}', jsonb_build_array(pg_temp.line('A', 3, 1, jsonb_build_object('returned', 1, 'returned_before', n)))) ->> 'refund', ' ' ORDER BY n) FROM generate_series(0, 2) n),
	'1.00 0.99 1.00', 'together they are what was paid, to the cent');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 10}}', jsonb_build_array(pg_temp.line('A', 1, 0.05), pg_temp.line('B', 1, 0.05), pg_temp.line('C', 1, 0.05)))),
	'0.01 0.01 0.00', 'a percentage of the cart is rounded once');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 10, "per": "line"}}', jsonb_build_array(pg_temp.line('A', 1, 0.05), pg_temp.line('B', 1, 0.05), pg_temp.line('C', 1, 0.05)))),
	'0.01 0.01 0.01', 'a percentage of lines on each');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 10, "per": "unit"}}', jsonb_build_array(pg_temp.line('A', 10, 0.04), pg_temp.line('B', 10, 0.05)))),
	'0.00 0.10', 'a percentage of units on each of them');

-- ---- what is taken off ----
SELECT is(pg_temp.line_totals(pg_temp.cart('{"a": {"amount": 3, "per": "line"}}', jsonb_build_array(pg_temp.line('A', 2, 10), pg_temp.line('B', 1, 2)))), '17.00 0.00', 'an amount off each line, never below zero');
SELECT is(pg_temp.line_totals(pg_temp.cart('{"a": {"amount": 3, "per": "unit"}}', jsonb_build_array(pg_temp.line('A', 2, 10), pg_temp.line('B', 1.5, 4)))), '14.00 1.50', 'an amount off each unit');
SELECT is(pg_temp.line_totals(pg_temp.cart('{"a": {"price": 7.90}}', jsonb_build_array(pg_temp.line('A', 2, 10), pg_temp.line('B', 1, 4)))), '15.80 4.00', 'a price for each unit, which raises none');
SELECT is(pg_temp.cart('{"a": {"amount": 1000}}', jsonb_build_array(pg_temp.line('A', 2, 10), pg_temp.line('B', 1, 4))) ->> 'total', '0.00', 'more off than there is');
SELECT is(pg_temp.cart('{"a": {"percent": 100}, "b": {"percent": 50}}', jsonb_build_array(pg_temp.line('A', 2, 10))) ->> 'total', '0.00', 'nothing is left after 100%');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 100}, "b": {"percent": 50}}', jsonb_build_array(pg_temp.line('A', 2, 10))), 'b'), 'nothing_left', 'and the next says so');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 50, "max_discount": 5}}', jsonb_build_array(pg_temp.line('A', 1, 20), pg_temp.line('B', 1, 10)))), '3.33 1.67', 'at most so much');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 50, "skus": ["B", "C"], "except": {"skus": ["C"]}}}', jsonb_build_array(pg_temp.line('A', 1, 20), pg_temp.line('B', 1, 10), pg_temp.line('C', 1, 10)))), '0.00 5.00 0.00', 'some skus, without some');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 50, "where": "line.unit_price >= 15 AND line.brand = ''ACME''"}}', jsonb_build_array(pg_temp.line('A', 1, 20, '{"brand": "ACME"}'), pg_temp.line('B', 1, 10, '{"brand": "ACME"}'), pg_temp.line('C', 1, 30)))), '10.00 0.00 0.00', 'lines by a condition');

-- ---- counted units ----
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"nth": {"every": 2, "percent": 50}}}', jsonb_build_array(pg_temp.line('A', 2, 10), pg_temp.line('B', 1, 30), pg_temp.line('C', 1, 20)))), '5.00 0.00 10.00', 'every second unit');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"buy": {"qty": 2}, "get": {"qty": 1}}}', jsonb_build_array(pg_temp.line('A', 3, 10), pg_temp.line('B', 3, 30)))), '10.00 30.00', 'three for two, twice');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"buy": {"qty": 2}, "get": {"qty": 1}, "limit": 1}}', jsonb_build_array(pg_temp.line('A', 3, 10), pg_temp.line('B', 3, 30)))), '0.00 30.00', 'three for two, once');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"buy": {"qty": 2}, "get": {"qty": 1}, "title": "3 for 2"}}', jsonb_build_array(pg_temp.line('A', 2, 10))), 'a'), 'quantity: 1 more to 3 for 2', 'one short of it');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"buy": {"skus": ["A"], "qty": 2}, "get": {"skus": ["B"], "qty": 1, "percent": 50}}}', jsonb_build_array(pg_temp.line('A', 5, 10), pg_temp.line('B', 3, 4)))), '0.00 4.00', 'buy some, get others');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"buy": {"skus": ["A", "B"], "qty": 1}, "get": {"skus": ["B", "C"], "qty": 1}}}', jsonb_build_array(pg_temp.line('A', 1, 1), pg_temp.line('B', 2, 50), pg_temp.line('C', 1, 40)))), '0.00 50.00 40.00', 'what can be bought or got goes where it is worth more');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"bundle": {"items": [{"categories": ["shirts"], "qty": 2}, {"categories": ["ties"]}], "percent": 15}}}',
	jsonb_build_array(pg_temp.line('S1', 3, 60, '{"categories": ["shirts"]}'), pg_temp.line('S2', 2, 40, '{"categories": ["shirts"]}'), pg_temp.line('T1', 1, 30, '{"categories": ["ties"]}'), pg_temp.line('T2', 1, 20, '{"categories": ["ties"]}')))),
	'27.00 6.00 4.50 3.00', 'bundles as dear as they can be: 40.50 off');
SELECT is(pg_temp.cart('{"a": {"bundle": {"items": [{"skus": ["A", "B"]}, {"skus": ["A"]}], "amount": 5}}}', jsonb_build_array(pg_temp.line('A', 1, 10), pg_temp.line('B', 1, 100))) ->> 'discount', '5.00', 'a unit goes where it is needed');
SELECT is(pg_temp.cart('{"a": {"bundle": {"items": [{"skus": ["A"]}, {"skus": ["B"]}], "price": 30}}}', jsonb_build_array(pg_temp.line('A', 1, 40), pg_temp.line('A', 1, 1), pg_temp.line('B', 2, 20))) ->> 'discount', '30.00', 'a bundle that would be dearer is not made');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"bundle": {"items": [{"skus": ["A"], "qty": 2}, {"skus": ["B"]}], "price": 30}}}', jsonb_build_array(pg_temp.line('A', 1, 40))), 'a'), 'quantity: 2 more to a', 'two units short of a bundle');
SELECT is(pg_temp.cart('{"a": {"tiers": [{"min_total": 100, "percent": 5}, {"min_total": 200, "percent": 10}]}}', jsonb_build_array(pg_temp.line('A', 1, 150))) -> 'applied',
	'[{"next": {"message": "50.00 EUR to more", "missing": 50.00}, "amount": 7.50, "promotion": "a"}]', 'a tier, and how far the next one is');
SELECT is(pg_temp.cart('{"a": {"tiers": [{"min_qty": 10, "price": 9}, {"min_qty": 100, "price": 8}]}}', jsonb_build_array(pg_temp.line('A', 100, 10))) ->> 'total', '800.00', 'prices by quantity');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"tiers": [{"min_total": 100, "percent": 5}]}}', jsonb_build_array(pg_temp.line('A', 1, 87.60))), 'a'), 'threshold: 12.40 EUR to a', 'below the first tier');

-- ---- shipping and gifts ----
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"shipping": "free", "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 37.60)), '{"shipping": 9.90}'), 'a'), 'threshold: 12.40 EUR to free shipping', 'how far it is to free shipping');
SELECT is(pg_temp.cart('{"a": {"shipping": "free", "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"shipping": 9.90}') -> 'shipping', '{"price": 9.90, "total": 0.00, "discount": 9.90}', 'free shipping');
SELECT is(pg_temp.cart('{"a": {"shipping": {"price": 4.90}}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"shipping": 9.90}') ->> 'total', '54.90', 'cheaper shipping');
SELECT is(pg_temp.why(pg_temp.cart('{"b": {"percent": 10}, "a": {"shipping": "free", "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"shipping": 9.90}'), 'a'), 'threshold: 5.00 EUR to free shipping', 'measured after the other discounts');
SELECT is(pg_temp.cart('{"a": {"gift": {"sku": "MUG"}, "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"stock": {"MUG": 1}}') -> 'gifts', '[{"qty": 1, "sku": "MUG", "promotion": "a"}]', 'a gift');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"gift": {"sku": "MUG"}, "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"stock": {"MUG": 0}}'), 'a'), 'stock: MUG is out of stock', 'a gift that is gone');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"gift": {"sku": "MUG"}, "min_total": 50}}', jsonb_build_array(pg_temp.line('A', 1, 49.99))), 'a'), 'threshold: 0.01 EUR to gift MUG', 'a cent short of a gift');

-- ---- who, where, when ----
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "channels": ["app"]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"channel": "web"}'), 'a'), 'channel', 'another channel');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "segments": ["vip", "staff"]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"customer": {"key": "7", "segments": ["new", "vip"]}}') ->> 'discount', '5.00', 'a segment');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "segments": ["vip"]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"customer": {"key": "7", "segments": ["new"]}}'), 'a'), 'segment', 'another segment');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "customers": ["Ann@Shop.Example"]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"customer": {"email": "ann+x@shop.example"}}') ->> 'discount', '5.00', 'one customer, whatever the case and tag');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "when": "customer.country = ''PL'' AND cart.total > 10"}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"customer": {"country": "DE"}}'), 'a'), 'condition: not met: customer.country = ''PL'' AND cart.total > 10', 'a condition');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "when": "customer.country = ''PL'' AND cart.total > 10"}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"customer": {"country": "PL"}}') ->> 'discount', '5.00', 'that is met');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "when": "10 / (cart.lines - 1) > 3"}, "b": {"percent": 20}}', jsonb_build_array(pg_temp.line('A', 1, 50))), 'a'), 'error: it cannot be evaluated: division by zero', 'a condition that fails');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "when": "10 / (cart.lines - 1) > 3"}, "b": {"percent": 20}}', jsonb_build_array(pg_temp.line('A', 1, 50))) ->> 'total', '40.00', 'stops no other');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "currency": "PLN"}}', jsonb_build_array(pg_temp.line('A', 1, 50))), 'a'), 'currency: only in PLN', 'another currency');
SELECT is((SELECT string_agg(coalesce(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "from": "2026-03-29 00:00", "until": "2026-03-30 00:00"}}', jsonb_build_array(pg_temp.line('A', 1, 50)), jsonb_build_object('at', t)), 'a'), 'on'), ', ' ORDER BY t)
	FROM unnest('{2026-03-28 22:59:59.999999+00, 2026-03-28 23:00:00+00, 2026-03-29 21:59:59.999999+00, 2026-03-29 22:00:00+00}'::timestamptz[]) t) ~ '^not_started: .*, on, on, ended: .*$', true, '23 hours, to the instant');
SELECT is((SELECT string_agg(coalesce(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "hours": [{"days": ["fri"], "from": "22:00", "until": "02:00"}]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), jsonb_build_object('at', t)), 'a'), 'on'), ', ' ORDER BY t)
	FROM unnest('{2026-03-27 20:59:59+00, 2026-03-27 21:00:00+00, 2026-03-28 00:59:59+00, 2026-03-28 01:00:00+00}'::timestamptz[]) t), 'hours, on, on, hours', 'hours of the week, past midnight');

SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "channels": ["app"]}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"channel": "web", "explain": "all"}'), 'a'), 'channel: not in this channel', 'in words if asked for');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "active": false}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"explain": "all"}'), 'a'), 'paused: not active', 'with those that are not in force');

-- ---- with others ----
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "exclusive": true, "priority": 5}, "b": {"amount": 1}}', jsonb_build_array(pg_temp.line('A', 1, 50))), 'b'), 'excluded: does not go together with a', 'an exclusive one');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 10, "exclusive": true, "priority": 5, "skus": ["A"]}, "b": {"percent": 20}}', jsonb_build_array(pg_temp.line('A', 1, 50), pg_temp.line('B', 1, 50)))), '5.00 10.00', 'has its own lines alone');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "exclusive": true}, "b": {"amount": 1, "priority": 5}}', jsonb_build_array(pg_temp.line('A', 1, 50))), 'a'), 'excluded: does not go together with b', 'and leaves alone what another had before');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "exclusive": true, "priority": 5}, "b": {"amount": 1, "lane": "post"}}', jsonb_build_array(pg_temp.line('A', 1, 50))) ->> 'total', '44.00', 'in its lane');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "stack": "alone"}, "b": {"shipping": "free"}}', jsonb_build_array(pg_temp.line('A', 1, 50)), '{"shipping": 5}'), 'b'), 'excluded: does not go together with a', 'alone in the cart');
SELECT is(pg_temp.why(pg_temp.cart('{"a": {"percent": 10, "stack": "best", "priority": 5}, "b": {"amount": 6, "stack": "best"}}', jsonb_build_array(pg_temp.line('A', 1, 50))), 'a'), 'not_best: b is better', 'the better one');
SELECT is(pg_temp.discounts(pg_temp.cart('{"a": {"percent": 10, "stack": "best"}, "b": {"percent": 20, "skus": ["B"], "stack": "best"}}', jsonb_build_array(pg_temp.line('A', 1, 50), pg_temp.line('B', 1, 50)))), '5.00 10.00', 'the best for each line');
SELECT is(pg_temp.cart('{"a": {"percent": 10, "stack": "best"}, "b": {"percent": 20, "skus": ["B"], "stack": "best"}, "c": {"amount": 16, "stack": "best"}}', jsonb_build_array(pg_temp.line('A', 1, 50), pg_temp.line('B', 1, 50))) ->> 'discount', '16.00', 'or one for all of them');

-- ---- the form of the answer ----
SELECT ok((SELECT bool_and(r = r::text::jsonb) FROM (SELECT pg_temp.cart('{"a": {"percent": 10, "title": "Ten"}, "b": {"amount": 1, "stack": "alone"}, "c": {"gift": {"sku": "M"}}, "d": {"shipping": "free", "min_total": 1000}}',
	(SELECT jsonb_agg(pg_temp.line('S' || i, i, i, CASE i % 2 WHEN 0 THEN '{"key": "k"}' ELSE '{}' END::jsonb)) FROM generate_series(1, n) i), '{"shipping": 5}') AS r FROM unnest('{1, 5, 31, 32, 33, 64, 65, 200}'::int[]) n) x), 'is a jsonb as the server would have made it');
SELECT is(ecauto.price_cart('[]', '{}') - 'at' - 'not_applied', '{"gifts": [], "lines": [], "total": 0.00, "applied": [], "coupons": [], "currency": null, "discount": 0.00, "subtotal": 0.00}', 'an empty cart');
SELECT is(pg_temp.cart('{"a": {"percent": 10}}', jsonb_build_array(pg_temp.line('A', 1, 999)), '{"currency": "JPY"}') ->> 'total', '899', 'a currency without cents: 99.9 off is 100');

-- ---- bad input ----
SELECT is(pg_temp.line_totals(pg_temp.cart('{"a": {"percent": 10, "per": "unit"}}', jsonb_build_array(pg_temp.line('A', 0, 10), pg_temp.line('B', 1, 10)))), '0.00 9.00', 'a quantity of 0 costs nothing');
SELECT throws_ok($$ SELECT ecauto.price_cart('[{"sku": "A", "qty": 1, "unit_price": 1}, {"sku": "A", "qty": 1e18, "unit_price": 1}]', '{}') $$, '22023', 'line 2 of the cart: "qty" must be a number from 0 to 1000000000 with at most six decimals', 'a quantity of 1e18');
SELECT throws_ok($$ SELECT ecauto.price_cart('[{"sku": "A", "qty": -1, "unit_price": 1}]', '{}') $$, '22023', 'line 1 of the cart: "qty" must be a number from 0 to 1000000000 with at most six decimals', 'a quantity below zero');
SELECT throws_ok($$ SELECT ecauto.price_cart('[]', '{"currency": "EURO"}') $$, '22023', '"currency" in the context of the cart is not a known currency', 'an unknown currency');
SELECT throws_ok($$ SELECT ecauto.price_cart(NULL, '{}') $$, '22004', 'lines of a cart must not be null', 'no lines');

SELECT * FROM finish();
ROLLBACK;
