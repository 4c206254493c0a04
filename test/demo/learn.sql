-- What the past tells: groups of customers, what they are worth, segments.
\echo 'How recently, how often and for how much they bought: ecauto.rfm()'
SELECT segment AS "group", count(*) AS customers, round(avg(recency)::numeric) AS "days ago", round(avg(frequency), 1) AS orders, round(avg(monetary), 2) AS "spent (GBP)"
FROM ecauto.rfm() GROUP BY 1 ORDER BY avg(monetary) DESC;

\echo 'What they will be worth: ecauto.fit_clv(), then ecauto.predict_clv(365)'
SELECT 'model ' || model || ', fitted to ' || customers || ' customers, of whom ' || repeaters || ' came again' AS fit FROM ecauto.fit_clv() \gset
\echo '  ':fit
SELECT f.name AS customer, f.orders_count AS orders, f.spent_total AS "spent so far", round(100 * p.p_alive::numeric) || '%' AS "still a customer",
	round(p.expected_orders::numeric, 1) AS "orders to come", round(p.expected_value::numeric, 2) AS "value to come", to_char(p.next_order_at, 'DD Mon') AS "next one about"
FROM ecauto.predict_clv(365) p JOIN ecauto.customer_facts() f ON f.key = p.customer ORDER BY p.expected_value DESC LIMIT 5;

\echo 'Segments are conditions, true or false at any instant, with no job in between:'
SELECT ecauto.create_segment('regulars', $$customer.orders_count >= 5 AND customer.last_order_at >= ecauto.now() - interval '60 days'$$) \g /dev/null
SELECT ecauto.create_segment('late', 'ecauto.now() - customer.last_order_at > 2 * customer.median_gap AND customer.orders_count >= 3') \g /dev/null
SELECT ecauto.create_segment('VIP', 'customer.spent_total >= 800', 'customer.spent_total < 600') \g /dev/null
SELECT s.name AS segment, count(m) AS members, s.condition
FROM ecauto_data.segment s, ecauto.segment_members(s.name) m GROUP BY s.name, s.condition ORDER BY s.name;

SELECT f.key AS almost, f.name FROM ecauto.customer_facts() f
WHERE f.orders_count >= 5 AND f.spent_total < 800 AND f.last_order_at >= ecauto.now() - interval '30 days' ORDER BY f.spent_total DESC LIMIT 1 \gset
\echo 'Why is ':name' not a VIP? By ecauto.explain_segment():'
SELECT expression, result, operands, near_miss FROM ecauto.explain_segment('VIP', :'almost');
