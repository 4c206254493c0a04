-- What ecauto knows of a person: to be shown, found and forgotten.

CREATE OR REPLACE FUNCTION ecauto.personal_data()
RETURNS TABLE (table_name text, column_name text, type text, person text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),
	(SELECT min(k.attname)::text FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attnum > 0 AND NOT k.attisdropped
		AND (k.attname IN ('customer', 'customer_key') OR (c.relname IN ('seen_customer', 'customer_fact', 'tag') AND k.attname = 'key')))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = to_regnamespace('ecauto_data') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
	AND a.atttypid IN ('text'::regtype, 'jsonb'::regtype, 'text[]'::regtype, 'character varying'::regtype)
	-- tables about goods, prices and how ecauto was set up; every other one may hold something of a person
	AND c.relname NOT IN ('schema_version', 'shop', 'role_binding', 'source', 'writer', 'role_seen', 'customer_setting',
		'segment', 'segment_setting', 'seen_product', 'seen_sku', 'seen_price', 'seen_stock', 'category_product', 'order_item', 'gone_order',
		'cost', 'price_bound', 'vat_rate', 'fx_rate', 'price_rule', 'price_guard', 'price_base', 'price_series', 'price_history',
		'price_history_seen', 'prior_price_policy', 'promotion', 'coupon_batch', 'mail_template', 'mail_template_history', 'demand',
		'demand_line', 'demand_stale', 'demand_setting', 'demand_event', 'stock_out', 'sku_forecast', 'season_index',
		'stock_incoming', 'stock_policy', 'badge', 'order_changed', 'recommend_item', 'recommend_basket', 'recommend_excluded', 'recommend_popular', 'recommend_consumable', 'campaign_secret', 'frequency_cap', 'quiet_hours', 'score_rule',
		'score_threshold', 'rfm_group', 'clv_model', 'flow', 'flow_version', 'flow_action', 'order_mail', 'job')
ORDER BY 1, a.attnum
$$;
COMMENT ON FUNCTION ecauto.personal_data() IS
'columns of ecauto''s state that may hold something of a person, and the column of the same table that holds the customer''s key (NULL: none does): what export_customer(), erase_customer() and find_personal_data() go through';

CREATE OR REPLACE FUNCTION ecauto.personal_values(customer text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(array_agg(DISTINCT lower(btrim(v))), '{}') FROM (
	SELECT unnest(ARRAY[c.email, c.phone, c.name]) FROM ecauto_data.seen_customer c WHERE c.key = $1
	UNION ALL SELECT o.email FROM ecauto_data.seen_order o WHERE o.customer_key = $1
	UNION ALL SELECT s.email FROM ecauto_data.seen_cart s WHERE s.customer_key = $1
	UNION ALL SELECT f.email FROM ecauto_data.customer_fact f WHERE f.key = $1
	UNION ALL SELECT $1 WHERE $1 LIKE '%_@_%') x(v)
-- a shorter one would be found everywhere
WHERE length(btrim(v)) >= 5
$$;
COMMENT ON FUNCTION ecauto.personal_values(text) IS
'addresses, phone and full name of a customer as ecauto saw them, in small letters; what find_personal_data() should not find after erase_customer(); values of less than five letters are left out; for operators';
REVOKE ALL ON FUNCTION ecauto.personal_values(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.find_personal_data(
	"values" text[], OUT table_name text, OUT column_name text, OUT "rows" bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p record;
BEGIN
	FOR p IN SELECT * FROM ecauto.personal_data() LOOP
		EXECUTE format('SELECT count(*) FROM ecauto_data.%I t WHERE EXISTS (SELECT FROM unnest($1) v(v) '
			'WHERE position(lower(v.v) IN lower(t.%I::text)) > 0 OR position(lower(btrim(to_json(v.v)::text, ''"'')) IN lower(t.%2$I::text)) > 0)',
			p.table_name, p.column_name)
		INTO "rows" USING "values";
		IF "rows" > 0 THEN
			table_name := p.table_name;
			column_name := p.column_name;
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.find_personal_data(text[]) IS
'columns of ecauto''s state in which one of the values is found, and in how many rows, whatever their case; no row: it is nowhere; reads every table once; needs SELECT on them';
REVOKE ALL ON FUNCTION ecauto.find_personal_data(text[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.export_customer(customer text)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known constant text[] := ecauto.personal_values(customer);
	result jsonb := '{}';
	found jsonb;
	p record;
BEGIN
	FOR p IN SELECT d.table_name, min(d.person) AS person FROM ecauto.personal_data() d GROUP BY 1 ORDER BY 1 LOOP
		EXECUTE format('SELECT jsonb_agg(to_jsonb(t)) FROM ecauto_data.%I t WHERE %s EXISTS (SELECT FROM unnest($2) v(v) WHERE position(v.v IN lower(t::text)) > 0)',
			p.table_name, CASE WHEN p.person IS NOT NULL THEN format('t.%I = $1 OR', p.person) ELSE '' END)
		INTO found USING customer, known;
		IF found IS NOT NULL THEN
			result := result || jsonb_build_object(p.table_name, found);
		END IF;
	END LOOP;
	RETURN result;
END
$$;
COMMENT ON FUNCTION ecauto.export_customer(text) IS
'all that ecauto''s own state holds of a customer: {"table": [rows]}, by his key, his addresses, his phone and his name; reads every table once; what the shop''s tables hold is the shop''s to export; for operators';
REVOKE ALL ON FUNCTION ecauto.export_customer(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.erase_customer(
	customer text, OUT table_name text, OUT "rows" bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known text[];
	stand_in constant text := 'erased-' || replace(ecauto.new_id()::text, '-', '');
	pattern text;
	others_pattern text;
	address text;
	message bigint;
	p record;
BEGIN
	IF NOT pg_has_role((SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'ecauto_data'), 'USAGE') THEN
		RAISE EXCEPTION 'permission denied to erase a customer' USING ERRCODE = 'insufficient_privilege';
	END IF;
	known := ecauto.personal_values(customer);
	-- no tick or refresh may be under way: it would bring back what it has read
	PERFORM pg_advisory_xact_lock(25955, 1);
	PERFORM pg_advisory_xact_lock(25955, 3);

	-- nothing more is sent to him, and nobody can import the address again
	FOREACH address IN ARRAY known LOOP
		IF address LIKE '%_@_%' THEN
			PERFORM ecauto.suppress_address(address, 'manual');
			PERFORM ecauto.erase_contact(address);
		END IF;
		FOR message IN SELECT o.id FROM ecauto_data.outbox o
			WHERE address LIKE '%_@_%' AND position(address IN lower(o::text)) > 0 LOOP
			PERFORM ecauto.cancel(message);
		END LOOP;
	END LOOP;
	-- the shop may have him still: what tells who he is is not read again
	INSERT INTO ecauto_data.erased AS e (role, key, customer, at)
	SELECT 'customer', c.key, c.key, ecauto.now() FROM ecauto_data.seen_customer c
	WHERE c.key = erase_customer.customer AND c.key NOT LIKE '%_@_%'
	UNION ALL
	SELECT 'order', o.key, coalesce(o.customer_key, CASE WHEN f.guest_email = f.key THEN stand_in ELSE f.key END), ecauto.now()
	FROM ecauto_data.customer_fact f JOIN ecauto_data.seen_order o
		ON o.customer_key = f.key OR o.customer_key IS NULL AND o.email = f.guest_email
	WHERE f.key = erase_customer.customer AND o.email IS NOT NULL
	UNION ALL
	SELECT 'cart', s.key, coalesce(s.customer_key, CASE WHEN f.guest_email = f.key THEN stand_in ELSE f.key END), ecauto.now()
	FROM ecauto_data.customer_fact f JOIN ecauto_data.seen_cart s
		ON s.customer_key = f.key OR s.customer_key IS NULL AND s.email = f.guest_email
	WHERE f.key = erase_customer.customer AND s.email IS NOT NULL
	ON CONFLICT (role, key) DO UPDATE SET at = excluded.at WHERE e.role = 'customer';
	-- what he ordered as a guest stays his, without the address that says so
	UPDATE ecauto_data.seen_order o
	SET customer_key = CASE WHEN f.guest_email = f.key THEN stand_in ELSE f.key END
	FROM ecauto_data.customer_fact f
	WHERE f.key = erase_customer.customer AND o.customer_key IS NULL AND o.email = f.guest_email;
	UPDATE ecauto_data.seen_cart s
	SET customer_key = CASE WHEN f.guest_email = f.key THEN stand_in ELSE f.key END
	FROM ecauto_data.customer_fact f
	WHERE f.key = erase_customer.customer AND s.customer_key IS NULL AND s.email = f.guest_email;
	UPDATE ecauto_data.seen_customer c SET name = NULL, first_name = NULL, phone = NULL, email = NULL, birth_date = NULL,
		sex = NULL, city = NULL, postcode = NULL
	WHERE c.key = erase_customer.customer
		AND num_nonnulls(c.name, c.first_name, c.phone, c.email, c.birth_date, c.sex, c.city, c.postcode) > 0;
	IF known = '{}' THEN
		RETURN;
	END IF;

	-- long ones first: a name can be part of an address; as jsonb writes them, too;
	-- in rows of other customers not the name, which they may have as well
	SELECT string_agg(x.quoted, '|' ORDER BY length(x.v) DESC),
		string_agg(x.quoted, '|' ORDER BY length(x.v) DESC) FILTER (WHERE x.v LIKE '%_@_%' OR x.v ~ '[0-9]{3}')
	INTO pattern, others_pattern
	FROM (SELECT y.v, regexp_replace(y.v, '([][\\.*+?^${}()|/-])', '\\\1', 'g') AS quoted
		FROM (SELECT v FROM unnest(known) v UNION SELECT btrim(to_json(v)::text, '"') FROM unnest(known) v) y(v)) x;
	FOR p IN
		SELECT d.table_name,
			string_agg(format('t.%I::text ~* %s', d.column_name, d.pattern), ' OR ') AS holds,
			string_agg(format('%1$I = CASE WHEN t.%1$I::text ~* %3$s THEN %2$s ELSE t.%1$I END', d.column_name,
				CASE WHEN NOT d.plain THEN format('regexp_replace(t.%I::text, %s, $2, ''gi'')::%s', d.column_name, d.pattern, d.type)
					WHEN d.needed THEN format('regexp_replace(t.%I, %s, $2, ''gi'')', d.column_name, d.pattern)
					ELSE format('CASE WHEN lower(t.%1$I) ~ (''^('' || %2$s || '')$'') THEN NULL ELSE regexp_replace(t.%1$I, %2$s, $2, ''gi'') END',
						d.column_name, d.pattern) END, d.pattern), ', ') AS changes
		FROM (SELECT m.*, a.attnotnull AS needed, m.type = 'text' OR m.type LIKE 'character%' AS plain,
				CASE WHEN m.person IS NULL THEN '$1'
					ELSE format('CASE WHEN coalesce(t.%I, $4) = $4 THEN $1 ELSE $3 END', m.person) END AS pattern
			FROM ecauto.personal_data() m
			JOIN pg_attribute a ON a.attrelid = format('ecauto_data.%I', m.table_name)::regclass AND a.attname = m.column_name) d
		GROUP BY d.table_name ORDER BY d.table_name
	LOOP
		EXECUTE format('UPDATE ecauto_data.%I t SET %s WHERE %s', p.table_name, p.changes, p.holds) USING pattern, stand_in, others_pattern, customer;
		GET DIAGNOSTICS "rows" = ROW_COUNT;
		IF "rows" > 0 THEN
			table_name := p.table_name;
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION ecauto.erase_customer(text) IS
'forgets a person in ecauto''s own state: his addresses, phone and name are gone from every table and jsonb (a namesake''s name from rows of that one is not), waiting messages to him are cancelled, his addresses stay suppressed by a keyed hash; orders, totals and counts stay, under his key; returns how many rows changed in which tables, none the second time; where the shop still has him, these are not read from his row, nor from his orders and carts of until now, again (ecauto_data.erased), while what he orders later is new; reads every table once; for operators';
REVOKE ALL ON FUNCTION ecauto.erase_customer(text) FROM PUBLIC;
