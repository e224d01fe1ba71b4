#ifndef SUPPORT_TINY_HTTP_H
#define SUPPORT_TINY_HTTP_H

/*
 * tiny_http: an HTTP server on loopback that gives the answers of a list, one
 * for each request, whatever is asked, or those that it is told to choose by the
 * request; and keeps what was asked.
 *
 * Ownership: answers are lent until tiny_http_stop().
 * Threads:   one of its own, which serves one connection after the other; one that is kept
 *            and idle ends when the client comes by another.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { TINY_HTTP_REQUESTS_MAX = 64, TINY_HTTP_REQUEST_BYTES = 32768, TINY_HTTP_URL_BYTES = 64 };

struct tiny_http {
	int fd;
	uint16_t port;
	char url[TINY_HTTP_URL_BYTES];
	pthread_t thread;
	const char *const *answers; /* NULL ends the list; beyond it the connection is closed */
	const char *(*choose)(const char *request); /* NULL: the list */
	size_t answer_bytes;    /* choose() sets it for an answer that may hold NULs; else 0 */
	_Atomic int connection; /* -1: none */
	_Atomic size_t connections;
	_Atomic size_t count; /* of requests */
	char requests[TINY_HTTP_REQUESTS_MAX][TINY_HTTP_REQUEST_BYTES];
};

#define TINY_HTTP_HANG "" /* no answer at all, and the connection stays */

void tiny_http_start(struct tiny_http *h, const char *const *answers);
/* choose() is called by the server's thread; NULL closes the connection. The newest requests stay.
 */
void tiny_http_start_choosing(struct tiny_http *h, const char *(*choose)(const char *request));
void tiny_http_stop(struct tiny_http *h);

/* Writes a whole answer into text; headers is "" or lines with their ends. Returns text. */
const char *tiny_http_answer(char *text, size_t room, unsigned status, const char *headers,
			     const char *body);

#endif
