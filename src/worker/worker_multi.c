/*-------------------------------------------------------------------------
 *
 * worker_multi.c
 *		libcurl's multi handle, driven by our sockets and our wait.
 *
 * libcurl tells by two callbacks which sockets it waits for and when it wants
 * to be called at the latest.  HTTP connections are kept after a request; the
 * socket then rests in our poll, until libcurl closes it or uses it again.
 * That is safe only for sockets of which we hear when they are closed, so
 * ec_multi_adopt() follows opening and closing; others (the threads that
 * resolve names use some) are forgotten at once.
 *
 * TLS sessions are shared by all handles: a handle would else remember only
 * its own, and every new connection begin with a full handshake.
 *
 * libcurl may start threads to resolve names.  They must not take signals
 * meant for the process, so all are blocked while it could start one.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "portability/instr_time.h"

#include "worker/worker_http.h"
#include "worker/worker_smtp.h"

/* descriptors beyond this do not rest */
#define KEPT_MAX 65536

static CURLM *the_multi;		/* what the sockets belong to */
static CURLSH *the_share;		/* TLS sessions */
static int64 timer_at;			/* in ms; -1: not wanted */
static uint8 kept[KEPT_MAX / 8];	/* bit map of sockets that may rest */

static int64
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
kept_set(int fd, bool is)
{
	if (fd < 0 || fd >= KEPT_MAX)
		return;
	if (is)
		kept[fd / 8] |= (uint8) (1 << (fd % 8));
	else
		kept[fd / 8] &= (uint8) ~(1 << (fd % 8));
}

static bool
kept_get(int fd)
{
	return fd >= 0 && fd < KEPT_MAX && (kept[fd / 8] & (1 << (fd % 8))) != 0;
}

static curl_socket_t
socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	int			fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	if (fd < 0)
		return CURL_SOCKET_BAD;
	kept_set(fd, true);
	return fd;
}

static int
socket_close(void *arg, curl_socket_t fd)
{
	ec_poll_forget(arg, fd);
	kept_set(fd, false);
	return close(fd);
}

void
ec_multi_adopt(CURL *easy, EcPoll *poll)
{
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, poll);
}

void
ec_multi_share(CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_SHARE, the_share);
}

static void
socket_ready(int fd, int events, void *arg)
{
	int			running;

	(void) curl_multi_socket_action(the_multi, fd,
									((events & EC_POLL_IN) ? CURL_CSELECT_IN : 0) |
									((events & EC_POLL_OUT) ? CURL_CSELECT_OUT : 0) |
									((events & EC_POLL_ERR) ? CURL_CSELECT_ERR : 0),
									&running);
}

static int
socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	EcPoll	   *poll = arg;

	if (what == CURL_POLL_REMOVE)
	{
		if (kept_get(fd))
			ec_poll_rest(poll, fd);
		else
			ec_poll_forget(poll, fd);
		return 0;
	}
	(void) ec_poll_want(poll, fd,
						((what & CURL_POLL_IN) ? EC_POLL_IN : 0) |
						((what & CURL_POLL_OUT) ? EC_POLL_OUT : 0),
						socket_ready, NULL);
	return 0;
}

static int
timer_wanted(CURLM *multi, long ms, void *arg)
{
	timer_at = (ms < 0) ? -1 : now_ms() + ms;
	return 0;
}

CURLM *
ec_multi_create(EcPoll *poll)
{
	CURLM	   *multi = curl_multi_init();

	if (multi == NULL)
		return NULL;
	/* without it, or if this libcurl cannot share sessions, all is just slower */
	the_share = curl_share_init();
	if (the_share != NULL)
		(void) curl_share_setopt(the_share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	the_multi = multi;
	timer_at = -1;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, poll);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	return multi;
}

void
ec_multi_destroy(CURLM *multi)
{
	curl_multi_cleanup(multi);
	the_multi = NULL;
	if (the_share != NULL)
		(void) curl_share_cleanup(the_share);
	the_share = NULL;
}

void
ec_multi_run(CURLM *multi, EcPoll *poll)
{
	CURLMsg    *msg;
	int			left;
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (timer_at >= 0 && now_ms() >= timer_at)
	{
		timer_at = -1;
		(void) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &left);
	}
	(void) ec_poll_dispatch(poll);
	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
		ec_transfer_done(msg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

long
ec_multi_timeout(CURLM *multi)
{
	if (timer_at < 0)
		return -1;
	return (long) Max(timer_at - now_ms(), 0);
}
