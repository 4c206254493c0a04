-- What the sink wrote down, one JSON object a line.
\pset footer off
\set requests :sink_dir '/http.jsonl'
\set mails :sink_dir '/smtp.jsonl'
CREATE TEMP TABLE request (line jsonb);
CREATE TEMP TABLE mail (line jsonb);
COPY request FROM :'requests' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01');
COPY mail FROM :'mails' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01');

\echo 'The suppliers, by HTTP:'
SELECT r.line ->> 'method' || ' ' || (r.line ->> 'path') AS request, r.line -> 'headers' ->> 'idempotency-key' AS "Idempotency-Key",
	b ->> 'order' AS "order", jsonb_array_length(b -> 'lines') AS lines, b ->> 'goods' AS goods, b ->> 'due_on' AS due, b -> 'lines' -> 0 AS "first line"
FROM request r, LATERAL (SELECT (r.line ->> 'body')::jsonb) x (b) ORDER BY r.line -> 'time' \gx

\echo 'The mailboxes:'
SELECT to_char(to_timestamp((line ->> 'time')::float8), 'HH24:MI:SS') AS at, line -> 'rcpt' ->> 0 AS "To",
	substring(line ->> 'data' FROM '(?n)^Subject: ([^\r]*)') AS "Subject"
FROM mail
ORDER BY line -> 'time';
