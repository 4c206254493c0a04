-- What no mail is made of: each mistake is an error that says which member and why.
BEGIN;
SELECT plan(14);

CREATE FUNCTION pg_temp.refused(payload jsonb, sender text DEFAULT 'Shop <shop@shop.example>', at timestamptz DEFAULT '2024-01-01')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN 'sent: ' || ecauto.mail_source(payload, sender, 'k', at);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || SQLERRM || coalesce(': ' || nullif(detail, ''), '');
END
$$;

SELECT is(pg_temp.refused('[]'), '22023 the payload of a mail must be an object');
SELECT is(pg_temp.refused('{"to": "a@b.c", "sbject": "x", "text": "x"}'), '22023 unknown member "sbject" in the payload of a mail');
SELECT is(pg_temp.refused('{"text": "x"}'), '22023 invalid "to" in the payload of a mail: There is no recipient.');
SELECT is(pg_temp.refused('{"to": "a@b.c", "subject": "x"}'),
	'22023 invalid "text" in the payload of a mail: There is neither "text" nor "html" nor an attachment.');
SELECT is(pg_temp.refused('{"to": "a@b.c", "text": "x"}', 'Shop'), '22023 invalid sender of a mail: It has no "@".');
SELECT is(pg_temp.refused('{"to": "a@b.c", "text": "x"}', at => 'infinity'),
	'22008 the date of a mail must be between the years 1900 and 9999');
SELECT is(pg_temp.refused(jsonb_build_object('text', 'x', 'to', (SELECT jsonb_agg(n || '@b.c') FROM generate_series(1, 101) n))),
	'22023 invalid "to" in the payload of a mail: There are 101 recipients, more than 100.');

SELECT is_empty(
	$$ SELECT member, value
	   FROM (VALUES ('to', '"a@b.c\r\nBcc: x@y.z"'), ('to', '"A\nBcc: x@y.z <a@b.c>"'), ('cc', '["a@b.c\n"]'), ('bcc', '"a@b.c\r"'),
			('reply_to', '"\"A\nB\" <a@b.c>"'), ('subject', '"x\r\nBcc: x@y.z"'), ('subject', '"x\rBcc: x@y.z"'), ('subject', '"x\ny"'),
			('subject', '"x\u0007y"'), ('subject', '"x\ty"'), ('headers', '{"X-A": "x\r\nBcc: x@y.z"}'), ('headers', '{"X-A\r\nBcc": "x@y.z"}'),
			('list_unsubscribe', '"https://x.y/\r\nBcc: x@y.z"'), ('attachments', '[{"name": "a\r\nb", "content": "x"}]'),
			('attachments', '[{"name": "a", "type": "text/plain\r\nX: y", "content": "x"}]'),
			('attachments', '[{"name": "a", "inline_id": "a>\r\nX: y", "content": "x"}]')) v(member, value)
	   WHERE pg_temp.refused('{"to": "a@b.c", "html": "x"}'::jsonb || jsonb_build_object(member, value::jsonb))
			!~ '^22023 invalid .*(line break|control character|not the name of a header|printable ASCII)' $$,
	'no line break or control character gets into a header, from whatever member');

SELECT is_empty(
	$$ SELECT name
	   FROM unnest(ARRAY['To', 'BCC', 'from', 'Date', 'Subject', 'Message-Id', 'MIME-Version', 'Content-Type', 'content-anything',
			'Return-Path', 'List-Unsubscribe', 'X A', 'X:A', '', 'X-ż', repeat('x', 77)]) name
	   WHERE pg_temp.refused(jsonb_build_object('to', 'a@b.c', 'text', 'x', 'headers', jsonb_build_object(name, 'x'))) !~ '^22023 invalid "headers"' $$,
	'headers that ecauto writes itself, and what is no header, cannot be set');

SELECT is_empty(
	$$ SELECT value
	   FROM unnest(ARRAY['[]', '{}', '1', 'true', '"a"', '["a@b.c", 1]', '["a@b.c", "x"]', '"a@b.c, d@e.f"', '"A <a@b.c> <d@e.f>"', '"A a@b.c>"',
			'"\"A <a@b.c>"']) value
	   WHERE pg_temp.refused(jsonb_build_object('text', 'x', 'to', value::jsonb)) !~ '^22023 invalid "to"' $$,
	'recipients are addresses');

SELECT is_empty(
	$$ SELECT value
	   FROM unnest(ARRAY['1', '"x"', '[1]', '{}', '{"name": "a"}', '{"content": "x"}', '{"name": "", "content": "x"}',
			'{"name": "a", "content": "x", "base64": "eA=="}', '{"name": "a", "base64": "eA="}', '{"name": "a", "base64": "e"}',
			'{"name": "a", "base64": "eA==eA=="}', '{"name": "a", "base64": "e*=="}', '{"name": "a", "base64": "eB=="}', '{"name": "a", "base64": "===="}',
			'{"name": "a", "content": 1}', '{"name": 1, "content": "x"}', '{"name": "a", "content": "x", "colour": "red"}',
			'{"name": "a", "content": "x", "type": "pdf"}', '{"name": "a", "content": "x", "type": "/x"}', '{"name": "a", "content": "x", "type": "a/b/c"}',
			'{"name": "a", "content": "x", "type": "multipart/mixed"}', '{"name": "a", "content": "x", "type": "ż/x"}',
			'{"inline_id": "a b", "content": "x"}', '{"inline_id": "", "content": "x"}']) value
	   WHERE pg_temp.refused(jsonb_build_object('to', 'a@b.c', 'html', 'x', 'attachments', jsonb_build_array(value::jsonb))) !~ '^22023 ' $$,
	'attachments that are none');
SELECT is(pg_temp.refused('{"to": "a@b.c", "text": "x", "attachments": {"name": "a", "content": "x"}}'),
	'22023 invalid "attachments" in the payload of a mail: It must be an array of objects.');
SELECT is(pg_temp.refused('{"to": "a@b.c", "text": "x", "attachments": [{"name": "a", "inline_id": "x", "content": "x"}]}'),
	'22023 invalid "attachments" in the payload of a mail: An inline image needs "html" that shows it.');

SELECT is_empty(
	$$ SELECT member, post
	   FROM (VALUES ('"shop.example/u"', 'false'), ('"ftp://shop.example/u"', 'false'), ('"<https://shop.example"', 'false'), ('"https://shop.example/ u"', 'false'),
			('"https://shop.example/ż"', 'false'), ('1', 'false'), ('null', 'true'), ('"http://shop.example/u"', 'true'), ('"mailto:u@shop.example"', 'true'),
			('"https://shop.example/u"', '"yes"'), ('"https://shop.example/u"', '1')) v(member, post)
	   WHERE pg_temp.refused(format('{"to": "a@b.c", "text": "x", "list_unsubscribe": %s, "list_unsubscribe_post": %s}', member, post)::jsonb)
			!~ '^22023 invalid "list_unsubscribe' $$,
	'List-Unsubscribe is a list of addresses, and one click needs https');

SELECT * FROM finish();
ROLLBACK;
