CREATE EXTENSION ecauto;
SELECT * FROM ecauto.attach_shop('demo', '{}', 'shop');

-- where messages go
\set mail_url 'smtp://127.0.0.1:' :smtp_port
\set supplier_url 'http://127.0.0.1:' :http_port '/orders'
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'mail_url', sender 'Demo Shop <shop@example.test>');
CREATE SERVER supplier FOREIGN DATA WRAPPER ecauto_endpoint
	OPTIONS (url :'supplier_url');

-- who hears of a reorder
ALTER DATABASE shop SET ecauto.manager_mail = 'manager@example.test';

-- below 20 pieces, order 50 more
SELECT ecauto.set_stock_policy('SKU-1-1', 20, 50, 'supplier');
