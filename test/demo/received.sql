-- What the sink wrote down, one JSON object a line.
\pset footer off
\set requests :sink_dir '/http.jsonl'
\set mails :sink_dir '/smtp.jsonl'
CREATE TEMP TABLE request (line jsonb);
CREATE TEMP TABLE mail (line jsonb);
COPY request FROM :'requests' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01');
COPY mail FROM :'mails' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01');

\echo The supplier:
SELECT line ->> 'method' AS method, line ->> 'path' AS path,
	line -> 'headers' ->> 'idempotency-key' AS "Idempotency-Key", jsonb_pretty((line ->> 'body')::jsonb) AS body
FROM request;

\echo The mailboxes:
SELECT line -> 'rcpt' ->> 0 AS "To",
	substring(line ->> 'data' FROM '(?n)^Subject: ([^\r]*)') AS "Subject",
	substring(line ->> 'data' FROM '(?in)^Message-ID: ([^\r]*)') AS "Message-ID"
FROM mail
ORDER BY line -> 'time';
