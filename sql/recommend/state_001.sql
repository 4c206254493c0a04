-- What build_recommendations() found out: of items, never of customers.  Rows
-- of a version are written once; the one row of recommend_model says which
-- version is read.

CREATE TABLE ecauto_data.recommend_model (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	version bigint,
	built_at timestamptz,
	orders bigint NOT NULL DEFAULT 0,
	customers bigint NOT NULL DEFAULT 0,
	skus bigint NOT NULL DEFAULT 0,
	pairs bigint NOT NULL DEFAULT 0,
	last_version bigint NOT NULL DEFAULT 0,
	rebuild_every interval DEFAULT '1 day' CHECK (rebuild_every > '0'),
	tried_at timestamptz
);
INSERT INTO ecauto_data.recommend_model DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.recommend_model IS
	'one row: the version of recommendations that is read (NULL: none was built), and what it was built from';
COMMENT ON COLUMN ecauto_data.recommend_model.rebuild_every IS 'a tick builds anew after so long, once there was a first build; NULL: never';
COMMENT ON COLUMN ecauto_data.recommend_model.tried_at IS 'when a tick last tried to build';

CREATE TABLE ecauto_data.recommend_item (
	version bigint NOT NULL,
	no integer NOT NULL,
	sku text COLLATE "C" NOT NULL,
	orders integer NOT NULL,
	customers integer NOT NULL,
	repeat_customers integer NOT NULL,
	PRIMARY KEY (version, no),
	UNIQUE (version, sku)
);
COMMENT ON TABLE ecauto_data.recommend_item IS
	'skus of a version, numbered from 0, with the numbers of orders, of customers, and of customers who bought them again in another order';

CREATE TABLE ecauto_data.recommend_pair (
	version bigint NOT NULL,
	item integer NOT NULL,
	viewed boolean NOT NULL,
	others integer[] NOT NULL,
	counts integer[] NOT NULL,
	totals integer[] NOT NULL,
	total integer NOT NULL,
	PRIMARY KEY (version, viewed, item)
);
ALTER TABLE ecauto_data.recommend_pair ALTER others SET STORAGE EXTERNAL, ALTER counts SET STORAGE EXTERNAL,
	ALTER totals SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_pair IS
	'neighbours of an item: how many orders (viewed: visitors) had both (counts), the other one (totals), and the item (total); its 100 most frequent and its 50 nearest by cosine';

CREATE TABLE ecauto_data.recommend_weight (
	version bigint NOT NULL,
	basket boolean NOT NULL,
	source integer NOT NULL,
	targets integer[] NOT NULL,
	weights real[] NOT NULL,
	PRIMARY KEY (version, basket, source)
);
ALTER TABLE ecauto_data.recommend_weight ALTER targets SET STORAGE EXTERNAL, ALTER weights SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_weight IS
	'how much having the source speaks for each target: among all that a customer bought, or (basket) in one order';

CREATE TABLE ecauto_data.recommend_popular (
	version bigint NOT NULL,
	country text COLLATE "C" NOT NULL,
	items integer[] NOT NULL,
	shares real[] NOT NULL,
	PRIMARY KEY (version, country)
);
COMMENT ON TABLE ecauto_data.recommend_popular IS
	'the 500 items with most customers, those of 60 days ago counting half, in each country ('''': everywhere), most popular first; shares of the first one''s';

CREATE TABLE ecauto_data.recommend_consumable (
	sku text COLLATE "C" PRIMARY KEY
);
COMMENT ON TABLE ecauto_data.recommend_consumable IS
	'skus that recommend() may name to those who have bought them already';

CREATE INDEX seen_order_placed_idx ON ecauto_data.seen_order (placed_at);
