-- status() names what is wrong and what to do about it.
BEGIN;
\ir ../event/shop.psql
SELECT plan(33);

SELECT is((SELECT value FROM ecauto.status() WHERE item = 'state'), '1', 'the state has its version');
SELECT matches((SELECT value FROM ecauto.status() WHERE item = 'shop'), '^custom', 'the shop is attached');
SELECT is((SELECT value || coalesce(detail, '') FROM ecauto.status() WHERE item = 'broken roles'), '0', 'no role is broken');
SELECT is((SELECT value || coalesce(detail, '') FROM ecauto.status() WHERE item = 'changes waiting'), '0', 'nothing waits');
SELECT is((SELECT value FROM ecauto.status() WHERE item = 'tick worker'), 'not running', 'no worker serves this database');
SELECT matches((SELECT detail FROM ecauto.status() WHERE item = 'tick worker'), 'ecauto\.databases and reload, or call ecauto\.tick\(\)', 'which can be mended');

SELECT is((SELECT value || coalesce(detail, '') FROM ecauto.status() WHERE item = 'capture gaps'), '0', 'every table is watched');
DROP TRIGGER ecauto_capture ON orders;
SELECT is((SELECT detail FROM ecauto.status() WHERE item = 'capture gaps'), 'order: table "s.orders" has no capture trigger; attach the shop again', 'a table that is not');

ALTER TABLE stock RENAME COLUMN qty TO quantity;
UPDATE stock SET quantity = 1;
SELECT ecauto.tick() \g /dev/null
SELECT matches((SELECT detail FROM ecauto.status() WHERE item = 'broken roles'), 'stock: column "?qty"? does not exist.*ecauto\.bind_role', 'a broken role is named, with its remedy');
INSERT INTO ecauto_data.change_log VALUES (clock_timestamp() - interval '1 hour', 1, '{x}');
SELECT matches((SELECT detail FROM ecauto.status() WHERE item = 'changes waiting'), 'oldest has waited since', 'changes that nobody takes');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://127.0.0.1:9');
SELECT ecauto.enqueue('supplier', '{}') \g /dev/null
SELECT matches((SELECT detail FROM ecauto.status() WHERE item = 'endpoint supplier'), '^1 waiting', 'messages that wait');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'endpoint supplier'), 'ok', 'which is no trouble yet');
UPDATE ecauto_data.outbox SET queued_at = ecauto.now() - interval '1 hour', next_at = ecauto.now() - interval '1 hour';
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'endpoint supplier'), '^warning: .*The oldest is due since .*ecauto.deliver\(\)', 'but is when it is old');
SELECT ecauto.pause_endpoint('supplier') \g /dev/null
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'endpoint supplier'), '^warning: .*ecauto.resume_endpoint\(\)', 'a pause');
SELECT ecauto.resume_endpoint('supplier') \g /dev/null
INSERT INTO ecauto_data.outbox_counter (endpoint, last_error, breaker_until) VALUES ('supplier', 'nobody answers', ecauto.now() + interval '1 hour')
ON CONFLICT (endpoint) DO UPDATE SET breaker_until = excluded.breaker_until;
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'endpoint supplier'), '^error: .*Too many failures in a row; tried again at', 'a breaker that is open');
DROP SERVER supplier;
SELECT is((SELECT value FROM ecauto.status() WHERE item = 'endpoint supplier'), 'missing', 'a server that is gone');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'endpoint supplier'), 'error', 'which is an error');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'broken roles'), 'error', 'so is a broken role');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'changes waiting'), 'error', 'and changes that nobody takes');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'capture failures'), 'ok', 'no change was lost');
SELECT matches((SELECT state || ': ' || value || ': ' || detail FROM ecauto.status() WHERE item = 'jobs'), '^warning: [0-9]+ not scheduled: .*ecauto\.schedule_defaults\(\)', 'jobs of the night that nobody does');
SELECT matches((SELECT state || ': ' || value || ': ' || detail FROM ecauto.status() WHERE item = 'pg_cron'), '^warning: missing: .*shared_preload_libraries', 'there is no pg_cron');

-- automations that fail
INSERT INTO ecauto_data.flow (id, name, version, enabled, created_at, changed_at, error) VALUES (1, 'f', 1, true, now(), now(), 'column "x" does not exist');
INSERT INTO ecauto_data.flow_run (flow, version, state, started_at, subject, occasion, event_id, event_at, kind, error) VALUES (1, 1, 'failed', now(), 'order:1', '', ecauto.new_id(), now(), 'order.placed', 'division by zero');
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'flow f'), '^error: column "x" does not exist\. .*ecauto\.create_flow', 'a flow that cannot start');
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'runs of flow f'), '^warning: division by zero\. .*ecauto\.retry_run', 'runs that are parked');
INSERT INTO ecauto_data.price_rule (name, definition, enabled, created_at) VALUES ('summer', '{}', false, now());
SELECT matches((SELECT value || ': ' || detail FROM ecauto.status() WHERE item = 'price rules'), '^0 enabled, 1 parked: summer\. ecauto\.enable_price_rule', 'price rules that are parked');
INSERT INTO ecauto_data.price_proposal (state, priced, rows, violations, made_at) VALUES ('held', 1, 7, '{too many}', now());
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item LIKE 'price proposal %'), '^warning: 7 prices wait for a decision: too many\.', 'prices that wait for a decision');

-- what is old
INSERT INTO ecauto_data.sku_forecast (sku, as_of, bucket_days, observations, method, class, daily, mean) VALUES ('1', ecauto.today() - 3, 1, 9, 'x', 'y', 1, '{1}');
SELECT is((SELECT state FROM ecauto.status() WHERE item = 'forecasts'), 'ok', 'a forecast of three days ago');
UPDATE ecauto_data.sku_forecast SET as_of = ecauto.today() - 30;
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'forecasts'), '^warning: .*ecauto\.forecast_all', 'one of a month ago');
UPDATE ecauto_data.recommend_model SET version = 1, built_at = ecauto.now() - interval '1 year';
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'recommendations'), '^warning: .*ecauto\.build_recommendations', 'old recommendations');
INSERT INTO ecauto_data.purchase_order (supplier, state, currency, goods, freight, planned_at, due_on, ordered_at) VALUES
	('a', 'proposed', 'EUR', 1, 0, ecauto.now() - interval '2 days', ecauto.today(), NULL), ('b', 'sent', 'EUR', 1, 0, ecauto.now() - interval '9 days', ecauto.today() - 1, ecauto.now() - interval '9 days');
SELECT matches((SELECT state || ': ' || value || ': ' || detail FROM ecauto.status() WHERE item = 'purchase orders'), '^warning: 1 proposed, 0 held, 1 under way: 1 wait for approval.* 1 are overdue', 'purchase orders to be looked after');
INSERT INTO ecauto_data.outbox_history (id, finished_at, state, attempts, priority, created_at, queued_at, endpoint, sender, key, path, payload)
VALUES (-5, ecauto.now(), 'dead', 1, 0, ecauto.now(), ecauto.now(), 'b', 'x', 'k', '', '{}');
UPDATE ecauto_data.purchase_order SET message_id = -5 WHERE supplier = 'b';
SELECT matches((SELECT state || ': ' || detail FROM ecauto.status() WHERE item = 'purchase orders'), '^error: .*1 did not reach the supplier', 'and one that never left');
SELECT matches((SELECT state || ': ' || value || ': ' || detail FROM ecauto.status() WHERE item = 'dead messages'), '^warning: 1: .*to b\. .*ecauto\.redrive', 'messages that were given up');
ALTER SCHEMA ecauto_data RENAME TO elsewhere;
SELECT is((SELECT detail FROM ecauto.status() WHERE item = 'state'), 'Run SELECT ecauto.setup().', 'no state at all');

SELECT * FROM finish();
ROLLBACK;
