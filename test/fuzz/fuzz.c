/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *		libFuzzer inside a server: what it invents goes through our functions.
 *
 * Built into the library by "make FUZZ=1" only.  A server in single-user mode
 * calls ecauto_fuzz(), which hands itself over to libFuzzer's driver; that one
 * calls fuzz_one() with texts that reach ever more of our code, until its time
 * is up or something breaks, and leaves by exit().
 *
 * What counts as broken, besides a crash and what the sanitizers find: an
 * error of class XX (internal error, damaged data), an answer that its target
 * says must not be (a query that returns a text: what is wrong), and a mail
 * with a line or a field in its header that we did not write.
 *
 * Every text runs in a subtransaction that is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(ecauto_fuzz);

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one) (const uint8_t *data, size_t size));

#define SHOP_SCOPE "'{\"customer\": {\"country\": \"text\", \"at\": \"timestamptz\", \"age\": \"integer\", \"tags\": \"text[]\"}, \"order\": {\"total\": \"numeric\", \"paid\": \"boolean\"}}'"
#define SHOP_DATA "'{\"customer\": {\"country\": \"PL\", \"at\": \"2026-05-01 12:00+02\", \"age\": 30, \"tags\": [\"a\"]}, \"order\": {\"total\": 99.50, \"paid\": true}}'"
#define MAIL_DATE "'2026-06-16 12:00+02'"

/*
 * One way a text goes.  The first byte of a text chooses among those of a
 * target, $1 is the rest.
 */
typedef struct Way
{
	const char *target;
	char		letter;
	int			mail;			/* the result is a mail's source: 2, if all fields are ours: 1 */
	const char *query;			/* returns a text that says what is wrong, or NULL */
	SPIPlanPtr	plan;
} Way;

static Way ways[] = {
	{"template", 'r', 0, "SELECT left(ecauto.render(split_part($1, E'\\x01', 1), '{\"a\": {\"b\": \"<x>\"}, \"b\": 5, \"l\": [{\"b\": 1}, null, \"x\", [2]]}', jsonb_build_object('p', split_part($1, E'\\x01', 2), 'q', '{{#l}}q{{/l}}')), 0) || NULL"},
	{"template", 'h', 0, "SELECT 'control characters in a text' WHERE ecauto.html_to_text($1) ~ E'[\\x01-\\x08\\x0b-\\x1f]'"},
	{"template", 't', 0, "SELECT ecauto.create_template('fuzz', split_part($1, E'\\x01', 1), split_part($1, E'\\x01', 2)); SELECT NULL::text FROM ecauto.render_mail('fuzz', '{\"a\": {\"b\": \"x\"}, \"l\": [1]}', '')"},
	{"condition", 'c', 0, "SELECT 'not understood the same again' WHERE ecauto.check_condition(ecauto.check_condition($1, " SHOP_SCOPE "), " SHOP_SCOPE ") IS NULL"},
	{"condition", 'e', 0, "SELECT NULL::text FROM ecauto.explain_condition($1, " SHOP_SCOPE ", " SHOP_DATA ", '2026-06-16')"},
	{"condition", 't', 0, "SELECT left(ecauto.condition_changes_at($1, " SHOP_SCOPE ", " SHOP_DATA ", '2026-06-16')::text, 0) || NULL"},
	{"condition", 's', 0, "SELECT ecauto.create_segment('fuzz', $1); SELECT NULL::text"},
	{"definition", 'f', 0, "SELECT ecauto.create_flow('fuzz', $1::jsonb); SELECT NULL::text FROM ecauto.simulate_flow('fuzz', '{\"kind\": \"order.placed\", \"role\": \"order\", \"key\": \"5\", \"customer\": \"1\"}')"},
	{"definition", 'd', 0, "SELECT ecauto.create_flow('fuzz', $1::jsonb); SELECT left(ecauto.flow_diagram('fuzz'), 0) || NULL"},
	{"definition", 'p', 0, "SELECT ecauto.create_price_rule('fuzz', $1::jsonb); SELECT NULL::text FROM ecauto.reprice(false)"},
	{"definition", 'm', 0, "SELECT ecauto.create_promotion('fuzz', $1::jsonb); SELECT left(ecauto.price_cart('[{\"sku\": \"1\", \"qty\": 3}, {\"sku\": \"2\", \"qty\": 1}]', '{\"currency\": \"PLN\", \"customer\": \"1\"}')::text, 0) || NULL"},
	{"definition", 'k', 0, "SELECT left(ecauto.price_cart($1::jsonb -> 'lines', $1::jsonb -> 'context')::text, 0) || NULL"},
	{"definition", 'c', 0, "SELECT ecauto.create_score_rule('fuzz', $1::jsonb); SELECT left(ecauto.score('1', '2026-06-16')::text, 0) || NULL"},
	{"definition", 'o', 0, "SELECT ecauto.set_offer('acme', '1', $1::jsonb); SELECT NULL::text FROM ecauto.best_offer('1', 7)"},
	{"definition", 's', 0, "SELECT ecauto.set_supplier('acme', $1::jsonb)::text || NULL"},
	{"definition", 'g', 0, "SELECT ecauto.set_price_guard($1::jsonb)::text || NULL"},
	{"definition", 'y', 0, "SELECT ecauto.prior_price_options($1::jsonb)::text || NULL"},
	{"mail", 'p', 2, "SELECT ecauto.mail_source($1::jsonb, 'Shop <shop@shop.example>', 'key', " MAIL_DATE ")"},
	{"mail", 's', 1, "SELECT ecauto.mail_source(jsonb_build_object('to', 'a@b.example', 'subject', $1, 'text', $1, 'html', $1), 'Shop <shop@shop.example>', $1, " MAIL_DATE ")"},
	{"mail", 't', 1, "SELECT ecauto.mail_source(jsonb_build_object('to', $1, 'reply_to', $1, 'subject', 's', 'text', ''), 'Shop <shop@shop.example>', 'k', " MAIL_DATE ")"},
	{"mail", 'f', 1, "SELECT ecauto.mail_source(jsonb_build_object('to', 'a@b.example', 'subject', 's', 'text', 't'), $1, 'k', " MAIL_DATE ")"},
	{"mail", 'a', 1, "SELECT ecauto.mail_source(jsonb_build_object('to', 'a@b.example', 'subject', 's', 'text', 't', 'attachments', jsonb_build_array(jsonb_build_object('name', split_part($1, E'\\x01', 1), 'type', split_part($1, E'\\x01', 2), 'text', $1))), 'a@b.example', 'k', " MAIL_DATE ")"},
	{"mail", 'm', 0, "SELECT left(ecauto.mail_address_problem($1), 0) || NULL"},
	{"mail", 'u', 0, "SELECT CASE WHEN ecauto.endpoint_validator(ARRAY['url=' || $1], 'pg_catalog.pg_foreign_server'::regclass) IS NULL THEN NULL END::text"},
	{"mail", 'q', 0, "SELECT left(ecauto.enqueue('warehouse', '{}', path => split_part($1, E'\\x01', 1), headers => jsonb_build_object('X-A', split_part($1, E'\\x01', 2)))::text, 0) || NULL"},
};

static const char *target;
static MemoryContext work;
static uint64 done;
static uint64 accepted;

/*
 * Say what is wrong and stop; libFuzzer keeps the text.
 */
pg_noreturn static void
broken(const char *text, const char *what)
{
	fprintf(stderr, "\nBROKEN: %s\nwith: %s\n", what, text);
	fflush(stderr);
	abort();
}

/* A field of a header that worker_mime.c writes by itself? */
static bool
known_field(const char *line, size_t len)
{
	static const char *const names[] = {"Date", "From", "Reply-To", "To", "Cc", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Disposition"};
	const char *colon = memchr(line, ':', len);

	if (colon == NULL)
		return false;
	for (int i = 0; i < lengthof(names); i++)
		if (strlen(names[i]) == colon - line && strncmp(names[i], line, colon - line) == 0)
			return true;
	return false;
}

/*
 * A mail is lines that end with CRLF, short enough for SMTP, and fields that
 * we know up to the first empty one.
 */
static void
mail_verify(const char *text, const char *mail, bool ours)
{
	bool		header = true;

	for (const char *line = mail; *line;)
	{
		size_t		len = strcspn(line, "\r\n");

		if (line[len] == '\0')
			break;				/* a body may end without */
		if (line[len] != '\r' || line[len + 1] != '\n')
			broken(text, psprintf("a line of a mail ends with neither CR LF: %s", mail));
		if (len > 998)
			broken(text, "a line of a mail is too long");
		if (header && len == 0)
			header = false;
		else if (header && ours && *line != ' ' && !known_field(line, len))
			broken(text, psprintf("a field that nobody wrote: %s", mail));
		line += len + 2;
	}
	if (header)
		broken(text, "a mail without an end of its header");
}

static void
way_run(Way *way, const char *text)
{
	Datum		argument = CStringGetTextDatum(text);

	if (way->plan == NULL)
	{
		Oid			type = TEXTOID;
		SPIPlanPtr	plan = SPI_prepare(way->query, 1, &type);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			broken(text, psprintf("query of way %c of %s: %s", way->letter, way->target, SPI_result_code_string(SPI_result)));
		way->plan = plan;
	}
	if (SPI_execute_plan(way->plan, &argument, NULL, false, 0) != SPI_OK_SELECT)
		broken(text, "not a query");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *result = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		if (result == NULL)
			continue;
		if (way->mail)
			mail_verify(text, result, way->mail == 1);
		else
			broken(text, result);
	}
	accepted++;
}

/* Where libFuzzer's texts come in. */
static int
fuzz_one(const uint8_t *data, size_t size)
{
	Way		   *way = NULL;
	int			n = 0;
	char	   *text;
	MemoryContext old;
	ResourceOwner owner = CurrentResourceOwner;

	if (size < 1 || memchr(data, 0, size) || !pg_verify_mbstr(PG_UTF8, (const char *) data, (int) size, true))
		return 0;
	for (int i = 0; i < lengthof(ways); i++)
		if (strcmp(ways[i].target, target) == 0 && (n++ == 0 || ways[i].letter == data[0]))
			way = &ways[i];
	done++;
	old = MemoryContextSwitchTo(work);
	text = pnstrdup((const char *) data + 1, size - 1);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(work);
	PG_TRY();
	{
		way_run(way, text);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(work);
		error = CopyErrorData();
		FlushErrorState();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTERNAL_ERROR)
			broken(text, psprintf("%s (%s:%d)", error->message, error->filename, error->lineno));
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	MemoryContextReset(work);
	return 0;
}

static void
say_counts(void)
{
	fprintf(stderr, "target %s: %llu texts, %llu accepted\n", target, (unsigned long long) done, (unsigned long long) accepted);
}

/*
 * fuzz(target text, arguments text[]) returns void: does not return; arguments
 * are libFuzzer's.
 */
Datum
ecauto_fuzz(PG_FUNCTION_ARGS)
{
	Datum	   *values;
	int			n;
	int			argc = 0;
	char	  **argv;

	target = text_to_cstring(PG_GETARG_TEXT_PP(0));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &n);
	argv = palloc0((n + 2) * sizeof(char *));
	argv[argc++] = pstrdup("fuzz");
	for (int i = 0; i < n; i++)
		argv[argc++] = TextDatumGetCString(values[i]);
	SPI_connect();
	work = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	atexit(say_counts);
	LLVMFuzzerRunDriver(&argc, &argv, fuzz_one);
	exit(0);
}
