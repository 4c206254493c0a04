-- What to order, of whom, and why; then it is ordered.
SELECT ecauto.set_supplier('Northwind', '{"currency": "GBP", "lead_days": 5, "freight": 12, "free_freight_from": 400, "minimum_order": 100,
	"endpoint": "supplier", "path": "/northwind"}') \g /dev/null
SELECT ecauto.set_supplier('Quick', '{"currency": "GBP", "lead_days": 2, "freight": 9, "endpoint": "supplier", "path": "/quick", "auto_approve": 2000}') \g /dev/null
-- both have most things; Northwind is cheaper by the dozen, Quick sells single pieces
SELECT ecauto.set_offer('Northwind', v.sku, jsonb_build_object('prices', jsonb_build_array(
		jsonb_build_object('from', 1, 'price', c.cost), jsonb_build_object('from', 24, 'price', round(c.cost * 0.92, 2))), 'pack', 6))
FROM shop.variant v JOIN shop.supply_cost c ON c.variant_id = v.id WHERE v.id % 3 > 0 \g /dev/null
SELECT ecauto.set_offer('Quick', v.sku, jsonb_build_object('price', round(c.cost * 1.05, 2), 'stock', 60))
FROM shop.variant v JOIN shop.supply_cost c ON c.variant_id = v.id WHERE v.id % 3 < 2 \g /dev/null

SELECT ecauto.refresh_demand() AS days_sold \gset
SELECT ecauto.forecast_all() AS forecasts \gset
\echo '  SELECT ecauto.refresh_demand();   -- days on which a sku sold: ':days_sold
\echo '  SELECT ecauto.forecast_all();     -- skus with a forecast: ':forecasts
SELECT v.sku AS best, p.name FROM shop.order_line l JOIN shop.orders o ON o.id = l.order_id JOIN shop.variant v ON v.id = l.variant_id JOIN shop.product p ON p.id = v.product_id
WHERE o.placed_at > now() - interval '60 days' AND v.id % 3 = 1 GROUP BY 1, 2 ORDER BY sum(l.quantity) DESC, 1 LIMIT 1 \gset
\echo
\echo '70 of the best seller, ':name' (':best'): what would they cost? ecauto.best_offer():'
SELECT supplier, unit_price, order_qty AS units, goods, freight, total, coalesce(reason, 'chosen') AS "chosen, or why not" FROM ecauto.best_offer(:'best', 70);

CREATE TEMP TABLE plan AS SELECT * FROM ecauto.plan_replenishment();
\echo '  SELECT * FROM ecauto.plan_replenishment();   -- an order for each supplier:'
SELECT p.purchase_order AS "order", p.supplier, count(*) AS lines, sum(p.qty) AS units, p.order_goods AS "goods (GBP)", p.order_freight AS freight, min(p.arrives) AS arrives
FROM plan p GROUP BY 1, 2, 5, 6 ORDER BY 1;
\echo 'Three of the lines, and why:'
\t on
\pset format unaligned
SELECT format(E'  %s of %s, %s, from %s:\n    %s', trim_scale(p.qty), v.sku, concat_ws(', ', d.name, v.name), p.supplier, p.reason)
FROM (SELECT DISTINCT ON (supplier, position > 0) * FROM plan ORDER BY supplier, position > 0, qty * unit_price DESC, sku) p
	JOIN shop.variant v ON v.id::text = p.sku JOIN shop.product d ON d.id = v.product_id ORDER BY p.qty * p.unit_price DESC LIMIT 3;
\t off
\pset format aligned
\echo
SELECT string_agg(format('ecauto.approve_purchase_order(%s)', purchase_order), ', ') AS approvals FROM (SELECT DISTINCT purchase_order FROM plan WHERE state = 'proposed') x \gset
\echo '  SELECT ':approvals';'
SELECT ecauto.approve_purchase_order(purchase_order) FROM (SELECT DISTINCT purchase_order FROM plan WHERE state = 'proposed') x \g /dev/null
SELECT count(*) AS again FROM ecauto.plan_replenishment() \gset
\echo '  planned again the same night: ':again' lines'
