-- html_to_text(): a reader of the text part misses nothing that matters.
BEGIN;
SELECT plan(34);

CREATE FUNCTION same(html text, expected text, what text) RETURNS text LANGUAGE sql AS
	$$ SELECT is(ecauto.html_to_text(html), expected, what) $$;

SELECT same('', '', 'nothing');
SELECT same('plain', E'plain\n', 'text is text and ends its line');
SELECT same(E'  a\n\t b  <b> c</b>  ', E'a b c\n', 'blanks collapse, also over tags');
SELECT same('<p>a</p><p>b</p>', E'a\n\nb\n', 'paragraphs');
SELECT same('<h1>a</h1>b<h2>c</h2>', E'a\n\nb\n\nc\n', 'headings');
SELECT same('<div>a<div>b</div></div><div></div><div>c</div>', E'a\nb\nc\n', 'blocks; empty ones leave nothing');
SELECT same('a<br>b<br/><br>c', E'a\nb\n\nc\n', 'line breaks');
SELECT same('<p>a</p><br><p>b</p>', E'a\n\nb\n', 'not between paragraphs');
SELECT same('a<hr>b', E'a\n----------\nb\n', 'rules');
SELECT same('x<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>y', E'x\n\n* a\n* b\n  * c\n* d\n\ny\n', 'lists in lists');
SELECT same('<ol><li><p>a</p><li> b<ol><li>c</ol><li>d</ol>', E'1. a\n\n2. b\n  1. c\n3. d\n', 'numbered ones, closed or not');
SELECT same('<li>a</li></ul>', E'* a\n', 'an item of no list');
SELECT same(repeat('<ul><li>', 20) || 'x' || repeat('</ul>', 30) || '<ol><li>y', E'* \n' || (SELECT string_agg(repeat('  ', least(i, 15)) || '* ', E'\n' ORDER BY i) FROM generate_series(1, 19) i) || E'x\n\n1. y\n',
	'deeper than anybody writes, and closed too often');
SELECT same('<a href="https://shop.example/?a=1&amp;b=2">See  <b>it</b> </a>.', E'See it (https://shop.example/?a=1&b=2) .\n', 'links with their address');
SELECT same('<a href=https://shop.example/>https://shop.example/</a> <a href="mailto:a@b.example">a@b.example</a> <a href=''tel:+48''>+48</a>',
	E'https://shop.example/ a@b.example +48\n', 'said once');
SELECT same('<a name="x">a</a> <a href="#x">b</a> <a href="">c</a> <a href="/d"></a>', E'a b c /d\n', 'but not where they lead nowhere');
SELECT same('<a href="/a">a<a href="/b">b', E'a (/a)b (/b)\n', 'links that are not closed');
SELECT same('<a href="/a"><p>a</p></a><p>b</p>', E'a (/a)\n\nb\n', 'links around blocks');
SELECT same('<a href="/a"><img src="x" alt="A &quot;logo&quot;"></a><img src="y"><img alt="">', E'A "logo" (/a)\n', 'pictures by what they show');
SELECT same('<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td> 2</td></tr></table>x', E'a b\n1 2\n\nx\n', 'tables by rows');
SELECT same(E'<pre>\na  b\r\n\tc\n</pre>d', E'a  b\n\tc\n\nd\n', 'what is laid out already');
SELECT same('a<style>p > b { }</style>b<script>if (a < b) "</p>"</script>c<title>t</title><!-- d > --><?e?><!DOCTYPE f>g', E'abcg\n', 'what is not for readers');
SELECT same('a<script>b', E'a\n', 'if it does not end, nothing follows');
SELECT same('a<SCRIPT>b</scripty></Script >c', E'ac\n', 'it ends at its own end');
SELECT same('&lt;p&gt; &amp;amp; &quot;&apos;&#39;&#x27;&#X1F422;&euro;&nbsp;&nbsp;x&copy', E'<p> &amp; "''''''🐢€  x©\n', 'entities');
SELECT same('&nope; & &# &#x; &#; a&b; &#55296;&#0;&#1114112;&#x7;.', E'&nope; & &# &#x; &#; a&b; ��� .\n', 'what is none, or no character');
SELECT same('&#99999999999999999999;|so&shy;ft', E'�|soft\n', 'numbers without end; a soft hyphen');
SELECT same('1 < 2 <3> </> <', E'1 < 2 <3> </> <\n', 'a less-than sign is none of a tag''s');
SELECT same('a<b title="x > y" data-z=''>''>c</b><p class=x/>d', E'ac\n\nd\n', 'tags with quoted signs');
SELECT same('a<b title="', E'a\n', 'a tag that does not end');
SELECT same('<P>Ä</P><unknown-tag-of-a-great-length x>Ö', E'Ä\n\nÖ\n', 'tags in upper case, unknown ones');
SELECT same(E'a\x1cb\x0bc<img alt="d\x07e"><pre>f\x0c\x1bg</pre>', E'a b cd e\n\nf  g\n', 'control characters are blanks');
SELECT is(ecauto.html_to_text(NULL), NULL, 'no HTML');
SELECT is(length(ecauto.html_to_text(repeat('<a href="x">y</a><', 20000) || repeat('<!--', 20000))), 20000 * 6 + 1, 'many tags, in time');

SELECT * FROM finish();
ROLLBACK;
