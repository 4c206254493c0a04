/*-------------------------------------------------------------------------
 *
 * template_cache.c
 *		Parsed templates of this session, found by their text.
 *
 * The text is the whole identity of a template, so nothing ever has to be
 * invalidated.  What was not used for the longest time goes first, but only
 * when ec_template_cache_trim() is called, before a rendering begins: while
 * it runs, pointers into the cache stay valid whatever partials it meets.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "template/template.h"

#define CACHE_ENTRIES 256
#define CACHE_BYTES	  ((Size) 16 * 1024 * 1024) /* more than any one template takes */

typedef struct CacheEntry
{
	uint64		hash;			/* hash key, must be first */
	EcTemplate *template;		/* in cache_context */
	dlist_node	node;			/* in the order of use, last used first */
} CacheEntry;

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL;
static dlist_head cache_order = DLIST_STATIC_INIT(cache_order);
static Size cache_bytes = 0;

static void
cache_init(void)
{
	HASHCTL		ctl = {0};

	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "ecauto templates",
											  ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(CacheEntry);
	ctl.hcxt = cache_context;
	cache = hash_create("ecauto templates", CACHE_ENTRIES, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
ec_template_cache_trim(void)
{
	while (cache != NULL && !dlist_is_empty(&cache_order) &&
		   (hash_get_num_entries(cache) > CACHE_ENTRIES || cache_bytes > CACHE_BYTES))
	{
		CacheEntry *entry = dlist_tail_element(CacheEntry, node, &cache_order);

		dlist_delete(&entry->node);
		cache_bytes -= entry->template->size;
		pfree(entry->template);
		hash_search(cache, &entry->hash, HASH_REMOVE, NULL);
	}
}

const EcTemplate *
ec_template_get(const char *text, int len, const char *what, const char *name, int name_len)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) text, len, 0);
	CacheEntry *entry;
	EcTemplate *template;
	EcTemplate *parsed;

	if (cache == NULL)
		cache_init();
	entry = hash_search(cache, &hash, HASH_FIND, NULL);
	if (entry != NULL && entry->template->len == len && memcmp(entry->template->text, text, len) == 0)
	{
		dlist_move_head(&cache_order, &entry->node);
		return entry->template;
	}

	if (name != NULL)
		what = psprintf("%s \"%.*s\"", what, name_len, name);
	parsed = ec_template_parse(text, len, what);
	/* another text of the same hash is not worth a place, only an answer */
	if (entry != NULL)
		return parsed;

	template = MemoryContextAlloc(cache_context, parsed->size);
	memcpy(template, parsed, parsed->size);
	template->ops = (EcTemplateOp *) ((char *) template + ((char *) parsed->ops - (char *) parsed));
	template->parts = (EcTemplatePart *) ((char *) template + ((char *) parsed->parts - (char *) parsed));
	template->text = (char *) template + (parsed->text - (char *) parsed);
	pfree(parsed);
	entry = hash_search(cache, &hash, HASH_ENTER, NULL);
	entry->template = template;
	dlist_push_head(&cache_order, &entry->node);
	cache_bytes += template->size;
	return template;
}
