/*-------------------------------------------------------------------------
 *
 * shop_write.c
 *		Running a writer for many rows at once.
 *
 * A writer is a statement for one row:
 *
 *		UPDATE price SET amount = $2 WHERE variant_id = $1::bigint AND currency = $3
 *
 * For a million rows a million statements take several times as long as one.
 * So the statement is turned into one that joins the rows to be written, which
 * stand in a relation that exists for the statement only:
 *
 *		UPDATE price SET amount = ec_write.p2 FROM ec_write
 *		WHERE variant_id = ec_write.p1::bigint AND currency = ec_write.p3
 *
 * The text is changed, at the places that the server's own lexer names; a
 * subquery in FROM that uses a parameter becomes LATERAL.  That is done for a
 * plain UPDATE without WITH and RETURNING, and only if the server can plan the
 * outcome; other statements run once for each row.
 *
 * A writer runs as whoever bound it, in a security-restricted operation, in
 * which no deferred constraint can be left for the end of the transaction: it
 * would be checked as somebody else.  A shop that has such constraints gets
 * its statement again with all constraints immediate.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "shop/shop.h"

#define WRITE_RELATION "ec_write"

/* below this, joining costs more than it saves */
#define ROWS_FOR_SET 3

/* ---- from one row to many ---- */

typedef struct Token
{
	int			at;				/* offset in the text */
	int			depth;			/* of brackets around it */
	char		first;			/* its first character, lower case */
} Token;

static bool
token_is(const char *text, const Token *token, const char *word)
{
	size_t		len = strlen(word);
	char		next;

	if (pg_strncasecmp(text + token->at, word, len) != 0)
		return false;
	next = text[token->at + len];
	return !(isalnum((unsigned char) next) || next == '_' || next == '$' || IS_HIGHBIT_SET(next));
}

/* The tokens of a statement that parses; *n of them. */
static Token *
tokens_read(const char *text, int *n)
{
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		at;
	core_yyscan_t scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	Token	   *tokens = palloc(sizeof(Token) * 64);
	int			size = 64;
	int			depth = 0;

	*n = 0;
	while (core_yylex(&value, &at, scanner) != 0)
	{
		Token	   *token;

		if (*n == size)
		{
			size *= 2;
			tokens = repalloc(tokens, sizeof(Token) * size);
		}
		token = &tokens[(*n)++];
		token->at = at;
		token->first = (char) pg_ascii_tolower((unsigned char) text[at]);
		if (token->first == ')' || token->first == ']')
			depth--;
		token->depth = depth;
		if (token->first == '(' || token->first == '[')
			depth++;
	}
	scanner_finish(scanner);
	return tokens;
}

/* Does a bracket at this token open a subquery of FROM that is not LATERAL? */
static bool
opens_subquery(const char *text, const Token *tokens, int i, int n)
{
	if (tokens[i].first != '(' || i == 0 || i + 1 >= n)
		return false;
	if (!token_is(text, &tokens[i + 1], "select") && !token_is(text, &tokens[i + 1], "values") &&
		!token_is(text, &tokens[i + 1], "with"))
		return false;
	return tokens[i - 1].first == ',' || token_is(text, &tokens[i - 1], "from") || token_is(text, &tokens[i - 1], "join");
}

/*
 * The statement for all rows of WRITE_RELATION, in the current context; NULL
 * if it cannot be made of this one.
 */
static char *
statement_for_set(const char *text)
{
	Token	   *tokens;
	StringInfoData sql;
	int			n;
	int			from = -1;
	int			where = -1;
	int			set = -1;
	int			done = 0;

	tokens = tokens_read(text, &n);
	if (n == 0 || !token_is(text, &tokens[0], "update"))
		return NULL;
	for (int i = 1; i < n; i++)
	{
		if (tokens[i].depth > 0 || !isalpha((unsigned char) tokens[i].first))
			continue;
		if (set < 0 && token_is(text, &tokens[i], "set"))
			set = i;
		/* IS DISTINCT FROM */
		else if (set >= 0 && from < 0 && where < 0 && token_is(text, &tokens[i], "from") &&
				 !token_is(text, &tokens[i - 1], "distinct"))
			from = i;
		else if (set >= 0 && where < 0 && token_is(text, &tokens[i], "where"))
			where = i;
		else if (token_is(text, &tokens[i], "returning") || token_is(text, &tokens[i], "current"))
			return NULL;
	}
	if (set < 0)
		return NULL;

	initStringInfo(&sql);
	for (int i = 0; i <= n; i++)
	{
		int			at = i < n ? tokens[i].at : strlen(text);

		appendBinaryStringInfo(&sql, text + done, at - done);
		done = at;
		if (i == (where >= 0 ? where : n) && from < 0)
			appendStringInfoString(&sql, " FROM " WRITE_RELATION " ");
		if (i == n)
			break;
		if (i - 1 == from && from >= 0)
			appendStringInfoString(&sql, WRITE_RELATION ", ");
		if (from >= 0 && i > from && (where < 0 || i < where) && tokens[i].depth == 0 &&
			opens_subquery(text, tokens, i, n))
			appendStringInfoString(&sql, "LATERAL ");
		if (tokens[i].first == '$' && isdigit((unsigned char) text[at + 1]))
		{
			char	   *end;
			long		param = strtol(text + at + 1, &end, 10);

			appendStringInfo(&sql, WRITE_RELATION ".ec_p%ld", param);
			done = end - text;
		}
	}
	return sql.data;
}

/* ---- running it ---- */

typedef struct Write
{
	const EcWriter *writer;
	const char *set_statement;	/* NULL: one by one */
	Tuplestorestate *rows;
	TupleDesc	desc;
	int64		nrows;
	bool		immediate;		/* constraints */
	int64		touched;
} Write;

/* Checks that could wait for the end of the transaction are made at once. */
static void
constraints_immediate(void)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = NIL;
	stmt->deferred = false;
	AfterTriggerSetState(stmt);
}

static void
rows_register(const Write *write)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = WRITE_RELATION;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = write->desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = write->nrows;
	enr->reldata = write->rows;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register relation \"%s\"", enr->md.name);
}

static void
write_each(Write *write)
{
	const EcWriter *writer = write->writer;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(write->desc, &TTSOpsMinimalTuple);
	char		nulls[EC_ACTION_PARAMS + 1];
	int			reader = tuplestore_alloc_read_pointer(write->rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(write->rows, reader);
	tuplestore_rescan(write->rows);
	while (tuplestore_gettupleslot(write->rows, true, false, slot))
	{
		int			rc;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		for (int i = 0; i < writer->action->nparams; i++)
			nulls[i] = slot->tts_isnull[i] ? 'n' : ' ';
		rc = SPI_execute_plan(ec_plan(writer->statement, writer->action->nparams, writer->action->types),
							  slot->tts_values, nulls, false, 0);
		if (rc < 0)
			elog(ERROR, "SPI_execute_plan returned %s for writer \"%s\"",
				 SPI_result_code_string(rc), writer->action->name);
		write->touched += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	tuplestore_select_read_pointer(write->rows, 0);
	ExecDropSingleTupleTableSlot(slot);
}

/* EcTryRun */
static void
write_run(void *arg)
{
	Write	   *write = arg;
	const EcWriter *writer = write->writer;
	EcAs		as;

	write->touched = 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_definer(&as, ec_shop_definer(writer->definer, psprintf("writer \"%s\"", writer->action->name)),
				  writer->search_path);
	if (write->immediate)
		constraints_immediate();
	if (write->set_statement != NULL)
	{
		int			rc;

		rows_register(write);
		rc = SPI_execute(write->set_statement, false, 0);
		if (rc < 0)
			elog(ERROR, "SPI_execute returned %s for writer \"%s\"",
				 SPI_result_code_string(rc), writer->action->name);
		write->touched = SPI_processed;
	}
	else
		write_each(write);
	ec_as_end(&as);
	SPI_finish();
}

/* EcTryRun: can the server plan the statement for many rows? */
static void
write_prepare(void *arg)
{
	Write	   *write = arg;
	EcAs		as;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ec_as_definer(&as, ec_shop_definer(write->writer->definer, psprintf("writer \"%s\"", write->writer->action->name)),
				  write->writer->search_path);
	rows_register(write);
	if (SPI_prepare(write->set_statement, 0, NULL) == NULL)
		elog(ERROR, "SPI_prepare returned %s", SPI_result_code_string(SPI_result));
	ec_as_end(&as);
	SPI_finish();
}

/* What rows for a writer look like: its parameters, as ec_p1, ec_p2, ...; in the current context. */
TupleDesc
ec_writer_tupdesc(const EcWriter *writer)
{
	TupleDesc	desc = CreateTemplateTupleDesc(writer->action->nparams);

	for (int i = 0; i < writer->action->nparams; i++)
	{
		char		name[NAMEDATALEN];

		snprintf(name, sizeof(name), "ec_p%d", i + 1);
		TupleDescInitEntry(desc, i + 1, name, writer->action->types[i], -1, 0);
	}
	return desc;
}

/*
 * Run a writer for all rows of a tuplestore, which are those of
 * ec_writer_tupdesc(), no two for the same key.  Returns the number of rows of
 * the shop that were written: if that is less than there are rows, some keys
 * have none.
 *
 * The tuplestore must have been begun with random access.  Errors: those of
 * the statement, and of the shop's own triggers and constraints; then nothing
 * is written.
 */
int64
ec_writer_run(const EcWriter *writer, Tuplestorestate *rows, int64 nrows)
{
	Write		write = {writer};
	ErrorData  *error;

	write.rows = rows;
	write.desc = ec_writer_tupdesc(writer);
	write.nrows = nrows;
	if (nrows == 0)
		return 0;
	if (nrows >= ROWS_FOR_SET)
		write.set_statement = statement_for_set(writer->statement);
	if (write.set_statement != NULL && ec_try(write_prepare, &write, true) != NULL)
		write.set_statement = NULL;

	error = ec_try(write_run, &write, false);
	/* a deferred constraint of the shop's: the server refuses to leave it for later */
	if (error != NULL && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
	{
		ErrorData  *again;

		write.immediate = true;
		again = ec_try(write_run, &write, false);
		if (again == NULL)
			return write.touched;
	}
	if (error != NULL)
		ReThrowError(error);
	return write.touched;
}
