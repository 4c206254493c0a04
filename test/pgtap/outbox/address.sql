-- Which mail addresses may be written to, and the reason given for the others.
BEGIN;
SELECT plan(5);

SELECT is_empty(
	$$ SELECT address, ecauto.mail_address_problem(address)
	   FROM unnest(ARRAY[
			'a@b.pl', 'test@io', 'first.last+tag@shop.example', '!#$%&`*+/=?^`{|}~@shop.example', '123@123.com',
			'test@c--n.com', 'test@xn--hxajbheg2az3al.xn--jxalpdlp', 'żółw@żółw.example', '用户@例子.广告',
			repeat('a', 64) || '@shop.example', 'a@' || repeat('b', 63) || '.com',
			repeat('a', 50) || '@' || repeat(repeat('b', 49) || '.', 4) || 'abc']) address
	   WHERE ecauto.mail_address_problem(address) IS NOT NULL $$,
	'addresses that customers have are taken');

SELECT is_empty(
	$$ SELECT address
	   FROM unnest(ARRAY[
			'', 'test', '@', 'test@', '@shop.example', 'a@b@c', '.a@b.c', 'a.@b.c', 'a..b@c.d', 'a b@c.d', 'a@b c.d',
			'a@b,c', 'a,b@c.d', 'a@[127.0.0.1]', 'a@127.0.0.1', '"a b"@c.d', 'a(comment)@b.c', 'a@b..c', 'a@.b', 'a@b.',
			'a@-b.c', 'a@b-.c', 'a@b.-c', 'a@b.c-', 'a@b_c.d', '<a@b.c>', 'a@b.c>', 'A <a@b.c>', 'a@b.c ', ' a@b.c', 'a\@b.c', 'a:b@c.d',
			'@relay.example:a@b.c', 'a%b@@c', E'a@b.c\r\nRCPT TO:<x@y.z>', E'a\n@b.c', E'a@b.c\t', E'a\u0085@b.c', E'a\u2028@b.c', E'a\u007f@b.c',
			repeat('a', 65) || '@b.c', 'a@' || repeat('b', 64) || '.com', 'a@' || repeat('b.', 128) || 'c',
			repeat('a', 51) || '@' || repeat(repeat('b', 49) || '.', 4) || 'abc']) address
	   WHERE ecauto.mail_address_problem(address) IS NULL $$,
	'what is none, or could smuggle something, is not');

SELECT is(ecauto.mail_address_problem(E'a@b.c\r\nX: y'), 'There is a line break at byte 6.', 'the reason says where');
SELECT is(ecauto.mail_address_problem('a b@c.d'), 'The character " " at byte 2 is not allowed before the "@".', 'and what');
SELECT is(ecauto.mail_address_problem(NULL), NULL, 'NULL for NULL');

SELECT * FROM finish();
ROLLBACK;
