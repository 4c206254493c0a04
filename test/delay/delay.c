/*-------------------------------------------------------------------------
 *
 * delay.c
 *		A network that takes time: passes TCP connections on to a port of this
 *		machine, and every byte half a round trip later, either way.
 *
 *	delay DIR PORT ROUND_TRIP_MS
 *
 * It listens on a free port of 127.0.0.1, which it writes to DIR/delay_port
 * in one step.  SIGTERM ends it.  The first connection costs its handshake
 * here at once, without delay, so add a round trip by hand where that counts.
 *
 * Structure: one thread, one epoll set.  What is read from one side waits in
 * a list of chunks, each with the time at which the other side gets it.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS	256
#define CHUNK	65536

typedef struct Chunk
{
	struct Chunk *next;
	long long	due;			/* us */
	size_t		len;			/* 0: the end */
	size_t		sent;
	char		data[];
} Chunk;

typedef struct Side
{
	int			fd;
	int			closed;			/* nothing more comes from here */
	int			in_list;		/* its other side has chunks for it */
	struct Side *other;
	struct Side *next;			/* of those that have chunks, or are free */
	Chunk	   *first;			/* to be written to fd */
	Chunk	   *last;
} Side;

static int	epoll;
static Side *waiting;			/* sides with chunks */
static long long half;			/* us */

static long long
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
watch(Side *side)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};

	setsockopt(side->fd, IPPROTO_TCP, TCP_NODELAY, &(int) {1}, sizeof(int));
	epoll_ctl(epoll, EPOLL_CTL_ADD, side->fd, &event);
}

static void
side_queue(Side *side, const char *data, size_t len)
{
	Chunk	   *chunk = malloc(sizeof(Chunk) + len);

	chunk->next = NULL;
	chunk->due = now_us() + half;
	chunk->len = len;
	chunk->sent = 0;
	memcpy(chunk->data, data, len);
	if (side->first == NULL)
		side->first = chunk;
	else
		side->last->next = chunk;
	side->last = chunk;
	if (!side->in_list)
	{
		side->in_list = 1;
		side->next = waiting;
		waiting = side;
	}
}

static void
side_read(Side *side)
{
	static char buffer[CHUNK];
	ssize_t		n = recv(side->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
	{
		epoll_ctl(epoll, EPOLL_CTL_DEL, side->fd, NULL);
		side->closed = 1;
		n = 0;
	}
	side_queue(side->other, buffer, (size_t) n);
}

/* Write what is due; the time until something else is, in us. */
static long long
side_write(Side *side, long long now)
{
	Chunk	   *chunk;

	while ((chunk = side->first) != NULL && chunk->due <= now)
	{
		if (chunk->len == 0)
			shutdown(side->fd, SHUT_WR);
		else
		{
			ssize_t		n = send(side->fd, chunk->data + chunk->sent, chunk->len - chunk->sent,
								 MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n < 0 && errno == EAGAIN)
				return 1000;
			if (n > 0 && (chunk->sent += (size_t) n) < chunk->len)
				continue;
		}
		side->first = chunk->next;
		free(chunk);
	}
	return chunk == NULL ? -1 : chunk->due - now;
}

static long long
write_all(void)
{
	long long	least = -1;
	long long	now = now_us();
	Side	  **link = &waiting;

	while (*link != NULL)
	{
		Side	   *side = *link;
		long long	wait = side_write(side, now);

		if (wait < 0)
		{
			side->in_list = 0;
			*link = side->next;
			if (side->closed && side->other->closed && !side->other->in_list)
			{
				close(side->fd);
				close(side->other->fd);
				free(side->other);
				free(side);
			}
			continue;
		}
		if (least < 0 || wait < least)
			least = wait;
		link = &side->next;
	}
	return least;
}

static void
accept_from(int listener, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	Side	   *pair[2] = {calloc(1, sizeof(Side)), calloc(1, sizeof(Side))};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pair[0]->fd = accept(listener, NULL, NULL);
	pair[1]->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (pair[0]->fd < 0 || pair[1]->fd < 0 ||
		connect(pair[1]->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		close(pair[0]->fd);
		close(pair[1]->fd);
		free(pair[0]);
		free(pair[1]);
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		pair[i]->other = pair[1 - i];
		watch(pair[i]);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	len = sizeof(address);
	struct rlimit files;
	struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	char		path[1024];
	char		made[1040];
	FILE	   *out;

	if (argc != 4)
	{
		fprintf(stderr, "usage: delay DIR PORT ROUND_TRIP_MS\n");
		return 2;
	}
	half = (long long) (atof(argv[3]) * 500);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(listener, 1024) != 0)
	{
		perror("delay");
		return 1;
	}
	getsockname(listener, (struct sockaddr *) &address, &len);
	snprintf(path, sizeof(path), "%s/delay_port", argv[1]);
	snprintf(made, sizeof(made), "%s.new", path);
	out = fopen(made, "w");
	if (out == NULL || fprintf(out, "%d\n", ntohs(address.sin_port)) < 0 || fclose(out) != 0 || rename(made, path) != 0)
	{
		perror(path);
		return 1;
	}

	epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
	for (;;)
	{
		struct epoll_event events[EVENTS];
		long long	wait = write_all();
		struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = (wait % 1000000) * 1000};
		int			n = epoll_pwait2(epoll, events, EVENTS, wait < 0 ? NULL : &timeout, NULL);

		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == NULL)
				accept_from(listener, atoi(argv[2]));
			else
				side_read(events[i].data.ptr);
		}
	}
}
