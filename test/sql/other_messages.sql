-- What functions of the smaller domains say of what cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

-- campaign
SELECT ecauto.send_campaign('', 'regulars', 'welcome');
SELECT ecauto.create_template('news', 'News', '<p>{{name}}</p>');
SELECT ecauto.send_campaign('june', 'regulars', 'news', deadline => '-1 day');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:9', sender 'Shop <shop@shop.example>');
SELECT ecauto.send_campaign('june', 'regulars', 'news', data => '[]');
SELECT ecauto.action_mail('[]', '{}');
SELECT ecauto.action_mail('{"template": 5}', '{}');
SELECT ecauto.action_mail('{"template": "news"}', '[]');
SELECT ecauto.action_mail('{"template": "news", "recipient": "a@b.example", "data": 5}', '{}');
SELECT ecauto.action_mail('{"template": "news", "recipient": "a@b.example", "priority": "high"}', '{}');
SELECT ecauto.action_mail('{"template": "news", "recipient": "a@b.example", "in_stock": "yes"}', '{}');

-- segment
SELECT ecauto.create_segment(NULL, 'true');
SELECT ecauto.create_segment('', 'true');
SELECT ecauto.create_segment('x', NULL);
SELECT ecauto.create_segment_list('', '{}');
SELECT ecauto.create_segment_list('by hand', ARRAY[repeat('x', 3000)]);
SELECT ecauto.create_segment_list('by hand', '{1}');
SELECT ecauto.alter_segment('by hand', 'true');
SELECT ecauto.alter_segment('regulars', NULL);
SELECT ecauto.create_segment('a', 'segment.regulars');
SELECT ecauto.alter_segment('regulars', 'segment.a');
SELECT ecauto.create_segment('b', 'segment.regulars AND EXISTS (SELECT FROM s.product)');
SELECT ecauto.create_segment('divides', '1 / (customer.orders_count - customer.orders_count) > 0');

-- customer
SELECT ecauto.set_main_currency('zloty');

-- event
SELECT ecauto.track('viewed', at => '1999-01-01');

-- expr
SELECT ecauto.check_condition('customer.a.b = 1', '{"customer": {"a": "text"}}');
SELECT ecauto.check_condition('EXISTS (SELECT FROM s.product TABLESAMPLE system (10))', '{"customer": {"a": "text"}}');
SELECT ecauto.condition_changes_at('customer.at + interval ''200000 years'' > ecauto.now()', '{"customer": {"at": "timestamptz"}}', '{"customer": {"at": "200000-01-01"}}', '2026-01-01');

-- report
SELECT ecauto.report_chart('line', 'much', array_fill('x'::text, ARRAY[2000]), array_fill(1::float8, ARRAY[40000]), array_fill('bar'::text, ARRAY[20]));

-- schedule
SET LOCAL client_min_messages = notice;
\set VERBOSITY terse
SELECT count(*) FROM ecauto.schedule_defaults();
\set VERBOSITY default
SET LOCAL client_min_messages = warning;

-- security
SET LOCAL client_min_messages = notice;
SELECT ecauto.grant_reader('postgres');
SET LOCAL client_min_messages = warning;
CREATE ROLE messages_nobody;
GRANT USAGE ON SCHEMA ecauto TO messages_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO messages_nobody;
SET LOCAL ROLE messages_nobody;
SELECT ecauto.grant_reader('messages_nobody');
SELECT ecauto.erase_customer('1');
SELECT ecauto.setup();
RESET ROLE;

-- shop
SAVEPOINT shop;
SELECT ecauto.attach_shop('medusa');
SELECT * FROM ecauto.role_rows('stock', '{1}', 'key') AS r (key text, color text);
SELECT * FROM ecauto.role_rows('sku', '{1}', 'ean') AS r (key text);
SELECT ecauto.bind_table('product', 1, '{"key": "id"}');
SET LOCAL client_min_messages = notice;
CREATE TABLE s.nothing (key int, parent int, title text);
SELECT ecauto.bind_role('stock', 'SELECT key, 5 AS on_hand, 0 AS reserved FROM s.nothing');
SELECT ecauto.bind_write('receive_stock', 'UPDATE s.nothing SET key = key WHERE key = $1::int');
SET LOCAL client_min_messages = warning;
SELECT ecauto.detach_shop();
SELECT ecauto.bind_role('price', 'SELECT variant_id AS key, ''PLN'' AS currency, amount * 100 AS amount, true AS tax_included FROM s.price');
SELECT count(*) FROM ecauto.attach_shop('custom');
SELECT ecauto.bind_preset('vendure', '[]', 's');
ROLLBACK TO SAVEPOINT shop;

-- outbox
SELECT ecauto.enqueue('warehouse', '{}', wanted => 0);
INSERT INTO ecauto_data.schema_version (version) VALUES (999);
SELECT ecauto.setup();
DELETE FROM ecauto_data.schema_version WHERE version = 999;

-- who may, and whose it is
SELECT ecauto.check_outbox_consent(1, 'mail', 'k', 'marketing', '{}');
SELECT ecauto.report_chart('line', 'much', array_fill('x'::text, ARRAY[2000]), array_fill(1::float8, ARRAY[4]), array_fill('bar'::text, ARRAY[70000]));
UPDATE s.price SET amount = 1e17 WHERE variant_id = 1;
SELECT ecauto.tick() \g /dev/null
SELECT ecauto.price_at('1', 'PLN');
INSERT INTO ecauto_data.order_changed (order_key) VALUES (NULL);
SELECT ecauto.refresh_recommendations();
SELECT ecauto.create_flow('dear', '{"on": "order.placed", "if": "order.total > 5", "steps": [{"tag": {"customer": "dear"}}]}');
GRANT USAGE ON FOREIGN DATA WRAPPER ecauto_endpoint TO messages_nobody;
GRANT USAGE, CREATE ON SCHEMA ecauto TO messages_nobody;
SET LOCAL ROLE messages_nobody;
CREATE SERVER reads FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'https://127.0.0.1:9', ca_file '/etc/passwd');
RESET ROLE;
SELECT ecauto.create_price_rule('if', '{"base": "price", "markup": 5, "condition": "sku.key = ''2''"}') > 0;
GRANT USAGE ON SCHEMA s TO messages_nobody;
DO $$ DECLARE t record; BEGIN
	FOR t IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'ecauto_data'::regnamespace AND relkind IN ('r', 'p') LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO messages_nobody', t.name);
	END LOOP; END $$;
ALTER SCHEMA ecauto_data OWNER TO messages_nobody;
SELECT * FROM ecauto.reprice();
SELECT remedy FROM ecauto.explain_segment('<b>big</b> spenders', '1');
SELECT * FROM ecauto.recommend('1', 3);
SET LOCAL client_min_messages = error;
SELECT ecauto.refresh_segments(true) \g /dev/null
SELECT ecauto.in_segment('1', 'regulars', '2026-06-01');
SELECT * FROM ecauto.simulate_flow('dear');
DELETE FROM ecauto_data.schema_version;
SELECT ecauto.setup();
ALTER TABLE ecauto_data.outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE ecauto_data.outbox FORCE ROW LEVEL SECURITY;
SELECT ecauto.enqueue('warehouse', '{}');
ALTER TABLE ecauto_data.outbox RENAME TO outbox_was;
CREATE VIEW ecauto_data.outbox AS SELECT * FROM ecauto_data.outbox_was;
SELECT ecauto.enqueue('warehouse', '{}');
ROLLBACK;

-- a state of another time, met by a new session
UPDATE ecauto_data.schema_version SET version = 0;
\connect -
SET client_min_messages = warning;
SELECT ecauto.score('1');
DROP SCHEMA ecauto_data CASCADE;
