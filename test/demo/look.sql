\pset footer off
SELECT to_char(at, 'HH24:MI:SS.MS') AS at, kind, key, sku, coalesce(new ->> 'available', new ->> 'number') AS now
FROM ecauto.events();

SELECT id, endpoint, state, attempts, key FROM ecauto.messages() ORDER BY id;

SELECT * FROM ecauto.status();
