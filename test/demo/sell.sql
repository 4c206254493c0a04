-- 25 can be sold: 3 go, nothing happens but a mail; 4 more, and the supplier is asked; the next changes nothing
SELECT shop.place_order('SKU-1-1', 3, 'ada@example.test');
SELECT shop.place_order('SKU-1-1', 4, 'ben@example.test') AS bens_order \gset
SELECT shop.place_order('SKU-1-1', 1, 'cleo@example.test');
-- an order that is rolled back leaves no trace
BEGIN;
SELECT shop.place_order('SKU-2-1', 1, 'nobody@example.test');
ROLLBACK;
SELECT shop.pay_order(:bens_order);
SELECT shop.ship_order(:bens_order);
