-- Where ecauto.timezone is not set, demand and its forecasts keep the days of the server's time zone.
BEGIN;
\ir ../event/shop.psql
SELECT plan(4);
SET LOCAL timezone = 'Europe/Warsaw';
SELECT is(current_setting('ecauto.timezone'), '', 'no zone of the shop is set');
SET LOCAL ecauto.clock = '2026-06-30 23:30+00';
SELECT is(ecauto.today(), '2026-07-01', 'so the day is that of the server''s zone');
SELECT lives_ok('SELECT ecauto.refresh_demand()', 'demand is counted');
SELECT lives_ok('SELECT count(*) FROM ecauto.plan_replenishment()', 'and replenishment planned');
SELECT * FROM finish();
ROLLBACK;
