/*-------------------------------------------------------------------------
 *
 * campaign_limit.c
 *		Frequency caps and quiet hours: when may the next mail go?
 *
 * A cap says how many mails a contact gets within a length of time that ends
 * now, whatever the day: "one a day" is one within any 24 hours.  Quiet hours
 * are by the clock on the customer's wall, so that a night that daylight
 * saving shortens ends at the same hour.
 *
 * But for ec_limits_load() these are pure functions.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "campaign/campaign.h"

static const char *const caps_sql =
	"SELECT c.most, c.purpose::text, (extract(epoch FROM c.per) * 1000000)::bigint "
	"FROM ecauto_data.frequency_cap c ORDER BY c.name";
static const char *const quiet_sql =
	"SELECT q.starts, q.ends FROM ecauto_data.quiet_hours q";

/*
 * Caps and quiet hours as they are now, in the current context.  Connects to
 * SPI.
 */
EcLimits *
ec_limits_load(void)
{
	EcLimits   *limits = palloc0(sizeof(EcLimits));
	bool		isnull;
	EcAs		as;

	ec_outbox_open(&as);
	limits->ncaps = (int) ec_outbox_execute(caps_sql, 0, NULL, NULL, NULL);
	if (limits->ncaps > 0)
		limits->caps = SPI_palloc(sizeof(EcCap) * limits->ncaps);
	for (int i = 0; i < limits->ncaps; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *purpose = SPI_getvalue(tuple, desc, 2);
		EcCap	   *cap = &limits->caps[i];

		cap->most = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		cap->per = DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
		cap->purpose = NULL;
		if (purpose != NULL)
			cap->purpose = strcpy(SPI_palloc(strlen(purpose) + 1), purpose);
		limits->longest = Max(limits->longest, cap->per);
	}
	if (ec_outbox_execute(quiet_sql, 0, NULL, NULL, NULL) > 0)
	{
		limits->quiet = true;
		limits->starts = DatumGetTimeADT(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		limits->ends = DatumGetTimeADT(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	}
	ec_outbox_close(&as);
	return limits;
}

static bool
cap_counts(const EcCap *cap, const char *purpose)
{
	return cap->purpose == NULL || strcmp(cap->purpose, purpose) == 0;
}

/* Does any cap count mails of that purpose? */
bool
ec_limits_capped(const EcLimits *limits, const char *purpose)
{
	for (int i = 0; i < limits->ncaps; i++)
		if (cap_counts(&limits->caps[i], purpose))
			return true;
	return false;
}

/*
 * When the caps let a mail of that purpose go: at, or the first instant later.
 * sent: mails that went, ascending by time.
 */
TimestampTz
ec_limits_free_at(const EcLimits *limits, const char *purpose, const EcSent *sent, int nsent, TimestampTz at)
{
	TimestampTz free_at = at;

	for (int i = 0; i < limits->ncaps; i++)
	{
		const EcCap *cap = &limits->caps[i];
		int			counted = 0;

		if (!cap_counts(cap, purpose))
			continue;
		/* backwards: the most-th last one must have left the window */
		for (int j = nsent - 1; j >= 0; j--)
		{
			if (!cap_counts(cap, sent[j].purpose) || ++counted < cap->most)
				continue;
			free_at = Max(free_at, sent[j].at + cap->per);
			break;
		}
	}
	return free_at;
}

/*
 * The zone of a customer: his own if the server knows it, else the shop's.
 */
static pg_tz *
zone_of(const char *name)
{
	pg_tz	   *zone = name != NULL && *name != '\0' ? pg_tzset(name) : NULL;

	if (zone == NULL && ec_guc_timezone != NULL && *ec_guc_timezone != '\0')
		zone = pg_tzset(ec_guc_timezone);
	return zone ? zone : session_timezone;
}

/*
 * When quiet hours are over where the clock is that of a zone (NULL: the
 * shop's): at if they are not on, else the first instant later.
 *
 * An end that the clock skips is the instant at which it does; of one that it
 * shows twice the second counts.
 */
TimestampTz
ec_limits_loud_at(const EcLimits *limits, const char *zone_name, TimestampTz at)
{
	pg_tz	   *zone;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	TimeADT		clock;
	bool		over_midnight = limits->starts > limits->ends;
	TimestampTz loud;

	if (!limits->quiet)
		return at;
	zone = zone_of(zone_name);
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) != 0)
		return at;
	clock = ((tm.tm_hour * INT64CONST(60) + tm.tm_min) * 60 + tm.tm_sec) * USECS_PER_SEC + fsec;
	if (over_midnight ? (clock < limits->starts && clock >= limits->ends)
		: (clock < limits->starts || clock >= limits->ends))
		return at;

	if (over_midnight && clock >= limits->starts)
		j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	dt2time(limits->ends, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &fsec);
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, fsec, &tz, &loud) != 0)
		return at;
	/* the clock was set back meanwhile: look again when it has caught up */
	return loud > at ? loud : at + USECS_PER_MINUTE;
}
