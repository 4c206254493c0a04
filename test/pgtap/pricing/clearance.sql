-- What is old or does not sell is proposed to be marked down, step by step, not below the floor, and with what may be claimed.
BEGIN;
\ir ../event/shop.psql
SET LOCAL ecauto.clock = '2026-06-01 12:00+00';
SELECT plan(9);
TRUNCATE ecauto_data.price_history;
SELECT ecauto.record_price('1', 'EUR', 10, '[2026-01-01,)') \g /dev/null
SELECT ecauto.record_price('2', 'EUR', 20, '[2026-05-25,)') \g /dev/null
SELECT ecauto.record_price('3', 'EUR', 25, '[2026-05-20, 2026-05-25)') \g /dev/null
SELECT ecauto.record_price('3', 'EUR', 24, '[2026-05-25, 2026-05-28)') \g /dev/null
SELECT ecauto.record_price('3', 'EUR', 30, '[2026-05-28,)') \g /dev/null
SELECT ecauto.set_cost('1', 8.50, 'EUR') \g /dev/null

SELECT results_eq($$ SELECT sku, price, proposed, percent, claim FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["1", "2"], "steps": [{"age_days": 90, "percent": 10}, {"age_days": 365, "percent": 50}]}') $$,
	$$ VALUES ('1', 10::numeric, 9.00, 10.0, 10.0) $$, 'the step that is reached, by age');
SELECT is((SELECT proposed FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["1"], "margin": 10, "steps": [{"age_days": 90, "percent": 10}]}')), 9.45, 'the floor: 8.50 with a margin of 10%, a cent up');
SELECT is((SELECT count(*) FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["1"], "margin": 20, "steps": [{"age_days": 90, "percent": 10}]}')), 0::bigint, 'no proposal where the floor is above the price');
SELECT is((SELECT count(*) FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["1", "2", "3"], "steps": [{"cover_days": 120, "percent": 10}]}', '{"1": 2, "2": 3}')), 2::bigint, 'what sells slowly, or not at all');
SELECT is((SELECT count(*) FROM ecauto.propose_clearance('{"currency": "EUR", "steps": [{"cover_days": 1, "percent": 10}]}')), 0::bigint, 'nothing where nothing is known of sales');
SELECT results_eq($$ SELECT sku, proposed, claim FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["3"], "steps": [{"season_end": "2026-06-15", "days_before": 14, "percent": 15}]}') $$,
	$$ VALUES ('3', 25.50, 0::numeric) $$, 'the end of the season; it was cheaper a week ago, so no reduction may be claimed');
SELECT is((SELECT count(*) FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["3"], "steps": [{"season_end": "2026-06-16", "days_before": 14, "percent": 15}]}')), 0::bigint, 'not a day too early');
SELECT lives_ok($$ SELECT ecauto.create_promotion('clear ' || sku, promotion) FROM ecauto.propose_clearance('{"currency": "EUR", "skus": ["1", "3"], "steps": [{"cover_days": 10, "percent": 15}]}', '{}') $$, 'proposals are promotions, with what may be claimed');
SELECT throws_ok($$ SELECT * FROM ecauto.propose_clearance('{"currency": "EUR", "steps": [{"percent": 15}]}') $$, '22023', 'a step of a clearance must say when it is reached and what it takes off', 'a step that is never reached');
SELECT * FROM finish();
ROLLBACK;
