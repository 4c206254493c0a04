-- The page of the report: complete, escaped, and never an error for what a shop does not have.
BEGIN;
\ir shop.psql
SELECT plan(25);
CREATE TEMP TABLE page AS SELECT ecauto.report_html(date '2026-05-18', date '2026-06-16') AS html;

SELECT matches(html, '^<!DOCTYPE html>\s<html lang="en">.*</html>\s*$', 'a whole page') FROM page;
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<(section|main|header|footer|nav|figure|table|thead|tbody|tr|th|td|ul|li|p|details|div|svg|span|data)[ >]', 'g')),
	(SELECT count(*) FROM page, regexp_matches(html, '</(section|main|header|footer|nav|figure|table|thead|tbody|tr|th|td|ul|li|p|details|div|svg|span|data)>', 'g')), 'what is opened is closed');
SELECT unalike(html, '%<script>%', 'no script') FROM page;
SELECT unalike(html, '%<img%', 'none by a code of a product either') FROM page;
SELECT alike(html, '%&lt;script&gt;alert(%', 'the product is there, escaped') FROM page;
SELECT doesnt_match(html, '(src|href)="?(https?:)?//', 'nothing is loaded from elsewhere') FROM page;
SELECT doesnt_match(html, '\{\{|\}\}', 'nothing of the template is left') FROM page;
SELECT alike(html, '%18 May 2026</time> to <time datetime="2026-06-16T22:00:00Z">16 June 2026</time>. Days are those of Europe/Warsaw. Amounts are in PLN.%', 'period, zone and currency are told') FROM page;
SELECT alike(html, '%<data value="' || trim_scale(s.revenue) || '">' || to_char(s.revenue, 'FM999,990.00') || ' PLN</data>%', 'revenue, as a number and as text')
	FROM page, ecauto.report_sales('2026-05-18 00:00+02', '2026-06-17 00:00+02') s WHERE s.currency = 'PLN';
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<table><caption>', 'g')), (SELECT count(*) FROM page, regexp_matches(html, '<table', 'g')), 'every table has a caption');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<th (?!scope=)', 'g')) + (SELECT count(*) FROM page, regexp_matches(html, '<th>', 'g')), 0::bigint, 'every heading of a table its scope');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<svg [^>]*role="img" aria-labelledby="t([0-9a-f]+) d\1"><title id="t\1">[^<]+</title><desc id="d\1">[^<]+</desc>', 'g')), 3::bigint, 'every chart its title and description');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, ' id="([^"]*)"', 'g') m), (SELECT count(DISTINCT m[1]) FROM page, regexp_matches(html, ' id="([^"]*)"', 'g') m), 'no two things have one id');

-- charts
SELECT matches(ecauto.report_chart('a', 'b', '{x,y}', '{1,2}', '{bar}'), '<rect x="50.0" y="200.0" width="400.0" height="200.0"/><rect x="550.0" y="0.0"', 'a bar is as high as its value');
SELECT alike(ecauto.report_chart('<a>', '"b"', '{<x>}', '{1}', '{line}'), '%<title id="t%">&lt;a&gt;</title>%&quot;b&quot;%&lt;x&gt;%', 'text of charts is escaped');
SELECT isnt(ecauto.report_chart('a', 'b', '{a,b,c}', '{NaN,Infinity,NULL}', '{line}'), NULL, 'what is no number is a gap');
SELECT doesnt_match(ecauto.report_chart('a', 'b', '{a,b,c}', '{1e308,-1e307,1e-300}', '{line}'), 'nan|inf', 'huge and tiny numbers');
SELECT is(ecauto.report_chart('a', 'b', '{}', '{}', '{bar}'), NULL, 'no places, no chart');
SELECT throws_ok($$ SELECT ecauto.report_chart('a', 'b', '{x,y}', '{1}', '{bar}') $$, '2202E', 'a chart must have a value for each place of each series', 'a value is missing');
SELECT throws_ok($$ SELECT ecauto.report_chart('a', 'b', '{x}', '{1}', '{pie}') $$, '22023', 'unknown style of a series', 'no pies');
SELECT throws_ok($$ SELECT ecauto.report_chart('a', 'b', (SELECT array_agg('x'::text) FROM generate_series(1, 2001)), '{1}', '{bar}') $$, '54000', 'a chart must not have more than 2000 places', 'too many');

-- a shop that lacks what is not needed
DELETE FROM ecauto_data.role_binding WHERE role IN ('cost', 'stock', 'order_line');
DELETE FROM ecauto_data.seen_stock;
SELECT matches(ecauto.report_html(), 'Bind role &quot;cost&quot;.*Bind role &quot;stock&quot;', 'what is not bound is told of, and is no error');
SELECT unalike(ecauto.report_html('-infinity', 'infinity'), '%No orders in this period%', 'all time');
SELECT alike(ecauto.report_html('1990-01-01', '1990-02-01'), '%No orders in this period.%', 'a time without orders');

SELECT alike(ecauto.report_html('3999-01-01 BC', '3990-01-01 BC'), '%No orders in this period.%', 'one that has no time before it');
SELECT * FROM finish();
ROLLBACK;
