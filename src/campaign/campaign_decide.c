/*-------------------------------------------------------------------------
 *
 * campaign_decide.c
 *		The tick's phase that decides about mails that wait.
 *
 * A mail that a cap counts is never sent by who asks for it: it waits in
 * ecauto_data.campaign_mail, and the next tick looks at all mails that are due
 * for a contact together.  So the one that matters most takes the place that
 * a cap leaves, whichever came first; and as ticks exclude each other, a cap
 * holds however many sessions send.  For each mail, the most important first:
 *
 *		deadline over				expired
 *		no consent, suppressed		skipped
 *		in the campaign's holdout	skipped
 *		quiet hours, no room		looked at again when that ends, or at the deadline
 *		else						rendered, and into the outbox
 *
 * Some statements for all contacts of a round, whatever their number.  The
 * contacts are locked before anything is read of them; one that somebody else
 * holds is left to the next tick, which his commit may have told to stop.
 *
 * Rendering and enqueueing happen as the role that asked for the mail, all
 * of a round in one subtransaction; if one fails, each in its own.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "campaign/campaign.h"
#include "shop/shop.h"

#define ROUND_MOST	10000		/* mails that bring their contacts into a round */
#define LOCKED_WAIT USECS_PER_SEC	/* until a contact that was locked is looked at again */
#define ERROR_WAIT	(5 * USECS_PER_MINUTE)

static const char *const next_sql =
	"SELECT min(m.decide_at) FROM ecauto_data.campaign_mail m WHERE m.state = 'waiting'";

static const char *const contacts_sql =
	"SELECT c.contact_id, c.address FROM ecauto_data.contact c "
	"WHERE c.contact_id = ANY (ARRAY(SELECT DISTINCT d.contact_id FROM ("
	"SELECT m.contact_id FROM ecauto_data.campaign_mail m WHERE m.state = 'waiting' AND m.decide_at <= $1 "
	"ORDER BY m.decide_at LIMIT $2) d)) "
	"ORDER BY c.contact_id FOR UPDATE SKIP LOCKED";

static const char *const mails_sql =
	"SELECT m.mail_id, m.contact_id, m.deadline, m.purpose::text, m.template::text, m.locale::text, m.tz::text, "
	"m.key::text, m.recipient, m.sender, m.reason::text, m.arm = 'holdout', m.data, m.campaign IS NOT NULL "
	"FROM ecauto_data.campaign_mail m WHERE m.contact_id = ANY ($1) AND m.decided_at IS NULL "
	"AND m.state = 'waiting' AND m.decide_at <= $2 ORDER BY m.contact_id, m.priority DESC, m.mail_id";

static const char *const sent_sql =
	"SELECT m.contact_id, m.decided_at, m.purpose::text FROM ecauto_data.campaign_mail m "
	"WHERE m.contact_id = ANY ($1) AND m.decided_at > $2 AND m.state = 'sent' ORDER BY m.contact_id, m.decided_at";

static const char *const write_sql =
	"UPDATE ecauto_data.campaign_mail m SET state = r.state, reason = r.reason, decide_at = r.decide_at, "
	"decided_at = CASE WHEN r.state <> 'waiting' THEN $6 END, message_id = r.message_id, "
	"detail = CASE WHEN r.detail IS NULL THEN m.detail ELSE coalesce(m.detail, '{}') "
	"|| pg_catalog.jsonb_build_object('text', r.detail) END, "
	"data = CASE WHEN r.state = 'waiting' THEN m.data END, "
	"recipient = CASE WHEN r.state = 'waiting' THEN m.recipient END "
	"FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), "
	"pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($7)) "
	"AS r(mail_id, state, reason, decide_at, message_id, detail) "
	"WHERE m.mail_id = r.mail_id";

/* A mail that waits, and what was decided about it. */
typedef struct Mail
{
	int64		id;
	int64		contact;
	char	   *address;		/* NULL: erased */
	TimestampTz deadline;
	char	   *purpose;
	char	   *template;
	char	   *locale;
	char	   *tz;
	char	   *key;
	char	   *recipient;		/* NULL: the address */
	char	   *sender;
	char	   *waited_for;
	bool		holdout;
	bool		campaign;
	Jsonb	   *data;
	EcVerdict	verdict;
	/* decided */
	const char *state;
	const char *reason;
	TimestampTz decide_at;
	int64		message;
	char	   *detail;
} Mail;

typedef struct Round
{
	TimestampTz at;
	EcLimits   *limits;
	Mail	   *mails;			/* of one contact side by side, the most important first */
	int			nmails;
	EcSent	   *sent;			/* of all contacts, by contact and time */
	int64	   *sent_to;		/* contact of each */
	int			nsent;
	int			one;			/* send_one(): which */
	MemoryContext context;
} Round;

/* ---- reading ---- */

static int
contact_find(const int64 *contacts, int n, int64 id)
{
	int			low = 0;

	while (low < n)
	{
		int			middle = low + (n - low) / 2;

		if (contacts[middle] < id)
			low = middle + 1;
		else
			n = middle;
	}
	return contacts[low] == id ? low : -1;
}

static Datum
int8_array(const int64 *values, int n)
{
	Datum	   *datums = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
column(HeapTuple tuple, TupleDesc desc, int number)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

/*
 * Lock the contacts that have mails due and read those mails.  Connected to
 * SPI, as the owner of the state; everything is put into round->context.
 */
static void
round_read(Round *round)
{
	static const Oid contact_types[] = {TIMESTAMPTZOID, INT8OID};
	static const Oid types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[2] = {TimestampTzGetDatum(round->at), Int64GetDatum(ROUND_MOST)};
	MemoryContext before;
	int64	   *contacts;
	char	  **addresses;
	int			ncontacts = (int) ec_outbox_execute(contacts_sql, 2, contact_types, values, NULL);

	before = MemoryContextSwitchTo(round->context);
	contacts = palloc(sizeof(int64) * (ncontacts + 1));
	addresses = palloc(sizeof(char *) * (ncontacts + 1));
	for (int i = 0; i < ncontacts; i++)
	{
		contacts[i] = DatumGetInt64(column(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		addresses[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
	}
	if (ncontacts == 0)
	{
		MemoryContextSwitchTo(before);
		return;
	}
	values[0] = int8_array(contacts, ncontacts);

	values[1] = TimestampTzGetDatum(round->at);
	round->nmails = (int) ec_outbox_execute(mails_sql, 2, types, values, NULL);
	round->mails = palloc_extended(sizeof(Mail) * (round->nmails + 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < round->nmails; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Mail	   *mail = &round->mails[i];
		Datum		data = column(tuple, desc, 13);

		mail->id = DatumGetInt64(column(tuple, desc, 1));
		mail->contact = DatumGetInt64(column(tuple, desc, 2));
		mail->address = addresses[contact_find(contacts, ncontacts, mail->contact)];
		mail->deadline = DatumGetTimestampTz(column(tuple, desc, 3));
		mail->purpose = SPI_getvalue(tuple, desc, 4);
		mail->template = SPI_getvalue(tuple, desc, 5);
		mail->locale = SPI_getvalue(tuple, desc, 6);
		mail->tz = SPI_getvalue(tuple, desc, 7);
		mail->key = SPI_getvalue(tuple, desc, 8);
		mail->recipient = SPI_getvalue(tuple, desc, 9);
		mail->sender = SPI_getvalue(tuple, desc, 10);
		mail->waited_for = SPI_getvalue(tuple, desc, 11);
		mail->holdout = DatumGetBool(column(tuple, desc, 12));
		mail->data = data ? DatumGetJsonbPCopy(data) : NULL;
		mail->campaign = DatumGetBool(column(tuple, desc, 14));
	}
	SPI_freetuptable(SPI_tuptable);

	if (round->limits->ncaps > 0)
	{
		values[1] = TimestampTzGetDatum(round->at - round->limits->longest);
		round->nsent = (int) ec_outbox_execute(sent_sql, 2, types, values, NULL);
		round->sent = palloc_extended(sizeof(EcSent) * (round->nsent + 1), MCXT_ALLOC_HUGE);
		round->sent_to = palloc_extended(sizeof(int64) * (round->nsent + 1), MCXT_ALLOC_HUGE);
		for (int i = 0; i < round->nsent; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;

			round->sent_to[i] = DatumGetInt64(column(tuple, desc, 1));
			round->sent[i].at = DatumGetTimestampTz(column(tuple, desc, 2));
			round->sent[i].purpose = SPI_getvalue(tuple, desc, 3);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextSwitchTo(before);
}

/* Ask about the consent of all of a round, a statement for each purpose. */
static void
round_ask(Round *round)
{
	char	  **addresses = palloc(sizeof(char *) * (round->nmails + 1));
	int		   *places = palloc(sizeof(int) * (round->nmails + 1));
	EcVerdict  *verdicts = palloc(sizeof(EcVerdict) * (round->nmails + 1));
	bool	   *asked = palloc0(sizeof(bool) * (round->nmails + 1));

	for (int i = 0; i < round->nmails; i++)
	{
		int			n = 0;

		if (asked[i])
			continue;
		for (int j = i; j < round->nmails; j++)
		{
			Mail	   *mail = &round->mails[j];

			if (asked[j] || strcmp(mail->purpose, round->mails[i].purpose) != 0)
				continue;
			asked[j] = true;
			mail->verdict = EC_SUPPRESSED;
			if (mail->address == NULL)
				continue;
			addresses[n] = mail->address;
			places[n++] = j;
		}
		ec_consent_check(addresses, n, EC_CHANNEL_EMAIL, round->mails[i].purpose, round->at, verdicts);
		while (n-- > 0)
			round->mails[places[n]].verdict = verdicts[n];
	}
}

/* ---- deciding ---- */

static void
decide(Mail *mail, const char *state, const char *reason)
{
	mail->state = state;
	mail->reason = reason;
}

static void
defer(Mail *mail, const char *reason, TimestampTz until)
{
	decide(mail, "waiting", reason);
	mail->decide_at = Min(until, mail->deadline);
}

/*
 * Decide about one mail.  sent has what went to the contact before, and room
 * for one more.
 */
static void
decide_mail(const Round *round, Mail *mail, EcSent *sent, int *nsent)
{
	TimestampTz until;

	mail->decide_at = round->at;
	if (mail->deadline <= round->at)
	{
		decide(mail, "expired", "expired");
		mail->detail = psprintf("waited for %s", mail->waited_for);
	}
	else if (mail->verdict != EC_MAY_SEND || mail->data == NULL)
		decide(mail, "skipped", mail->verdict == EC_NO_CONSENT ? "no_consent" : "suppressed");
	else if (mail->holdout)
		decide(mail, "skipped", "holdout");
	else if ((until = ec_limits_loud_at(round->limits, mail->tz, round->at)) > round->at)
		defer(mail, "quiet_hours", until);
	else if ((until = ec_limits_free_at(round->limits, mail->purpose, sent, *nsent, round->at)) > round->at)
		defer(mail, "cap", until);
	else
	{
		decide(mail, "sent", "sent");
		sent[*nsent].at = round->at;
		sent[(*nsent)++].purpose = mail->purpose;
	}
}

static void
round_decide(Round *round)
{
	EcSent	   *sent = NULL;
	int			nsent = 0;
	int			next = 0;		/* in round->sent */

	for (int i = 0; i < round->nmails; i++)
	{
		Mail	   *mail = &round->mails[i];

		CHECK_FOR_INTERRUPTS();
		if (i == 0 || mail->contact != mail[-1].contact)
		{
			int			more = 1;
			int			from;

			while (i + more < round->nmails && mail[more].contact == mail->contact)
				more++;
			while (next < round->nsent && round->sent_to[next] < mail->contact)
				next++;
			from = next;
			while (next < round->nsent && round->sent_to[next] == mail->contact)
				next++;
			nsent = next - from;
			sent = palloc(sizeof(EcSent) * (nsent + more));
			if (nsent > 0)
				memcpy(sent, &round->sent[from], sizeof(EcSent) * nsent);
		}
		decide_mail(round, mail, sent, &nsent);
	}
}

/* ---- sending ---- */

/*
 * Under what name a mail of the current user's waits: his own if the owner of
 * the state could act as he, else the owner's.
 */
char *
ec_campaign_sender(void)
{
	Oid			owner = ec_state_owner();

	return GetUserNameFromId(ec_may_become(owner, GetUserId()) ? GetUserId() : owner, false);
}

static void
send_mail(Round *round, Mail *mail)
{
	EcEnqueue	message = {0};
	EcAs		as;

	/* the owner of the state acts as himself without asking */
	ec_as_definer(&as, ec_shop_definer(mail->sender, "sending of mail"), "pg_catalog, pg_temp");
	message.endpoint = ec_guc_mail_endpoint;
	message.template = mail->template;
	message.purpose = mail->purpose;
	message.priority = -1;
	message.passed = true;
	message.key = mail->key;
	message.expires_at = mail->deadline;
	message.payload = ec_mail_payload(mail->recipient ? mail->recipient : mail->address, mail->template, mail->data,
									  mail->locale, ec_unsubscribe_url(mail->contact));
	mail->message = ec_enqueue(&message, NULL);
	ec_as_end(&as);
}

/* EcTryRun: all of a round */
static void
send_all(void *arg)
{
	Round	   *round = arg;
	MemoryContext garbage = AllocSetContextCreate(CurrentMemoryContext, "ecauto mail", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(garbage);

	for (int i = 0; i < round->nmails; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (strcmp(round->mails[i].state, "sent") != 0)
			continue;
		send_mail(round, &round->mails[i]);
		MemoryContextReset(garbage);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(garbage);
}

/* EcTryRun: one of them */
static void
send_one(void *arg)
{
	Round	   *round = arg;

	send_mail(round, &round->mails[round->one]);
}

/* Is an error the template's, or that of the way out? */
static bool
error_is_of_template(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
				error->sqlerrcode == ERRCODE_SYNTAX_ERROR ||
				(error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT && error->message &&
				 strncmp(error->message, "mail template", strlen("mail template")) == 0);
	}
}

static void
round_send(Round *round)
{
	ErrorData  *error = ec_try(send_all, round, false);

	if (error == NULL)
		return;
	FreeErrorData(error);
	for (round->one = 0; round->one < round->nmails; round->one++)
	{
		Mail	   *mail = &round->mails[round->one];

		if (strcmp(mail->state, "sent") != 0 || (error = ec_try(send_one, round, false)) == NULL)
			continue;
		mail->message = 0;
		mail->detail = error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message;
		if (error_is_of_template(error))
			decide(mail, "skipped", "template_error");
		else
			defer(mail, "error", round->at + ERROR_WAIT);
	}
}

/* ---- writing ---- */

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;

	if (type == TEXTOID)
		return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, sizeof(int64), FLOAT8PASSBYVAL,
											  TYPALIGN_DOUBLE));
}

/* Write down what was decided; returns how many mails went. */
static int64
round_write(const Round *round)
{
	static const Oid types[] = {
		INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID
	};
	int			n = round->nmails;
	Datum	   *columns[6];
	bool	   *no_message = palloc(sizeof(bool) * n);
	bool	   *no_detail = palloc(sizeof(bool) * n);
	Datum		values[7];
	int64		sent = 0;

	for (int i = 0; i < 6; i++)
		columns[i] = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
	{
		const Mail *mail = &round->mails[i];

		columns[0][i] = Int64GetDatum(mail->id);
		columns[1][i] = CStringGetTextDatum(mail->state);
		columns[2][i] = CStringGetTextDatum(mail->reason);
		columns[3][i] = TimestampTzGetDatum(mail->decide_at);
		no_message[i] = mail->message == 0;
		columns[4][i] = Int64GetDatum(mail->message);
		no_detail[i] = mail->detail == NULL;
		columns[5][i] = mail->detail ? CStringGetTextDatum(mail->detail) : (Datum) 0;
		sent += mail->message != 0;
	}
	values[0] = array_of(columns[0], NULL, n, INT8OID);
	values[1] = array_of(columns[1], NULL, n, TEXTOID);
	values[2] = array_of(columns[2], NULL, n, TEXTOID);
	values[3] = array_of(columns[3], NULL, n, TIMESTAMPTZOID);
	values[4] = array_of(columns[4], no_message, n, INT8OID);
	values[5] = TimestampTzGetDatum(round->at);
	values[6] = array_of(columns[5], no_detail, n, TEXTOID);
	(void) ec_outbox_execute(write_sql, 7, types, values, NULL);
	return sent;
}

/* When the next mail is to be looked at; DT_NOEND: never. */
static TimestampTz
next_due(void)
{
	bool		isnull;
	Datum		value;

	(void) ec_outbox_execute(next_sql, 0, NULL, NULL, NULL);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* What the tick's phase works on. */
typedef struct Phase
{
	EcTick	   *tick;
	int64		sent;
} Phase;

/* EcTryRun: one round */
static void
run_round(void *arg)
{
	Phase	   *phase = arg;
	Round		round = {0};
	EcAs		as;

	ec_outbox_open(&as);
	round.context = CurrentMemoryContext;
	round.at = phase->tick->at;
	round.limits = ec_limits_load();
	round_read(&round);
	if (round.nmails > 0)
	{
		round_ask(&round);
		round_decide(&round);
		round_send(&round);
		phase->sent = round_write(&round);
	}
	ec_outbox_close(&as);
}

/*
 * The tick's phase.
 */
void
ec_campaign_tick(EcTick *tick)
{
	Phase		phase = {tick, 0};
	ErrorData  *error;
	TimestampTz due;
	EcAs		as;

	ec_outbox_open(&as);
	due = next_due();
	ec_outbox_close(&as);
	if (due > tick->at)
	{
		if (due != DT_NOEND)
			ec_tick_due(tick, due);
		return;
	}

	/* what can fail here is the shop's own query about consents: nothing is sent then, and the tick goes on */
	error = ec_try(run_round, &phase, false);
	if (error != NULL)
	{
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("mails that wait could not be decided about: %s", error->message)));
		ec_tick_due(tick, tick->at + ERROR_WAIT);
		FreeErrorData(error);
		return;
	}
	tick->messages += phase.sent;
	ec_outbox_open(&as);
	due = next_due();
	ec_outbox_close(&as);
	if (due == DT_NOEND)
		return;
	/* more than a round, or contacts that others have locked */
	ec_tick_due(tick, due > tick->at ? due : phase.sent > 0 ? tick->at : tick->at + LOCKED_WAIT);
}
