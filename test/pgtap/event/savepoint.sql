-- A tick in a savepoint that is rolled back loses nothing.
BEGIN;
\ir shop.psql
SELECT plan(8);
SELECT news() \g /dev/null

UPDATE stock SET qty = 3 WHERE variant_id = 1;
SAVEPOINT a;
UPDATE stock SET qty = 3 WHERE variant_id = 2;
SELECT is((SELECT events FROM ecauto.tick()), 2::bigint, 'a tick in a savepoint sees what was done before it');
ROLLBACK TO a;
SELECT is(news(), 'stock.changed(1)', 'rolled back, it has not, and what was done in it is gone');
SELECT is(news(), '', 'once');

UPDATE stock SET qty = 4 WHERE variant_id = 1;
DO $$ BEGIN
	PERFORM ecauto.tick();
	RAISE EXCEPTION 'no';
EXCEPTION WHEN raise_exception THEN NULL;
END $$;
SELECT is(news(), 'stock.changed(1)', 'nor in an exception block');

UPDATE stock SET qty = 5 WHERE variant_id = 1;
SAVEPOINT a;
UPDATE stock SET qty = 5 WHERE variant_id = 3;
SELECT is(news(), 'stock.changed(1) stock.changed(3)', 'a tick in a savepoint that stays');
RELEASE a;
SELECT is(news(), '', 'has been');

UPDATE stock SET qty = 6 WHERE variant_id = 1;
SAVEPOINT a;
SELECT is((SELECT events FROM ecauto.tick()), 1::bigint, 'a tick in a savepoint');
UPDATE stock SET qty = 7 WHERE variant_id = 1;
RELEASE a;
SELECT is(news(), 'stock.changed(1) stock.changed(1)', 'and a change of the same key after it');

SELECT * FROM finish();
ROLLBACK;
