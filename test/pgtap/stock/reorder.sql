-- Reorder points, proposals, purchase orders: what is ordered, once, and what comes of it.
BEGIN;
\ir shop.psql
SELECT plan(63);
SET LOCAL ecauto.clock = '2026-04-30 12:00+02';
INSERT INTO product VALUES ('P', 'Cup'), ('Q', 'Plate');
INSERT INTO variant VALUES ('A', 'P', 'Cup, "blue"'), ('B', 'P', 'Cup, red'), ('C', 'Q', 'Plate'), ('R', 'Q', 'Rare');
INSERT INTO stock VALUES ('A', 'main', 60, 10), ('B', 'main', 500, 0), ('C', 'main', 500, 0), ('C', 'shop', 1, 0), ('R', 'main', 100, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = qty + $2 WHERE variant_id = $1 AND place = $3') \g /dev/null
SELECT ecauto.tick() \g /dev/null
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9/api');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SELECT ecauto.set_holiday('2026-05-01') \g /dev/null

INSERT INTO ecauto_data.sku_forecast (sku, as_of, bucket_days, observations, method, class, error, daily, sd, mean)
VALUES ('A', '2026-04-30', 1, 100, 'ses', 'smooth', 1, 8, 3, array_fill(8::float8, ARRAY[91])),
	('B', '2026-04-30', 1, 100, 'ses', 'smooth', 1, 4, 2, array_fill(4::float8, ARRAY[91])),
	('C', '2026-04-30', 1, 100, 'ses', 'smooth', 1, 4, 2, array_fill(4::float8, ARRAY[91]));

-- ---- the point itself ----
SELECT is(ceil(ecauto.reorder_point(8 * 8, 3, 8)), 78::float8, 'eight days of 8 with a deviation of 3, at 95%');
SELECT is(ceil(ecauto.reorder_point(5 * 8, 3, 5)), 52::float8, 'five days');
SELECT is(round(ecauto.reorder_point(40, 3, 5, 0.95, 2)::numeric, 2), round((40 + 1.6448536 * sqrt(5 * 9 + 64 * 4))::numeric, 2), 'a lead time that varies');
SELECT is(ecauto.reorder_point(2, 1.5, 4, 0.95, 0, true), ecauto.negbin_quantile(2, 9, 0.95), 'demand that is rare');
SELECT is(ecauto.reorder_point(0, 0, 0), 0::float8, 'nothing');
SELECT throws_ok($$ SELECT ecauto.reorder_point('NaN', 1, 1) $$, '22023', NULL, 'NaN');
SELECT throws_ok($$ SELECT ecauto.reorder_point(1, 1, 1, 1) $$, '22023', NULL, 'certainty');
SELECT is(ecauto.forecast_sum('{1,2,3}', 10, 1, 3.5), 2 + 3 + 10 + 5::float8, 'of a forecast, and beyond');
SELECT is(ecauto.forecast_sum('{}', 10, 0, 0), 0::float8, 'no days');
SELECT is(round(ecauto.economic_order_quantity(8, 0.225, 1300)::numeric, 4), 304.0468, 'economic quantity');
SELECT is(ecauto.economic_order_quantity(8, 0, 1300), NULL, 'that costs nothing to keep');

-- ---- scenario 1 ----
SELECT ecauto.set_supplier('near', '{"currency": "EUR", "lead_days": 5, "endpoint": "supplier", "path": "/orders"}') \g /dev/null
SELECT ecauto.set_offer('near', 'A', '{"price": 2, "pack": 24, "supplier_sku": "N-1"}') \g /dev/null
INSERT INTO ecauto_data.stock_incoming VALUES ('A', '', 20, '2026-05-04 08:00+02', 'earlier'), ('A', '', 500, '2026-06-29 08:00+02', 'far');
SELECT results_eq($$ SELECT state, supplier, sku, qty, unit_price, currency, arrives, "position", reorder_point, order_up_to FROM ecauto.plan_replenishment() $$,
	$$ VALUES ('proposed', 'near', 'A', 120::numeric, 2::numeric, 'EUR', '2026-05-08'::date, 70::numeric, 78::numeric, 190::numeric) $$,
	'position 70 is below 78: 120 in packs of 24; 500 due in two months do not help');
SELECT is((SELECT reason FROM ecauto.plan_replenishment()),
	'50 available and 20 coming in time are not above the reorder point 78 (64.0 units in 8.0 days, service level 95%, normal); 120 needed to have 190, in packs of 24', 'and it says why');
SELECT is((SELECT count(*) FROM ecauto_data.purchase_order), 1::bigint, 'planned three times: one order');
SELECT is((SELECT reasoning ->> 'days' FROM ecauto.plan_replenishment()), '8.0', 'eight calendar days');
SELECT id AS po FROM ecauto_data.purchase_order \gset
SELECT is((SELECT purchase_order FROM ecauto.plan_replenishment()), :po::bigint, 'that keeps its number');
SELECT ecauto.approve_purchase_order(:po) AS message \gset
SELECT is((SELECT format('%s %s %s', endpoint, path, key) FROM ecauto.message(:message)), 'supplier /orders purchase-order-' || :po, 'to the supplier');
SELECT is((SELECT payload - 'ordered_at' FROM ecauto.message(:message)), jsonb_build_object('order', 'PO-' || :po, 'supplier', 'near', 'title', 'near',
	'due_on', '2026-05-08', 'currency', 'EUR', 'goods', 240, 'freight', 0, 'lines', jsonb_build_array(jsonb_build_object('sku', 'N-1', 'our_sku', 'A',
	'title', 'Cup, "blue"', 'qty', 120, 'unit_price', 2, 'goods', 240))), 'the right lines');
SELECT is(ecauto.approve_purchase_order(:po), :message::bigint, 'approved again: the same message');
SELECT is((SELECT count(*) FROM ecauto.messages()), 1::bigint, 'and no other');
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'a second run the same night orders nothing');
SELECT is((SELECT count(*) FROM ecauto_data.purchase_order), 1::bigint, 'one order');
SELECT is((SELECT incoming FROM ecauto.stock_position('{A}') WHERE location IS NULL), 140::numeric, 'the position counts it');

-- ---- receipt ----
SELECT throws_ok(format('SELECT ecauto.receive_purchase_order(%s, ''{"B": 1}'')', :po), '22023', format('purchase order %s has no sku B', :po), 'not what was ordered');
SELECT throws_ok('SELECT ecauto.receive_purchase_order(0)', 'P0002', 'purchase order 0 does not exist', 'no such order');
SET LOCAL ecauto.clock = '2026-05-10 12:00+02';
SELECT is(ecauto.receive_purchase_order(:po, '{"A": 48}', 'note 1'), 48::numeric, 'two packs came');
SELECT is(ecauto.receive_purchase_order(:po, '{"A": 48}', 'note 1'), 0::numeric, 'booked once');
SELECT is((SELECT qty FROM stock WHERE variant_id = 'A'), 108, 'the shop has them');
SELECT is((SELECT units FROM ecauto_data.stock_incoming WHERE reference = 'PO-' || :po), 72::numeric, 'the rest is under way');
SELECT is(ecauto.receive_purchase_order(:po), 72::numeric, 'the rest');
SELECT is(ecauto.receive_purchase_order(:po), 0::numeric, 'no more');
SELECT is((SELECT qty FROM stock WHERE variant_id = 'A'), 180, 'in the shop too');
SELECT is((SELECT format('%s %s', state, late_days) FROM ecauto_data.purchase_order), 'received 2', 'two days late');
SELECT is((SELECT count(*) FROM ecauto_data.stock_incoming WHERE reference = 'PO-' || :po), 0::bigint, 'nothing is under way');

-- ---- late deliveries ----
INSERT INTO ecauto_data.purchase_order (supplier, state, currency, goods, freight, planned_at, due_on, received_at, late_days)
SELECT 'near', 'received', 'EUR', 1, 0, '2026-01-01', '2026-01-05', '2026-01-10'::timestamptz + g * interval '1 day', 2 * g FROM generate_series(0, 2) g;
SELECT is((SELECT format('%s %s %s %s', deliveries, late_mean, round(late_sd::numeric, 3), on_time) FROM ecauto.supplier_lateness()), '4 2 1.633 0.25', 'measured');
UPDATE stock SET qty = 60 WHERE variant_id = 'A';
SET LOCAL ecauto.clock = '2026-04-30 20:00+02';
DELETE FROM ecauto_data.stock_incoming;
SELECT results_eq($$ SELECT reorder_point FROM ecauto.plan_replenishment() $$,
	$$ SELECT ceil((80 + ecauto.normal_quantile(0.95) * sqrt(10 * 9 + 64 * var_samp(d)))::numeric) FROM unnest('{2,0,2,4}'::float8[]) d $$, 'and counts as lead time');
DELETE FROM ecauto_data.purchase_order;

-- ---- policies ----
SELECT ecauto.set_replenishment('A', '{"minimum": 49}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'a minimum typed by hand: 50 are above 49');
SELECT ecauto.set_replenishment('A', '{"minimum": 50, "maximum": 100}') \g /dev/null
SELECT is((SELECT format('%s %s', qty, reasoning ->> 'method') FROM ecauto.plan_replenishment()), '72 by hand', 'and a maximum');
SELECT ecauto.set_replenishment('A', NULL) \g /dev/null
SELECT ecauto.set_replenishment('A', '{"service_level": 0.99, "review_days": 7}') \g /dev/null
SELECT is((SELECT reorder_point FROM ecauto.plan_replenishment()), ceil((15 * 8 + ecauto.normal_quantile(0.99) * 3 * sqrt(15))::numeric), 'service level and review');
SELECT ecauto.set_replenishment('A', NULL) \g /dev/null
SELECT ecauto.set_replenishment('A', '{"order_cost": 5, "holding_cost": 0.5}') \g /dev/null
SELECT is((SELECT order_up_to FROM ecauto.plan_replenishment()), 78 + ceil(sqrt(2 * 5 * 8 * 365 / 0.5)::numeric), 'economic quantity');
SELECT ecauto.set_replenishment('A', '{"off": true}') \g /dev/null
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'off');
SELECT ecauto.set_replenishment('A', NULL) \g /dev/null
SELECT throws_ok($$ SELECT ecauto.set_replenishment('A', '{"level": 1}') $$, '22023', 'a replenishment policy has no level', 'unknown member');
SELECT throws_ok($$ SELECT ecauto.set_replenishment('A', '{"service_level": 1}') $$, '23514', NULL, 'certainty');
UPDATE ecauto_data.sku_forecast SET mean = array_fill(8::float8, ARRAY[4]) || array_fill(24::float8, ARRAY[87]) WHERE sku = 'A';
SELECT is((SELECT reorder_point FROM ecauto.plan_replenishment()), ceil((128 + ecauto.normal_quantile(0.95) * 3 * sqrt(2) * sqrt(8))::numeric), 'a peak in the forecast');
UPDATE ecauto_data.sku_forecast SET mean = array_fill(8::float8, ARRAY[91]) WHERE sku = 'A';

-- ---- minimum order, free freight ----
SELECT ecauto.set_supplier('near', '{"minimum_order": 300}') \g /dev/null
SELECT results_eq($$ SELECT state, qty, order_goods, missing FROM ecauto.plan_replenishment() $$, $$ VALUES ('held', 144::numeric, 288::numeric, 12::numeric) $$, 'held below the minimum, with what is missing');
SELECT id AS po FROM ecauto_data.purchase_order \gset
SELECT throws_ok(format('SELECT ecauto.approve_purchase_order(%s)', :po), '55000', format('purchase order %s is below the minimum order of supplier "near"', :po), 'and not sent');
SELECT ecauto.set_offer('near', 'B', '{"price": 3}') \g /dev/null
UPDATE stock SET qty = 60 WHERE variant_id = 'B';
SELECT results_eq($$ SELECT state, sku, qty, reasoning ->> 'early' FROM ecauto.plan_replenishment() $$,
	$$ VALUES ('proposed', 'A', 144::numeric, 'false'), ('proposed', 'B', 38, 'true') $$, 'filled up with what will be needed next');
SELECT ecauto.set_supplier('near', '{"minimum_order": 0, "freight": 20, "free_freight_from": 350}') \g /dev/null
SELECT is((SELECT string_agg(sku || ' ' || order_freight, ', ') FROM ecauto.plan_replenishment()), 'A 0, B 0', 'and to be free of freight');
SELECT ecauto.set_supplier('near', '{"free_freight_from": 3500}') \g /dev/null
SELECT is((SELECT string_agg(sku || ' ' || order_freight, ', ') FROM ecauto.plan_replenishment()), 'A 20', 'not if that is out of reach');
SELECT ecauto.set_supplier('other', '{"currency": "EUR", "recipient": "orders@other.example", "send_as": "csv", "auto_approve": 1000}') \g /dev/null
SELECT ecauto.set_offer('other', 'A', '{"price": 1.9}') \g /dev/null
SELECT results_eq($$ SELECT state, supplier, qty FROM ecauto.plan_replenishment() $$, $$ VALUES ('sent', 'other', 140::numeric) $$, 'the cheaper offer, sent without approval');
SELECT is((SELECT count(*) FROM ecauto_data.purchase_order WHERE state <> 'sent'), 0::bigint, 'the proposal to the other one is gone');
SELECT is((SELECT payload -> 'attachments' -> 0 ->> 'content' FROM ecauto.message((SELECT max(id) FROM ecauto.messages('mail')))),
	E'sku,our_sku,title,qty,unit_price,currency\r\nA,A,"Cup, ""blue""",140,1.9,EUR\r\n', 'as a file');
SELECT is((SELECT payload ->> 'to' FROM ecauto.message((SELECT max(id) FROM ecauto.messages('mail')))), 'orders@other.example', 'to them');
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'once');
SELECT ok(ecauto.cancel_purchase_order((SELECT max(id) FROM ecauto_data.purchase_order)), 'cancelled');
SELECT is((SELECT state FROM ecauto.messages('mail')), 'cancelled', 'with its message');
SELECT is((SELECT incoming FROM ecauto.stock_position('{A}') WHERE location IS NULL), 0::numeric, 'and what was under way');
SELECT ok(NOT ecauto.cancel_purchase_order((SELECT max(id) FROM ecauto_data.purchase_order)), 'no longer there');
SELECT ecauto.set_supplier('other', '{"auto_approve": 200}') \g /dev/null
SELECT is((SELECT state FROM ecauto.plan_replenishment()), 'proposed', 'above the limit somebody has to approve');
SELECT ecauto.create_template('po', 'Order {{order}}', '<p>{{#lines}}{{qty}} x {{sku}}{{/lines}}</p>') \g /dev/null
SELECT ecauto.set_supplier('other', '{"send_as": "mail", "template": "po"}') \g /dev/null
SELECT is((SELECT payload ->> 'html' FROM ecauto.message((SELECT ecauto.approve_purchase_order(max(id)) FROM ecauto_data.purchase_order))), '<p>140 x A</p>', 'a mail by template');
SELECT throws_ok(format('SELECT ecauto.approve_purchase_order(%s)', 0), 'P0002', 'purchase order 0 does not exist', 'no such order');
DELETE FROM ecauto_data.stock_incoming;
UPDATE ecauto_data.purchase_order SET state = 'received';
SELECT is((SELECT format('%s %s', qty, arrives) FROM ecauto.plan_replenishment('2026-05-02 12:00+02')), '123 2026-05-08', 'as of another time');
SELECT ecauto.set_offer('other', 'A', '{"prices": [{"from": 1, "price": 1.9}, {"from": 200, "price": 1.8}, {"from": 5000, "price": 0.5}]}') \g /dev/null
SELECT results_eq($$ SELECT qty, reason LIKE '%; more for the price of so many' FROM ecauto.plan_replenishment('2026-05-02 12:00+02') $$, $$ VALUES (200::numeric, true) $$,
	'more for a lower price, as far as it sells');
SELECT finish();
ROLLBACK;
