-- A coupon is used as often as it may be, by whom it may be, and given back once.
BEGIN;
\ir ../event/shop.psql
SET LOCAL ecauto.clock = '2026-03-01 12:00+00';
SELECT plan(59);

SELECT ecauto.create_promotion('ten', '{"percent": 10, "coupon": true}') \g /dev/null

-- ---- codes ----
CREATE TEMP TABLE codes AS SELECT c AS code FROM ecauto.generate_coupons('ten', 5000, prefix => 'sp 26') c;
SELECT is((SELECT count(DISTINCT code) FROM codes), 5000::bigint, 'each code is there once');
SELECT is((SELECT count(*) FROM codes WHERE code !~ '^SP26(-[2-9A-HJKMNP-Z]{4}){3}$'), 0::bigint, 'a prefix and letters that cannot be mistaken');
SELECT is((SELECT count(*) FROM codes WHERE NOT ecauto.coupon_is_well_formed(code)), 0::bigint, 'with a check letter');
SELECT cmp_ok((SELECT min(n)::int FROM (SELECT count(*) AS n FROM codes, generate_series(6, 17) i WHERE substr(code, i, 1) <> '-' GROUP BY substr(code, i, 1)) x), '>', 1400, 'all letters are about as frequent');
SELECT is((SELECT count(*) FROM (SELECT code FROM codes LIMIT 50) c, generate_series(6, 17) i, unnest(string_to_array('23456789ABCDEFGHJKMNPQRSTUVWXYZ', NULL)) l
	WHERE substr(code, i, 1) NOT IN ('-', l) AND ecauto.coupon_is_well_formed(overlay(code PLACING l FROM i FOR 1))), 0::bigint, 'one wrong letter is noticed');
SELECT is((SELECT count(*) FROM (SELECT replace(code, '-', '') AS code FROM codes LIMIT 200) c, generate_series(5, 15) i
	WHERE substr(code, i, 1) <> substr(code, i + 1, 1)
	AND ecauto.coupon_is_well_formed(overlay(code PLACING substr(code, i + 1, 1) || substr(code, i, 1) FROM i FOR 2))), 0::bigint, 'two letters swapped, too');
SELECT is((SELECT count(*) FROM ecauto_data.coupon WHERE code !~ '^SP26[2-9A-HJKMNP-Z]{12}$'), 0::bigint, 'kept in their one form');
SELECT throws_ok($$ SELECT ecauto.generate_coupons('ten', 1000000, length => 6) $$, '22023', '1000000 codes of length 6 could be guessed', 'too short for so many');
SELECT throws_ok($$ SELECT ecauto.generate_coupons('ten', 0) $$, '22023', 'n must be between 1 and 10000000', 'none');
SELECT throws_ok($$ SELECT ecauto.generate_coupons('nope', 1) $$, '42704', 'promotion "nope" does not exist', 'of no promotion');
SELECT throws_ok($$ SELECT ecauto.generate_coupons('ten', 1, uses => 0) $$, '22023', 'uses must be at least 1', 'for no use');
SELECT throws_ok($$ SELECT ecauto.create_coupon('ten', '- -') $$, '22023', 'code must have at least 3 letters and digits, and at most 100 bytes', 'no code');
SELECT is(ecauto.create_coupon('ten', 'welcome-10'), 'WELCOME10', 'a code of one''s own');
SELECT throws_ok($$ SELECT ecauto.create_coupon('ten', 'Welcome 10') $$, '42710', 'coupon "WELCOME10" exists already', 'twice');

-- ---- using them ----
SELECT code AS one FROM codes LIMIT 1 \gset
SELECT is(ecauto.redeem_coupon('  ' || lower(replace(:'one', '-', ' ')) || ' ', 'o1'), true, 'small letters and spaces do not matter');
SELECT is(ecauto.redeem_coupon(:'one', 'o1'), true, 'asked again for the same order: still his');
SELECT is((SELECT used FROM ecauto_data.coupon WHERE code = replace(:'one', '-', '')), 1::bigint, 'counted once');
SELECT is(ecauto.redeem_coupon(:'one', 'o2'), false, 'used up');
SELECT is(ecauto.cancel_coupon(:'one', 'o2'), false, 'an order that has none gives none back');
SELECT is(ecauto.cancel_coupon(lower(:'one'), 'o1'), true, 'given back');
SELECT is(ecauto.cancel_coupon(:'one', 'o1'), false, 'once');
SELECT is((SELECT used FROM ecauto_data.coupon WHERE code = replace(:'one', '-', '')), 0::bigint, 'and free again');
SELECT is(ecauto.redeem_coupon(:'one', 'o2'), true, 'for another order');
SELECT is(ecauto.redeem_coupon('nope', 'o3'), false, 'an unknown code');
SELECT is(ecauto.redeem_coupon('', 'o3'), false, 'no code');
SELECT is(ecauto.redeem_coupon(repeat('A', 1000000), 'o3'), false, 'a very long one');
SELECT throws_ok($$ SELECT ecauto.redeem_coupon(NULL, 'o3') $$, '22004', 'code must not be null', 'NULL');
SELECT throws_ok($$ SELECT ecauto.redeem_coupon('A', NULL) $$, '22004', 'order_key must not be null', 'for no order');
SELECT throws_ok($$ SELECT ecauto.redeem_coupon('A', '') $$, '22023', 'order_key must have between 1 and 1000 bytes', 'for an order without key');

-- each customer
SELECT ecauto.create_coupon('ten', 'EACH', uses => 5, uses_per_customer => 1) \g /dev/null
SELECT is(ecauto.redeem_coupon('EACH', 'e1', 'Ann+shop@Shop.Example'), true, 'Ann');
SELECT is(ecauto.redeem_coupon('EACH', 'e2', 'ann@shop.example'), false, 'Ann again, by another spelling');
SELECT is(ecauto.redeem_coupon('EACH', 'e3', 'c1@shop.example'), true, 'a customer by mail');
SELECT is(ecauto.redeem_coupon('EACH', 'e4', '1'), false, 'and by key: the same');
SELECT is(ecauto.redeem_coupon('EACH', 'e5', '2'), true, 'another');
SELECT throws_ok($$ SELECT ecauto.redeem_coupon('EACH', 'e6') $$, '22004', 'customer must be given for this coupon', 'somebody');
SELECT is(ecauto.cancel_coupon('EACH', 'e1') AND ecauto.redeem_coupon('EACH', 'e7', 'ANN@shop.example'), true, 'given back, Ann may again');

-- bound
SELECT ecauto.create_coupon('ten', 'MINE', customer => 'Bob+1@x.example') \g /dev/null
SELECT is(ecauto.redeem_coupon('MINE', 'm1', 'eve@x.example') OR ecauto.redeem_coupon('MINE', 'm1'), false, 'of another customer');
SELECT is(ecauto.redeem_coupon('MINE', 'm1', 'bob@x.example'), true, 'of this one');
SELECT ecauto.create_coupon('ten', 'CART', cart => 'c7') \g /dev/null
SELECT is(ecauto.redeem_coupon('CART', 'k1', cart => 'c8'), false, 'of another cart');
SELECT is(ecauto.redeem_coupon('CART', 'k1', cart => 'c7'), true, 'of this one');
SELECT ecauto.create_coupon('ten', 'TIME', valid_from => '2026-03-02 00:00+00', valid_until => '2026-03-03 00:00+00') \g /dev/null
SELECT is(ecauto.redeem_coupon('TIME', 't1'), false, 'too early');
SET LOCAL ecauto.clock = '2026-03-02 00:00+00';
SELECT is(ecauto.redeem_coupon('TIME', 't1'), true, 'in time');
SET LOCAL ecauto.clock = '2026-03-03 00:00+00';
SELECT is(ecauto.redeem_coupon('TIME', 't2'), false, 'too late');
SELECT ecauto.create_promotion('ten', '{"percent": 10, "coupon": true, "until": "2026-03-03 00:00+00"}') \g /dev/null
SELECT is(ecauto.redeem_coupon('EACH', 'e8', 'x@x.example'), false, 'of a promotion that is over');
SELECT ecauto.create_promotion('ten', '{"percent": 10, "coupon": true}') \g /dev/null

-- ---- in a cart ----
SELECT is(ecauto.price_cart('[{"sku": "A", "qty": 1, "unit_price": 50}]', '{"coupons": ["each", "zzz"], "customer": {"email": "ann@shop.example"}}') -> 'coupons',
	'[{"code": "each", "status": "used up by this customer"}, {"code": "zzz", "status": "unknown"}]', 'a cart says what is wrong with a code');
SELECT is(ecauto.price_cart('[{"sku": "A", "qty": 1, "unit_price": 50}]', '{"coupons": ["each"], "customer": {"email": "ann@shop.example"}, "order": "e7"}') ->> 'total',
	'45.00', 'but an order keeps what it has');

SELECT ecauto.create_coupon('ten', 'KEYED', customer => '3') \g /dev/null
SELECT is(ecauto.price_cart('[{"sku": "A", "qty": 1, "unit_price": 50}]', '{"coupons": ["keyed"], "customer": "3"}') ->> 'total', '45.00', 'a coupon of a customer, known by key');
SELECT is(ecauto.price_cart('[{"sku": "A", "qty": 1, "unit_price": 50}]', '{"coupons": ["keyed"], "customer": {"email": "C3+x@shop.example"}}') ->> 'total', '45.00', 'or by mail address');

-- ---- those who guess ----
SELECT is((SELECT count(*) FILTER (WHERE ecauto.redeem_coupon('GUESS' || i, 'g' || i, 'eve@x.example')) FROM generate_series(1, 10) i), 0::bigint, 'ten wrong codes');
SELECT throws_ok($$ SELECT ecauto.redeem_coupon('EACH', 'g0', 'Eve+2@x.example') $$, '53400', 'too many wrong coupon codes', 'then not even a right one');
SELECT is(ecauto.price_cart('[]', '{"coupons": ["each"], "customer": {"email": "eve@x.example"}}') #>> '{coupons,0,status}', 'not looked at: too many wrong codes', 'nor in a cart');
SELECT is(ecauto.redeem_coupon('EACH', 'g1', 'fay@x.example'), true, 'others may go on');
SELECT ecauto.create_coupon('ten', 'MORE') \g /dev/null
SET LOCAL ecauto.clock = '2026-03-03 00:15:00.000001+00';
SELECT is(ecauto.redeem_coupon('MORE', 'g2', 'eve@x.example'), true, 'and he after a while');

-- ---- cancelled orders, flows ----
INSERT INTO orders (id, customer_id, total) VALUES (70, 1, 10);
SELECT news() \g /dev/null
SELECT ecauto.create_coupon('ten', 'ONCE', uses => 1) \g /dev/null
SELECT is(ecauto.redeem_coupon('ONCE', '70') AND NOT ecauto.redeem_coupon('ONCE', '71'), true, 'used by an order');
UPDATE orders SET cancelled = true WHERE id = 70;
SELECT matches(news(), 'order.cancelled\(70\)', 'that the shop cancels');
SELECT is(ecauto.redeem_coupon('ONCE', '71'), true, 'gives it back');
SELECT is(r - 'code', '{"promotion": "ten", "customer": "c1@shop.example", "valid_until": "2026-03-10T00:00:00+00:00"}', 'a flow makes one for its customer')
FROM (SELECT ecauto.action_coupon('{"promotion": "ten", "prefix": "HI", "valid_for": "7 days"}', '{"at": "2026-03-03 00:00+00", "customer": {"key": "1", "email": "c1@shop.example"}}') AS r) x;
SELECT throws_ok($$ SELECT ecauto.action_coupon('{"promtion": "ten"}', '{}') $$, '22023', 'action "coupon" has no parameter "promtion"', 'and none by a slip');

SELECT is((SELECT count(*) FROM ecauto_data.coupon c WHERE c.used <> (SELECT count(*) FROM ecauto_data.promotion_use u WHERE u.code = c.code AND u.returned_at IS NULL)), 0::bigint,
	'counters are what is on record');
SELECT * FROM finish();
ROLLBACK;
