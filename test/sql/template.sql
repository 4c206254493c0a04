-- What is said about bad templates: what, where, and what to do; and who may do what.
\set SHOW_CONTEXT always
SELECT ecauto.setup() > 0 AS done;

-- ---- syntax ----
SELECT ecauto.render(E'Dear {{name}},\n  {{#lines}}\n{{qty}}', '{}');
SELECT ecauto.render('{{#a}}{{#b}}{{/a}}{{/b}}', '{}');
SELECT ecauto.render('x{{/a}}', '{}');
SELECT ecauto.render('Zażółć {{name', '{}');
SELECT ecauto.render('{{{name}}', '{}');
SELECT ecauto.render('{{=<% %>=}}<%#a%>', '{}');
SELECT ecauto.render('{{}}', '{}');
SELECT ecauto.render('{{# }}', '{}');
SELECT ecauto.render('{{ price | money }}', '{}');
SELECT ecauto.render('{{a..b}}', '{}');
SELECT ecauto.render('{{.a}}', '{}');
SELECT ecauto.render('{{a.}}', '{}');
SELECT ecauto.render('{{=}}', '{}');
SELECT ecauto.render('{{==}}', '{}');
SELECT ecauto.render('{{=<%=}}', '{}');
SELECT ecauto.render('{{=a b c=}}', '{}');
SELECT ecauto.render('{{=<= =>=}}', '{}');
SELECT ecauto.render('{{=12345678901234567 b=}}', '{}');
SELECT ecauto.render('{{' || repeat('x', 256) || '}}', '{}');
SELECT ecauto.render(E'a\r\nb {{x y}} a line that goes on beyond what one wants to see of it\r\n', '{}');
SELECT ecauto.render(repeat('x', 1048577), '{}');
SELECT ecauto.render(repeat('{{#a}}', 201), '{}');
SELECT ecauto.render(E'\n{{>it}}', '{}', E'{"it": "a\\n{{#b}}"}');
SELECT ecauto.render('{{>it}}', '{}', '{"it": "{{>it}}"}');
SELECT ecauto.render('{{>it}}', '{}', '{"it": null}');
SELECT ecauto.render('{{>it}}', '{}', '["it"]');

-- ---- mail templates ----
SELECT ecauto.create_template('order', 'Order {{order.number}}', E'<p>Dear {{customer.name}},</p>\n{{#lines}}<p>{{qty}} {{title}}</p>{{/lines}}',
	sample => '{"order": {"number": "A1", "total": 5}, "customer": {"name": "Ann", "email": "ann@shop.example"}, "lines": [{"qty": 1, "title": "Pen", "price": 5}], "coupon": null}');
SELECT ecauto.create_template('order', 'Order {{order.numer}}', '');
SELECT ecauto.create_template('order', 'Order', '{{ordr.number}}');
SELECT ecauto.create_template('order', 'Order', E'<p>\n\n  {{email}}');
SELECT ecauto.create_template('order', 'Order', '{{#lines}}{{prize}}{{/lines}}');
SELECT ecauto.create_template('order', 'Order', '{{#lines}}{{custmer}}{{/lines}}');
SELECT ecauto.create_template('order', 'Order', '{{#items}}{{qty}}{{/items}}');
SELECT ecauto.create_template('order', 'Order', '', '{{something_else}}');
SELECT ecauto.create_template('order', 'Order', '{{#coupon}}Yours: {{code}}{{/coupon}}{{^coupon}}{{none}}{{/coupon}}');
SELECT ecauto.create_template('order', 'Order {{', '');
SELECT ecauto.create_template('order', E'Order\nBcc: a@b.example', '');
SELECT ecauto.create_template('order', 'Order', '{{#lines}}');
SELECT ecauto.create_template('order', 'Order', '', '{{/lines}}');
SELECT ecauto.create_template('order', 'Order', '{{>footer}}');
SELECT ecauto.create_template('order', 'Order {{>footer}}', '');
SELECT ecauto.create_template('order', 'Order', '', NULL, 'polish please');
SELECT ecauto.create_template('or der', 'Order', '');
SELECT ecauto.create_template(NULL, 'Order', '');
SELECT ecauto.create_template('order', 'Order', NULL);
SELECT ecauto.create_template('order', 'Order', '', sample => '"x"');
SELECT ecauto.create_template('order', 'Order', repeat('x', 1048577));
SELECT name, locale, version, subject FROM ecauto.templates();
SELECT count(*) FROM ecauto_data.mail_template_history;

SELECT ecauto.create_template('footer', NULL, '<p>{{order.number}} {{customer.email}}</p>');
SELECT ecauto.create_template('order', 'Order {{order.number}}', '<p>Dear {{customer.name}}</p>{{>footer}}');
SELECT ecauto.create_template('order', 'Order {{order.number}}', '<p>Dear {{customer.name}}</p>', '{{>footer}}');
SELECT ecauto.create_template('footer', NULL, '<p>{{custommer.email}}</p>');
SELECT ecauto.create_template('order', 'Zamówienie', '{{>footer}}', locale => 'pl_PL');
SELECT ecauto.create_template('footer', NULL, '{{x}}', locale => 'pl');
SELECT ecauto.drop_template('footer');
SELECT ecauto.render_mail('footer', '{}');
SELECT ecauto.render_mail('order', '{"order": {"number": "1\n2"}}');
SELECT ecauto.render_mail('orders', '{}');
SELECT ecauto.create_template('pl', 'Zamówienie', '', locale => 'pl');
SELECT ecauto.render_mail('pl', '{}', 'de_DE');
SELECT ecauto.check_template('order', '{"order": {}}');
SELECT ecauto.check_template('orders', '{}');
SELECT ecauto.check_template('order', '[]');

-- ---- a session that has not seen them yet ----
SELECT ecauto.create_template('long', 'Long', repeat('<p>{{customer.name}}</p>', 100) || '{{>footer}}');
\c -
\set SHOW_CONTEXT always
SELECT count(m.html), right(min(m.html), 50) FROM generate_series(1, 100), ecauto.render_mail('long', '{"order": {"number": 1}, "customer": {"name": "Ann", "email": "a@b.example"}}') m;

-- ---- rights ----
CREATE ROLE regress_template_user;
GRANT USAGE ON SCHEMA ecauto TO regress_template_user;
SET ROLE regress_template_user;
SELECT ecauto.render('{{a}}', '{"a": "for everybody"}'), ecauto.html_to_text('<p>too');
SELECT ecauto.create_template('mine', 's', 'h');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ecauto TO regress_template_user;
SET ROLE regress_template_user;
SELECT ecauto.create_template('mine', 's', 'h');
SELECT ecauto.drop_template('order');
SELECT ecauto.check_template('order', '{}');
SELECT * FROM ecauto.templates();
SELECT * FROM ecauto.render_mail('order', '{}');
RESET ROLE;
DROP OWNED BY regress_template_user;
DROP ROLE regress_template_user;

-- ---- without state ----
SET client_min_messages = warning;
DROP SCHEMA ecauto_data CASCADE;
SELECT ecauto.render('{{a}}', '{"a": "still there"}');
SELECT ecauto.create_template('order', 's', 'h');
SELECT ecauto.render_mail('order', '{}');
