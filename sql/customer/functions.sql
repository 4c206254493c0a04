CREATE OR REPLACE FUNCTION ecauto.median_gap(times timestamptz[])
RETURNS interval
AS 'MODULE_PATHNAME', 'ecauto_median_gap'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.median_gap(timestamptz[]) IS
'median of the last 100 gaps between times, in days and hours; NULL if there are fewer than two; infinite times and NULLs are left out';

CREATE OR REPLACE FUNCTION ecauto.customer_facts(keys text[] DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	key text, email text, name text, first_name text, phone text, sex text, birth_date date,
	country text, city text, postcode text, locale text, tz text, guest boolean, active boolean,
	created_at timestamptz,
	orders_count bigint, cancelled_count bigint, refunded_count bigint,
	spent_total numeric, paid_total numeric, refunded_total numeric, currency text, spent_other jsonb,
	first_order_at timestamptz, last_order_at timestamptz, average_order_value numeric,
	average_days_between_orders numeric, median_gap interval,
	open_carts bigint, open_cart_total numeric, last_cart_at timestamptz,
	orders_count_30d bigint, orders_count_90d bigint, orders_count_365d bigint,
	spent_30d numeric, spent_90d numeric, spent_365d numeric,
	oldest_order_30d timestamptz, oldest_order_90d timestamptz, oldest_order_365d timestamptz)
AS 'MODULE_PATHNAME', 'ecauto_customer_facts'
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION ecauto.customer_facts(text[], timestamptz) IS
'facts of customers (keys NULL: of all that are known) as of an instant (NULL: ecauto.now()), exact to the microsecond: orders placed later do not count, and cancellations and refunds that ecauto saw later are undone; columns of role customer and carts are as they are now; amounts in the main currency; a key that nobody has gives no row; for operators';
REVOKE ALL ON FUNCTION ecauto.customer_facts(text[], timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ecauto.set_main_currency(currency text)
RETURNS void
AS 'MODULE_PATHNAME', 'ecauto_set_main_currency'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ecauto.set_main_currency(text) IS
'currency in which amounts of customers are counted, from the next tick on; until this is called it is that of the shop''s preset, else of most orders; error unless it is a code of three capital letters; for operators';
REVOKE ALL ON FUNCTION ecauto.set_main_currency(text) FROM PUBLIC;
