-- Settings and the clock: what they accept, and what they say if not.
\set SHOW_CONTEXT never
SELECT ecauto.setup() > 0 AS done;
SELECT ecauto.setup() > 0 AS done;

-- the clock
SET timezone = 'UTC';
SET ecauto.clock = '2026-03-29 00:59:59+00';
SELECT ecauto.now();
SET ecauto.clock = 'infinity';
SET ecauto.clock = 'tomorrow-ish';
SHOW ecauto.clock;
RESET ecauto.clock;
SELECT ecauto.now() = statement_timestamp() AS real_time;

-- the shop's time zone
SET ecauto.timezone = 'Europe/Warsaw';
SET ecauto.timezone = 'Europe/Atlantis';
SHOW ecauto.timezone;

-- limits; the words differ between server versions
\set VERBOSITY sqlstate
SET ecauto.settle_time = -1;
SET ecauto.settle_time = '2h';
SET ecauto.max_payload = 0;
\set VERBOSITY default
SET ecauto.no_such_setting = 1;

-- what only the server's configuration may set
SET ecauto.databases = 'shop';

-- a role of no importance
CREATE ROLE regress_ecauto_nobody;
GRANT USAGE ON SCHEMA ecauto TO regress_ecauto_nobody;
SET ROLE regress_ecauto_nobody;
SELECT ecauto.now() = statement_timestamp() AS real_time;
SET ecauto.clock = '2026-01-01';
SELECT ecauto.setup() > 0 AS done;
SELECT * FROM ecauto.tick();
RESET ROLE;
DROP OWNED BY regress_ecauto_nobody;
DROP ROLE regress_ecauto_nobody;
