-- What prices are made of.

CREATE TABLE ecauto_data.cost (
	sku text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL DEFAULT '',
	cost numeric NOT NULL CHECK (cost >= 0 AND cost < 'Infinity'),
	currency text COLLATE "C" NOT NULL,
	set_at timestamptz NOT NULL,
	PRIMARY KEY (sku, source)
);
COMMENT ON TABLE ecauto_data.cost IS
	'what a sku costs the shop, without tax, in major units; comes before the role cost; see ecauto.set_cost()';
COMMENT ON COLUMN ecauto_data.cost.source IS
	''''': the cost; offer: the best offer of a supplier, for rules whose base that is';

CREATE TABLE ecauto_data.price_bound (
	sku text COLLATE "C" NOT NULL,
	currency text COLLATE "C" NOT NULL,
	list_price numeric CHECK (list_price > 0 AND list_price < 'Infinity'),
	minimum numeric CHECK (minimum > 0 AND minimum < 'Infinity'),
	PRIMARY KEY (sku, currency)
);
COMMENT ON TABLE ecauto_data.price_bound IS
	'list price (the crossed-out one) and minimum advertised price of a sku, in major units, with or without tax as the shop''s prices are; see ecauto.set_list_price(), ecauto.set_minimum_price()';

CREATE TABLE ecauto_data.vat_rate (
	country text COLLATE "C" NOT NULL DEFAULT '',
	scope text COLLATE "C" NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'category', 'product', 'sku')),
	key text COLLATE "C" NOT NULL DEFAULT '',
	valid_from date NOT NULL DEFAULT '-infinity',
	rate numeric NOT NULL CHECK (rate >= 0 AND rate < 1000),
	PRIMARY KEY (country, scope, key, valid_from)
);
COMMENT ON TABLE ecauto_data.vat_rate IS
	'value added tax in percent, of what and where; country '''': where no country is asked for; see ecauto.set_vat_rate()';

CREATE TABLE ecauto_data.fx_rate (
	currency text COLLATE "C" NOT NULL,
	quote text COLLATE "C" NOT NULL,
	day date NOT NULL,
	rate numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
	PRIMARY KEY (currency, quote, day)
);
COMMENT ON TABLE ecauto_data.fx_rate IS
	'one unit of currency is worth rate units of quote, on that day; see ecauto.set_fx_rate()';

-- Rules, and what was made by them.

CREATE TABLE ecauto_data.price_rule (
	rule_id bigserial PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	definition jsonb NOT NULL,
	definer name NOT NULL DEFAULT current_user,
	enabled boolean NOT NULL DEFAULT true,
	created_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.price_rule IS
	'rules by which ecauto.reprice() makes prices; definer: conditions run as this role';

CREATE TABLE ecauto_data.price_guard (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	definition jsonb NOT NULL
);
COMMENT ON TABLE ecauto_data.price_guard IS
	'what a change of many prices must keep to, or it waits for approval; no row or one; see ecauto.set_price_guard()';

CREATE TABLE ecauto_data.price_base (
	sku text COLLATE "C" NOT NULL,
	currency text COLLATE "C" NOT NULL,
	base numeric NOT NULL,
	written numeric NOT NULL,
	PRIMARY KEY (sku, currency)
);
COMMENT ON TABLE ecauto_data.price_base IS
	'prices made from the current price: the price they were made from, which stands as long as the shop still has what was written';

CREATE TABLE ecauto_data.price_proposal (
	proposal_id bigserial PRIMARY KEY,
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'held', 'applied', 'undone', 'rejected')),
	note text,
	priced bigint NOT NULL,
	rows bigint NOT NULL,
	violations text[] NOT NULL DEFAULT '{}',
	made_at timestamptz NOT NULL,
	made_by name NOT NULL DEFAULT current_user,
	settled_at timestamptz,
	settled_by name
);
COMMENT ON TABLE ecauto_data.price_proposal IS
	'changes of prices, applied or waiting: open (proposed), held (breaks a guard), applied, undone, rejected';
COMMENT ON COLUMN ecauto_data.price_proposal.priced IS
	'prices that were looked at, of which rows were to change';

CREATE TABLE ecauto_data.price_proposal_part (
	proposal_id bigint NOT NULL REFERENCES ecauto_data.price_proposal ON DELETE CASCADE,
	part integer NOT NULL,
	skus text[] COLLATE "C" NOT NULL,
	currencies text[] COLLATE "C" NOT NULL,
	olds numeric[] NOT NULL,
	news numeric[] NOT NULL,
	bases numeric[],
	reasons text[],
	violations text[],
	PRIMARY KEY (proposal_id, part),
	CHECK (cardinality(skus) = cardinality(currencies) AND cardinality(skus) = cardinality(olds) AND cardinality(skus) = cardinality(news))
);
COMMENT ON TABLE ecauto_data.price_proposal_part IS
	'the frozen rows of a proposal, some thousand in each row; see ecauto.price_proposal_rows()';
COMMENT ON COLUMN ecauto_data.price_proposal_part.bases IS
	'for price_base; NULL: none of these was made from the current price';

-- Which price was in force when.

CREATE TABLE ecauto_data.price_series (
	series_id bigserial PRIMARY KEY,
	sku text COLLATE "C" NOT NULL,
	currency text COLLATE "C" NOT NULL,
	list_key text COLLATE "C" NOT NULL DEFAULT '',
	UNIQUE (sku, currency, list_key)
);
COMMENT ON TABLE ecauto_data.price_series IS
	'prices that have a history: of a sku, in a currency, on a list ('''': the base price)';

-- Without btree_gist, which a shop's server may not have, a number is a range
-- of itself.  Deferrable, so that one statement may close a period and begin
-- the next.  No foreign key: only ecauto writes here, and a check for each of a
-- million rows would cost as much as the row.
CREATE TABLE ecauto_data.price_history (
	series_id bigint NOT NULL,
	period tstzrange NOT NULL CHECK (lower_inc(period) AND NOT upper_inc(period) AND lower(period) IS NOT NULL),
	amount numeric NOT NULL,
	tax_included boolean,
	origin "char" NOT NULL DEFAULT 'c' CHECK (origin IN ('c', 'r', 'i')),
	CONSTRAINT price_history_no_overlap EXCLUDE USING gist (int8range(series_id, series_id, '[]') WITH &&, period WITH &&) DEFERRABLE
);
CREATE UNIQUE INDEX price_history_series_idx ON ecauto_data.price_history (series_id, lower(period));
COMMENT ON TABLE ecauto_data.price_history IS
	'each price and the period it was in force; an open end: it still is';
COMMENT ON COLUMN ecauto_data.price_history.origin IS
	'c: seen by capture, r: found by comparing everything, i: told by ecauto.record_price()';

CREATE TABLE ecauto_data.price_history_seen (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.price_history_seen IS
	'up to when the price history is complete';

CREATE TABLE ecauto_data.prior_price_policy (
	scope text COLLATE "C" NOT NULL CHECK (scope IN ('all', 'category', 'product', 'sku')),
	key text COLLATE "C" NOT NULL DEFAULT '',
	options jsonb NOT NULL,
	PRIMARY KEY (scope, key)
);
COMMENT ON TABLE ecauto_data.prior_price_policy IS
	'what the law of the shop''s country lets the prior price be (days, progressive, new_arrivals, perishable); see ecauto.set_prior_price_policy()';

-- Prices begin and end by time alone; skus are asked for by code.
CREATE INDEX seen_price_from_idx ON ecauto_data.seen_price (valid_from) WHERE valid_from > '-infinity';
CREATE INDEX seen_price_until_idx ON ecauto_data.seen_price (valid_until) WHERE valid_until IS NOT NULL;
CREATE INDEX seen_sku_code_idx ON ecauto_data.seen_sku USING hash (sku);
-- Promotions, and how often they were used.

CREATE TABLE ecauto_data.promotion (
	promotion_id bigserial PRIMARY KEY,
	name text COLLATE "C" NOT NULL,
	definition jsonb NOT NULL,
	definer name NOT NULL DEFAULT current_user,
	zone text NOT NULL,
	valid_from timestamptz NOT NULL,
	valid_until timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	changed_at timestamptz,
	dropped_at timestamptz
);
CREATE UNIQUE INDEX promotion_name_idx ON ecauto_data.promotion (name) WHERE dropped_at IS NULL;
COMMENT ON TABLE ecauto_data.promotion IS
	'promotions; written by ecauto.create_promotion() and drop_promotion() alone, which tell every session of the change';
COMMENT ON COLUMN ecauto_data.promotion.zone IS
	'time zone of times in the definition that have none';

CREATE TABLE ecauto_data.promotion_usage (
	promotion_id bigint PRIMARY KEY,
	uses bigint NOT NULL DEFAULT 0,
	amount numeric NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE ecauto_data.promotion_usage IS
	'how often a promotion was used and how much it gave away, in major units of its currency, without what was returned';

CREATE TABLE ecauto_data.promotion_customer (
	promotion_id bigint NOT NULL,
	customer text COLLATE "C" NOT NULL,
	uses bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (promotion_id, customer)
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.promotion_customer IS
	'how often a customer used a promotion that has a limit for each; a mail address stands there in small letters and without tag';

CREATE TABLE ecauto_data.promotion_use (
	use_id bigserial PRIMARY KEY,
	promotion_id bigint NOT NULL,
	code text COLLATE "C",
	order_key text COLLATE "C" NOT NULL,
	customer text COLLATE "C",
	amount numeric,
	used_at timestamptz NOT NULL,
	returned_at timestamptz
);
CREATE UNIQUE INDEX promotion_use_order_idx ON ecauto_data.promotion_use (order_key, promotion_id, coalesce(code, ''))
	WHERE returned_at IS NULL;
CREATE INDEX promotion_use_code_idx ON ecauto_data.promotion_use (code) WHERE code IS NOT NULL;
COMMENT ON TABLE ecauto_data.promotion_use IS
	'each use of a promotion or coupon by an order; amount: what it took off, in major units, NULL if nobody said';

-- Coupons.

CREATE TABLE ecauto_data.coupon_batch (
	batch_id bigserial PRIMARY KEY,
	promotion_id bigint NOT NULL,
	prefix text COLLATE "C" NOT NULL,
	uses bigint,
	uses_per_customer bigint,
	valid_from timestamptz,
	valid_until timestamptz,
	customer text COLLATE "C",
	cart_key text COLLATE "C",
	codes bigint NOT NULL,
	created_at timestamptz NOT NULL,
	created_by name NOT NULL DEFAULT current_user
);
CREATE INDEX coupon_batch_promotion_idx ON ecauto_data.coupon_batch (promotion_id);
COMMENT ON TABLE ecauto_data.coupon_batch IS
	'coupons that were made together, and what holds for each of them; NULL: no limit';

CREATE TABLE ecauto_data.coupon (
	code text COLLATE "C" PRIMARY KEY,
	batch_id bigint NOT NULL,
	used bigint NOT NULL DEFAULT 0,
	blocked boolean NOT NULL DEFAULT false
) WITH (fillfactor = 90);
COMMENT ON TABLE ecauto_data.coupon IS
	'codes in capitals and without separators, and how often each was used, without what was returned';

CREATE TABLE ecauto_data.coupon_customer (
	code text COLLATE "C" NOT NULL,
	customer text COLLATE "C" NOT NULL,
	uses bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (code, customer)
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.coupon_customer IS
	'how often a customer used a code that has a limit for each';

CREATE TABLE ecauto_data.coupon_attempt (
	who text COLLATE "C" PRIMARY KEY,
	failed integer NOT NULL,
	since timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE ecauto_data.coupon_attempt IS
	'wrong codes that somebody tried of late; see ecauto.redeem_coupon()';
