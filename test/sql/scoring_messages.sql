-- What the functions of domain scoring say of what cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

-- fits
SELECT * FROM ecauto.bgnbd_fit('{{1}}', '{1}', '{2}');
SELECT * FROM ecauto.bgnbd_fit('{1}', '{3}', '{2}');
SELECT * FROM ecauto.bgnbd_fit('{1}', '{1}', '{2}', -1);
SELECT * FROM ecauto.gamma_gamma_fit('{0}', '{1}');
SELECT ecauto.clv_p_alive('abc', '{1,1,1,1}', 1, 1, 2);
SELECT ecauto.clv_p_alive('bgnbd', '{1,1}', 1, 1, 2);
SELECT ecauto.clv_p_alive('bgnbd', '{1,1,1,-1}', 1, 1, 2);
SELECT ecauto.clv_expected_orders('bgnbd', '{1,1,1,1}', 1, 1, 2, -1);
SELECT ecauto.clv_p_alive('bgnbd', '{1,1,1,1}', 1, 3, 2);
SELECT * FROM ecauto.evaluate_clv(0);

-- scores
SELECT ecauto.create_score_rule('', '{}');
SELECT ecauto.create_score_rule('r', '[]');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 0}');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 1, "half_life": "soon"}');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 1, "per_day": 1.5}');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 1, "refundable": "yes"}');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 1, "if": 5}');
SELECT ecauto.create_score_rule('r', '{"on": "order.placed", "points": 1, "if": "EXISTS (SELECT FROM s.product)"}');
SELECT ecauto.create_score_threshold('', 5);
SELECT ecauto.create_score_threshold('t', 5, 6);
SELECT ecauto.score('1', 'infinity');
SELECT ecauto.score_turn('2026-06-16', '{1,NULL}', '{1,1}', 5);
SELECT ecauto.score_turn('2026-06-16', '{1}', '{1,1}', 5);
ROLLBACK;
DROP SCHEMA ecauto_data CASCADE;
