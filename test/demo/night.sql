-- What happens every night from now on, by pg_cron.
CREATE EXTENSION pg_cron;
\echo '  SELECT * FROM ecauto.schedule_defaults();'
\echo
CREATE TEMP TABLE scheduled AS SELECT * FROM ecauto.schedule_defaults();
SELECT j.job, to_char(j.runs_at, 'HH24:MI') AS "every night at", j.timezone, to_char(j.next_at AT TIME ZONE j.timezone, 'DD Mon HH24:MI') AS next,
	c.schedule AS "pg_cron asks at"
FROM scheduled j LEFT JOIN cron.job c ON c.command LIKE '%' || quote_literal(j.job) || '%' ORDER BY j.runs_at;
\echo 'One of them now, whatever the hour. ecauto.run_job(''replenishment''):'
SELECT ecauto.run_job('replenishment') \g /dev/null
SELECT job, state, round(extract(epoch FROM took), 1) AS seconds, result FROM ecauto.schedule_status() WHERE job = 'replenishment';
