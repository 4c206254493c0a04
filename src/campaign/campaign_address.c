/*-------------------------------------------------------------------------
 *
 * campaign_address.c
 *		Addresses, channels and purposes: their forms, and whether they have
 *		them.
 *
 * Two spellings of an address must not be two addresses, or one of them would
 * get what the other has unsubscribed from.  Case is the difference that
 * occurs; mail servers that tell jan@ from Jan@ do not.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "campaign/campaign.h"
#include "outbox/outbox_address.h"

#define NAME_MAX_BYTES	  63	/* of a channel or purpose */
#define ADDRESS_MAX_BYTES 320	/* of an address that is none of mail */

/*
 * The one form of an address, in the current context: without name and
 * spaces, in lower case.  channel: NULL or "email" for mail.
 */
char *
ec_address_normalize(const char *channel, const char *address)
{
	size_t		len = strlen(address);
	char	   *name;
	char	   *bare;

	if ((channel == NULL || strcmp(channel, EC_CHANNEL_EMAIL) == 0) &&
		ec_mailbox_parse(address, &name, &bare) == NULL)
	{
		address = bare;
		len = strlen(bare);
	}
	while (len > 0 && address[0] == ' ')
	{
		address++;
		len--;
	}
	while (len > 0 && address[len - 1] == ' ')
		len--;
	return str_tolower(address, len, DEFAULT_COLLATION_OID);
}

/*
 * The same, with an error unless it is an address of the channel.
 */
char *
ec_address_require(const char *channel, const char *address)
{
	char	   *normal = ec_address_normalize(channel, address);
	char	   *problem;

	if (strcmp(channel, EC_CHANNEL_EMAIL) == 0)
		problem = ec_address_problem(normal);
	else if (*normal == '\0')
		problem = "It is empty.";
	else if (strlen(normal) > ADDRESS_MAX_BYTES)
		problem = psprintf("It has %zu bytes, the limit is %d.", strlen(normal), ADDRESS_MAX_BYTES);
	else
		problem = ec_line_problem(normal);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid address for channel \"%s\"", channel),
				 errdetail_internal("%s", problem)));
	return normal;
}

/* A word of small letters, digits and underscores? */
static bool
is_word(const char *text)
{
	bool		good = *text >= 'a' && *text <= 'z';

	for (const char *p = text; *p; p++)
		good = good && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_');
	return good && strlen(text) <= NAME_MAX_BYTES;
}

void
ec_channel_require(const char *channel)
{
	if (!is_word(channel))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid channel \"%s\"", channel),
				 errhint("A channel is a word of small letters, digits and underscores, such as email or sms.")));
}

/*
 * Error unless it is a purpose that can be consented to.
 */
void
ec_purpose_require(const char *purpose)
{
	if (strcmp(purpose, EC_PURPOSE_TRANSACTIONAL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("purpose \"%s\" needs no consent", purpose),
				 errdetail("What belongs to an order or an account may always be sent.")));
	if (!is_word(purpose))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid purpose \"%s\"", purpose),
				 errhint("A purpose is a word of small letters, digits and underscores, such as marketing.")));
}

bool
ec_purpose_is_free(const char *purpose)
{
	return purpose == NULL || strcmp(purpose, EC_PURPOSE_TRANSACTIONAL) == 0;
}

static List *
addresses_of(List *list, JsonbValue *value)
{
	if (value->type == jbvString)
		return lappend(list, ec_address_normalize(EC_CHANNEL_EMAIL,
												  pnstrdup(value->val.string.val, value->val.string.len)));
	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	element;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
			if (token == WJB_ELEM && element.type == jbvString)
				list = addresses_of(list, &element);
	}
	return list;
}

static int
compare(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/*
 * Everybody a mail goes to, each once: normalized addresses (char *), in the
 * current context; NIL if the payload is not that of a mail.  They are in one
 * order, so that two who lock the same contacts do not wait for each other.
 */
List *
ec_payload_addresses(Jsonb *payload)
{
	static const char *const members[] = {"to", "cc", "bcc"};
	List	   *list = NIL;
	List	   *once = NIL;
	ListCell   *cell;

	if (!JB_ROOT_IS_OBJECT(payload))
		return NIL;
	for (int i = 0; i < (int) lengthof(members); i++)
	{
		JsonbValue *value = getKeyJsonValueFromContainer(&payload->root, members[i],
														 (int) strlen(members[i]), NULL);

		if (value != NULL)
			list = addresses_of(list, value);
	}
	list_sort(list, compare);
	foreach(cell, list)
		if (once == NIL || strcmp(llast(once), lfirst(cell)) != 0)
			once = lappend(once, lfirst(cell));
	return once;
}
