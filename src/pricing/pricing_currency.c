/*-------------------------------------------------------------------------
 *
 * pricing_currency.c
 *		Currencies: their codes, and how small a coin they have.
 *
 * Source: ISO 4217:2015, list one (currencies in use), digits after the point
 * as given there.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "pricing/pricing.h"

PG_FUNCTION_INFO_V1(ecauto_price_currency);

/* those with two digits after the point, */
static const char two[] =
	"AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
	"CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
	"HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU "
	"MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR "
	"SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED "
	"VES WST XCD XCG YER ZAR ZMW ZWG ";

/* none, three and four */
static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ";
static const char three[] = "BHD IQD JOD KWD LYD OMR TND ";
static const char four[] = "CLF UYW ";

static bool
list_has(const char *list, const char *code)
{
	for (; *list != '\0'; list += 4)
		if (strncmp(list, code, 3) == 0)
			return true;
	return false;
}

/*
 * Digits after the point of a currency, given in capitals; -1 if ISO 4217 has
 * none with this code.
 */
int
ec_currency_digits(const char *code)
{
	if (strlen(code) != 3)
		return -1;
	if (list_has(two, code))
		return 2;
	if (list_has(none, code))
		return 0;
	if (list_has(three, code))
		return 3;
	return list_has(four, code) ? 4 : -1;
}

/*
 * The code in capitals, in the current context.  Errors:
 * invalid_parameter_value if there is no such currency.
 */
char *
ec_currency_check(const char *code)
{
	char	   *upper = pstrdup(code);

	for (char *p = upper; *p != '\0'; p++)
		*p = pg_ascii_toupper((unsigned char) *p);
	if (ec_currency_digits(upper) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("currency \"%s\" does not exist", code),
				 errhint("Currencies are codes of ISO 4217, such as EUR.")));
	return upper;
}

/*
 * The code in capitals, as role price has it: a shop may have money of its own.
 */
char *
ec_currency_or_own(const char *code)
{
	char	   *upper = pstrdup(code);

	for (char *p = upper; *p != '\0'; p++)
		*p = pg_ascii_toupper((unsigned char) *p);
	return upper;
}

/*
 * ecauto.price_currency(currency text) returns text
 */
Datum
ecauto_price_currency(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ec_currency_check(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}
