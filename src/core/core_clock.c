/*-------------------------------------------------------------------------
 *
 * core_clock.c
 *		The one clock: ecauto.now(), and the setting ecauto.clock that
 *		replaces it.
 *
 * Everything that decides by time asks ec_now(), so that a back-off of an
 * hour or a birthday in three years can be tested in a millisecond.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(ecauto_now);

/* what ecauto.clock says; valid if clock_set */
static TimestampTz clock_value;
static bool clock_set = false;

/*
 * The time that ecauto takes for now: the setting if there is one, else the
 * start of the current statement, so that a set-wise statement sees one
 * instant and a long transaction does not live in the past.
 */
TimestampTz
ec_now(void)
{
	return clock_set ? clock_value : GetCurrentStatementStartTimestamp();
}

/*
 * GUC check_hook: parse without raising, since a bad value in a
 * configuration file must not stop the server.  The result goes to
 * ec_clock_assign() in *extra.
 *
 * Words that need the current transaction's time ("now", "today") are
 * refused: a clock that is set to "now" would stand still without showing it.
 */
bool
ec_clock_check(char **newval, void **extra, GucSource source)
{
	TimestampTz value;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			dtype;
	int			nf;
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		workbuf[MAXDATELEN + MAXDATEFIELDS];
	TimestampTz *result;

	if (*newval == NULL || **newval == '\0')
		return true;

	if (ParseDateTime(*newval, workbuf, sizeof(workbuf), field, ftype,
					  MAXDATEFIELDS, &nf) != 0 ||
		ec_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) != 0)
	{
		GUC_check_errdetail("\"%s\" is not a timestamp.", *newval);
		return false;
	}
	if (dtype != DTK_DATE || tm2timestamp(&tm, fsec, &tz, &value) != 0)
	{
		GUC_check_errdetail("\"%s\" is not a point in time.", *newval);
		GUC_check_errhint("Give a full timestamp, such as 2026-03-29 02:30:00+01.");
		return false;
	}
	for (int i = 0; i < nf; i++)
	{
		if (ftype[i] == DTK_SPECIAL || strcmp(field[i], "now") == 0 ||
			strcmp(field[i], "today") == 0 || strcmp(field[i], "tomorrow") == 0 ||
			strcmp(field[i], "yesterday") == 0)
		{
			GUC_check_errdetail("\"%s\" moves with the system's clock.", *newval);
			GUC_check_errhint("Give a full timestamp, such as 2026-03-29 02:30:00+01.");
			return false;
		}
	}

	result = ec_guc_malloc(sizeof(TimestampTz));
	if (result == NULL)
		return false;
	*result = value;
	*extra = result;
	return true;
}

void
ec_clock_assign(const char *newval, void *extra)
{
	clock_set = (extra != NULL);
	if (clock_set)
		clock_value = *(TimestampTz *) extra;
}

/*
 * ecauto.now() returns timestamptz
 */
Datum
ecauto_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(ec_now());
}
