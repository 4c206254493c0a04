-- Forecasts of a series, from nothing but the series.

CREATE OR REPLACE FUNCTION ecauto.forecast(
	series float8[], period integer, horizon integer, method text DEFAULT 'auto', level float8 DEFAULT 0.95)
RETURNS TABLE (h integer, mean float8, lo float8, hi float8)
AS 'MODULE_PATHNAME', 'ecauto_forecast'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10000 ROWS 12;
COMMENT ON FUNCTION ecauto.forecast(float8[], integer, integer, text, float8) IS
'forecast of the periods after a series (oldest value first, one a period, NULL: not observed, which is not zero): mean, and bounds that hold the value with probability level; period: of the season, 1: none, 0 or NULL: found by autocorrelation; mean is NULL if nothing was observed, lo and hi also if one value says nothing of the spread; no rows if series or horizon is NULL or horizon 0; error for NaN, infinity, an unknown method';

CREATE OR REPLACE FUNCTION ecauto.forecast_fit(
	series float8[], period integer, horizon integer DEFAULT 1, method text DEFAULT 'auto',
	OUT method_used text, OUT class text, OUT adi float8, OUT cv2 float8, OUT season integer,
	OUT observations integer, OUT error float8, OUT demand float8, OUT trend float8, OUT sd float8,
	OUT alpha float8, OUT beta float8, OUT gamma float8, OUT phi float8, OUT theta float8, OUT mean float8[])
RETURNS record
AS 'MODULE_PATHNAME', 'ecauto_forecast_fit'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10000;
COMMENT ON FUNCTION ecauto.forecast_fit(float8[], integer, integer, text) IS
'what ecauto.forecast() stands on: method_used; class (none, smooth, erratic, intermittent, lumpy) by adi (periods from one demand to the next) and cv2 (squared variation of its sizes); season: its length, 1: none; error: RMSSE over rolling origins, NULL: too short to tell; demand: level at the end, season removed; trend: change a period; sd: of the error one period ahead; parameters, NULL: the method has none; mean: the forecasts; NULL if nothing was observed';

CREATE OR REPLACE FUNCTION ecauto.demand_quantile(
	series float8[], lead float8, level float8, period integer DEFAULT 1, distribution text DEFAULT 'auto')
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_demand_quantile'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10000;
COMMENT ON FUNCTION ecauto.demand_quantile(float8[], float8, float8, integer, text) IS
'demand over the next "lead" periods (fractions are interpolated) that is not exceeded with probability level: the reorder point of that service level; distribution: auto, negbin, empirical (windows of the past), normal; values below zero are returns and count as zero; NULL if an argument is NULL or nothing was observed';

CREATE OR REPLACE FUNCTION ecauto.demand_period(series float8[])
RETURNS integer
AS 'MODULE_PATHNAME', 'ecauto_demand_period'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 1000;
COMMENT ON FUNCTION ecauto.demand_period(float8[]) IS
'length of the season that the autocorrelation of a series shows, in periods; 1: none; at most a third of the series and 400';

CREATE OR REPLACE FUNCTION ecauto.normal_quantile(level float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_normal_quantile'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.normal_quantile(float8) IS
'quantile of the standard normal distribution: the safety factor of a service level; error unless 0 < level < 1';

CREATE OR REPLACE FUNCTION ecauto.normal_loss(mean float8, sd float8, stock float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_normal_loss'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.normal_loss(float8, float8, float8) IS
'expected shortage: the mean of what normal demand exceeds the stock by, in its units';

CREATE OR REPLACE FUNCTION ecauto.negbin_quantile(mean float8, variance float8, level float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_negbin_quantile'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.negbin_quantile(float8, float8, float8) IS
'the least number that negative binomial demand of this mean and variance (Poisson if the variance is not above the mean) does not exceed with probability level';

CREATE OR REPLACE FUNCTION ecauto.negbin_loss(mean float8, variance float8, stock float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_negbin_loss'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.negbin_loss(float8, float8, float8) IS
'expected shortage: the mean of what negative binomial demand (Poisson if the variance is not above the mean) exceeds the stock by';
