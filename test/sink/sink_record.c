/*-------------------------------------------------------------------------
 *
 * sink_record.c
 *		What came: lines of JSON, and how often a key was seen.
 *
 *-------------------------------------------------------------------------
 */
#include "sink.h"

/* ---- how often was a key seen: open addressing over 64-bit hashes ---- */

typedef struct KeyCount
{
	uint64_t	hash;			/* 0: free */
	uint32_t	count;
} KeyCount;

static KeyCount *keys;
static size_t keys_size;		/* a power of two */
static size_t keys_used;

static uint64_t
hash_bytes(const char *data, size_t len, uint64_t seed)
{
	uint64_t	h = seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char) data[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 29;
	return h != 0 ? h : 1;
}

static KeyCount *
key_slot(uint64_t hash)
{
	size_t		i = hash & (keys_size - 1);

	while (keys[i].hash != 0 && keys[i].hash != hash)
		i = (i + 1) & (keys_size - 1);
	return &keys[i];
}

/*
 * Count an occurrence of a key; returns how many there were before.  Keys of
 * different kinds are different keys.  Two keys in a million share a
 * hash with a probability of 3e-8.
 */
uint32_t
key_count(const char *data, size_t len, uint64_t kind)
{
	uint64_t	hash = hash_bytes(data, len, kind);
	KeyCount   *slot;

	if (2 * keys_used >= keys_size)
	{
		KeyCount   *old = keys;
		size_t		old_size = keys_size;

		keys_size = old_size ? old_size * 2 : 1 << 16;
		keys = calloc(keys_size, sizeof(KeyCount));
		if (keys == NULL)
			die("memory");
		for (size_t i = 0; i < old_size; i++)
			if (old[i].hash != 0)
				*key_slot(old[i].hash) = old[i];
		free(old);
	}
	slot = key_slot(hash);
	if (slot->hash == 0)
	{
		slot->hash = hash;
		keys_used++;
	}
	return slot->count++;
}

/* A request or mail came with that key. */
void
count_message(const char *key, size_t len)
{
	if (key_count(key, len, KEY_MESSAGE) == 0)
		stats.keys++;
	else
		stats.duplicates++;
}

void
keys_forget(void)
{
	memset(keys, 0, keys_size * sizeof(KeyCount));
	keys_used = 0;
}

/* ---- JSON lines ---- */

bool
is_utf8(const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *) data;
	const unsigned char *end = p + len;

	while (p < end)
	{
		int			more = *p < 0x80 ? 0 : *p >= 0xC2 && *p < 0xE0 ? 1 : *p >= 0xE0 && *p < 0xF0 ? 2 :
			*p >= 0xF0 && *p < 0xF5 ? 3 : -1;

		if (more < 0 || end - p <= more ||
			(*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F) ||
			(*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F))
			return false;
		for (int i = 1; i <= more; i++)
			if ((p[i] & 0xC0) != 0x80)
				return false;
		p += more + 1;
	}
	return true;
}

void
json_text(FILE *f, const char *data, size_t len, bool latin1)
{
	size_t		plain = 0;		/* start of what needs no escape */

	for (size_t i = 0; i < len; i++)
	{
		unsigned char ch = (unsigned char) data[i];

		if (ch >= 0x20 && ch != '"' && ch != '\\' && ch != 0x7F && !(latin1 && ch >= 0x80))
			continue;
		fwrite(data + plain, 1, i - plain, f);
		plain = i + 1;
		switch (ch)
		{
			case '"':
			case '\\':
				fprintf(f, "\\%c", ch);
				break;
			case '\n':
				fputs("\\n", f);
				break;
			case '\r':
				fputs("\\r", f);
				break;
			default:
				fprintf(f, "\\u%04x", ch);
		}
	}
	fwrite(data + plain, 1, len - plain, f);
}

void
json_string(FILE *f, const char *data, size_t len, bool latin1)
{
	fputc('"', f);
	json_text(f, data, len, latin1);
	fputc('"', f);
}

void
log_start(FILE *f, const Connection *c, int64_t at)
{
	fprintf(f, "{\"time\": %lld.%06lld, \"connection\": %ld", (long long) (at / 1000000),
			(long long) (at % 1000000), c->number);
	logs_dirty = true;
}

FILE *
log_open(const char *name, const char *mode)
{
	char		path[4096];
	FILE	   *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, mode);
	if (f == NULL)
		die(path);
	setvbuf(f, NULL, _IOFBF, 1 << 20);
	return f;
}
