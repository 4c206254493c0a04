/*-------------------------------------------------------------------------
 *
 * pricing_coupon_code.c
 *		The form of coupon codes, and who counts as one customer.
 *
 * Knows no SPI, no clock and no settings.
 *
 * A generated code is a prefix, random letters and one check letter.  The
 * alphabet has 31 letters: digits and capitals without 0, 1, I, L and O, which
 * people take for one another.  The random ones come from the server's strong
 * source, each with 31 equally likely values.
 *
 * 31 being a prime, the check letter (weighted sum modulo 31, weights 1, 2, ...
 * counted from the right) tells every single wrong letter and every swap of two
 * letters, neighbours or not: a swap changes the sum by the product of the
 * difference of the letters and that of their weights, and neither is divisible
 * by 31 as long as codes have at most 30 letters.  (The idea of the ISBN-10,
 * ISO 2108.)  A prefix counts, too: its letters are taken modulo 31.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "pricing/pricing_cart.h"

static const char letters[] = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";

#define NLETTERS 31

/*
 * The one form of a code: capitals, without anything that is no letter or
 * digit, so spaces, hyphens and small letters do not matter.  Letters outside
 * of ASCII stay as they are.
 */
char *
ec_coupon_normalize(const char *given)
{
	char	   *result = palloc(strlen(given) + 1);
	char	   *p = result;

	for (; *given != '\0'; given++)
	{
		unsigned char c = (unsigned char) *given;

		if (c >= 'a' && c <= 'z')
			*p++ = c - 'a' + 'A';
		else if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			*p++ = c;
		else if (c >= 0x80)
		{
			int			len = pg_mblen(given);

			/* no-break space and the dashes that word processors put in */
			if (!(len == 2 && memcmp(given, "\xC2\xA0", 2) == 0) &&
				!(len == 3 && memcmp(given, "\xE2\x80", 2) == 0))
			{
				memcpy(p, given, len);
				p += len;
			}
			given += len - 1;
		}
	}
	*p = '\0';
	return result;
}

static int
letter_value(char c)
{
	const char *found = strchr(letters, c);

	return found != NULL ? (int) (found - letters) : (unsigned char) c % NLETTERS;
}

/* The check letter of len letters. */
static char
check_letter(const char *code, int len)
{
	int			sum = 0;

	for (int i = 0; i < len; i++)
		sum += (len - i + 1) * letter_value(code[i]);
	/* the check letter itself has weight 1 */
	return letters[(NLETTERS - sum % NLETTERS) % NLETTERS];
}

/*
 * A new code: prefix, length - 1 random letters, and the check letter.
 * Errors: internal_error if there are no random numbers.
 */
char *
ec_coupon_make(const char *prefix, int length)
{
	static unsigned char pool[4096];
	static int	used = sizeof(pool);
	int			prefix_len = strlen(prefix);
	char	   *code = palloc(prefix_len + length + 1);
	int			n = prefix_len;

	memcpy(code, prefix, prefix_len);
	while (n < prefix_len + length - 1)
	{
		int			value;

		if (used == sizeof(pool))
		{
			if (!pg_strong_random(pool, sizeof(pool)))
				ereport(ERROR,
						(errcode(ERRCODE_INTERNAL_ERROR),
						 errmsg("could not generate random numbers for coupon codes")));
			used = 0;
		}
		value = pool[used] & 31;
		/* what was used must not be found in memory later */
		pool[used++] = 0;
		/* 31 is drawn again, so that all others are equally likely */
		if (value < NLETTERS)
			code[n++] = letters[value];
	}
	code[n] = check_letter(code, n);
	code[n + 1] = '\0';
	return code;
}

/* Is the last letter of a code the right one? */
bool
ec_coupon_checks(const char *code)
{
	int			len = strlen(code);

	return len >= 2 && check_letter(code, len - 1) == code[len - 1];
}

/* A code as people read it: prefix and groups of four letters. */
char *
ec_coupon_show(const char *code, int prefix_len)
{
	int			len = strlen(code);
	char	   *result = palloc(2 * len + 2);
	char	   *p = result;

	memcpy(p, code, prefix_len);
	p += prefix_len;
	for (int i = prefix_len; i < len; i++)
	{
		if ((i > prefix_len || prefix_len > 0) && (i - prefix_len) % 4 == 0)
			*p++ = '-';
		*p++ = code[i];
	}
	*p = '\0';
	return result;
}

/*
 * Who counts as one customer: a mail address without its tag ("+...") and
 * in small letters; a key as it is.  White space around does not count.
 */
char *
ec_customer_identity(const char *customer)
{
	int			len = strlen(customer);
	char	   *at;
	char	   *plus;
	char	   *result;

	while (len > 0 && (unsigned char) customer[len - 1] <= ' ')
		len--;
	while (len > 0 && (unsigned char) *customer <= ' ')
	{
		customer++;
		len--;
	}
	result = pnstrdup(customer, len);
	at = strrchr(result, '@');
	if (at == NULL)
		return result;
	result = str_tolower(result, len, DEFAULT_COLLATION_OID);
	at = strrchr(result, '@');
	plus = strchr(result, '+');
	if (plus != NULL && plus > result && plus < at)
		memmove(plus, at, strlen(at) + 1);
	return result;
}
