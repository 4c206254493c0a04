/*-------------------------------------------------------------------------
 *
 * report_number.c
 *		How many digits of an amount the report shows.
 *
 * What a shop calls a currency need not be one: points, or nothing at all.
 * Such amounts have two digits, as most money has.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pricing/pricing.h"

PG_FUNCTION_INFO_V1(ecauto_report_digits);

/*
 * ecauto.report_digits(currency text) RETURNS integer
 */
Datum
ecauto_report_digits(PG_FUNCTION_ARGS)
{
	int			digits = ec_currency_digits(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_INT32(digits < 0 ? 2 : digits);
}
