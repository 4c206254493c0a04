-- What the functions of domain pricing say of what cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

-- carts
SELECT ecauto.price_cart('{"sku": "1"}', '{"currency": "PLN"}');
SELECT ecauto.price_cart('[1]', '{"currency": "PLN"}');
SELECT ecauto.price_cart((SELECT jsonb_agg(jsonb_build_object('sku', '1', 'qty', 1)) FROM generate_series(1, 20000)), '{"currency": "PLN"}');
SELECT ecauto.price_cart('[{"sku": "1", "qty": 1}]', '[]');
SELECT ecauto.price_cart('[{"sku": "1", "qty": 1, "unit_price": 5}]', '{"currency": "PLN", "promotions": []}');
SELECT ecauto.claim_cart('{"total": 5}', 'order 1');

SELECT ecauto.price_at('1', 'PLN', context => '{"unit_price": "5"}');

-- coupons and promotions
SELECT ecauto.create_promotion('everybody', '{"percent": 10, "advertised": true}');
SELECT ecauto.create_promotion('nothing', '{"percent": 10, "advertised": true, "skus": ["nowhere"]}');
SELECT ecauto.create_promotion('late', '{"percent": 10}');
SELECT ecauto.create_promotion('each', '{"percent": 10, "uses_per_customer": 1}');
SELECT ecauto.create_promotion('budget', '{"percent": 10, "currency": "PLN", "budget": {"amount": 100}}');
SELECT ecauto.create_coupon('everybody', 'ALL10');
SET LOCAL client_min_messages = notice;
SELECT ecauto.create_coupon('late', 'LATE');
SET LOCAL client_min_messages = warning;
SELECT ecauto.create_coupon('late', 'NEVER', valid_from => '2026-07-01', valid_until => '2026-06-01');
SELECT ecauto.generate_coupons('late', 2, prefix => 'ŻÓŁW');
SELECT ecauto.redeem_coupon('LATE', 'order 1', amount => 'NaN');
SELECT ecauto.claim_promotion('late', 'order 1');
SELECT ecauto.claim_promotion('each', 'order 1');
SELECT ecauto.claim_promotion('budget', 'order 1');
SELECT ecauto.claim_promotion('budget', 'order 1', -1);
SELECT ecauto.action_coupon('{}', '{}');
SELECT * FROM ecauto.propose_clearance('{"steps": []}');
SELECT * FROM ecauto.propose_clearance('{"currency": "PLN", "steps": [{"cover_days": 10, "percent": 10}], "color": "red"}');
SELECT * FROM ecauto.propose_clearance('{"currency": "PLN", "steps": [{"cover_days": 10, "percent": 10}], "margin": 100}');

-- prior prices
SELECT ecauto.prior_price_options('[]');
SELECT ecauto.prior_price_options('{"days": 0}');
SELECT ecauto.prior_price_options('{"days": "many"}');
SELECT ecauto.prior_price_options('{"progressive": 1}');
SELECT ecauto.prior_price('1', 'PLN', 'infinity');
SELECT ecauto.set_prior_price_policy('{}', sku => '1', product => '1');
SELECT * FROM ecauto.plan_price('1', 0, '2026-07-01');
SELECT * FROM ecauto.plan_price('1', 10, '2026-07-01', '2026-06-30');
SELECT * FROM ecauto.plan_price('1', 10, '2026-07-01', currency => 'USD');
SELECT ecauto.record_price('1', 'PLN', -1, '[2025-01-01, 2025-02-01)');
SELECT ecauto.record_price('1', 'złoty', 1, '[2025-01-01, 2025-02-01)');
SELECT ecauto.record_price('1', 'PLN', 1, 'empty');
SELECT ecauto.drop_old_price_history('-1 day');

-- guards, proposals, prices by hand
SELECT ecauto.set_price_guard('[]');
SELECT ecauto.set_price_guard('{"max_rows": -1}');
SELECT ecauto.set_price_guard('{"max_row": 1}');
SELECT ecauto.set_price_guard('{"max_share": 10}');
SELECT * FROM ecauto.set_prices('{1}', '{PLN}', '{0}');
SELECT * FROM ecauto.set_prices('{1}', '{PLN}', '{1.0000001}');
SELECT * FROM ecauto.set_prices('{1,2}', '{PLN}', '{1}');
SELECT * FROM ecauto.set_prices('{NULL}', '{PLN}', '{1}');
SELECT * FROM ecauto.set_prices('{1,1}', '{PLN,PLN}', '{1,2}');
SELECT * FROM ecauto.set_prices(NULL, '{PLN}', '{1}');
SELECT ecauto.set_sku_active('1', false);
SELECT ecauto.bind_write('set_price', 'UPDATE s.price SET amount = $2 WHERE variant_id = $1::int AND $3 = ''PLN''');
SELECT * FROM ecauto.set_prices('{1}', '{EUR}', '{1}');
SELECT ecauto.create_price_rule('dear', '{"base": "price", "percent_off": -10}');
SELECT ecauto.create_price_rule('dear', '{"base": "price", "markup": 5}');
SELECT ecauto.propose_reprice('up') IS NOT NULL AS proposed;
CREATE TABLE s.proposal AS SELECT proposal_id AS id FROM ecauto_data.price_proposal;
SELECT ecauto.reject_proposal(id) FROM s.proposal;
SELECT ecauto.approve_proposal(id) FROM s.proposal;
SELECT ecauto.undo_proposal(id) FROM s.proposal;
SELECT ecauto.create_price_rule('dear', '{"skus": ["7"], "base": "cost", "markup": 5}');
SELECT count(*) FROM ecauto.reprice(true);
SELECT ecauto.bind_write('set_price', 'UPDATE s.price SET amount = $2 WHERE variant_id = $1::int AND variant_id < 10 AND $3 = ''PLN''');
SELECT * FROM ecauto.set_prices('{10}', '{PLN}', '{1}');
SELECT ecauto.create_price_rule('', '{"markup": 5}');
SELECT ecauto.create_price_rule('r', '5');
SELECT ecauto.create_price_rule('r', '{"base": "price", "percent_off": 5, "endings": [{"ending": 0.99, "below": 100}, {"ending": 0.95, "below": 50}]}');

-- settings
SELECT ecauto.set_list_price('1', 'PLN', 0);
SELECT ecauto.set_cost('1', 1, 'PLN', 'guess');
SELECT ecauto.set_vat_rate(23, sku => '1', product => '1');
SELECT ecauto.set_vat_rate(23, 'Poland');
SELECT ecauto.set_vat_rate(101);
SELECT ecauto.set_vat_rate(22.0000001);
SELECT ecauto.set_fx_rate('EUR', 'PLN', 0);
ROLLBACK;
DROP SCHEMA ecauto_data CASCADE;
