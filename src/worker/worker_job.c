/*-------------------------------------------------------------------------
 *
 * worker_job.c
 *		From a leased message to what goes over the wire, and from an answer
 *		to what becomes of the message.
 *
 * A job is made inside the transaction of the lease, where errors may be
 * raised; after that nothing about it needs the server.  Which answers are
 * final is decided here and nowhere else; docs/outbox.md has the table.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <time.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "worker/worker_delivery.h"
#include "worker/worker_mime.h"

#define REFUSED_KEPT 1000		/* bytes that name recipients refused at one try */

static void
header_add(EcJob *job, const char *line)
{
	struct curl_slist *longer = curl_slist_append(job->headers, line);

	if (longer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	job->headers = longer;
}

static char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

/*
 * The value of the header X-Ecauto-Signature: HMAC-SHA256 (RFC 2104) over the
 * time, a dot and the body, so that a recorded request is no use later.
 */
static char *
signature(const char *secret, const char *body, size_t len)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char		hex[PG_SHA256_DIGEST_LENGTH * 2 + 1];
	char	   *stamp = psprintf("%lld.", (long long) time(NULL));

	if (hmac == NULL ||
		pg_hmac_init(hmac, (const uint8 *) secret, strlen(secret)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) stamp, strlen(stamp)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) body, len) < 0 ||
		pg_hmac_final(hmac, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not sign a message");
	pg_hmac_free(hmac);
	hex_encode((const char *) digest, sizeof(digest), hex);
	hex[sizeof(hex) - 1] = '\0';
	stamp[strlen(stamp) - 1] = '\0';
	return psprintf("t=%s,v1=%s", stamp, hex);
}

/* application/x-www-form-urlencoded, WHATWG URL Standard, section 5.2 */
static void
form_append(StringInfo out, const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c == ' ')
			appendStringInfoChar(out, '+');
		else if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
				 strchr("*-._", c) != NULL)
			appendStringInfoChar(out, (char) c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
}

static char *
form_of(Jsonb *payload)
{
	JsonbIterator *it = JsonbIteratorInit(&payload->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	StringInfoData out;

	initStringInfo(&out);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *text = NULL;

		if (token == WJB_KEY)
		{
			if (out.len > 0)
				appendStringInfoChar(&out, '&');
			text = to_utf8(pnstrdup(value.val.string.val, value.val.string.len));
			form_append(&out, text, (int) strlen(text));
			appendStringInfoChar(&out, '=');
		}
		else if (token == WJB_VALUE)
		{
			if (value.type == jbvString)
				text = to_utf8(pnstrdup(value.val.string.val, value.val.string.len));
			else if (value.type == jbvNumeric)
				text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
			else if (value.type == jbvBool)
				text = value.val.boolean ? "true" : "false";
			if (text != NULL)
				form_append(&out, text, (int) strlen(text));
		}
	}
	return out.data;
}

/* The body of a request and what it is called. */
static char *
body_of(const EcMessage *message, const char **type)
{
	JsonbValue	value;

	if (message->body == NULL)
	{
		*type = "application/json";
		return to_utf8(JsonbToCString(NULL, &message->payload->root, VARSIZE(message->payload)));
	}
	if (strcmp(message->body, "form") == 0)
	{
		*type = "application/x-www-form-urlencoded";
		return form_of(message->payload);
	}
	*type = "text/plain; charset=utf-8";
	if (!JsonbExtractScalar(&message->payload->root, &value) || value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the payload of a text body must be a string")));
	return to_utf8(pnstrdup(value.val.string.val, value.val.string.len));
}

/* The sender's own headers; true if the content type is among them. */
static bool
headers_of(EcJob *job, Jsonb *headers)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *name = NULL;
	bool		typed = false;

	if (headers == NULL)
		return false;
	it = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			name = pnstrdup(value.val.string.val, value.val.string.len);
			typed = typed || pg_strcasecmp(name, "content-type") == 0;
		}
		else if (token == WJB_VALUE && value.type == jbvString)
		{
			char	   *text = to_utf8(pnstrdup(value.val.string.val, value.val.string.len));

			/* libcurl's way to write a header without a value */
			header_add(job, *text ? psprintf("%s: %s", name, text) : psprintf("%s;", name));
		}
	}
	return typed;
}

static void
make_request(EcJob *job, const EcMessage *message)
{
	const EcEndpoint *endpoint = job->target->endpoint;
	const char *type;

	job->url = psprintf("%s%s%s", endpoint->url,
						message->path[0] == '?' && endpoint->path[0] == '\0' ? "/" : "",
						message->path);
	job->method = message->method ? message->method : "POST";
	if (strcmp(job->method, "GET") != 0 && strcmp(job->method, "DELETE") != 0)
	{
		job->body = body_of(message, &type);
		job->len = strlen(job->body);
		if (!headers_of(job, message->headers))
			header_add(job, psprintf("Content-Type: %s", type));
		header_add(job, "Expect:");
	}
	else
		(void) headers_of(job, message->headers);
	header_add(job, psprintf("Idempotency-Key: %s", to_utf8(message->key)));
	if (endpoint->bearer_token != NULL)
		header_add(job, psprintf("Authorization: Bearer %s", endpoint->bearer_token));
	if (endpoint->hmac_secret != NULL)
		header_add(job, psprintf("X-Ecauto-Signature: %s",
								 signature(endpoint->hmac_secret, job->body ? job->body : "", job->len)));
}

/*
 * Leave those recipients who have not got the mail yet.  They must be among
 * those whom the payload names, since these were asked for their consent.
 */
static void
keep_remaining(EcJob *job, ArrayType *remaining)
{
	int			nrcpts = job->nrcpts;
	Datum	   *elements;
	bool	   *nulls;
	char	  **names;
	int			n;

	deconstruct_array(remaining, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	names = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
		names[i] = nulls[i] ? "" : TextDatumGetCString(elements[i]);
	job->nrcpts = 0;
	for (int i = 0; i < nrcpts; i++)
	{
		char	   *rcpt = job->rcpts[i];
		bool		remains = false;

		for (int j = 0; j < n && !remains; j++)
			remains = strcmp(rcpt, names[j]) == 0;
		if (remains)
			job->rcpts[job->nrcpts++] = rcpt;
	}
	if (job->nrcpts == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("none of the recipients who remain is a recipient of the mail")));
}

static void
make_mail(EcJob *job, const EcMessage *message)
{
	const char *sender = job->target->endpoint->sender;
	EcMail		mail;

	if (sender == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("endpoint \"%s\" has no sender", message->endpoint),
				 errhint("ALTER SERVER %s OPTIONS (ADD sender '...').", quote_identifier(message->endpoint))));
	ec_mail_build(message->payload, sender, message->key, message->created_at, &mail);
	job->from = mail.from;
	job->rcpts = mail.rcpts;
	job->nrcpts = mail.nrcpts;
	job->body = mail.data;
	job->len = mail.len;
	if (message->remaining != NULL)
		keep_remaining(job, message->remaining);
}

/*
 * Ask the sender's function whether the message is still wanted; NULL, or why
 * not.  It runs with the rights of the sender.
 */
static char *
unwanted(const EcMessage *message)
{
	Oid			sender = get_role_oid(message->sender, true);
	Oid			function;
	char	   *reason = NULL;
	EcAs		as;

	if (!OidIsValid(sender))
		return psprintf("role \"%s\" no longer exists", message->sender);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_definer(&as, sender, "pg_catalog, pg_temp");
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(message->wanted)));
	{
		Oid			types[] = {INT8OID};
		Datum		values[] = {Int64GetDatum(message->id)};
		char	   *name = get_func_name(function);
		char	   *schema = get_namespace_name(get_func_namespace(function));

		if (SPI_execute_with_args(psprintf("SELECT %s.%s($1)", quote_identifier(schema), quote_identifier(name)),
								  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not call %s", message->wanted);
		if (SPI_processed == 1)
			reason = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	}
	ec_as_end(&as);
	if (reason != NULL)
	{
		char	   *copy = SPI_palloc(strlen(reason) + 1);

		strcpy(copy, reason);
		reason = copy;
	}
	SPI_finish();
	return reason;
}

static void
make_ready(EcDelivery *delivery, EcJob *job, const EcMessage *message)
{
	const char *reason = message->unwanted;

	if (message->trouble != NULL)
	{
		job->outcome = EC_RETRY;
		job->error = strdup(message->trouble);
		return;
	}
	if (reason == NULL && message->wanted != NULL)
		reason = unwanted(message);
	if (reason != NULL)
	{
		job->outcome = EC_UNWANTED;
		job->error = strdup(reason);
		return;
	}
	job->target = ec_target_get(delivery, job->lane, message->sender);
	if (job->lane->mail)
		make_mail(job, message);
	else
		make_request(job, message);
}

/*
 * The same in a subtransaction: an error is the end of this message, not of
 * the whole lease.
 */
static void
make_ready_carefully(EcDelivery *delivery, EcJob *job, const EcMessage *message)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		make_ready(delivery, job, message);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (job->target != NULL)
			ec_target_release(delivery, job->target);
		job->target = NULL;
		/* a function of the sender's may work next time; what it made of the message will not */
		job->outcome = message->wanted ? EC_RETRY : EC_DEAD;
		job->error = strdup(error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/* Without one; what an error leaves behind is undone here. */
static void
make_ready_plainly(EcDelivery *delivery, EcJob *job, const EcMessage *message)
{
	PG_TRY();
	{
		make_ready(delivery, job, message);
	}
	PG_CATCH();
	{
		curl_slist_free_all(job->headers);
		if (job->target != NULL)
			ec_target_release(delivery, job->target);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static char *
packed(char **to, const char *text, size_t len)
{
	char	   *start = *to;

	memcpy(start, text, len);
	start[len] = '\0';
	*to += len + 1;
	return start;
}

/*
 * A copy of the job that is one piece of memory, so that thousands of them
 * come and go without the memory getting scattered.
 */
static EcJob *
job_pack(EcDelivery *delivery, const EcJob *draft)
{
	Size		size = MAXALIGN(sizeof(EcJob)) + sizeof(char *) * draft->nrcpts;
	EcJob	   *job;
	char	   *to;

	for (int i = 0; i < draft->nrcpts; i++)
		size += strlen(draft->rcpts[i]) + 1;
	size += draft->url ? strlen(draft->url) + 1 : 0;
	size += draft->method ? strlen(draft->method) + 1 : 0;
	size += draft->body ? draft->len + 1 : 0;
	size += draft->from ? strlen(draft->from) + 1 : 0;
	size += draft->entity ? strlen(draft->entity) + 1 : 0;

	job = MemoryContextAllocExtended(delivery->jobs, size, MCXT_ALLOC_HUGE);
	*job = *draft;
	job->rcpts = (char **) ((char *) job + MAXALIGN(sizeof(EcJob)));
	to = (char *) (job->rcpts + draft->nrcpts);
	for (int i = 0; i < draft->nrcpts; i++)
		job->rcpts[i] = packed(&to, draft->rcpts[i], strlen(draft->rcpts[i]));
	if (draft->url != NULL)
		job->url = packed(&to, draft->url, strlen(draft->url));
	if (draft->method != NULL)
		job->method = packed(&to, draft->method, strlen(draft->method));
	if (draft->body != NULL)
		job->body = packed(&to, draft->body, draft->len);
	if (draft->from != NULL)
		job->from = packed(&to, draft->from, strlen(draft->from));
	if (draft->entity != NULL)
		job->entity = packed(&to, draft->entity, strlen(draft->entity));
	return job;
}

/*
 * Make a leased message ready to be sent and append it to delivery->leased;
 * what is left in the current context is not needed any more.  The caller
 * frees the job if the lease is not committed.  A message that cannot be sent
 * gets an outcome and no target.
 */
void
ec_job_create(EcDelivery *delivery, const EcMessage *message, int64 lease_end)
{
	EcJob		draft = {
		.lane = ec_lane_find(delivery, message->endpoint), .id = message->id, .tid = message->tid,
		.priority = message->priority, .entity = message->entity, .attempts = message->attempts,
		.queued_at = message->queued_at, .lease_end = lease_end, .retry_after = -1,
		.recallable = message->purpose != NULL && strcmp(message->purpose, "transactional") != 0
	};

	if (delivery->careful || draft.lane->mail || message->wanted != NULL)
		make_ready_carefully(delivery, &draft, message);
	else
		make_ready_plainly(delivery, &draft, message);
	ec_jobs_append(&delivery->leased, job_pack(delivery, &draft));
}

void
ec_job_free(EcJob *job)
{
	curl_slist_free_all(job->headers);
	free(job->error);
	free(job->answer);
	free(job->remaining);
	free(job->refused);
	pfree(job);
}

/*
 * Send it.  What comes of it is told to ec_delivery_finish(), at once if it
 * cannot be sent now.
 */
void
ec_job_start(EcDelivery *delivery, EcJob *job)
{
	const EcEndpoint *endpoint = job->target->endpoint;
	bool		started;

	if (job->lane->mail)
	{
		EcSmtpMail	mail = {
			.id = (int64) (intptr_t) job, .from = job->from, .nrcpts = job->nrcpts,
			.rcpts = (const char *const *) job->rcpts, .data = job->body, .len = job->len
		};

		if (job->target->pool == NULL)
		{
			EcSmtpSettings settings;

			ec_smtp_settings(endpoint, &settings);
			job->target->pool = ec_smtp_pool_create(delivery->multi, delivery->poll, &settings,
													ec_job_mail_result, delivery);
		}
		started = job->target->pool != NULL && ec_smtp_pool_submit(job->target->pool, &mail);
	}
	else
	{
		EcHttpRequest request = {
			.url = job->url, .method = job->method, .body = job->body, .len = job->len,
			.headers = job->headers, .timeout = endpoint->timeout,
			.verify_peer = endpoint->verify_peer, .ca_file = endpoint->ca_file,
			.username = endpoint->username, .password = endpoint->password
		};

		job->headers = NULL;
		started = ec_http_start(delivery->http, &request, job);
	}
	if (started)
		return;
	job->error = strdup("out of memory");
	ec_delivery_finish(delivery, job, EC_RETRY);
}

/*
 * What a status means.  Only those that a server sends because of its own
 * condition, or because it was too early, are worth another try.
 */
static EcOutcome
http_outcome(int status)
{
	if (status >= 200 && status < 300)
		return EC_DELIVERED;
	switch (status)
	{
		case 408:				/* Request Timeout */
		case 423:				/* Locked */
		case 425:				/* Too Early */
		case 429:				/* Too Many Requests */
			return EC_RETRY;
		case 501:				/* Not Implemented */
		case 505:				/* HTTP Version Not Supported */
			return EC_DEAD;
		default:
			return status >= 500 ? EC_RETRY : EC_DEAD;
	}
}

/* EcHttpCallback; runs below no frame of libcurl's, but outside transactions */
void
ec_job_http_answer(const EcHttpAnswer *answer, void *job_arg, void *arg)
{
	EcJob	   *job = job_arg;
	EcOutcome	outcome;
	char		text[64];

	job->status = answer->status;
	job->retry_after = answer->retry_after;
	if (answer->error != NULL)
	{
		outcome = answer->hopeless ? EC_DEAD : EC_RETRY;
		job->error = strdup(answer->error);
	}
	else
	{
		outcome = http_outcome(answer->status);
		if (outcome != EC_DELIVERED)
		{
			snprintf(text, sizeof(text), "HTTP status %d", answer->status);
			job->error = strdup(text);
		}
	}
	if (answer->len > 0 && (job->answer = malloc(answer->len)) != NULL)
	{
		memcpy(job->answer, answer->body, answer->len);
		job->answer_len = answer->len;
	}
	ec_delivery_finish(arg, job, outcome);
}

/*
 * "a@b.c: 550 no such user" of every recipient who will never get it, as far
 * as they fit; malloc'd, NULL if there is none.
 */
static char *
refused_of(const EcSmtpResult *result)
{
	char		text[REFUSED_KEPT] = "";
	size_t		len = 0;

	for (int i = 0; i < result->nrcpts; i++)
	{
		const EcSmtpRcpt *rcpt = &result->rcpts[i];
		int			n;

		if (rcpt->outcome != EC_DEAD)
			continue;
		n = snprintf(text + len, sizeof(text) - len, "%s%s: %s", len ? "; " : "", rcpt->address,
					 rcpt->answer ? rcpt->answer : "no reply");
		if ((size_t) n >= sizeof(text) - len)
		{
			/* no half entries, unless it is the only one */
			if (len > 0)
				text[len] = '\0';
			break;
		}
		len += (size_t) n;
	}
	return text[0] ? strdup(text) : NULL;
}

/* EcSmtpCallback */
void
ec_job_mail_result(const EcSmtpResult *result, void *arg)
{
	EcJob	   *job = (EcJob *) (intptr_t) result->id;

	job->status = result->status;
	if (result->error != NULL)
		job->error = strdup(result->error);
	if (result->answer != NULL && (job->answer = strdup(result->answer)) != NULL)
		job->answer_len = strlen(result->answer);
	if (result->outcome == EC_RETRY && result->nretry < result->nrcpts &&
		(job->remaining = malloc(sizeof(char *) * result->nretry)) != NULL)
	{
		for (int i = 0; i < result->nrcpts; i++)
			if (result->rcpts[i].outcome == EC_RETRY)
				job->remaining[job->nremaining++] = job->rcpts[i];
		job->refused = refused_of(result);
	}
	ec_delivery_finish(arg, job, result->outcome);
}
