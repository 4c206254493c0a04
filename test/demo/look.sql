\pset footer off
\echo 'Events, by kind. ecauto.events():'
SELECT kind, count(*), to_char(min(at), 'HH24:MI:SS') AS first, to_char(max(at), 'HH24:MI:SS') AS last FROM ecauto.events() GROUP BY kind ORDER BY min(at), kind;
\echo 'And how everything is doing. ecauto.status():'
SELECT * FROM ecauto.status();
