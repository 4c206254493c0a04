-- status() names what is wrong and what to do about it.
BEGIN;
\ir ../event/shop.psql
SELECT plan(13);

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
DROP SERVER supplier;
SELECT is((SELECT value FROM ecauto.status() WHERE item = 'endpoint supplier'), 'missing', 'a server that is gone');
ALTER SCHEMA ecauto_data RENAME TO elsewhere;
SELECT is((SELECT detail FROM ecauto.status() WHERE item = 'state'), 'Run SELECT ecauto.setup().', 'no state at all');

SELECT * FROM finish();
ROLLBACK;
