-- The waiting list: who is told, and when, that a sku is back.

CREATE OR REPLACE FUNCTION ecauto.set_waiting(
	safety numeric DEFAULT 0, ratio numeric DEFAULT 1, pause interval DEFAULT '1 day', template text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE ecauto_data.waiting_setting SET safety = coalesce($1, 0), ratio = coalesce($2, 1), pause = coalesce($3, '1 day'), template = $4
$$;
COMMENT ON FUNCTION ecauto.set_waiting(numeric, numeric, interval, text) IS
'of the waiting list: safety units are not offered, ratio mails are sent for each other unit, the next ones after pause while there still is some; template of the mail (sku, title; NULL: a plain wording); for operators';
REVOKE ALL ON FUNCTION ecauto.set_waiting(numeric, numeric, interval, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.join_waiting(sku text, email text, locale text DEFAULT '')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_key constant text := ecauto.stock_sku_key(sku);
	problem constant text := ecauto.mail_address_problem(email);
	result bigint;
BEGIN
	IF email IS NULL OR problem IS NOT NULL THEN
		RAISE EXCEPTION 'mail address "%" is not valid', coalesce(email, 'null')
			USING ERRCODE = 'invalid_parameter_value', DETAIL = coalesce(problem, 'There is none.');
	END IF;
	INSERT INTO ecauto_data.waiting_sku (sku, sellable)
	SELECT the_key, coalesce((SELECT s.sellable FROM ecauto.sellable(ARRAY[the_key]) s), 0) - w.safety FROM ecauto_data.waiting_setting w
	ON CONFLICT DO NOTHING;
	INSERT INTO ecauto_data.waiting AS w (sku, email, locale, at) VALUES (the_key, email, coalesce(locale, ''), ecauto.now())
	ON CONFLICT ON CONSTRAINT waiting_sku_email_key DO UPDATE
	SET at = CASE WHEN w.message_id IS NULL THEN w.at ELSE excluded.at END, message_id = NULL, locale = excluded.locale
	RETURNING w.id INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION ecauto.join_waiting(text, text, text) IS
'somebody wants a mail when a sku (key or code) is back in stock; again: he keeps his place, or, told already, waits anew; returns the number of the row; for operators';
REVOKE ALL ON FUNCTION ecauto.join_waiting(text, text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.leave_waiting(sku text, email text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.waiting w WHERE w.sku = ecauto.stock_sku_key(leave_waiting.sku) AND w.email = leave_waiting.email;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.leave_waiting(text, text) IS 'somebody no longer wants to know; false if he was not waiting; for operators';
REVOKE ALL ON FUNCTION ecauto.leave_waiting(text, text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.waiting_unwanted(id bigint)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN w.sku IS NULL THEN 'no longer on the waiting list'
	WHEN EXISTS (SELECT FROM ecauto.availability(ARRAY[w.sku::text]) a WHERE a.state = 'inactive') THEN 'no longer on sale'
	WHEN coalesce(s.sellable, 0) - t.safety <= 0 THEN format('sold out again: %s can be sold, %s are kept', trim_scale(coalesce(s.sellable, 0)), trim_scale(t.safety)) END
FROM ecauto_data.waiting_setting t
LEFT JOIN ecauto_data.waiting w ON w.message_id = $1
LEFT JOIN LATERAL ecauto.sellable(ARRAY[w.sku::text]) s ON true
$$;
COMMENT ON FUNCTION ecauto.waiting_unwanted(bigint) IS
'why a mail of the waiting list should not leave any more, NULL if it should; asked right before each one is sent';
REVOKE ALL ON FUNCTION ecauto.waiting_unwanted(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.notify_waiting(changed boolean DEFAULT true, OUT told bigint, OUT next_at timestamptz)
RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	setting ecauto_data.waiting_setting;
	now_at constant timestamptz := ecauto.now();
	keys text[];
	one record;
	mail record;
	message bigint;
BEGIN
	told := 0;
	IF NOT EXISTS (SELECT FROM ecauto_data.waiting_sku) THEN
		RETURN;
	END IF;
	SELECT * INTO setting FROM ecauto_data.waiting_setting;
	SELECT array_agg(k.sku::text) INTO keys FROM ecauto_data.waiting_sku k WHERE changed OR k.next_at <= now_at;
	IF keys IS NOT NULL THEN
		-- whose mail was taken back waits again, where he was
		UPDATE ecauto_data.waiting w SET message_id = NULL, note = m.last_error
		FROM ecauto_data.waiting x CROSS JOIN LATERAL ecauto.message(x.message_id) m
		WHERE x.id = w.id AND x.sku = ANY (keys) AND x.message_id IS NOT NULL AND m.state = 'cancelled';
		FOR one IN
			WITH live AS MATERIALIZED (
				SELECT k.sku, k.sellable AS was, k.next_at, coalesce(s.sellable, 0) - setting.safety AS sellable
				FROM ecauto_data.waiting_sku k LEFT JOIN ecauto.sellable(keys) s ON s.sku = k.sku COLLATE "default"
				WHERE k.sku = ANY (keys)
			), due AS MATERIALIZED (
				SELECT l.sku FROM live l WHERE l.sellable > 0 AND (l.was <= 0 OR l.next_at <= now_at)
			), off AS MATERIALIZED (
				-- there, but not on sale: as if it were not
				SELECT a.sku FROM (SELECT array_agg(d.sku::text) AS skus FROM due d HAVING count(*) > 0) x
				CROSS JOIN LATERAL ecauto.availability(x.skus) a WHERE a.state = 'inactive'
			), wave AS (
				SELECT d.sku FROM due d WHERE d.sku NOT IN (SELECT o.sku COLLATE "C" FROM off o)
			), kept AS (
				UPDATE ecauto_data.waiting_sku k SET sellable = CASE WHEN o.sku IS NULL THEN l.sellable ELSE 0 END, next_at = CASE
					WHEN l.sellable <= 0 OR o.sku IS NOT NULL THEN NULL WHEN v.sku IS NOT NULL THEN now_at + setting.pause ELSE k.next_at END
				FROM live l LEFT JOIN wave v ON v.sku = l.sku LEFT JOIN off o ON o.sku = l.sku COLLATE "default"
				WHERE k.sku = l.sku
			)
			SELECT w.id, w.sku, w.email, w.locale, w.at, k.title
			FROM live l JOIN wave v ON v.sku = l.sku
			CROSS JOIN LATERAL (SELECT x.* FROM ecauto_data.waiting x WHERE x.sku = l.sku AND x.message_id IS NULL
				ORDER BY x.at, x.id LIMIT ceil(l.sellable * setting.ratio)::bigint) w
			LEFT JOIN ecauto_data.seen_sku k ON k.key = w.sku
			ORDER BY w.sku, w.at, w.id
		LOOP
			BEGIN
				IF setting.template IS NOT NULL THEN
					SELECT r.subject, r.html, r.body INTO mail
					FROM ecauto.render_mail(setting.template, jsonb_build_object('sku', one.sku, 'title', one.title, 'email', one.email), one.locale) r;
				ELSE
					SELECT format('%s is back', coalesce(one.title, one.sku)) AS subject, NULL::text AS html,
						format(E'%s is in stock again.\n', coalesce(one.title, one.sku)) AS body INTO mail;
				END IF;
				message := ecauto.enqueue(current_setting('ecauto.mail_endpoint'), jsonb_strip_nulls(jsonb_build_object(
						'to', one.email, 'subject', mail.subject, 'html', mail.html, 'text', mail.body)),
					format('waiting-%s-%s', one.id, ecauto.new_id()), entity => 'waiting-' || one.sku,
					wanted => 'ecauto.waiting_unwanted(bigint)');
				UPDATE ecauto_data.waiting w SET message_id = message, note = NULL WHERE w.id = one.id;
				told := told + 1;
			EXCEPTION WHEN OTHERS THEN
				RAISE WARNING 'the waiting list could not tell of sku "%": %', one.sku, SQLERRM;
				UPDATE ecauto_data.waiting w SET note = SQLERRM WHERE w.id = one.id;
			END;
		END LOOP;
		-- nobody waits any more
		DELETE FROM ecauto_data.waiting_sku k WHERE k.sku = ANY (keys)
			AND NOT EXISTS (SELECT FROM ecauto_data.waiting w WHERE w.sku = k.sku AND w.message_id IS NULL)
			AND NOT EXISTS (SELECT FROM ecauto_data.waiting w CROSS JOIN LATERAL ecauto.message(w.message_id) m
				WHERE w.sku = k.sku AND w.message_id IS NOT NULL AND m.state IN ('queued', 'leased', 'retry', 'cancelled'));
	END IF;
	SELECT min(k.next_at) INTO next_at FROM ecauto_data.waiting_sku k;
END
$$;
COMMENT ON FUNCTION ecauto.notify_waiting(boolean) IS
'tells who waits of skus that can be sold again, the oldest first; changed: look at all of them, else at those whose next wave is due; how many were told, and when the next wave is due; called by ecauto.tick(); for operators';
REVOKE ALL ON FUNCTION ecauto.notify_waiting(boolean) FROM PUBLIC;
