-- What happens every night from now on, by pg_cron.
CREATE EXTENSION pg_cron;
SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'ecauto'::regnamespace AND proname = 'schedule_defaults') AS scheduled \gset
\if :scheduled
\echo '  SELECT * FROM ecauto.schedule_defaults();'
SELECT job, to_char(runs_at, 'HH24:MI') AS "every night at", timezone, to_char(next_at, 'DD Mon HH24:MI') AS next FROM ecauto.schedule_defaults() ORDER BY runs_at, job;
\else
SELECT cron.schedule('ecauto nightly', '10 3 * * *', 'SELECT ecauto.refresh_demand(); SELECT ecauto.forecast_all(); SELECT * FROM ecauto.plan_replenishment()') \g /dev/null
SELECT jobname AS job, schedule, command FROM cron.job;
\endif
