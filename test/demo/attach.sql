-- ecauto gets to know the shop, and where messages go.
\set mail_url 'smtp://127.0.0.1:' :smtp_port
\set supplier_url 'http://127.0.0.1:' :http_port
\echo '  CREATE EXTENSION ecauto;'
CREATE EXTENSION ecauto;
\echo '  SELECT * FROM ecauto.attach_shop(''demo'', ''{}'', ''shop'');'
\echo
CREATE TEMP TABLE report AS SELECT * FROM ecauto.attach_shop('demo', '{}', 'shop');
SELECT string_agg(item || ' ' || rows, ', ') FILTER (WHERE rows IS NOT NULL) AS roles,
	string_agg(item, ', ') FILTER (WHERE state = 'proved') AS writers, rpad(' ' || split_part(max(detail) FILTER (WHERE item = 'capture'), ' ', 1), 10) || substring(max(detail) FILTER (WHERE item = 'capture') FROM ' (.*)') AS capture,
	coalesce(string_agg(item, ', ') FILTER (WHERE state = 'missing'), 'nothing') AS missing FROM report \gset
\echo 'It reads    ':roles
\echo 'It writes   ':writers' (each tried on a real row, read back, rolled back)'
\echo 'It':capture
\echo 'It lacks    ':missing
\echo
\echo 'Where messages go are foreign servers:'
\echo '  CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url ':'mail_url'', …);'
\echo '  CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url ':'supplier_url'');'
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url :'mail_url', sender 'Alder & Birch <shop@example.test>');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url :'supplier_url');
ALTER SYSTEM SET ecauto.manager_mail = 'manager@example.test';
SELECT pg_reload_conf() \g /dev/null
