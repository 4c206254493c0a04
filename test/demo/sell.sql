\echo -- 25 can be sold.  A sale of 3: a mail to the customer, no more.
SELECT shop.place_order('SKU-1-1', 3, 'ada@example.test') \g /dev/null
SELECT pg_sleep(0.5) \g /dev/null
\echo
\echo -- 4 more: that reaches the point where the supplier is asked.
SELECT shop.place_order('SKU-1-1', 4, 'ben@example.test') AS bens_order \gset
SELECT pg_sleep(0.5) \g /dev/null
\echo
\echo -- The next sale asks nobody again.
SELECT shop.place_order('SKU-1-1', 1, 'cleo@example.test') \g /dev/null
\echo
\echo -- An order that is rolled back never happened.
BEGIN;
SELECT shop.place_order('SKU-2-1', 1, 'nobody@example.test') \g /dev/null
ROLLBACK;
\echo
\echo -- A customer pays, and gets the goods.
SELECT shop.pay_order(:bens_order) \g /dev/null
SELECT shop.ship_order(:bens_order) \g /dev/null
