-- What the functions of domain flow say of what cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

SELECT ecauto.register_action(NULL, 'ecauto.action_tag(jsonb, jsonb)');
SELECT ecauto.register_action('Two words', 'ecauto.action_tag(jsonb, jsonb)');
SELECT ecauto.register_action('x', 0);
SELECT * FROM ecauto.simulate_flow('welcome <back>', '{"at": "infinity"}');
SELECT * FROM ecauto.simulate_flow('welcome <back>', '{"kind": "order.placed"}');
SELECT * FROM ecauto.simulate_flow('welcome <back>', '{"kind": "order.placed", "key": "1", "then": 5}');
SELECT * FROM ecauto.simulate_flow('welcome <back>', (SELECT jsonb_build_object('kind', 'order.placed', 'key', '1', 'then', jsonb_agg('{"kind": "order.paid"}'::jsonb)) FROM generate_series(1, 2000)));
SELECT * FROM ecauto.simulate_flow('welcome <back>', '{"kind": "order.placed", "key": "1", "then": [{}]}');
SELECT * FROM ecauto.simulate_flow('welcome <back>', '{"kind": "order.placed", "key": "1", "at": "2026-06-16", "then": [{"kind": "order.paid", "at": "2026-06-15"}]}');
SELECT ecauto.create_flow('cancelled', '{"on": "order.cancelled", "steps": [{"tag": {"customer": "x"}}]}');
SELECT * FROM ecauto.simulate_flow('cancelled');
SELECT ecauto.create_flow('forever', '{"on": "order.placed", "steps": [{"label": "again"}, {"wait": "1 day"}, {"goto": "again"}]}');
SELECT * FROM ecauto.simulate_flow('forever');
SELECT ecauto.tag('customer', NULL, 'x');
SELECT ecauto.tag('stock', '1', 'x');
SELECT ecauto.tag('customer', '1', '');
SELECT ecauto.set_order_mail('order.eaten', 's', 'b');
ROLLBACK;
DROP SCHEMA ecauto_data CASCADE;
