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
	rebuild_share float8 DEFAULT 0.01 CHECK (rebuild_share >= 0),
	tried_at timestamptz,
	changed bigint NOT NULL DEFAULT 0,
	counted_until timestamptz,
	built_skus integer NOT NULL DEFAULT 0,
	buckets integer NOT NULL DEFAULT 1
);
INSERT INTO ecauto_data.recommend_model DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.recommend_model IS
	'one row: the version of recommendations that is read (NULL: none was built), and what it holds; orders, skus and pairs are brought up to date by ticks';
COMMENT ON COLUMN ecauto_data.recommend_model.rebuild_every IS 'a tick builds anew after so long, once there was a first build; NULL: never';
COMMENT ON COLUMN ecauto_data.recommend_model.rebuild_share IS 'a tick builds anew when more than this share of the orders has changed; NULL: never because of that';
COMMENT ON COLUMN ecauto_data.recommend_model.changed IS 'orders that changed since it was built';
COMMENT ON COLUMN ecauto_data.recommend_model.tried_at IS 'when a tick last tried to build';
COMMENT ON COLUMN ecauto_data.recommend_model.counted_until IS 'orders placed until then are counted';
COMMENT ON COLUMN ecauto_data.recommend_model.built_skus IS 'skus that are numbered in the order of their keys; those with higher numbers came later';
COMMENT ON COLUMN ecauto_data.recommend_model.buckets IS 'over how many rows of recommend_basket the orders of this version are spread';

CREATE TABLE ecauto_data.recommend_setting (
	task text PRIMARY KEY CHECK (task IN ('customer', 'basket')),
	neighbours integer CHECK (neighbours BETWEEN 1 AND 2000),
	lambda float8 NOT NULL CHECK (lambda > 0 AND lambda <= 1e9),
	dropout float8 CHECK (dropout BETWEEN 0 AND 1e6),
	half_life float8 CHECK (half_life > 0 AND half_life < 'Infinity'),
	popular float8 CHECK (popular BETWEEN 0 AND 100),
	ndcg float8,
	chosen_at timestamptz
);
INSERT INTO ecauto_data.recommend_setting (task, neighbours, lambda, dropout, half_life, popular) VALUES
	('customer', NULL, 20, 0.5, 180, 0.15), ('basket', NULL, 1, 0, NULL, 0);
COMMENT ON TABLE ecauto_data.recommend_setting IS
	'how the next build of recommendations solves for weights, and how they are used: for customers, and for baskets; evaluate_recommendations() chooses them';
COMMENT ON COLUMN ecauto_data.recommend_setting.neighbours IS 'from how many others an item is predicted; NULL: 200 up to 5,000 skus, else 100';
COMMENT ON COLUMN ecauto_data.recommend_setting.lambda IS 'ridge: the higher, the more evidence it takes';
COMMENT ON COLUMN ecauto_data.recommend_setting.dropout IS 'share of how often a neighbour was had, added to its ridge: the higher, the more weights rest on several items';
COMMENT ON COLUMN ecauto_data.recommend_setting.half_life IS 'days until what was bought speaks half as much; NULL: it always speaks the same';
COMMENT ON COLUMN ecauto_data.recommend_setting.popular IS 'weight of what is popular now beside what was bought: 1 is the mean of the ten best scores';
COMMENT ON COLUMN ecauto_data.recommend_setting.ndcg IS 'what evaluate_recommendations() found for it; NULL: it was not asked to choose';

CREATE TABLE ecauto_data.recommend_item (
	version bigint NOT NULL,
	no integer NOT NULL,
	sku text COLLATE "C" NOT NULL,
	rank float8 NOT NULL,
	orders integer NOT NULL,
	customers integer NOT NULL,
	repeat_customers integer NOT NULL,
	PRIMARY KEY (version, no),
	UNIQUE (version, sku)
) WITH (fillfactor = 80);
COMMENT ON TABLE ecauto_data.recommend_item IS
	'skus of a version, numbered from 0, with the numbers of orders (kept up to date), and, when it was built, of customers, and of customers who bought them again in another order';
COMMENT ON COLUMN ecauto_data.recommend_item.rank IS
	'ascends with the key: the number, and of a sku that came after the build a fraction between those of its neighbours';

CREATE TABLE ecauto_data.recommend_pair (
	version bigint NOT NULL,
	item integer NOT NULL,
	viewed boolean NOT NULL,
	others integer[] NOT NULL,
	counts integer[] NOT NULL,
	total integer NOT NULL,
	PRIMARY KEY (version, viewed, item)
) WITH (fillfactor = 80);
ALTER TABLE ecauto_data.recommend_pair ALTER others SET STORAGE EXTERNAL, ALTER counts SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_pair IS
	'the 100 most frequent neighbours of an item: how many orders (viewed: visitors) had both (counts), and the item (total)';

CREATE TABLE ecauto_data.recommend_count (
	version bigint NOT NULL,
	viewed boolean NOT NULL,
	item integer NOT NULL,
	pairs bytea NOT NULL,
	PRIMARY KEY (version, viewed, item)
) WITH (fillfactor = 90);
ALTER TABLE ecauto_data.recommend_count ALTER pairs SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_count IS
	'with how many orders (viewed: visitors) an item shares each other one: all of them, packed; ecauto.pair_counts() shows them';

CREATE TABLE ecauto_data.recommend_total (
	version bigint NOT NULL,
	viewed boolean NOT NULL,
	chunk integer NOT NULL,
	totals integer[] NOT NULL,
	PRIMARY KEY (version, viewed, chunk)
);
ALTER TABLE ecauto_data.recommend_total ALTER totals SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_total IS
	'how many orders (viewed: visitors) had each item, 400 items a row, by number: to be read at once where all are needed';

CREATE TABLE ecauto_data.recommend_basket (
	version bigint NOT NULL,
	bucket integer NOT NULL,
	orders text[] COLLATE "C" NOT NULL,
	sizes integer[] NOT NULL,
	items integer[] NOT NULL,
	PRIMARY KEY (version, bucket)
) WITH (fillfactor = 70, toast_tuple_target = 4080);
ALTER TABLE ecauto_data.recommend_basket ALTER orders SET STORAGE EXTERNAL, ALTER sizes SET STORAGE EXTERNAL,
	ALTER items SET STORAGE EXTERNAL;
COMMENT ON TABLE ecauto_data.recommend_basket IS
	'as what each order was counted, so that it can be taken back when it changes: keys of orders, how many items each has, and the items one after the other; about 64 orders a row, by a hash of the key';

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
	'the 500 items with most customers, those of 30 days ago counting half, in each country ('''': everywhere), most popular first; shares of the first one''s';

CREATE TABLE ecauto_data.recommend_excluded (
	order_key text COLLATE "C" PRIMARY KEY
);
COMMENT ON TABLE ecauto_data.recommend_excluded IS
	'orders that do not count for recommendations: of tests, of robots';

CREATE TABLE ecauto_data.recommend_consumable (
	sku text COLLATE "C" PRIMARY KEY
);
COMMENT ON TABLE ecauto_data.recommend_consumable IS
	'skus that recommend() may name to those who have bought them already';

CREATE INDEX seen_order_placed_idx ON ecauto_data.seen_order (placed_at);
CREATE INDEX identity_customer_idx ON ecauto_data.identity (customer);

CREATE TABLE ecauto_data.recommend_policy (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	repeats text NOT NULL DEFAULT 'consumables' CHECK (repeats IN ('none', 'consumables', 'all')),
	min_margin numeric CHECK (min_margin < 100),
	exclusion text,
	definer name
);
INSERT INTO ecauto_data.recommend_policy DEFAULT VALUES;
COMMENT ON TABLE ecauto_data.recommend_policy IS 'one row: what the shop wants to be shown';
COMMENT ON COLUMN ecauto_data.recommend_policy.repeats IS
	'what a customer may be shown although he bought it: nothing, what recommend_consumable names, or everything';
COMMENT ON COLUMN ecauto_data.recommend_policy.min_margin IS 'percent of the price without tax that must be left; NULL: any';
COMMENT ON COLUMN ecauto_data.recommend_policy.exclusion IS 'condition on sku, product and stock; what it holds for is not shown; runs as definer';

CREATE TABLE ecauto_data.recommend_test (
	name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
	running boolean NOT NULL DEFAULT true,
	share float8 NOT NULL CHECK (share > 0 AND share < 1),
	half_life float8 CHECK (half_life >= 0 AND half_life < 'Infinity'),
	popular float8 CHECK (popular BETWEEN 0 AND 100),
	repeats text CHECK (repeats IN ('none', 'consumables', 'all')),
	personal boolean,
	started_at timestamptz NOT NULL,
	ended_at timestamptz,
	CHECK (running = (ended_at IS NULL))
);
CREATE UNIQUE INDEX recommend_test_running_idx ON ecauto_data.recommend_test (running) WHERE running;
COMMENT ON TABLE ecauto_data.recommend_test IS
	'tests of other settings for a share of the visitors, drawn by ecauto.bucket() from the names of test and visitor: they are variant B, the others A; one runs at a time';
COMMENT ON COLUMN ecauto_data.recommend_test.share IS 'of the visitors who are variant B';
COMMENT ON COLUMN ecauto_data.recommend_test.half_life IS 'that of recommend_setting for B; 0: never; NULL: as for A';
COMMENT ON COLUMN ecauto_data.recommend_test.popular IS 'that of recommend_setting for B; NULL: as for A';
COMMENT ON COLUMN ecauto_data.recommend_test.repeats IS 'that of recommend_policy for B; NULL: as for A';
COMMENT ON COLUMN ecauto_data.recommend_test.personal IS 'false: B is shown what is popular only';
