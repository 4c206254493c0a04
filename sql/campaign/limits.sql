CREATE OR REPLACE FUNCTION ecauto.set_frequency_cap(name text, most integer, per interval, purpose text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name IS NULL OR name = '' THEN
		RAISE EXCEPTION 'a frequency cap needs a name'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF most IS NULL OR most < 1 THEN
		RAISE EXCEPTION 'a frequency cap must allow at least one mail'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('Cap "%s" would allow %s.', name, coalesce(most::text, 'null')),
				HINT = 'Use ecauto.withdraw_consent() or ecauto.suppress_address() for an address that is to get none.';
	END IF;
	IF per IS NULL OR extract(epoch FROM per) <= 0 OR extract(epoch FROM per) > 366 * 86400 THEN
		RAISE EXCEPTION 'the time of a frequency cap must be above zero and at most a year'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('That of cap "%s" is %s.', name, coalesce(per::text, 'null'));
	END IF;
	IF purpose = 'transactional' THEN
		RAISE EXCEPTION 'transactional mail has no frequency cap'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Leave purpose out to count everything else.';
	END IF;
	INSERT INTO ecauto_data.frequency_cap (name, most, per, purpose)
	VALUES (set_frequency_cap.name, set_frequency_cap.most, make_interval(secs => extract(epoch FROM set_frequency_cap.per)::float8),
		set_frequency_cap.purpose)
	ON CONFLICT ON CONSTRAINT frequency_cap_pkey DO UPDATE
	SET most = excluded.most, per = excluded.per, purpose = excluded.purpose;
END
$$;
COMMENT ON FUNCTION ecauto.set_frequency_cap(text, integer, interval, text) IS
'lets no address get more than so many mails within a length of time that ends now (a day is 24 hours, a month 30 days), of one purpose, or of all that need consent (NULL); what does not fit waits; the same name again changes the cap; needs privileges on ecauto_data.frequency_cap';

CREATE OR REPLACE FUNCTION ecauto.drop_frequency_cap(name text)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM ecauto_data.frequency_cap c WHERE c.name = drop_frequency_cap.name;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ecauto.drop_frequency_cap(text) IS
'ends a frequency cap; false if there was none';

CREATE OR REPLACE FUNCTION ecauto.set_quiet_hours(starts time DEFAULT NULL, ends time DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (starts IS NULL) <> (ends IS NULL) OR starts = ends THEN
		RAISE EXCEPTION 'quiet hours need a start and another end'
			USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('They would be from %s to %s.', coalesce(starts::text, 'null'), coalesce(ends::text, 'null')),
				HINT = 'Without both there are none.';
	END IF;
	DELETE FROM ecauto_data.quiet_hours;
	IF starts IS NOT NULL THEN
		INSERT INTO ecauto_data.quiet_hours (starts, ends) VALUES (set_quiet_hours.starts, set_quiet_hours.ends);
	END IF;
END
$$;
COMMENT ON FUNCTION ecauto.set_quiet_hours(time, time) IS
'lets mail that needs consent wait from one time of day to another (past midnight, too) in the customer''s time zone, else in that of the shop; without arguments there are no quiet hours; needs privileges on ecauto_data.quiet_hours';
