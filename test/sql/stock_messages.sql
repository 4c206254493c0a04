-- What the functions of domain stock say of arguments that cannot be.
\set ECHO none
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT ecauto.setup() \g /dev/null
BEGIN;
\i test/pgtap/report/shop.psql
\i test/pgtap/report/busy.psql
\set ECHO all

-- lots and levels
SELECT * FROM ecauto.eoq(-1, 2, 3);
SELECT * FROM ecauto.eoq('NaN', 2, 3);
SELECT * FROM ecauto.newsvendor(1, 2, -1);
SELECT * FROM ecauto.eoq_discounts(8, 0.3, 1300, '{0,400,800}', '{0.75,0.72}');
SELECT * FROM ecauto.eoq_discounts(1e15, 1e15, 1e15, '{0}', '{1e-300}');
SELECT * FROM ecauto.wagner_whitin('{}'::float8[], 500, 2);
SELECT * FROM ecauto.wagner_whitin('{1,NULL}'::float8[], 500, 2);
SELECT * FROM ecauto.loss_function(5, 3, 2, 'poisson');
SELECT * FROM ecauto.loss_function(5, 3, 1, 'negbin');
SELECT * FROM ecauto.loss_function(5.5, 3);
SELECT * FROM ecauto.loss_function(5, 3, NULL, 'normal');
SELECT * FROM ecauto.loss_function(5, 0, 1, 'gamma');
SELECT * FROM ecauto.loss_function(1e12, 1e12, 1e6, 'poisson');
SELECT * FROM ecauto.loss_function(5, 1e14, NULL, 'poisson');
SELECT * FROM ecauto.newsvendor(1, 2, 10, 3, 4, 'lognormal');
SELECT * FROM ecauto.newsvendor(1, 2, 10, stock => 5.5);
SELECT * FROM ecauto.newsvendor(1, 2, '{}'::float8[]);
SELECT * FROM ecauto.newsvendor(1, 2, '{1,2}'::float8[], '{1}');
SELECT * FROM ecauto.r_q_policy(0.18, 0.7, 8, 1300, 150, 0.1, method => 'eil', distribution => 'negbin');
SELECT * FROM ecauto.r_q_policy(100, 0.01, 8, 13, 1, 0.1, method => 'eil');
SELECT * FROM ecauto.r_q_policy(1, 2, 3, 10, 3, 4, 'lognormal');
SELECT * FROM ecauto.r_q_policy(1, 2, 3, 1e12, NULL, 4, 'poisson');
SELECT ecauto.r_q_cost(5.5, 10, 1, 2, 3, 10, NULL, 1, 'poisson');
SELECT * FROM ecauto.s_s_policy(1, 4, 5, 1e-14);
SELECT ecauto.s_s_cost(5, 10, 1, 4, 5, 10, 3, 0, 'normal');
SELECT * FROM ecauto.s_s_policy(1, 4, 5, 6, 0, 0, 'normal', 'power');
SELECT ecauto.reorder_point(-1, 2, 3);
SELECT ecauto.reorder_point(1, 2, 3, 1);

-- demand and forecasts
SELECT ecauto.demand_series(1, 2, NULL);
SELECT ecauto.demand_series(1, 2, 0);
SELECT ecauto.demand_series_sfunc('{1,2}', 0, 1, 2);
SELECT ecauto.demand_series_combinefunc('{1,2}', '{1,2}');
SELECT ecauto.demand_series_finalfunc('{1,NULL}');
SELECT ecauto.demand_bucket('{1,2}', 0);
SELECT ecauto.demand_spread('{1}', 7, '2026-01-01', 10, '{1}');
SELECT ecauto.demand_spread('{1}', 7, 'infinity', 10, NULL);
SELECT ecauto.demand_quantile('{1,2,3}', -1, 0.9);
SELECT * FROM ecauto.forecast(array_fill(1::float8, ARRAY[10000001]), 1, 1);
SELECT ecauto.forecast_sum('{1,NULL}', 1, 1, 1);
SELECT ecauto.mark_demand('1', '2026-02-01', '2026-01-01');
SELECT ecauto.record_stock_out('1', '2026-02-01', '2026-01-01');

-- offers and baskets
SELECT ecauto.set_supplier('', '{}');
SELECT ecauto.set_supplier('acme', '[]');
SELECT ecauto.set_supplier('acme', '{"currency": ""}');
SELECT ecauto.set_supplier('none', '{"currency": null}');
SELECT ecauto.set_offer('acme', '1', '{"moq": 5}');
SELECT * FROM ecauto.best_basket('{}');
SELECT ecauto.import_offers('acme', '[]', max_missing => 2);
SELECT ecauto.forecast_all(days => 0);
SELECT * FROM ecauto.basket_solve(1, '{1}', '{0,0}', '{0}', '{0}');
SELECT * FROM ecauto.basket_solve(1, '{-5}', '{0}', '{0}', '{0}');
SELECT * FROM ecauto.basket_solve(1, '{NULL}', '{0}', '{0}', '{0}');
SELECT * FROM ecauto.basket_solve(1, '{1}', '{0}', '{0}', '{0}', 0);

-- purchase orders, reservations, settings
SELECT * FROM ecauto.plan_replenishment('infinity');
CREATE TABLE s.po AS SELECT min(id) AS id FROM ecauto_data.purchase_order WHERE supplier = 'acme';
SELECT ecauto.approve_purchase_order(id) FROM s.po;
SELECT ecauto.confirm_purchase_order(id, '[]') FROM s.po;
SELECT ecauto.receive_purchase_order(id, '[]') FROM s.po;
SELECT ecauto.cancel_purchase_order(id) FROM s.po;
SELECT ecauto.approve_purchase_order(id) FROM s.po;
SELECT ecauto.receive_stock('{1,2}', '{1}', '{a}');
SELECT ecauto.receive_stock('{1}', '{1}', '{a}');
SELECT ecauto.bind_write('receive_stock', 'UPDATE s.stock SET qty = qty + $2 WHERE variant_id = $1::int AND $3 IS NOT NULL');
SELECT ecauto.receive_stock('{1,99}', '{1,1}', '{a,a}');
SELECT ecauto.reserve('1', 0);
SELECT ecauto.reserve('1', 1, 'cart', '2 years');
SELECT ecauto.set_badge('b', 'old', 5);
SELECT ecauto.set_stock_alert('1', 5, quiet => '-1 hour');
SELECT * FROM ecauto.role_rows(NULL, NULL, NULL) AS r (key text);
ROLLBACK;
DROP SCHEMA ecauto_data CASCADE;
