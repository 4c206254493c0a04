/*-------------------------------------------------------------------------
 *
 * worker_poll.c
 *		The sockets of the delivery worker, over epoll.
 *
 * The server's WaitEventSet cannot drop a socket again, so our sockets live
 * in an epoll instance of their own, and the WaitEventSet holds that one.
 *
 * libcurl changes its mind about a socket several times per request: write,
 * then read, then nothing, and for the next request again.  Telling the
 * kernel each time costs more than the request.  So wishes are only noted,
 * and ec_poll_apply() tells the kernel what is different before we wait:
 * on a kept connection usually nothing at all.
 *
 *-------------------------------------------------------------------------
 */
#include "compat/compat.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "worker/worker_poll.h"

#define EVENTS_PER_CALL 256

typedef struct Entry
{
	uint8		wanted;			/* EC_POLL_* */
	uint8		known;			/* what the kernel has been told */
	bool		changed;		/* stands in the list of changes */
	EcPollReady ready;
	void	   *arg;
} Entry;

struct EcPoll
{
	int			epoll;
	Entry	   *entries;		/* by file descriptor */
	int			nentries;
	int		   *changes;		/* file descriptors; room for nentries */
	int			nchanges;
};

EcPoll *
ec_poll_create(void)
{
	EcPoll	   *poll = calloc(1, sizeof(EcPoll));

	if (poll == NULL)
		return NULL;
	poll->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (poll->epoll < 0)
	{
		free(poll);
		return NULL;
	}
	return poll;
}

void
ec_poll_destroy(EcPoll *poll)
{
	close(poll->epoll);
	free(poll->entries);
	free(poll->changes);
	free(poll);
}

int
ec_poll_fd(EcPoll *poll)
{
	return poll->epoll;
}

static bool
entries_grow(EcPoll *poll, int fd)
{
	int			n = Max(64, poll->nentries);
	Entry	   *entries;
	int		   *changes;

	while (n <= fd)
		n *= 2;
	entries = realloc(poll->entries, sizeof(Entry) * n);
	if (entries == NULL)
		return false;
	poll->entries = entries;
	changes = realloc(poll->changes, sizeof(int) * n);
	if (changes == NULL)
		return false;
	poll->changes = changes;
	memset(entries + poll->nentries, 0, sizeof(Entry) * (n - poll->nentries));
	poll->nentries = n;
	return true;
}

static void
entry_changed(EcPoll *poll, int fd)
{
	if (poll->entries[fd].changed)
		return;
	poll->entries[fd].changed = true;
	poll->changes[poll->nchanges++] = fd;
}

/* Tell the kernel; a socket that is gone needs no telling. */
static void
kernel_tell(EcPoll *poll, int fd)
{
	Entry	   *entry = &poll->entries[fd];
	struct epoll_event event = {.data.fd = fd};

	event.events = ((entry->wanted & EC_POLL_IN) ? EPOLLIN : 0) |
		((entry->wanted & EC_POLL_OUT) ? EPOLLOUT : 0);
	if (entry->wanted == 0)
		(void) epoll_ctl(poll->epoll, EPOLL_CTL_DEL, fd, &event);
	else if (entry->known == 0)
	{
		if (epoll_ctl(poll->epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
			(void) epoll_ctl(poll->epoll, EPOLL_CTL_MOD, fd, &event);
	}
	else if (epoll_ctl(poll->epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
		(void) epoll_ctl(poll->epoll, EPOLL_CTL_ADD, fd, &event);
	entry->known = entry->wanted;
}

bool
ec_poll_want(EcPoll *poll, int fd, int events, EcPollReady ready, void *arg)
{
	Entry	   *entry;

	if (events == 0)
	{
		ec_poll_forget(poll, fd);
		return true;
	}
	if (fd >= poll->nentries && !entries_grow(poll, fd))
		return false;
	entry = &poll->entries[fd];
	entry->ready = ready;
	entry->arg = arg;
	entry->wanted = (uint8) events;
	if (entry->wanted != entry->known)
		entry_changed(poll, fd);
	return true;
}

void
ec_poll_forget(EcPoll *poll, int fd)
{
	if (fd < 0 || fd >= poll->nentries)
		return;
	poll->entries[fd].wanted = 0;
	if (poll->entries[fd].known != 0)
		kernel_tell(poll, fd);
}

void
ec_poll_rest(EcPoll *poll, int fd)
{
	if (fd >= 0 && fd < poll->nentries)
		poll->entries[fd].wanted = 0;
}

void
ec_poll_apply(EcPoll *poll)
{
	for (int i = 0; i < poll->nchanges; i++)
	{
		Entry	   *entry = &poll->entries[poll->changes[i]];

		entry->changed = false;
		/* one that rests stays with the kernel until it is ready */
		if (entry->wanted != 0 && entry->wanted != entry->known)
			kernel_tell(poll, poll->changes[i]);
	}
	poll->nchanges = 0;
}

int
ec_poll_dispatch(EcPoll *poll)
{
	struct epoll_event events[EVENTS_PER_CALL];
	int			total = 0;
	int			n;

	ec_poll_apply(poll);
	n = epoll_wait(poll->epoll, events, EVENTS_PER_CALL, 0);
	for (int i = 0; i < n; i++)
	{
		int			fd = events[i].data.fd;
		Entry	   *entry = &poll->entries[fd];
		int			is = ((events[i].events & EPOLLIN) ? EC_POLL_IN : 0) |
			((events[i].events & EPOLLOUT) ? EC_POLL_OUT : 0) |
			((events[i].events & (EPOLLERR | EPOLLHUP)) ? EC_POLL_ERR : 0);

		if (entry->wanted == 0)
		{
			/* it rested, and now something came, the end of it most likely */
			kernel_tell(poll, fd);
			continue;
		}
		entry->ready(fd, is, entry->arg);
		total++;
	}
	return total;
}
