-- Each edge in the shop's tables becomes exactly one event, whatever the number of writes.
BEGIN;
\ir shop.psql
SELECT plan(60);

SELECT is(news(), '', 'attaching loads history silently');
SELECT is(news(), '', 'and there is nothing more to say');

-- ---- products, skus, prices ----
INSERT INTO product VALUES (11, 'New');
INSERT INTO variant VALUES (11, 11, 'V11');
SELECT is(news(), 'product.created(11) sku.created(11)', 'a new product and its sku');
UPDATE product SET title = 'Newer' WHERE id = 11;
UPDATE product SET maker = 'ACME' WHERE id = 11;
SELECT is(news(), 'product.updated(11)', 'two updates between ticks are one edge');
UPDATE product SET body = 'long text' WHERE id = 11;
SELECT is(news(), 'product.updated(11)', 'a description counts');
UPDATE product SET on_sale = false WHERE id = 11;
SELECT is(news(), 'product.deactivated(11)', 'taken off sale');
UPDATE product SET title = title WHERE id = 11;
SELECT is((SELECT count(*) FROM ecauto_data.change_log), 0::bigint, 'an update that changes nothing is not noted');
SELECT is(news(), '', 'and is no event');
UPDATE product SET on_sale = true WHERE id = 11;
SELECT is(news(), 'product.updated(11)', 'on sale again');
DELETE FROM product WHERE id = 11;
SELECT is(news(), 'product.deactivated(11)', 'deleted is deactivated');

UPDATE price SET amount = 12 WHERE variant_id = 1;
SELECT is(news(), 'price.changed(1)', 'a price');
SELECT results_eq(
	$$ SELECT (old ->> 'amount')::numeric, (new ->> 'amount')::numeric, new ->> 'currency', sku FROM ecauto.events(kind => 'price.changed') $$,
	$$ VALUES (10::numeric, 12::numeric, 'EUR', '1') $$, 'with what it was and is');
UPDATE price SET amount = 13 WHERE variant_id = 1;
UPDATE price SET amount = 12 WHERE variant_id = 1;
SELECT is(news(), '', 'there and back between two ticks is no edge');
DELETE FROM price WHERE variant_id = 10;
SELECT is(news(), 'price.changed(10)', 'a price that is gone');
SELECT is((SELECT new FROM ecauto.events(kind => 'price.changed') WHERE key = '10'), NULL, 'changed to nothing');

-- ---- stock ----
UPDATE stock SET qty = 4 WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1)', 'less stock');
UPDATE stock SET held = 4 WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1) stock.out(1)', 'all of it reserved: none available');
UPDATE stock SET qty = 3 WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1)', 'below none is still out');
UPDATE stock SET held = 0 WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1) stock.back(1)', 'back');
SELECT results_eq(
	$$ SELECT old ->> 'available', new ->> 'available' FROM ecauto.events(kind => 'stock.back') $$,
	$$ VALUES ('-1', '3') $$, 'with what was and is available');
INSERT INTO stock VALUES (1, 'shop', 5);
SELECT is(news(), 'stock.changed(1)', 'a second location is the same sku');
SELECT is((SELECT new FROM ecauto.events(kind => 'stock.changed') ORDER BY event_id DESC LIMIT 1),
	'{"on_hand": 8, "reserved": 0, "available": 8, "incoming": null,
	  "locations": {"main": {"on_hand": 3, "reserved": 0}, "shop": {"on_hand": 5, "reserved": 0}}}',
	'summed, with its parts');
UPDATE stock SET qty = CASE place WHEN 'main' THEN 5 ELSE 3 END WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1)', 'moved between locations: one event, none out');
DELETE FROM stock WHERE variant_id = 1;
SELECT is(news(), 'stock.changed(1) stock.out(1)', 'no row is no stock');
SELECT is(news(), '', 'once');
INSERT INTO stock VALUES (1, 'main', 7);
SELECT is(news(), 'stock.changed(1)', 'a row again');
UPDATE stock SET variant_id = 99 WHERE variant_id = 2;
SELECT is(news(), 'stock.changed(2) stock.changed(99) stock.out(2)', 'a changed key is noted under both');

-- ---- customers ----
INSERT INTO customer VALUES (6, 'New@Shop.example');
SELECT is(news(), 'customer.created(6)', 'a customer');
SELECT is((SELECT new ->> 'email' FROM ecauto.events(kind => 'customer.created')), 'new@shop.example', 'with his address in small letters');
UPDATE customer SET mail = 'other@shop.example' WHERE id = 6;
SELECT is(news(), '', 'a changed customer is no event');

-- ---- orders ----
INSERT INTO orders (id, customer_id, mail, total, placed) VALUES (6, 1, 'c1@shop.example', 50, NULL);
SELECT is(news(), '', 'an order that is not placed yet');
UPDATE orders SET placed = '2026-01-03' WHERE id = 6;
SELECT is(news(), 'order.placed(6)', 'placed');
UPDATE orders SET paid = 20 WHERE id = 6;
SELECT is(news(), '', 'paid in part');
UPDATE orders SET paid = 50 WHERE id = 6;
SELECT is(news(), 'order.paid(6)', 'paid');
UPDATE orders SET sent = 'partial' WHERE id = 6;
UPDATE orders SET sent = 'full' WHERE id = 6;
SELECT is(news(), 'order.fulfilled(6)', 'fulfilled');
UPDATE orders SET refunded = 10 WHERE id = 6;
SELECT is(news(), 'order.partially_refunded(6)', 'a part given back');
UPDATE orders SET refunded = 20 WHERE id = 6;
SELECT is(news(), 'order.partially_refunded(6)', 'another part');
UPDATE orders SET refunded = 50 WHERE id = 6;
SELECT is(news(), 'order.refunded(6)', 'all given back');
INSERT INTO orders (id, total) VALUES (7, 30);
SELECT is(news(), 'order.placed(7)', 'an order of nobody known');
UPDATE orders SET cancelled = true, total = 0 WHERE id = 7;
SELECT is(news(), 'order.cancelled(7)', 'a cancelled order whose total becomes 0 is not paid');
INSERT INTO orders (id, total, paid, sent, cancelled, refunded) VALUES (8, 30, 30, 'full', true, 30);
SELECT is(news(), 'order.placed(8) order.paid(8) order.fulfilled(8) order.cancelled(8) order.refunded(8)',
	'a whole life between two ticks, in its order');
DELETE FROM orders WHERE id = 8;
SELECT is(news(), 'order.deleted(8)', 'an order that vanishes');
SELECT is((SELECT concat_ws(' ', old->>'total', old->>'cancelled', new) FROM ecauto.events(kind => 'order.deleted')), '30 true', 'tells what it was');
SELECT is((SELECT count(*) FROM ecauto_data.seen_order WHERE key = '8'), 0::bigint, 'and is an order no more');
UPDATE orders SET paid = paid WHERE id = 6;
INSERT INTO orders (id, total, placed) VALUES (8, 30, NULL);
SELECT is(news(), '', 'not placed is not back');
DELETE FROM orders WHERE id = 8;
INSERT INTO orders (id, total, paid, sent, cancelled, refunded) VALUES (8, 30, 30, 'full', true, 30);
SELECT is(news(), 'order.restored(8)', 'back again it is not placed, paid or cancelled twice');
UPDATE orders SET placed = NULL WHERE id = 8;
SELECT is(news(), 'order.deleted(8)', 'placed no more');
UPDATE orders SET placed = '2026-01-02', cancelled = false, paid = 0, refunded = 0 WHERE id = 8;
SELECT is(news(), 'order.restored(8)', 'back in another state');
UPDATE orders SET paid = 30, refunded = 10 WHERE id = 8;
SELECT is(news(), 'order.paid(8) order.partially_refunded(8)', 'from which it goes on');
DELETE FROM orders WHERE id = 8;
SELECT is(news() || news(), 'order.deleted(8)', 'said once');
SELECT ecauto.resync('order') \g /dev/null
SELECT is(news(), '', 'whoever compares everything finds nothing else');
INSERT INTO orders (id, total, paid, refunded) VALUES (8, 30, 30, 30);
ALTER TABLE orders DISABLE TRIGGER USER;
UPDATE orders SET total = total WHERE id = 7;
DELETE FROM orders WHERE id = 7;
ALTER TABLE orders ENABLE TRIGGER USER;
SELECT is(news(), 'order.restored(8) order.refunded(8)', 'back with what happened meanwhile');
SELECT ecauto.resync('order') \g /dev/null
SELECT is(news(), 'order.deleted(7)', 'one that went unnoticed is found by comparing everything');
SELECT is((SELECT string_agg(key, ' ') FROM ecauto_data.gone_order), '7', 'what is gone is known');

-- ---- carts ----
INSERT INTO cart VALUES (1, 1, 'c1@shop.example'), (2, 2, 'c2@shop.example');
INSERT INTO cart_line VALUES (1, 1, 3, 2), (2, 2, 3, 1);
SELECT is(news(), 'cart.changed(1) cart.changed(2)', 'carts with their lines are one change each');
UPDATE cart_line SET qty = 3 WHERE id = 1;
DELETE FROM cart WHERE id = 2;
INSERT INTO orders (id, customer_id, total, cart_id) VALUES (9, 1, 90, 1);
UPDATE cart SET done = true WHERE id = 1;
SELECT is(news(), 'order.placed(9) cart.completed(1) cart.changed(2)', 'an order completes its cart; a deleted one changes to nothing');
SELECT is(news(), '', 'and all is said');

-- a shop that keeps the carts of old orders
DELETE FROM ecauto_data.role_seen;
DELETE FROM ecauto_data.seen_cart;
DELETE FROM ecauto_data.seen_order;
UPDATE cart SET done = false;
INSERT INTO cart VALUES (3, 3, 'c3@shop.example');
SELECT is(ecauto.resync(), 0::bigint, 'loaded anew');
SELECT results_eq('SELECT key FROM ecauto_data.seen_cart WHERE completed_at IS NULL', $$ VALUES ('3' COLLATE "C") $$, 'a cart that became an order before is not open');
UPDATE cart SET touched = '2026-03-03';
SELECT is(news(), 'cart.changed(3)', 'nor does it change');

SELECT * FROM finish();
ROLLBACK;
