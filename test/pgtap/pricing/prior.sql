-- The prior price is the lowest in force in the 30 days before a reduction began, whatever happened since.
BEGIN;
\ir shop.psql
SELECT plan(38);

-- ---- a stable price: what was carried into the window counts ----
SELECT price_is(1, 50, '2026-01-01 00:00+01') \g /dev/null
SELECT is(ecauto.prior_price('1', 'PLN', '2026-10-01 00:00+02'), 50::numeric, 'a price nine months old is the lowest of the last 30 days');
SELECT price_is(1, 40, '2026-10-01 00:00+02') \g /dev/null
SELECT is(ecauto.prior_price('1', 'PLN', '2026-10-01 00:00+02'), 50::numeric, 'reduced now, it was 50 before');
SELECT is(ecauto.prior_price('1', 'PLN', '2026-10-12 00:00+02'), 50::numeric, 'and eleven days into the reduction');
SELECT is(ecauto.prior_price('1', 'PLN', '2027-10-12 00:00+02'), 50::numeric, 'an uninterrupted reduction keeps its anchor, even for a year');
SELECT is(round((50 - 40) / ecauto.prior_price('1', 'PLN', '2026-10-12 00:00+02') * 100, 1), 20.0, 'so at most 20.0% may be claimed');
SELECT is(ecauto.prior_price('V1', 'pln', '2026-10-12 00:00+02'), 50::numeric, 'by the code of the sku, too');
SELECT is((SELECT (f.begins, f.running) FROM ecauto.prior_price_facts('1', 'PLN', '2026-10-12 00:00+02') f), ('2026-10-01 00:00+02'::timestamptz, true), 'the facts say when it began');

-- ---- the crossed-out price has no say, nor has a price written again ----
SELECT ecauto.set_list_price('1', 'PLN', 99) \g /dev/null
SELECT price_is(1, 40.00, '2026-10-05 00:00+02') \g /dev/null
SELECT is(ecauto.prior_price('1', 'PLN', '2026-10-12 00:00+02'), 50::numeric, 'editing the crossed-out price mid-sale changes nothing');
UPDATE price SET gross = false WHERE variant_id = 1;
SELECT price_is(1, 40, '2026-10-06 00:00+02') \g /dev/null
SELECT is(ecauto.prior_price('1', 'PLN', '2026-10-12 00:00+02'), 50::numeric, 'nor does anything else of the price''s row');

-- ---- up and down ----
SELECT price_is(2, 100, '2026-01-01 00:00+01') \g /dev/null
SELECT price_is(2, 80, '2026-03-02 00:00+01') \g /dev/null
SELECT price_is(2, 90, '2026-03-07 00:00+01') \g /dev/null
SELECT is(ecauto.prior_price('2', 'PLN', '2026-03-20 00:00+01', 85), 80::numeric, '80 for five days, then 90: a reduction to 85 has the prior price 80');
SELECT is(ecauto.prior_price('2', 'PLN', '2026-03-20 00:00+01'), 80::numeric, 'whatever it is reduced to');
SELECT price_is(2, 85, '2026-03-20 00:00+01') \g /dev/null
SELECT is(ecauto.prior_price('2', 'PLN', '2026-03-20 00:00+01'), 80::numeric, 'done, it is the same');
SELECT is(ecauto.prior_price('2', 'PLN', '2026-04-05 23:59+02', 85), 80::numeric, 'as long as it lasts');
SELECT is(ecauto.prior_price('2', 'PLN', '2026-03-05 00:00+01'), 100::numeric, 'the five days were a reduction from 100');

-- ---- the window is of calendar days of the shop, and its start belongs to it ----
SELECT price_is(3, 70, '2026-02-01 00:00+01') \g /dev/null
SELECT price_is(3, 95, '2026-03-10 00:00+01') \g /dev/null
SELECT is(ecauto.prior_price('3', 'PLN', '2026-04-08 23:59+02', 60), 70::numeric, 'a price that ended a day less than 30 days ago counts');
SELECT is(ecauto.prior_price('3', 'PLN', '2026-04-09 00:00+02', 60), 95::numeric, 'one that ended 30 days ago does not, although there was a night of 23 hours');

-- ---- progressive cuts, perishables, new arrivals ----
SELECT price_is(4, 100, '2026-01-01 00:00+01') \g /dev/null
SELECT price_is(4, 90, '2026-05-01 00:00+02') \g /dev/null
SELECT price_is(4, 85, '2026-05-08 00:00+02') \g /dev/null
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-08 00:00+02'), 90::numeric, 'each cut is a reduction of its own');
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-08 00:00+02', NULL, '{"progressive": true}'), 100::numeric, 'unless progressive cuts are one');
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-10 00:00+02', 80), 85::numeric, 'a further cut has the price before it');
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-10 00:00+02', 80, '{"progressive": true}'), 100::numeric, 'or that before the first');
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-10 00:00+02', 88, '{"progressive": true}'), 85::numeric, 'a raise is no step of a reduction');
SELECT ecauto.set_prior_price_policy('{"progressive": true}', category => '2') \g /dev/null
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-08 00:00+02'), 90::numeric, 'a policy for another category changes nothing');
SELECT ecauto.set_prior_price_policy('{"progressive": true}', category => '5') \g /dev/null
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-08 00:00+02'), 100::numeric, 'one for its category does');
SELECT ecauto.set_prior_price_policy('{"progressive": false}', sku => 'V4') \g /dev/null
SELECT is(ecauto.prior_price('4', 'PLN', '2026-05-08 00:00+02'), 90::numeric, 'and one for the sku comes first');

SELECT price_is(5, 20, '2026-01-01 00:00+01') \g /dev/null
SELECT price_is(5, 30, '2026-05-01 00:00+02') \g /dev/null
SELECT price_is(5, 25, '2026-05-08 00:00+02') \g /dev/null
SELECT is(ecauto.prior_price('5', 'PLN', '2026-05-08 00:00+02'), 20::numeric, 'the lowest of 30 days');
SELECT is(ecauto.prior_price('5', 'PLN', '2026-05-08 00:00+02', NULL, '{"perishable": true}'), 30::numeric, 'for perishables the price just before');

SELECT set_config('ecauto.clock', '2026-06-01 00:00+02', true) \g /dev/null
INSERT INTO variant VALUES (11, 1, 'V11');
INSERT INTO price (variant_id, amount) VALUES (11, 40);
SELECT ecauto.tick() \g /dev/null
SELECT is(ecauto.prior_price('11', 'PLN', '2026-06-11 00:00+02', 30), 40::numeric, 'what is new has the lowest price since it arrived');
SELECT is(ecauto.prior_price('11', 'PLN', '2026-06-11 00:00+02', 30, '{"new_arrivals": 14}'), NULL, 'or none, where it must be on sale for 14 days');
SELECT is(ecauto.prior_price('11', 'PLN', '2026-06-16 00:00+02', 30, '{"new_arrivals": 14}'), 40::numeric, 'which it is then');
SELECT is(ecauto.prior_price('11', 'PLN', '2026-05-30 00:00+02'), NULL, 'before it was on sale it had no price');

-- ---- a long history ----
SELECT price_is(6, 200 - i, '2026-06-01 00:00+02'::timestamptz + i * interval '1 hour') FROM generate_series(0, 150) i \g /dev/null
SELECT is(ecauto.prior_price('6', 'PLN', '2026-06-07 06:00+02', NULL, '{"progressive": false}'), 51::numeric, 'the last of 150 cuts');
SELECT is(ecauto.prior_price('6', 'PLN', '2026-06-07 06:00+02', NULL, '{"progressive": true, "days": 1}'), 60::numeric, 'the first of them was from a price that had been 60 the day before');

-- ---- forgetting what is old ----
SELECT set_config('ecauto.clock', '2026-11-10 00:00+01', true) \g /dev/null
SELECT cmp_ok(ecauto.drop_old_price_history('30 days'), '>', 0::bigint, 'old history is dropped');
SELECT is(ecauto.prior_price('1', 'PLN', '2026-11-10 00:00+01'), 50::numeric, 'but not what a reduction that lasts began with');
SELECT is(ecauto.prior_price('3', 'PLN', '2026-11-10 00:00+01', 60), 95::numeric, 'nor the price in force at the window''s start');
SELECT is(ecauto.prior_price('2', 'PLN', '2026-11-10 00:00+01', 70), 85::numeric, 'nor this one');

-- ---- what cannot be ----
SELECT throws_ok($$ SELECT ecauto.prior_price('nothing', 'PLN', '2026-11-10') $$, 'P0002', 'sku "nothing" does not exist', 'a sku that is not there');
SELECT is(ecauto.prior_price('1', 'EUR', '2026-11-10'), NULL, 'a currency without price has no prior price');
SELECT * FROM finish();
ROLLBACK;
