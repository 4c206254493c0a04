-- What the outbox says about bad input: endpoints, messages, rights; and that nothing is left behind.
\set SHOW_CONTEXT never
SELECT ecauto.setup() > 0 AS done;

-- ---- endpoints ----
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint;
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (uri 'http://a.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'file:///etc/passwd');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'gopher://a.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'a.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example:0');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example:65536');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example:8o');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://user:secret@a.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example/?key=secret');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example/#top');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url E'http://a.example/\r\nX: y');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url E'http://a.example/\x01');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example/../b');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a b.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://[::1');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://[zz]');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://a.example/path', sender 'a@b.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://a.example', sender 'nobody');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://a.example', sender E'a@b.example\nBcc: c@d.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://a.example', sender 'a@b.example', starttls 'perhaps');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', sender 'a@b.example');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', rate '50');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', rate '0/s');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', rate 'NaN/s');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', timeout '10');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', timeout '1h');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', timeout '-1s');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', give_up_after '100 years');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', concurrency '0');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', max_attempts 'many');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', verify_peer 'perhaps');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', ca_file 'ca.pem');
CREATE SERVER bad FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'http://a.example', breaker '-1');
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'bad';

CREATE SERVER hook FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'HTTP://A.Example:8080/api/', rate '1000/h', timeout '2.5s', concurrency '4', verify_peer 'off', ca_file '/etc/ca.pem');
CREATE SERVER v6 FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'https://[::1]:8443');
CREATE SERVER mail FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (url 'smtp://127.0.0.1:2525', sender 'Shop <shop@example.com>', starttls 'try');
ALTER SERVER hook OPTIONS (SET url 'ftp://a.example');
ALTER SERVER hook OPTIONS (DROP url);
CREATE USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (token 'secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (bearer_token '');
CREATE USER MAPPING FOR CURRENT_USER SERVER hook OPTIONS (bearer_token E'secret\r\nX: y');
CREATE FOREIGN DATA WRAPPER other_wrapper;
CREATE SERVER other FOREIGN DATA WRAPPER other_wrapper;
ALTER FOREIGN DATA WRAPPER ecauto_endpoint OPTIONS (ADD url 'http://a.example');

-- ---- messages ----
SELECT ecauto.enqueue(NULL, '{}');
SELECT ecauto.enqueue('hook', NULL);
SELECT ecauto.enqueue('nope', '{}');
SELECT ecauto.enqueue('other', '{}');
SELECT ecauto.enqueue('hook', '{}', key => '');
SELECT ecauto.enqueue('hook', '{}', key => repeat('k', 256));
SELECT ecauto.enqueue('hook', '{}', key => E'a\r\nb');
SELECT ecauto.enqueue('hook', '{}', path => 'orders');
SELECT ecauto.enqueue('hook', '{}', path => '//evil.example/');
SELECT ecauto.enqueue('hook', '{}', path => '/a/../../b');
SELECT ecauto.enqueue('hook', '{}', path => '/a/%2e%2E/b');
SELECT ecauto.enqueue('hook', '{}', path => '/a%2fb');
SELECT ecauto.enqueue('hook', '{}', path => '/./a');
SELECT ecauto.enqueue('hook', '{}', path => 'http://evil.example/');
SELECT ecauto.enqueue('hook', '{}', path => '@evil.example/');
SELECT ecauto.enqueue('hook', '{}', path => E'/a\r\nHost: evil.example');
SELECT ecauto.enqueue('hook', '{}', path => '/a%0d%0ab');
SELECT ecauto.enqueue('hook', '{}', path => '/a b');
SELECT ecauto.enqueue('hook', '{}', path => '/a\..\b');
SELECT ecauto.enqueue('hook', '{}', path => '/a%zz');
SELECT ecauto.enqueue('hook', '{}', path => '/a#b');
SELECT ecauto.enqueue('hook', '{}', path => '/' || repeat('a', 5000));
SELECT ecauto.enqueue('hook', '{}', priority => 2);
SELECT ecauto.enqueue('hook', '{}', not_before => 'infinity');
SET TimeZone = 'UTC';
SET ecauto.clock = '2026-01-01 00:00+00';
SELECT ecauto.enqueue('hook', '{}', expires_at => '2025-12-31 00:00+00');
RESET ecauto.clock;
SELECT ecauto.enqueue('hook', '{}', method => 'CONNECT');
SELECT ecauto.enqueue('hook', '{}', headers => '[]');
SELECT ecauto.enqueue('hook', '{}', headers => '{"X-A": 1}');
SELECT ecauto.enqueue('hook', '{}', headers => '{"X A": "1"}');
SELECT ecauto.enqueue('hook', '{}', headers => '{"X-A": "1\r\nX-B: 2"}');
SELECT ecauto.enqueue('hook', '{}', headers => '{"Host": "evil.example"}');
SELECT ecauto.enqueue('hook', '{}', headers => '{"authorization": "Bearer secret"}');
SELECT ecauto.enqueue('hook', '{}', body => 'xml');
SELECT ecauto.enqueue('hook', '{}', body => 'text');
SELECT ecauto.enqueue('hook', '[]', body => 'form');
SELECT ecauto.enqueue('hook', '{"a": []}', body => 'form');
SELECT ecauto.enqueue('hook', '{}', wanted => 'pg_catalog.abs(bigint)');
SET ecauto.max_payload = '1kB';
SELECT ecauto.enqueue('hook', to_jsonb(repeat('x', 2000)));
RESET ecauto.max_payload;

-- ---- mails ----
SELECT ecauto.enqueue('mail', '"hello"');
SELECT ecauto.enqueue('mail', '{"subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": [], "subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": 1, "subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "nobody", "subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example\r\nBcc: c@d.example", "subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "cc": ["c@d.example", "x@y.z>\n"], "subject": "s", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s\nBcc: c@d.example", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "text": "t"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s"}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "headers": {"Bcc": "c@d.example"}}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "headers": {"X-A": "1\n2"}}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "attachments": {}}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "attachments": [{"content": "c"}]}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "attachments": [{"name": "n"}]}');
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t", "attachments": [{"name": "n\r\n", "content": "c"}]}');
SELECT ecauto.enqueue('mail', jsonb_build_object('to', (SELECT jsonb_agg('c' || n || '@b.example') FROM generate_series(1, 101) n), 'subject', 's', 'text', 't'));
SELECT ecauto.enqueue('mail', '{"to": "a@b.example", "subject": "s", "text": "t"}', path => '/inbox');
SELECT ecauto.send_mail(NULL, 't', '{"subject": "s", "body": "b"}');
SELECT ecauto.send_mail('a@b.example', 't', NULL);
SELECT ecauto.send_mail('a@b.example', 't', '[]');
SELECT ecauto.send_mail('a@b.example', 't', '{"body": "b"}');
SELECT ecauto.send_mail('a@b.example', 't', '{"subject": "s"}');
SELECT ecauto.send_mail(E'a@b.example\nBcc: c@d.example', 't', '{"subject": "s", "body": "b"}');
SET ecauto.mail_endpoint = 'nope';
SELECT ecauto.send_mail('a@b.example', 't', '{"subject": "s", "body": "b"}');
RESET ecauto.mail_endpoint;

-- ---- the rest ----
SELECT * FROM ecauto.messages(state => 'sent');
SELECT * FROM ecauto.message(4711);
SELECT ecauto.cancel(4711);
SELECT ecauto.redrive(NULL);
SELECT ecauto.redrive('nope');
SELECT ecauto.pause_endpoint('nope');

-- nothing of all that is left
SELECT count(*) FROM ecauto.messages();
SELECT count(*) FROM ecauto_data.outbox_key;

-- a server that goes leaves its messages waiting
SELECT ecauto.enqueue('hook', '{}', key => 'waits') > 0 AS enqueued;
DROP SERVER hook;
SELECT endpoint, state, waiting FROM ecauto.outbox_status() ORDER BY endpoint COLLATE "C";
SELECT ecauto.cancel(id) FROM ecauto.messages('hook');
DROP SERVER v6, mail, other;
DROP FOREIGN DATA WRAPPER other_wrapper;
