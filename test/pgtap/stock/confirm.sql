-- What suppliers answer: what is confirmed, for when, and what is needed again.
BEGIN;
\ir shop.psql
SELECT plan(49);
SET LOCAL ecauto.clock = '2026-05-04 12:00+02';
INSERT INTO product VALUES ('P', 'Cup');
INSERT INTO variant VALUES ('A', 'P', 'Cup, blue'), ('B', 'P', 'Cup, red'), ('C', 'P', 'Cup, green');
INSERT INTO stock VALUES ('A', 'main', 10, 0), ('B', 'main', 10, 0), ('C', 'main', 10, 0);
SELECT ecauto.attach_shop('custom') \g /dev/null
SELECT ecauto.bind_write('receive_stock', 'UPDATE stock SET qty = qty + $2 WHERE variant_id = $1 AND place = $3') \g /dev/null
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.set_supplier('near', '{"currency": "EUR", "lead_days": 5}') \g /dev/null
SELECT ecauto.set_supplier('far', '{"currency": "EUR", "lead_days": 5, "freight": 30}') \g /dev/null
SELECT ecauto.set_offer('near', k, '{"price": 2}'), ecauto.set_offer('far', k, '{"price": 3}') FROM unnest('{A,B,C}'::text[]) k \g /dev/null
SELECT ecauto.set_offer('near', 'A', '{"price": 2, "supplier_sku": "N-1"}') \g /dev/null
SELECT ecauto.set_replenishment(k, '{"minimum": 50, "maximum": 110}') FROM unnest('{A,B,C}'::text[]) k \g /dev/null
CREATE FUNCTION news() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM ecauto.tick();
	SELECT string_agg(format('%s(%s)', e.kind, e.new ->> 'supplier'), ' ' ORDER BY e.event_id) INTO result FROM ecauto.events() e
	WHERE e.kind LIKE 'purchase_order.%' AND e.event_id NOT IN (SELECT event_id FROM told);
	INSERT INTO told SELECT e.event_id FROM ecauto.events() e WHERE e.kind LIKE 'purchase_order.%' ON CONFLICT DO NOTHING;
	RETURN coalesce(result, '');
END $$;
CREATE TABLE told (event_id uuid PRIMARY KEY);

SELECT is((SELECT string_agg(supplier || ' ' || sku || ' ' || qty, ', ') FROM ecauto.plan_replenishment()), 'near A 100, near B 100, near C 100', 'a hundred of each');
SELECT id AS po FROM ecauto_data.purchase_order \gset
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s)', :po), '55000', format('purchase order %s is proposed', :po), 'not before it was sent');
SELECT throws_ok('SELECT ecauto.confirm_purchase_order(0)', 'P0002', 'purchase order 0 does not exist', 'no such order');
SELECT ecauto.approve_purchase_order(:po) \g /dev/null
SELECT is(news(), 'purchase_order.sent(near)', 'an event tells that it was sent');
SELECT is((SELECT due_on FROM ecauto_data.purchase_order WHERE id = :po), '2026-05-11', 'due in a week');

-- ---- what is refused ----
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''{"X": 1}'')', :po), '22023', format('purchase order %s has no sku X, or it is named twice', :po), 'not ordered');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''{"A": 1, "N-1": 2}'')', :po), '22023', NULL, 'one line twice');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''{"A": -1}'')', :po), '22023', NULL, 'fewer than none');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''{"A": "many"}'')', :po), '22023', NULL, 'no number');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''{"A": {"amount": 1}}'')', :po), '22023', NULL, 'unknown member');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, ''[1]'')', :po), '22023', NULL, 'no object');
SELECT throws_ok(format('SELECT ecauto.confirm_purchase_order(%s, NULL, ''2026-05-03'')', :po), '22023', 'a delivery must not be confirmed for a day before its order', 'yesterday');

-- ---- partial: one line in full, but later ----
SELECT results_eq(format($$ SELECT * FROM ecauto.confirm_purchase_order(%s, '{"N-1": {"due_on": "2026-05-20"}}') $$, :po),
	$$ VALUES ('A', 100::numeric, 100::numeric, 0::numeric, '2026-05-20'::date), ('B', 100, NULL, NULL, '2026-05-11'), ('C', 100, NULL, NULL, '2026-05-11') $$,
	'one line, by the supplier''s number, for a later day');
SELECT is((SELECT state FROM ecauto_data.purchase_order WHERE id = :po), 'sent', 'the others are not answered');
SELECT is((SELECT due_at FROM ecauto_data.stock_incoming WHERE sku = 'A'), '2026-05-20 00:00+02'::timestamptz, 'it is under way for then');
SELECT is(news(), 'purchase_order.confirmed(near)', 'told');
SELECT ecauto.confirm_purchase_order(:po, '{"A": 100}') \g /dev/null
SELECT is(news(), '', 'the same answer again tells nothing');
SELECT is((SELECT count(*) FROM ecauto.plan_replenishment()), 0::bigint, 'nothing more is needed today');

-- ---- some of it rejected ----
SELECT results_eq(format($$ SELECT sku, confirmed, missing FROM ecauto.confirm_purchase_order(%s, '{"B": 40, "C": 0}') $$, :po),
	$$ VALUES ('A', 100::numeric, 0::numeric), ('B', 40, 60), ('C', 0, 100) $$, 'fewer of one, none of another');
SELECT is((SELECT state FROM ecauto_data.purchase_order WHERE id = :po), 'confirmed', 'all lines are answered');
SELECT is((SELECT string_agg(sku || ' ' || units, ', ' ORDER BY sku) FROM ecauto_data.stock_incoming), 'A 100, B 40', 'only what will come is under way');
SELECT is((SELECT reason FROM ecauto.best_offer('C', 10) WHERE supplier = 'near'), 'not confirmed on 2026-05-04', 'its offer is passed over, and says why');
SELECT is((SELECT string_agg(supplier || ' ' || sku || ' ' || qty, ', ') FROM ecauto.plan_replenishment()), 'far B 60, far C 100', 'the same night, the need is there again, of the other supplier');
SELECT is((SELECT new -> 'lines' -> 'B' FROM ecauto.events(kind => 'purchase_order.confirmed') ORDER BY event_id DESC LIMIT 1),
	'{"qty": 100, "confirmed": 40, "due_on": "2026-05-11"}', 'the event has the lines');
SELECT ecauto.set_offer('near', 'C', '{"price": 2.1}') \g /dev/null
SELECT is((SELECT reason FROM ecauto.best_offer('C', 10) WHERE supplier = 'near'), NULL, 'until it offers it anew');
SET LOCAL ecauto.clock = '2026-05-11 12:00+02';
SELECT is((SELECT reason FROM ecauto.best_offer('B', 10) WHERE supplier = 'near'), NULL, 'or a week is over');
SELECT ecauto.cancel_purchase_order(id) FROM ecauto_data.purchase_order WHERE state = 'proposed' \g /dev/null

-- ---- what comes ----
SELECT is(ecauto.receive_purchase_order(:po, '{"B": 55}'), 55::numeric, 'more came than was confirmed');
SELECT is((SELECT qty FROM stock WHERE variant_id = 'B'), 65, 'it is on the shelf');
SELECT is((SELECT string_agg(sku || ' ' || units, ', ' ORDER BY sku) FROM ecauto_data.stock_incoming), 'A 100', 'and no more of it is under way');
SELECT news() \g /dev/null
SET LOCAL ecauto.clock = '2026-05-20 23:59+02';
SELECT is(news(), '', 'not late on the day it was confirmed for');
SET LOCAL ecauto.clock = '2026-05-21 00:00+02';
SELECT is(news(), 'purchase_order.late(near)', 'but at its end');
SELECT is((SELECT new -> 'missing' FROM ecauto.events(kind => 'purchase_order.late')), '{"A": 100}', 'and says what is missing');
SELECT is(news(), '', 'once');
SELECT ecauto.confirm_purchase_order(:po, '{"A": {"qty": 80, "due_on": "2026-05-22"}}') \g /dev/null
SELECT is(news(), 'purchase_order.confirmed(near)', 'another day is confirmed');
SET LOCAL ecauto.clock = '2026-05-23 00:00+02';
SELECT is(news(), 'purchase_order.late(near)', 'late again');
SELECT is(ecauto.receive_purchase_order(:po), 80::numeric, 'all that was confirmed');
SELECT is((SELECT format('%s %s', state, late_days) FROM ecauto_data.purchase_order WHERE id = :po), 'received 12', 'that is all, twelve days after it should have come');
SELECT is(news(), 'purchase_order.received(near)', 'told');
SELECT is((SELECT new ->> 'missing' FROM ecauto.events(kind => 'purchase_order.received')), '165', 'with what is missing of what was ordered');
SELECT is((SELECT late_mean FROM ecauto.supplier_lateness()), 12::float8, 'which counts for its lead time');

-- ---- nothing at all ----
UPDATE stock SET qty = 10;
SET LOCAL ecauto.clock = '2026-06-01 12:00+02';
SELECT purchase_order AS po FROM ecauto.plan_replenishment() LIMIT 1 \gset
SELECT ecauto.approve_purchase_order(:po) \g /dev/null
SELECT news() \g /dev/null
SELECT ecauto.confirm_purchase_order(:po, '{"A": 0, "B": 0, "C": 0}') \g /dev/null
SELECT is((SELECT state FROM ecauto_data.purchase_order WHERE id = :po), 'cancelled', 'rejected as a whole');
SELECT is(news(), 'purchase_order.rejected(near)', 'told');
SELECT is((SELECT count(*) FROM ecauto_data.stock_incoming), 0::bigint, 'nothing is under way');
SELECT is((SELECT string_agg(DISTINCT supplier, ', ') FROM ecauto.plan_replenishment()), 'far', 'the other one is asked');
-- ---- taken back ----
SELECT ecauto.cancel_purchase_order(id) FROM ecauto_data.purchase_order WHERE state = 'proposed' \g /dev/null
UPDATE stock SET qty = 100 WHERE variant_id <> 'A';
SELECT ecauto.set_offer('far', 'A', '{"price": 3, "stock": 100}') \g /dev/null
SELECT purchase_order AS po FROM ecauto.plan_replenishment() LIMIT 1 \gset
SELECT ecauto.approve_purchase_order(:po) \g /dev/null
SELECT is((SELECT o.stock FROM ecauto_data.offer o WHERE supplier = 'far' AND sku = 'A'), 0::numeric, 'the supplier has none left');
SELECT ecauto.receive_purchase_order(:po, '{"A": 30}') \g /dev/null
SELECT ok(ecauto.cancel_purchase_order(:po), 'cancelled');
SELECT is((SELECT o.stock FROM ecauto_data.offer o WHERE supplier = 'far' AND sku = 'A'), 70::numeric, 'but for what came it has them again');
SELECT ok(NOT ecauto.cancel_purchase_order(:po), 'cancelled once');
SELECT is((SELECT o.stock FROM ecauto_data.offer o WHERE supplier = 'far' AND sku = 'A'), 70::numeric, 'nothing is given back twice');
SELECT finish();
ROLLBACK;
