\pset footer off
CREATE EXTENSION ecauto;
SELECT * FROM ecauto.attach_shop('demo', '{}', 'shop');

\echo -- Where messages go:
\set mail_url 'smtp://127.0.0.1:' :smtp_port
\set supplier_url 'http://127.0.0.1:' :http_port '/orders'
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'mail_url', sender 'Demo Shop <shop@example.test>');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'supplier_url');

\echo
\echo -- When 20 or fewer are left, order 50, and tell the manager:
SELECT ecauto.set_stock_policy('SKU-1-1', 20, 50, 'supplier') \g /dev/null
ALTER SYSTEM SET ecauto.manager_mail = 'manager@example.test';
SELECT pg_reload_conf() \g /dev/null

\echo
\echo -- Mail to customers:
SELECT ecauto.set_order_mail('order.placed', 'Thank you! Order {number}') \g /dev/null
SELECT ecauto.set_order_mail('order.paid') \g /dev/null
SELECT ecauto.set_order_mail('order.fulfilled') \g /dev/null
