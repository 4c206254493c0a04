/*-------------------------------------------------------------------------
 *
 * core_settings.c
 *		Every setting of ecauto, in alphabetical order.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <limits.h>

#include "miscadmin.h"
#include "pgtime.h"
#include "utils/guc.h"

#include "core/core.h"

char	   *ec_guc_databases;
char	   *ec_guc_clock;
int			ec_guc_history_keep;
char	   *ec_guc_mail_endpoint;
char	   *ec_guc_manager_mail;
int			ec_guc_max_payload;
int			ec_guc_settle_time;
char	   *ec_guc_timezone;
char	   *ec_guc_unsubscribe_url;
int			ec_guc_worker_naptime;

/* GUC check_hook: the name of a time zone the server knows, or nothing. */
static bool
timezone_check(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
		return true;
	if (pg_tzset(*newval) == NULL)
	{
		GUC_check_errdetail("Time zone \"%s\" is not known.", *newval);
		GUC_check_errhint("See the view pg_timezone_names.");
		return false;
	}
	return true;
}

/*
 * GUC check_hook: the beginning of a web address, or nothing.  It goes into
 * the header of mails.
 */
static bool
web_address_check(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
		return true;
	if (strncmp(*newval, "https://", 8) != 0 && strncmp(*newval, "http://", 7) != 0)
	{
		GUC_check_errdetail("\"%s\" does not begin with https://.", *newval);
		return false;
	}
	for (const char *p = *newval; *p; p++)
		if (*p <= ' ' || *p >= 0x7F || strchr("<>\"\\^`{|}", *p) != NULL)
		{
			GUC_check_errdetail("There is a character at byte %d that a URI cannot hold.",
								(int) (p - *newval) + 1);
			return false;
		}
	if (strlen(*newval) > 800)
	{
		GUC_check_errdetail("It has more than 800 bytes.");
		return false;
	}
	return true;
}

void
ec_settings_init(void)
{
	DefineCustomStringVariable("ecauto.clock",
							   "Sets the time that ecauto takes for now.",
							   "A timestamp with time zone; empty for the system's clock. "
							   "For tests, back-tests and rehearsals.",
							   &ec_guc_clock,
							   "",
							   PGC_SUSET, 0,
							   ec_clock_check, ec_clock_assign, NULL);

	DefineCustomStringVariable("ecauto.databases",
							   "Lists the databases that get background workers.",
							   "Names separated by commas. Needs ecauto in shared_preload_libraries.",
							   &ec_guc_databases,
							   "",
							   PGC_SIGHUP, GUC_LIST_INPUT,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("ecauto.history_keep",
							"Sets for how many days finished messages are kept.",
							"Whole weeks are dropped. Keys of messages are known as long.",
							&ec_guc_history_keep,
							60, 1, 36500,
							PGC_SIGHUP, 0,
							NULL, NULL, NULL);

	DefineCustomStringVariable("ecauto.mail_endpoint",
							   "Sets the foreign server through which mail leaves.",
							   NULL,
							   &ec_guc_mail_endpoint,
							   "mail",
							   PGC_SUSET, 0,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("ecauto.manager_mail",
							   "Sets the address that gets notices meant for the shop's staff.",
							   NULL,
							   &ec_guc_manager_mail,
							   "",
							   PGC_SUSET, 0,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("ecauto.max_payload",
							"Sets the largest payload that a message may carry.",
							NULL,
							&ec_guc_max_payload,
							1024, 1, 256 * 1024,
							PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("ecauto.settle_time",
							"Sets how long a noted key rests before its state is read.",
							"Shops that place one order in several transactions need a moment.",
							&ec_guc_settle_time,
							2000, 0, 3600 * 1000,
							PGC_SUSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomStringVariable("ecauto.timezone",
							   "Sets the time zone in which the shop keeps its days.",
							   "Empty for the server's time zone.",
							   &ec_guc_timezone,
							   "",
							   PGC_SUSET, 0,
							   timezone_check, NULL, NULL);

	DefineCustomStringVariable("ecauto.unsubscribe_url",
							   "Sets the web address that unsubscribes, up to the token.",
							   "Such as https://shop.example/unsubscribe?token= ; a POST there must "
							   "unsubscribe whom the token is for. Empty: mails have no such link.",
							   &ec_guc_unsubscribe_url,
							   "",
							   PGC_SUSET, 0,
							   web_address_check, NULL, NULL);

	DefineCustomIntVariable("ecauto.worker_naptime",
							"Sets the longest time a background worker sleeps without being woken.",
							"Commits wake it at once; this catches what commits elsewhere, "
							"such as a prepared transaction.",
							&ec_guc_worker_naptime,
							10000, 10, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	MarkGUCPrefixReserved("ecauto");
}
