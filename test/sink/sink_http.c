/*-------------------------------------------------------------------------
 *
 * sink_http.c
 *		The HTTP half of the sink.
 *
 *-------------------------------------------------------------------------
 */
#include "sink.h"

static void
http_answer(Connection *c, int status, const char *extra, const char *body)
{
	if (status >= 200 && status < 300)
		stats.ok++;
	else
		stats.other++;
	appendf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
			status, status < 300 ? "OK" : "No", extra, strlen(body), body);
}

static void
http_log_request(Connection *c, int64_t at, const char *method, const char *path,
				 const char *headers, const char *end, const char *body, size_t body_len)
{
	bool		latin1 = !is_utf8(headers, (size_t) (end - headers)) || !is_utf8(body, body_len) ||
		!is_utf8(path, strlen(path));

	log_start(http_log, c, at);
	fputs(", \"method\": ", http_log);
	json_string(http_log, method, strlen(method), latin1);
	fputs(", \"path\": ", http_log);
	json_string(http_log, path, strlen(path), latin1);
	fputs(", \"headers\": {", http_log);
	for (const char *line = headers; line < end;)
	{
		const char *eol = memmem(line, (size_t) (end - line), "\r\n", 2);
		const char *colon = memchr(line, ':', (size_t) (eol - line));
		bool		again = false;	/* is there an earlier line of this name? */

		if (colon)
		{
			size_t		name = (size_t) (colon - line) + 1;

			for (const char *l = headers; l < line; l = strstr(l, "\r\n") + 2)
				again |= strncasecmp(l, line, name) == 0;
			if (!again)
			{
				const char *separator = "";

				fputs(line > headers ? ", \"" : "\"", http_log);
				for (const char *p = line; p < colon; p++)
					json_text(http_log, (char[]) {*p | (*p >= 'A' && *p <= 'Z' ? 0x20 : 0)}, 1, latin1);
				fputs("\": \"", http_log);
				for (const char *l = line; l < end; l = strstr(l, "\r\n") + 2)
				{
					const char *value = l + name;
					const char *value_end = strstr(l, "\r\n");

					if (strncasecmp(l, line, name) != 0)
						continue;
					value += strspn(value, " \t");
					fputs(separator, http_log);
					json_text(http_log, value, value < value_end ? (size_t) (value_end - value) : 0, latin1);
					separator = ", ";
				}
				fputc('"', http_log);
			}
		}
		line = eol + 2;
	}
	fputs("}, \"body\": ", http_log);
	json_string(http_log, body, body_len, latin1);
	fputs(latin1 ? ", \"latin1\": true}\n" : "}\n", http_log);
}

/* /stats, /reset and /fault; false if the path is another */
static bool
http_control(Connection *c, const char *path)
{
	char		body[1024];

	if (strcmp(path, "/stats") == 0)
	{
		double		seconds = (double) (stats.last - stats.first) / 1e6;

		snprintf(body, sizeof(body),
				 "{\"requests\": %ld, \"ok\": %ld, \"other\": %ld, \"mails\": %ld, \"recipients\": %ld, "
				 "\"refused\": %ld, \"keys\": %ld, \"duplicates\": %ld, \"connections\": %ld, "
				 "\"open\": %ld, \"max_open\": %ld, \"first\": %.6f, \"last\": %.6f, \"per_second\": %.1f}\n",
				 stats.requests, stats.ok, stats.other, stats.mails, stats.recipients, stats.refused,
				 stats.keys, stats.duplicates, stats.connections, stats.open, stats.max_open,
				 (double) stats.first / 1e6, (double) stats.last / 1e6,
				 seconds > 0 ? (double) (stats.requests + stats.mails) / seconds : 0.0);
	}
	else if (strcmp(path, "/reset") == 0)
	{
		long		open = stats.open;

		memset(&stats, 0, sizeof(stats));
		stats.open = stats.max_open = open;
		keys_forget();
		fclose(http_log);
		fclose(smtp_log);
		http_log = log_open("http.jsonl", "w");
		smtp_log = log_open("smtp.jsonl", "w");
		strcpy(body, "{\"ok\": true}\n");
	}
	else if (strncmp(path, "/fault/", 7) == 0)
		strcpy(body, fault_set(path + 7) ? "{\"ok\": true}\n" : "{\"ok\": false}\n");
	else
		return false;
	appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body));
	append(&c->out, body, strlen(body));
	return true;
}

static void
http_handle(Connection *c, const char *path, const char *key, size_t key_len)
{
	char		extra[2100] = "";
	const char *yes = "{\"ok\":true}";

	if (strncmp(path, "/s/", 3) == 0)
	{
		char	   *rest;
		int			status = (int) strtol(path + 3, &rest, 10);

		if (*rest == '/')
		{
			snprintf(extra, sizeof(extra), "Retry-After: %.40s\r\n", rest + 1);
			/* a date has spaces, and a path has not */
			for (char *p = extra + 13; *p != '\0'; p++)
				if (*p == '_')
					*p = ' ';
		}
		else if (status == 429 || status == 503)
			strcpy(extra, "Retry-After: 1\r\n");
		http_answer(c, status, extra, status < 300 ? yes : "{\"ok\":false}");
	}
	else if (strncmp(path, "/flaky/", 7) == 0)
	{
		uint32_t	before = key_len ? key_count(key, key_len, KEY_FLAKY) :
			key_count(path, strlen(path), KEY_FLAKY);

		const char *first = strchr(path + 7, '/');

		if ((long) before >= atol(path + 7))
			http_answer(c, 200, "", yes);
		else if (first != NULL && strncmp(first, "/flaky/", 7) != 0)
			http_handle(c, first, key, key_len);
		else
			http_answer(c, 500, "", "{\"ok\":false}");
	}
	else if (strncmp(path, "/delay/", 7) == 0)
	{
		http_answer(c, 200, "", yes);
		c->wait = WAIT_SEND;
		timer_set(c, now_us() + atol(path + 7) * 1000);
	}
	else if (strncmp(path, "/hang", 5) == 0)
	{
		stats.other++;
		c->wait = WAIT_FOREVER;
	}
	else if (strncmp(path, "/big/", 5) == 0)
	{
		stats.ok++;
		c->fill = strtoul(path + 5, NULL, 10);
		appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", c->fill);
	}
	else if (strncmp(path, "/slow/", 6) == 0)
	{
		http_answer(c, 200, "", yes);
		c->wait = WAIT_DRIP;
		c->drip = atol(path + 6) * 1000;
	}
	else if (strncmp(path, "/close", 6) == 0)
	{
		stats.other++;
		appendf(&c->out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nhalf of it");
		c->closing = true;
	}
	else if (strncmp(path, "/drop", 5) == 0)
	{
		stats.other++;
		c->closing = true;
	}
	else if (strncmp(path, "/redirect?", 10) == 0)
	{
		snprintf(extra, sizeof(extra), "Location: %.2000s\r\n", path + 10);
		http_answer(c, 302, extra, "");
	}
	else
		http_answer(c, 200, "", yes);
}

/* Serve one request; false if the input holds no whole one. */
bool
http_step(Connection *c)
{
	char	   *start = c->in.data + c->used;
	size_t		len = c->in.len - c->used;
	char	   *end = memmem(start, len, "\r\n\r\n", 4);
	size_t		body_len = 0;
	const char *key = NULL;
	size_t		key_len = 0;
	bool		continues = false;
	char	   *headers,
			   *path,
			   *path_end,
			   *body;
	int64_t		at;

	if (end == NULL)
	{
		if (len > MAX_HEADER)
		{
			http_answer(c, 431, "", "");
			c->closing = true;
		}
		return false;
	}
	end += 2;					/* every header line ends before it, with CRLF */
	body = end + 2;
	headers = (char *) memmem(start, len, "\r\n", 2) + 2;
	for (char *line = headers; line < end; line = (char *) memmem(line, (size_t) (end - line), "\r\n", 2) + 2)
	{
		const char *value;

		if ((value = header_value(line, "content-length:", 15)) != NULL)
			body_len = strtoul(value, NULL, 10);
		else if ((value = header_value(line, "idempotency-key:", 16)) != NULL)
		{
			key = value;
			key_len = strcspn(value, "\r");
		}
		else if ((value = header_value(line, "expect:", 7)) != NULL)
			continues = strncasecmp(value, "100-continue", 12) == 0;
		else if ((value = header_value(line, "connection:", 11)) != NULL)
			c->closing |= strncasecmp(value, "close", 5) == 0;
		else if (header_value(line, "transfer-encoding:", 18) != NULL)
		{
			http_answer(c, 411, "", "");
			c->closing = true;
			c->used = c->in.len;
			return false;
		}
	}
	if (len < (size_t) (body - start) + body_len)
	{
		/* ask for the body once, when the header has come without any of it */
		if (continues && len == (size_t) (body - start))
			appendf(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		c->closing = false;
		return false;
	}

	/* From here on the input is ours: the first line is cut into words. */
	path = memchr(start, ' ', (size_t) (headers - start));
	path_end = path ? strpbrk(path + 1, " \r") : NULL;
	if (path == NULL || path_end == NULL)
	{
		http_answer(c, 400, "", "");
		c->closing = true;
		c->used = c->in.len;
		return false;
	}
	*path++ = '\0';
	*path_end = '\0';
	c->used += (size_t) (body - start) + body_len;
	if (http_control(c, path))
		return true;

	at = now_us();
	stats.requests++;
	if (stats.first == 0)
		stats.first = at;
	stats.last = at;
	if (key_len > 0)
		count_message(key, key_len);
	if (!quiet)
		http_log_request(c, at, start, path, headers, end, body, body_len);
	http_handle(c, path, key, key_len);
	return true;
}
