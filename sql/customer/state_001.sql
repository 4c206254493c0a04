-- Facts of each customer, computed from what was seen.  Only tick() writes them.

CREATE TABLE ecauto_data.customer_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	currency text,
	by_hand boolean NOT NULL DEFAULT false,
	silent_no bigint NOT NULL DEFAULT 0
);
INSERT INTO ecauto_data.customer_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.customer_setting IS 'one row: how facts of customers are computed';
COMMENT ON COLUMN ecauto_data.customer_setting.currency IS
	'currency of their amounts; NULL until there is an order';
COMMENT ON COLUMN ecauto_data.customer_setting.by_hand IS
	'was it chosen by ecauto.set_main_currency()?';

COMMENT ON COLUMN ecauto_data.customer_setting.silent_no IS
	'change_no of the last time that all customers were computed, of which no events are told';

CREATE SEQUENCE ecauto_data.customer_change_seq;

CREATE TABLE ecauto_data.customer_fact (
	key text COLLATE "C" PRIMARY KEY,
	email text,
	guest_email text,
	orders_count bigint NOT NULL,
	cancelled_count bigint NOT NULL,
	refunded_count bigint NOT NULL,
	spent_total numeric NOT NULL,
	paid_total numeric NOT NULL,
	refunded_total numeric NOT NULL,
	spent_other jsonb,
	first_order_at timestamptz,
	last_order_at timestamptz,
	average_order_value numeric,
	average_days_between_orders numeric,
	median_gap interval,
	open_carts bigint NOT NULL,
	open_cart_total numeric,
	last_cart_at timestamptz,
	known boolean NOT NULL,
	valid_from timestamptz NOT NULL,
	valid_until timestamptz NOT NULL,
	change_no bigint NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX customer_fact_change_idx ON ecauto_data.customer_fact (change_no);
CREATE INDEX customer_fact_guest_idx ON ecauto_data.customer_fact (guest_email) WHERE guest_email IS NOT NULL;
CREATE INDEX customer_fact_until_idx ON ecauto_data.customer_fact (valid_until) WHERE valid_until < 'infinity';
COMMENT ON TABLE ecauto_data.customer_fact IS
	'what is known of each customer from his orders and carts, as of the last tick; docs/customer.md defines each figure';
COMMENT ON COLUMN ecauto_data.customer_fact.key IS
	'key of role customer; of those who order as guests and are in no role, the e-mail address';
COMMENT ON COLUMN ecauto_data.customer_fact.guest_email IS
	'orders and carts without a customer but with this address count as his; NULL: none do';
COMMENT ON COLUMN ecauto_data.customer_fact.known IS
	'false: the shop has nothing of him any more; the row tells those who follow change_no';
COMMENT ON COLUMN ecauto_data.customer_fact.valid_until IS
	'when one of his orders that lies in the future comes to count';
COMMENT ON COLUMN ecauto_data.customer_fact.change_no IS
	'number of the change that wrote the row or one of role customer; ascends from tick to tick';

CREATE INDEX seen_customer_email_idx ON ecauto_data.seen_customer (email) WHERE email IS NOT NULL;
CREATE INDEX seen_order_customer_idx ON ecauto_data.seen_order (customer_key, placed_at);
CREATE INDEX seen_order_guest_idx ON ecauto_data.seen_order (email, placed_at) WHERE customer_key IS NULL;
CREATE INDEX seen_cart_customer_idx ON ecauto_data.seen_cart (customer_key) WHERE completed_at IS NULL;
CREATE INDEX seen_cart_guest_idx ON ecauto_data.seen_cart (email) WHERE customer_key IS NULL AND completed_at IS NULL;
