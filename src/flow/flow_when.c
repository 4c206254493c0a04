/*-------------------------------------------------------------------------
 *
 * flow_when.c
 *		Durations, times of day, and moments that come again.
 *
 * All local times are those of ecauto.timezone (the server's zone if that is
 * empty).  A schedule names local minutes.  On the day on which clocks go
 * forward a local minute may not exist: then the moment is as many minutes
 * after the gap's start as it would have been (02:30 becomes 03:30), which is
 * what the server makes of such a time.  On the day on which they go back it
 * exists twice: then it counts once, the second time.  So every local minute
 * of a schedule happens exactly once.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "flow/flow.h"

/* a schedule that names 29 February or 31 of a month comes round in less */
#define DAYS_AHEAD (366 * 9)

static const char *const day_names[] = {
	"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"
};

/* ---- zone ---- */

pg_tz *
ec_flow_zone(void)
{
	pg_tz	   *zone = NULL;

	if (ec_guc_timezone != NULL && *ec_guc_timezone != '\0')
		zone = pg_tzset(ec_guc_timezone);
	if (zone == NULL)
	{
		const char *reset = GetConfigOptionResetString("timezone");

		zone = reset ? pg_tzset(reset) : NULL;
	}
	return zone != NULL ? zone : session_timezone;
}

/* The shop's local time of an instant. */
Timestamp
ec_flow_to_local(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	Timestamp	local;

	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, ec_flow_zone()) != 0 ||
		tm2timestamp(&tm, fsec, NULL, &local) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return local;
}

/* The instant of a local time; see the top of the file for those that are none or two. */
TimestampTz
ec_flow_from_local(Timestamp local)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	TimestampTz at;

	if (timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	tz = DetermineTimeZoneOffset(&tm, ec_flow_zone());
	if (tm2timestamp(&tm, fsec, &tz, &at) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return at;
}

/* ---- durations ---- */

/*
 * A duration such as "23 hours" or "3 days": longer than nothing, at most
 * EC_FLOW_WAIT_DAYS.  what names it in errors.
 */
Interval *
ec_flow_duration(const EcFlowNode *node, const char *what)
{
	static const char hint[] = "Write it like \"90 minutes\", \"23 hours\" or \"3 days\".";
	char	   *text = ec_flow_node_string(node, what);
	MemoryContext context = CurrentMemoryContext;
	Interval   *volatile span = NULL;
	double		days;

	PG_TRY();
	{
		span = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		/* an input function: nothing to clean up but the error */
		MemoryContextSwitchTo(context);
		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	/* a bare number would be seconds, which nobody means */
	if (span == NULL || strspn(text, "0123456789. ") == strlen(text))
		ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
					  psprintf("%s \"%s\" is no duration", what, text), hint);

	days = span->month * 30.5 + span->day + (double) span->time / USECS_PER_DAY;
	if (days <= 0 || span->month < 0 || span->day < 0 || span->time < 0)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must be longer than nothing, not \"%s\"", what, text), hint);
	if (days > EC_FLOW_WAIT_DAYS)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("%s must not be longer than a year, as \"%s\" is", what, text),
					  "What comes round once a year is better started by the trigger \"date\" or \"schedule\".");
	return span;
}

/* ---- schedules ---- */

static bool
time_of_day(const char *text, int *hour, int *minute)
{
	const char *p = text;

	if (strlen(text) != 5 || text[2] != ':')
		return false;
	for (; *p != '\0'; p++)
		if (p - text != 2 && (*p < '0' || *p > '9'))
			return false;
	*hour = (text[0] - '0') * 10 + text[1] - '0';
	*minute = (text[3] - '0') * 10 + text[4] - '0';
	return *hour < 24 && *minute < 60;
}

static void
schedule_at(EcFlowSchedule *schedule, int hour, int minute)
{
	memset(schedule, 0, sizeof(EcFlowSchedule));
	schedule->minutes = UINT64CONST(1) << minute;
	schedule->hours = 1U << hour;
	schedule->days = 0xfffffffe;
	schedule->months = 0x1ffe;
	schedule->weekdays = 0x7f;
}

/* "09:00": every day at that time. */
void
ec_flow_schedule_time(const EcFlowNode *node, const char *what, EcFlowSchedule *schedule)
{
	char	   *text = ec_flow_node_string(node, what);
	int			hour;
	int			minute;

	if (!time_of_day(text, &hour, &minute))
		ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
					  psprintf("%s \"%s\" is no time of day", what, text),
					  "Write it with two digits each, from 00:00 to 23:59, such as \"09:00\".");
	schedule_at(schedule, hour, minute);
}

/* The two words of "monday 09:00". */
static char *
word_and_time(const EcFlowNode *node, const char *what, const char *hint, int *hour, int *minute)
{
	char	   *text = ec_flow_node_string(node, what);
	char	   *space = strrchr(text, ' ');

	if (space == NULL || !time_of_day(space + 1, hour, minute))
		ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
					  psprintf("%s \"%s\" is not understood", what, text), hint);
	*space = '\0';
	return text;
}

/* "monday 09:00", "monday,thursday 09:00" */
void
ec_flow_schedule_weekly(const EcFlowNode *node, EcFlowSchedule *schedule)
{
	static const char hint[] = "Write days of the week and a time, such as \"monday 09:00\" or \"monday,thursday 09:00\".";
	int			hour;
	int			minute;
	uint32		weekdays = 0;
	char	   *days = word_and_time(node, "weekly", hint, &hour, &minute);
	char	   *save = NULL;

	for (char *day = strtok_r(days, ", ", &save); day != NULL; day = strtok_r(NULL, ", ", &save))
	{
		int			i;

		for (i = 0; i < 7; i++)
			if (pg_strcasecmp(day, day_names[i]) == 0)
				break;
		if (i == 7)
			ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
						  psprintf("\"%s\" is no day of the week", day), hint);
		weekdays |= 1U << i;
	}
	schedule_at(schedule, hour, minute);
	schedule->weekdays = weekdays;
}

/* "1 09:00", "last 09:00" */
void
ec_flow_schedule_monthly(const EcFlowNode *node, EcFlowSchedule *schedule)
{
	static const char hint[] = "Write a day of the month or \"last\", and a time, such as \"1 09:00\" or \"last 18:00\".";
	int			hour;
	int			minute;
	char	   *day = word_and_time(node, "monthly", hint, &hour, &minute);
	char	   *end;
	long		number = strtol(day, &end, 10);

	if (strcmp(day, "last") == 0)
		number = 0;
	else if (end == day || *end != '\0' || number < 1 || number > 31)
		ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
					  psprintf("\"%s\" is no day of the month", day), hint);
	schedule_at(schedule, hour, minute);
	schedule->days = 1U << number;
}

/*
 * One field of a cron line: a star, or numbers and ranges joined by commas,
 * each perhaps with a step: "1-5", "* / 15" without the blanks.
 */
static uint64
cron_field(const EcFlowNode *node, const char *field, const char *what, int least, int most)
{
	uint64		bits = 0;
	char	   *copy = pstrdup(field);
	char	   *save = NULL;

	for (char *part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save))
	{
		char	   *end = part;
		long		from = least;
		long		to = most;
		long		step = 1;

		if (*part == '*')
			end = part + 1;
		else
		{
			from = to = strtol(part, &end, 10);
			if (end == part)
				from = -1;
			if (*end == '-')
				to = strtol(end + 1, &end, 10);
			else if (*end == '/')
				to = most;
		}
		if (*end == '/')
			step = strtol(end + 1, &end, 10);
		if (*end != '\0' || from < least || to > most || from > to || step < 1)
			ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
						  psprintf("\"%s\" is no %s of a cron line", field, what),
						  psprintf("It is *, or numbers from %d to %d, ranges and steps, such as 1-5 or */2.", least, most));
		for (long i = from; i <= to; i += step)
			bits |= UINT64CONST(1) << i;
	}
	return bits;
}

/*
 * A line of cron: minute, hour, day of month, month, day of week (0 and 7 are
 * Sunday).  If both days are given, either will do, as cron has it.
 */
void
ec_flow_schedule_cron(const EcFlowNode *node, EcFlowSchedule *schedule)
{
	char	   *text = ec_flow_node_string(node, "cron");
	char	   *fields[5];
	char	   *save = NULL;
	int			n = 0;
	uint64		weekdays;

	for (char *field = strtok_r(pstrdup(text), " \t", &save); field != NULL; field = strtok_r(NULL, " \t", &save))
	{
		if (n < 5)
			fields[n] = field;
		n++;
	}
	if (n != 5)
		ec_flow_error(ERRCODE_INVALID_DATETIME_FORMAT, node->path,
					  psprintf("cron line \"%s\" has %d fields, not five", text, n),
					  "They are minute, hour, day of month, month, day of week, such as \"30 2 * * *\".");
	memset(schedule, 0, sizeof(EcFlowSchedule));
	schedule->minutes = cron_field(node, fields[0], "minute", 0, 59);
	schedule->hours = (uint32) cron_field(node, fields[1], "hour", 0, 23);
	schedule->days = (uint32) cron_field(node, fields[2], "day of month", 1, 31);
	schedule->months = (uint32) cron_field(node, fields[3], "month", 1, 12);
	weekdays = cron_field(node, fields[4], "day of week", 0, 7);
	schedule->weekdays = (uint32) ((weekdays | weekdays >> 7) & 0x7f);
	schedule->either_day = fields[2][0] != '*' && fields[4][0] != '*';
	if (ec_flow_schedule_next(schedule, 0, NULL) == DT_NOEND)
		ec_flow_error(ERRCODE_INVALID_PARAMETER_VALUE, node->path,
					  psprintf("cron line \"%s\" never comes", text),
					  "There is no such day, as 30 February is none.");
}

static bool
day_fits(const EcFlowSchedule *schedule, int year, int month, int day, int julian)
{
	bool		last = day == day_tab[isleap(year)][month - 1];
	bool		of_month = (schedule->days & (1U << day)) != 0 || (last && (schedule->days & 1) != 0);
	bool		of_week = (schedule->weekdays & (1U << j2day(julian))) != 0;

	if ((schedule->months & (1U << month)) == 0)
		return false;
	return schedule->either_day ? of_month || of_week : of_month && of_week;
}

/*
 * The first moment of a schedule later than after, and which local time it is
 * (local may be NULL); DT_NOEND if there is none within some years.
 *
 * A local time is not after another if its moment is not, so the search goes
 * by local days and minutes, from the day before since offsets change.
 */
TimestampTz
ec_flow_schedule_next(const EcFlowSchedule *schedule, TimestampTz after, Timestamp *local)
{
	Timestamp	start = ec_flow_to_local(after);
	int			julian = (int) (start / USECS_PER_DAY) + POSTGRES_EPOCH_JDATE - 2;

	for (int i = 0; i < DAYS_AHEAD; i++, julian++)
	{
		int			year;
		int			month;
		int			day;

		j2date(julian, &year, &month, &day);
		if (!day_fits(schedule, year, month, day, julian))
			continue;
		for (int hour = 0; hour < 24; hour++)
		{
			if ((schedule->hours & (1U << hour)) == 0)
				continue;
			for (int minute = 0; minute < 60; minute++)
			{
				Timestamp	candidate;
				TimestampTz at;

				if ((schedule->minutes & (UINT64CONST(1) << minute)) == 0)
					continue;
				candidate = (Timestamp) (julian - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
					(hour * INT64CONST(60) + minute) * USECS_PER_MINUTE;
				/* days ago: no need to ask for the offset */
				if (candidate < start - USECS_PER_DAY)
					continue;
				at = ec_flow_from_local(candidate);
				if (at > after)
				{
					if (local != NULL)
						*local = candidate;
					return at;
				}
			}
		}
	}
	return DT_NOEND;
}
