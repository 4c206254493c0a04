CREATE EXTENSION ecauto;
SELECT * FROM ecauto.attach_shop('demo', '{}', 'shop');

-- where messages go
\set mail_url 'smtp://127.0.0.1:' :smtp_port
\set supplier_url 'http://127.0.0.1:' :http_port '/orders'
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'mail_url', sender 'Demo Shop <shop@example.test>');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'supplier_url');

-- when 20 or fewer are left, order 50, and tell the manager
SELECT ecauto.set_stock_policy('SKU-1-1', 20, 50, 'supplier');
ALTER SYSTEM SET ecauto.manager_mail = 'manager@example.test';
SELECT pg_reload_conf();

-- mail to customers
SELECT ecauto.set_order_mail('order.placed', 'Thank you! Order {number}');
SELECT ecauto.set_order_mail('order.paid');
SELECT ecauto.set_order_mail('order.fulfilled');
