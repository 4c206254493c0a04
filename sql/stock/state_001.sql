-- Demand: what was ordered, day by day, and why a day may not tell demand.

CREATE TABLE ecauto_data.demand (
	sku text COLLATE "C",
	day date,
	units numeric NOT NULL,
	PRIMARY KEY (sku, day)
) WITH (fillfactor = 90);
COMMENT ON TABLE ecauto_data.demand IS
	'units ordered of each sku on each day of the shop''s time zone, cancellations taken off; written by ecauto.refresh_demand()';

CREATE TABLE ecauto_data.demand_line (
	order_key text COLLATE "C" NOT NULL,
	sku text COLLATE "C" NOT NULL,
	day date NOT NULL,
	units numeric NOT NULL
);
CREATE INDEX demand_line_order_idx ON ecauto_data.demand_line (order_key);
COMMENT ON TABLE ecauto_data.demand_line IS
	'what each order has put into table demand, so that it can be taken out again';

CREATE TABLE ecauto_data.demand_stale (
	order_key text COLLATE "C" NOT NULL
);
COMMENT ON TABLE ecauto_data.demand_stale IS 'orders of which something happened since demand was refreshed';

CREATE TABLE ecauto_data.demand_setting (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	loaded_at timestamptz,
	timezone text
);
INSERT INTO ecauto_data.demand_setting DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.demand_setting IS
	'loaded_at: when the shop was attached whose orders are in table demand, NULL: none; timezone: whose days they are counted by';

CREATE TABLE ecauto_data.stock_out (
	sku text COLLATE "C" NOT NULL,
	since timestamptz NOT NULL,
	until timestamptz,
	CHECK (until >= since),
	PRIMARY KEY (sku, since)
);
CREATE INDEX stock_out_until_idx ON ecauto_data.stock_out (until);
COMMENT ON TABLE ecauto_data.stock_out IS
	'when a sku was out of stock; until NULL: it still is; such days say nothing about demand';

CREATE TABLE ecauto_data.demand_event (
	sku text COLLATE "C" NOT NULL,
	first_day date NOT NULL,
	last_day date NOT NULL,
	note text NOT NULL,
	CHECK (last_day >= first_day),
	PRIMARY KEY (sku, first_day, note)
);
COMMENT ON TABLE ecauto_data.demand_event IS
	'days on which something bent the demand of a sku (a promotion, a mistake): they say nothing about what it is else';

CREATE TABLE ecauto_data.sku_forecast (
	sku text COLLATE "C" PRIMARY KEY,
	as_of date NOT NULL,
	bucket_days integer NOT NULL,
	observations integer NOT NULL,
	method text NOT NULL,
	class text NOT NULL,
	error float8,
	daily float8 NOT NULL,
	sd float8,
	mean float8[] NOT NULL,
	borrowed_from text
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.sku_forecast IS
	'the last forecast of each sku; written by ecauto.forecast_all()';
COMMENT ON COLUMN ecauto_data.sku_forecast.as_of IS 'the first day that is forecast';
COMMENT ON COLUMN ecauto_data.sku_forecast.bucket_days IS
	'days of one period of the series: 1, or 7 where there is demand on few days';
COMMENT ON COLUMN ecauto_data.sku_forecast.daily IS 'units a day, mean of the next 28 days';
COMMENT ON COLUMN ecauto_data.sku_forecast.sd IS 'standard deviation of the error of one period; NULL: unknown';
COMMENT ON COLUMN ecauto_data.sku_forecast.mean IS 'units of each of the next days';
COMMENT ON COLUMN ecauto_data.sku_forecast.borrowed_from IS
	'whose demand stands in for what is too new to have its own: product or category; NULL: its own';

CREATE TABLE ecauto_data.season_index (
	category text COLLATE "C",
	month integer CHECK (month BETWEEN 1 AND 12),
	index float8 NOT NULL CHECK (index > 0),
	years integer NOT NULL,
	PRIMARY KEY (category, month)
);
COMMENT ON TABLE ecauto_data.season_index IS
	'how a month sells compared with the mean month; category '''': the whole shop; written by ecauto.forecast_all() from at least two years of demand, and index may be set by hand where years is 0';

-- Position: what is under way, and when to tell somebody.

CREATE TABLE ecauto_data.stock_incoming (
	sku text COLLATE "C" NOT NULL,
	location text COLLATE "C" NOT NULL DEFAULT '',
	units numeric NOT NULL CHECK (units >= 0),
	due_at timestamptz NOT NULL,
	reference text COLLATE "C" NOT NULL,
	PRIMARY KEY (reference, sku, location)
);
CREATE INDEX stock_incoming_sku_idx ON ecauto_data.stock_incoming (sku, due_at);
COMMENT ON TABLE ecauto_data.stock_incoming IS
	'units under way to us: lines of purchase orders that are open, with the time they are due; reference: of the purchase order';

CREATE TABLE ecauto_data.stock_alert (
	sku text COLLATE "C" PRIMARY KEY,
	units numeric CHECK (units >= 0),
	clear_units numeric CHECK (clear_units > units),
	days numeric CHECK (days >= 0),
	clear_days numeric CHECK (clear_days > days),
	quiet interval NOT NULL CHECK (quiet >= '0'),
	CHECK (units IS NOT NULL OR days IS NOT NULL)
);
COMMENT ON TABLE ecauto_data.stock_alert IS
	'when a sku is low: sku '''' is for all that have no row of their own; at so many units or days of cover, until it reaches the clearing ones';

CREATE TABLE ecauto_data.stock_low (
	sku text COLLATE "C" PRIMARY KEY,
	low boolean NOT NULL,
	told_at timestamptz NOT NULL
);
COMMENT ON TABLE ecauto_data.stock_low IS
	'skus that were low: low, until they clear; told_at: when the last stock.low was told';

CREATE TABLE ecauto_data.stock_alert_stale (
	sku text COLLATE "C" NOT NULL,
	due timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE ecauto_data.stock_alert_stale IS
	'skus to look at, from due on, though their stock did not change: their rule or their velocity did, or a quiet time ends';

CREATE TABLE ecauto_data.badge (
	name text COLLATE "C" PRIMARY KEY,
	kind text COLLATE "C" NOT NULL CHECK (kind IN ('new', 'back', 'last')),
	threshold numeric NOT NULL CHECK (threshold >= 0)
);
INSERT INTO ecauto_data.badge VALUES ('new', 'new', 30), ('back in stock', 'back', 7), ('last pieces', 'last', 3);
COMMENT ON TABLE ecauto_data.badge IS
	'badges of ecauto.availability(): new and back for so many days, last at so many units or fewer';
