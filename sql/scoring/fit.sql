CREATE OR REPLACE FUNCTION ecauto.bgnbd_fit(
	frequency float8[], recency float8[], t float8[], prior float8 DEFAULT 0,
	OUT r float8, OUT alpha float8, OUT a float8, OUT b float8, OUT log_likelihood float8,
	OUT standard_errors float8[], OUT converged boolean, OUT note text, OUT covariance float8[])
AS 'MODULE_PATHNAME', 'ecauto_bgnbd_fit'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.bgnbd_fit(float8[], float8[], float8[], float8) IS
'fits the BG/NBD model (Fader, Hardie, Lee 2005) to customers by maximum likelihood: frequency, purchases after the first; recency, time from the first purchase to the last; t, time from the first to the end of the data; alpha is in their unit of time; standard_errors are those of r, alpha, a, b (NULL element: not known), covariance is that of the four, in rows (0 for one that the data do not tell; NULL: not known); note: what the data do not tell, or NULL; prior: the usual parameters count as so many customers; error if nobody bought again and there is no prior';

CREATE OR REPLACE FUNCTION ecauto.mbgnbd_fit(
	frequency float8[], recency float8[], t float8[], prior float8 DEFAULT 0,
	OUT r float8, OUT alpha float8, OUT a float8, OUT b float8, OUT log_likelihood float8,
	OUT standard_errors float8[], OUT converged boolean, OUT note text, OUT covariance float8[])
AS 'MODULE_PATHNAME', 'ecauto_mbgnbd_fit'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.mbgnbd_fit(float8[], float8[], float8[], float8) IS
'fits the MBG/NBD model (Batislam, Denizel, Filiztekin 2007), in which a customer may leave after his first purchase too; arguments and result as of bgnbd_fit()';

CREATE OR REPLACE FUNCTION ecauto.paretonbd_fit(
	frequency float8[], recency float8[], t float8[], prior float8 DEFAULT 0,
	OUT r float8, OUT alpha float8, OUT s float8, OUT beta float8, OUT log_likelihood float8,
	OUT standard_errors float8[], OUT converged boolean, OUT note text, OUT covariance float8[])
AS 'MODULE_PATHNAME', 'ecauto_paretonbd_fit'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.paretonbd_fit(float8[], float8[], float8[], float8) IS
'fits the Pareto/NBD model (Schmittlein, Morrison, Colombo 1987), in which a customer may leave at any time; arguments as of bgnbd_fit(); alpha and beta are in their unit of time';

CREATE OR REPLACE FUNCTION ecauto.gamma_gamma_fit(
	frequency float8[], value float8[],
	OUT p float8, OUT q float8, OUT v float8, OUT log_likelihood float8,
	OUT standard_errors float8[], OUT converged boolean, OUT note text, OUT covariance float8[])
AS 'MODULE_PATHNAME', 'ecauto_gamma_gamma_fit'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.gamma_gamma_fit(float8[], float8[]) IS
'fits the gamma-gamma model of order values (Fader, Hardie 2013) to customers: frequency, the orders that value is the mean of; those with no order or a value of 0 are left out; v is in the unit of value; standard_errors are those of p, q, v, and covariance is in rows; error unless there are two that differ';

CREATE OR REPLACE FUNCTION ecauto.clv_p_alive(
	model text, params float8[], frequency float8, recency float8, t float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_clv_p_alive'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.clv_p_alive(text, float8[], float8, float8, float8) IS
'probability that a customer of that history still is one, under a fitted model (bgnbd, mbgnbd or paretonbd) with its four parameters in the order of its fitter''s result; under bgnbd it is 1 for whoever bought once';

CREATE OR REPLACE FUNCTION ecauto.clv_expected_orders(
	model text, params float8[], frequency float8, recency float8, t float8, horizon float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_clv_expected_orders'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.clv_expected_orders(text, float8[], float8, float8, float8, float8) IS
'orders expected of a customer of that history within horizon (same unit of time) after the end of the data; model and params as of clv_p_alive()';

CREATE OR REPLACE FUNCTION ecauto.clv_p_buys(
	model text, params float8[], frequency float8, recency float8, t float8, horizon float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_clv_p_buys'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.clv_p_buys(text, float8[], float8, float8, float8, float8) IS
'probability that a customer of that history orders within horizon after the end of the data; model and params as of clv_p_alive()';

CREATE OR REPLACE FUNCTION ecauto.gamma_gamma_value(params float8[], frequency float8, value float8)
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_gamma_gamma_value'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.gamma_gamma_value(float8[], float8, float8) IS
'expected value of an order of a customer whose frequency orders had the mean value, under the gamma-gamma model with params p, q, v: between his own mean and everybody''s; NULL if it is not finite (no orders and q <= 1)';

CREATE OR REPLACE FUNCTION ecauto.clv_errors(
	model text, params float8[], frequency float8, recency float8, t float8, horizon float8, covariance float8[],
	OUT p_alive float8, OUT expected_orders float8)
AS 'MODULE_PATHNAME', 'ecauto_clv_errors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.clv_errors(text, float8[], float8, float8, float8, float8, float8[]) IS
'standard errors of clv_p_alive() and clv_expected_orders() that follow from those of the fitted parameters, whose covariance a fitter returned (delta method); what a single customer does varies more; NULL if covariance is, or where an error is out of range';

CREATE OR REPLACE FUNCTION ecauto.gamma_gamma_error(params float8[], frequency float8, value float8, covariance float8[])
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_gamma_gamma_error'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.gamma_gamma_error(float8[], float8, float8, float8[]) IS
'standard error of gamma_gamma_value() that follows from those of the fitted parameters, with their covariance; NULL where that is NULL, or the error out of range';

CREATE OR REPLACE FUNCTION ecauto.clv_log_likelihood(
	model text, params float8[], frequency float8[], recency float8[], t float8[])
RETURNS float8
AS 'MODULE_PATHNAME', 'ecauto_clv_log_likelihood'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ecauto.clv_log_likelihood(text, float8[], float8[], float8[], float8[]) IS
'log-likelihood of customers'' histories under a model (bgnbd, mbgnbd or paretonbd) with given parameters, to compare models on customers they were not fitted to; arrays as of bgnbd_fit(); 0 of no customers';
