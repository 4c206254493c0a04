-- Prices follow costs, with reasons; a mistake in a list is caught.
\echo 'The supplier of brand Birch asks 12% more. The shop wants 45% of margin there, prices that end in .99,'
\echo 'and no price to jump by more than 10%:'
\echo
\echo '  SELECT ecauto.create_price_rule(''Birch'', ''{"brand": "Birch", "margin": 45, "endings": ".99", "max_change": 10}'');'
SELECT ecauto.set_vat_rate(20) \g /dev/null
SELECT ecauto.create_price_rule('Birch', '{"brand": "Birch", "margin": 45, "endings": ".99", "max_change": 10}') \g /dev/null
UPDATE shop.supply_cost c SET cost = round(c.cost * 1.12, 2)
FROM shop.variant v JOIN shop.product p ON p.id = v.product_id WHERE v.id = c.variant_id AND p.brand = 'Birch';
CREATE TEMP TABLE repriced AS SELECT * FROM ecauto.reprice(true);
SELECT count(*) AS n, count(*) FILTER (WHERE new_price > old_price) AS up, count(*) FILTER (WHERE new_price < old_price) AS down FROM repriced \gset
\echo '  SELECT * FROM ecauto.reprice(true);   -- ':n' prices change: ':up' up, ':down' down. Some of them:'
\echo
SELECT v.sku, p.name AS product, c.cost, r.old_price AS before, r.new_price AS after, r.reason
FROM (SELECT DISTINCT ON (reason, new_price > old_price) * FROM repriced ORDER BY reason, new_price > old_price, abs(new_price - old_price) DESC) r
	JOIN shop.variant v ON v.id::text = r.sku JOIN shop.product p ON p.id = v.product_id JOIN shop.supply_cost c ON c.variant_id = v.id
ORDER BY abs(r.new_price - r.old_price) DESC LIMIT 6;

\echo 'Then somebody loads a list without its decimal points. A guard holds back what looks like that:'
\echo '  SELECT ecauto.set_price_guard(''{"max_share": 5, "max_move": 8}'');'
\echo
SELECT ecauto.set_price_guard('{"max_share": 5, "max_move": 8}') \g /dev/null
BEGIN;
UPDATE shop.supply_cost c SET cost = c.cost * 100
FROM shop.variant v JOIN shop.product p ON p.id = v.product_id WHERE v.id = c.variant_id AND p.brand = 'Birch';
SET LOCAL client_min_messages = error;
SELECT count(*) FROM ecauto.reprice(true) \g /dev/null
UPDATE shop.supply_cost c SET cost = c.cost / 100
FROM shop.variant v JOIN shop.product p ON p.id = v.product_id WHERE v.id = c.variant_id AND p.brand = 'Birch';
COMMIT;
SELECT id AS proposal, state, rows AS prices, violations[1] AS why FROM ecauto.price_proposals() ORDER BY id;
SELECT ecauto.reject_proposal(id) FROM ecauto.price_proposals('held') \g /dev/null
