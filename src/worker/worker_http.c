/*-------------------------------------------------------------------------
 *
 * worker_http.c
 *		HTTP requests, many at once.
 *
 * Each request under way has a slot with an easy handle; slots are reused, so
 * a handle is set up once and only what differs is set for a request.
 * Connections belong to the multi handle, which keeps and shares them.
 *
 * What makes it safe to point this at the outside world is set in
 * slot_create(): only HTTP and HTTPS, no redirect, no proxy and no netrc from
 * the environment, a bound on how much of an answer is read.
 *
 * The callbacks run below libcurl's frames, so they touch nothing but their
 * slot.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include "worker/worker_http.h"
#include "worker/worker_smtp.h"

#define ANSWER_KEPT 4096		/* bytes of an answer that are kept */
#define ANSWER_READ (256 * 1024)	/* bytes after which we hang up */
#define CONNECT_TIMEOUT 10000L	/* ms, if the endpoint's timeout is longer */

typedef struct Slot
{
	EcTransfer	transfer;		/* must be first */
	EcHttp	   *http;
	CURL	   *easy;
	struct curl_slist *headers;
	void	   *job;
	struct Slot *next;			/* in the list of free ones */
	struct Slot *next_all;
	bool		busy;
	size_t		received;
	size_t		kept;
	char		body[ANSWER_KEPT + 1];
	char		error[CURL_ERROR_SIZE];
} Slot;

struct EcHttp
{
	CURLM	   *multi;
	EcPoll	   *poll;
	EcHttpCallback callback;
	void	   *arg;
	char	   *ca_file;		/* the system's, as libcurl was built to find them */
	char	   *ca_path;
	Slot	   *free;
	Slot	   *all;
};

/*
 * Keep the beginning of the answer.  Past ANSWER_READ the transfer is ended
 * by taking less than was offered; the status has come by then.
 */
static size_t
body_received(char *data, size_t size, size_t n, void *arg)
{
	Slot	   *slot = arg;
	size_t		len = size * n;
	size_t		room = ANSWER_KEPT - slot->kept;

	if (room > len)
		room = len;
	memcpy(slot->body + slot->kept, data, room);
	slot->kept += room;
	slot->received += len;
	return slot->received > ANSWER_READ ? 0 : len;
}

/*
 * Errors that another try will not cure, whatever the network does.
 */
static bool
is_hopeless(CURLcode code)
{
	switch (code)
	{
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_BAD_FUNCTION_ARGUMENT:
		case CURLE_UNKNOWN_OPTION:
		case CURLE_NOT_BUILT_IN:
			return true;
		default:
			return false;
	}
}

static void
slot_done(EcTransfer *transfer, CURL *easy, CURLcode result)
{
	Slot	   *slot = (Slot *) transfer;
	EcHttp	   *http = slot->http;
	EcHttpAnswer answer = {.retry_after = -1};
	curl_off_t	retry_after = 0;
	long		status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(http->multi, easy);
	curl_slist_free_all(slot->headers);
	slot->headers = NULL;

	/* a status that came is the answer, even if we hung up on a long body */
	if (result == CURLE_WRITE_ERROR && slot->received > ANSWER_READ)
		result = CURLE_OK;
	if (result == CURLE_OK)
		answer.status = (int) status;
	else
	{
		answer.error = slot->error[0] ? slot->error : curl_easy_strerror(result);
		answer.hopeless = is_hopeless(result);
	}
	if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0)
		answer.retry_after = (int64) Min(retry_after, INT64CONST(1000000000)) * 1000;
	slot->body[slot->kept] = '\0';
	answer.body = slot->body;
	answer.len = slot->kept;

	slot->busy = false;
	http->callback(&answer, slot->job, http->arg);
	slot->next = http->free;
	http->free = slot;
}

static Slot *
slot_create(EcHttp *http)
{
	Slot	   *slot = calloc(1, sizeof(Slot));
	CURL	   *easy = curl_easy_init();

	if (slot == NULL || easy == NULL)
	{
		free(slot);
		if (easy != NULL)
			curl_easy_cleanup(easy);
		return NULL;
	}
	slot->transfer.done = slot_done;
	slot->http = http;
	slot->easy = easy;
	if (http->all == NULL)
	{
		char	   *file = NULL;
		char	   *path = NULL;

		curl_easy_getinfo(easy, CURLINFO_CAINFO, &file);
		curl_easy_getinfo(easy, CURLINFO_CAPATH, &path);
		http->ca_file = file ? strdup(file) : NULL;
		http->ca_path = path ? strdup(path) : NULL;
	}
	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "ecauto");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_received);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
	ec_multi_adopt(easy, http->poll);
	ec_multi_share(easy);
	slot->next_all = http->all;
	http->all = slot;
	return slot;
}

EcHttp *
ec_http_create(CURLM *multi, EcPoll *poll, EcHttpCallback callback, void *arg)
{
	EcHttp	   *http = calloc(1, sizeof(EcHttp));

	if (http == NULL)
		return NULL;
	http->multi = multi;
	http->poll = poll;
	http->callback = callback;
	http->arg = arg;
	return http;
}

void
ec_http_destroy(EcHttp *http)
{
	Slot	   *next;

	for (Slot *slot = http->all; slot != NULL; slot = next)
	{
		next = slot->next_all;
		if (slot->busy)
			curl_multi_remove_handle(http->multi, slot->easy);
		curl_easy_cleanup(slot->easy);
		curl_slist_free_all(slot->headers);
		free(slot);
	}
	free(http->ca_file);
	free(http->ca_path);
	free(http);
}

bool
ec_http_start(EcHttp *http, const EcHttpRequest *request, void *job)
{
	Slot	   *slot = http->free;
	CURL	   *easy;

	if (slot != NULL)
		http->free = slot->next;
	else if ((slot = slot_create(http)) == NULL)
	{
		curl_slist_free_all(request->headers);
		return false;
	}
	easy = slot->easy;
	slot->job = job;
	slot->headers = request->headers;
	slot->received = 0;
	slot->kept = 0;
	slot->error[0] = '\0';

	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, slot->headers);
	if (request->body != NULL)
	{
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	}
	else
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
					 strcmp(request->method, request->body ? "POST" : "GET") == 0
					 ? NULL : request->method);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) request->timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, Min((long) request->timeout, CONNECT_TIMEOUT));
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request->verify_peer ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request->verify_peer ? 2L : 0L);
	/* an own CA stands instead of the system's, not beside it */
	curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file ? request->ca_file : http->ca_file);
	curl_easy_setopt(easy, CURLOPT_CAPATH, request->ca_file ? NULL : http->ca_path);
	curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_USERNAME, request->username);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password);

	slot->busy = true;
	if (curl_multi_add_handle(http->multi, easy) != CURLM_OK)
	{
		slot->busy = false;
		curl_slist_free_all(slot->headers);
		slot->headers = NULL;
		slot->next = http->free;
		http->free = slot;
		return false;
	}
	return true;
}
