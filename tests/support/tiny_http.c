#include "tiny_http.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void listen_on_loopback(struct tiny_http *h)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(h->fd >= 0);
	MUST0(bind(h->fd, (struct sockaddr *)&at, sizeof(at)));
	MUST0(listen(h->fd, 8));
	MUST0(getsockname(h->fd, (struct sockaddr *)&at, &len));
	h->port = ntohs(at.sin_port);
	(void)snprintf(h->url, sizeof(h->url), "http://127.0.0.1:%u", h->port);
}

/* Whether all of a request is there, its body included. */
static bool is_whole(const char *text, size_t len)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *length = strcasestr(text, "\r\nContent-Length:");
	size_t body = length && length < end ? strtoul(strchr(length, ':') + 1, NULL, 10) : 0;

	return end && len - (size_t)(end + 4 - text) >= body;
}

/* False: nothing is asked here any more, because the client has come by another connection. */
static bool is_asked(const struct tiny_http *h, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = h->fd, .events = POLLIN}};

	REQUIRE(poll(fds, ARRAY_LEN(fds), -1) > 0);
	return fds[0].revents != 0;
}

/* False: the connection has ended. */
static bool read_request(int fd, char *text)
{
	size_t len = 0;

	for (;;) {
		ssize_t got = recv(fd, text + len, TINY_HTTP_REQUEST_BYTES - 1 - len, 0);

		if (got <= 0)
			return false;
		len += (size_t)got;
		text[len] = '\0';
		if (is_whole(text, len))
			return true;
	}
}

static void serve(struct tiny_http *h, int fd)
{
	char byte;

	while (h->choose || atomic_load(&h->count) < TINY_HTTP_REQUESTS_MAX) {
		size_t idx = atomic_load(&h->count);
		char *request = h->requests[idx % TINY_HTTP_REQUESTS_MAX];
		const char *answer;
		size_t len;

		h->answer_bytes = 0;
		if (!is_asked(h, fd) || !read_request(fd, request))
			return;
		atomic_store(&h->count, idx + 1);
		answer = h->choose ? h->choose(request) : *h->answers;
		if (!answer)
			return; /* the list has ended */
		h->answers += !h->choose;
		if (answer[0] == '\0') {
			(void)recv(fd, &byte, 1, 0); /* until the client gives up */
			return;
		}
		len = h->answer_bytes > 0 ? h->answer_bytes : strlen(answer);
		if (send(fd, answer, len, MSG_NOSIGNAL) < 0)
			return;
		if (strstr(answer, "Connection: close"))
			return;
	}
}

static void *tiny_http_main(void *arg)
{
	struct tiny_http *h = arg;

	for (;;) {
		int fd = accept(h->fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		atomic_fetch_add(&h->connections, 1);
		atomic_store(&h->connection, fd);
		serve(h, fd);
		atomic_store(&h->connection, -1);
		(void)close(fd);
	}
}

static void start(struct tiny_http *h)
{
	atomic_store(&h->connection, -1);
	listen_on_loopback(h);
	MUST0(pthread_create(&h->thread, NULL, tiny_http_main, h));
}

void tiny_http_start(struct tiny_http *h, const char *const *answers)
{
	memset(h, 0, sizeof(*h));
	h->answers = answers;
	start(h);
}

void tiny_http_start_choosing(struct tiny_http *h, const char *(*choose)(const char *request))
{
	static const char *const none = NULL;

	memset(h, 0, sizeof(*h));
	h->answers = &none;
	h->choose = choose;
	start(h);
}

void tiny_http_stop(struct tiny_http *h)
{
	int fd = atomic_load(&h->connection);

	(void)shutdown(h->fd, SHUT_RDWR);
	if (fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
	MUST0(pthread_join(h->thread, NULL));
	(void)close(h->fd);
}

const char *tiny_http_answer(char *text, size_t room, unsigned status, const char *headers,
			     const char *body)
{
	int len = snprintf(text, room, "HTTP/1.1 %u Any\r\nContent-Length: %zu\r\n%s\r\n%s", status,
			   strlen(body), headers, body);

	REQUIRE(len > 0 && (size_t)len < room);
	return text;
}
