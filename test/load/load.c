/*-------------------------------------------------------------------------
 *
 * load.c
 *		What libcurl itself can send: the limit that benchmarks of the delivery
 *		are held against.
 *
 *	load URL REQUESTS CONNECTIONS [poll|socket [CA_FILE]]
 *
 * One thread, one multi handle, as many easy handles as connections, each
 * refilled as soon as it is answered; connections are kept.  The requests are
 * POSTs with a body and headers as the delivery process sends them.  "poll"
 * (the default, and the faster) drives it by curl_multi_poll(), "socket" by
 * curl_multi_socket_action() over epoll, as the delivery process does.
 *
 * Prints the requests answered with 200 in a second.  Exit status 1 if there
 * was any other answer.
 *
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define EVENTS 256

static CURLM *multi;
static int	epoll;
static long timer_ms = -1;
static const char *url;
static long requests;
static long started;
static long answered;
static long failed;
static struct curl_slist *headers;

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static size_t
body_received(char *data, size_t size, size_t n, void *arg)
{
	(void) data;
	(void) arg;
	return size * n;
}

static int
socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	(void) arg;
	event.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
	else if (known == NULL)
	{
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		curl_multi_assign(multi, fd, &epoll);
	}
	else
		epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
	return 0;
}

static int
timer_wanted(CURLM *m, long ms, void *arg)
{
	(void) m;
	(void) arg;
	timer_ms = ms;
	return 0;
}

/* Send the next request over a handle that is free. */
static void
next_request(CURL *easy)
{
	char		body[256];

	started++;
	snprintf(body, sizeof(body),
			 "{\"id\": %ld, \"order\": \"SO-%08ld\", \"status\": \"paid\", \"total\": 123.45, \"currency\": \"EUR\"}",
			 started, started);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) strlen(body));
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
	curl_multi_add_handle(multi, easy);
}

static void
wait_socket(void)
{
	struct epoll_event events[EVENTS];
	int			running;
	int			n = timer_ms == 0 ? 0 : epoll_wait(epoll, events, EVENTS, timer_ms < 0 ? 1000 : (int) timer_ms);

	if (n == 0)
	{
		timer_ms = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (int i = 0; i < n; i++)
		curl_multi_socket_action(multi, events[i].data.fd,
								 ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
								 ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
								 ((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0),
								 &running);
}

static void
wait_poll(void)
{
	int			running;

	curl_multi_perform(multi, &running);
	if (running > 0)
		curl_multi_poll(multi, NULL, 0, 100, NULL);
}

int
main(int argc, char **argv)
{
	int			connections;
	int			by_socket;
	double		begun;

	if (argc < 4)
	{
		fprintf(stderr, "usage: load URL REQUESTS CONNECTIONS [poll|socket [CA_FILE]]\n");
		return 2;
	}
	url = argv[1];
	requests = atol(argv[2]);
	connections = atoi(argv[3]);
	by_socket = argc > 4 && strcmp(argv[4], "socket") == 0;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	epoll = epoll_create1(0);
	if (by_socket)
	{
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	}
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) connections);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	headers = curl_slist_append(headers, "Idempotency-Key: 0190b5c0-7e6f-7000-8000-000000000000");

	begun = seconds();
	for (int i = 0; i < connections && started < requests; i++)
	{
		CURL	   *easy = curl_easy_init();

		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_received);
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
		if (argc > 5)
			curl_easy_setopt(easy, CURLOPT_CAINFO, argv[5]);
		next_request(easy);
	}
	while (answered + failed < requests)
	{
		CURLMsg    *message;
		int			left;

		if (by_socket)
			wait_socket();
		else
			wait_poll();
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL	   *easy = message->easy_handle;
			CURLcode	result = message->data.result;
			long		status = 0;

			curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
			if (result == CURLE_OK && status == 200)
				answered++;
			else if (failed++ == 0)
				fprintf(stderr, "load: %s, status %ld\n", curl_easy_strerror(result), status);
			curl_multi_remove_handle(multi, easy);
			if (started < requests)
				next_request(easy);
		}
	}
	printf("%.0f\n", (double) answered / (seconds() - begun));
	return failed == 0 ? 0 : 1;
}
