# Rendering: templates filled with rows of a table, in one statement on one
# core, beside format() and replace() doing the same for one fixed text; and
# whole mails.
set -eu
. "$(dirname "$0")/measure.sh"

start_server <<CONF
shared_preload_libraries = 'ecauto'
shared_buffers = 512MB
fsync = off
autovacuum = off
jit = off
max_parallel_workers_per_gather = 0
CONF

run_sql -d postgres -c 'CREATE DATABASE shop'
psql -X -q -d shop -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION ecauto;
SELECT ecauto.setup();
CREATE TABLE few AS
SELECT jsonb_build_object('name', 'Ann ' || i, 'number', i, 'total', (i % 10000) / 100.0) AS data
FROM generate_series(1, 200000) i;
CREATE TABLE many AS
SELECT jsonb_build_object('number', i, 'customer', jsonb_build_object('name', 'Ann ' || i, 'email', 'ann' || i || '@shop.example'),
	'shop', 'The Shop', 'total', (i % 10000) / 100.0, 'lines',
	(SELECT jsonb_agg(jsonb_build_object('title', 'Pen & ink ' || l, 'qty', l, 'price', 1.5 * l)) FROM generate_series(1, 5) l)) AS data
FROM generate_series(1, 10000) i;
VACUUM ANALYZE few, many;
SELECT ecauto.create_template('footer', NULL, '<p>{{shop}}</p>');
SELECT ecauto.create_template('order', 'Order {{number}}', '<html><body><h1>Thank you, {{customer.name}}</h1>
<table>{{#lines}}
<tr><td>{{qty}}</td><td><a href="https://shop.example/{{title}}">{{title}}</a></td><td>{{price}}</td></tr>
{{/lines}}</table>
<p>Total: {{total}} EUR</p>
{{>footer}}
</body></html>');
SQL

# per_second NAME ROWS SQL
per_second()
{
	note "$1" "$(milliseconds "$3" | awk -v n="$2" '{print n / $1 * 1000}')"
}

for round in $(seq "$ROUNDS"); do
	per_second scan 200000 'SELECT count(length(data::text)) FROM few'
	per_second render 200000 "SELECT count(length(ecauto.render('Dear {{name}}, your order {{number}} of {{total}} EUR has left us.', data))) FROM few"
	per_second format 200000 "SELECT count(length(format('Dear %s, your order %s of %s EUR has left us.', data ->> 'name', data ->> 'number', data ->> 'total'))) FROM few"
	per_second replace 200000 "SELECT count(length(replace(replace(replace('Dear {{name}}, your order {{number}} of {{total}} EUR has left us.', '{{name}}', data ->> 'name'), '{{number}}', data ->> 'number'), '{{total}}', data ->> 'total'))) FROM few"
	per_second mail 10000 "SELECT count(m.subject) FROM many, ecauto.render_mail('order', data, 'pl_PL') m"
	per_second html 10000 "SELECT count(length(ecauto.render((SELECT html FROM ecauto.templates() WHERE name = 'order'), data, '{\"footer\": \"<p>{{shop}}</p>\"}'))) FROM many"
done
echo 'a line with three names, from 200,000 rows'
show render renders/s 'ecauto.render() (target: at least 100,000)'
show format renders/s 'format()'
show replace renders/s 'replace() three times'
show scan rows/s 'data::text, for comparison'
ratio render format 'ecauto.render() / format()'
ratio render replace 'ecauto.render() / replace()'
echo 'a mail with five order lines and a footer, from 10,000 rows'
show mail mails/s 'ecauto.render_mail(), with subject and text part'
show html renders/s 'ecauto.render() of its html alone'
