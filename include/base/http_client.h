#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

/*
 * http_client: a request and its answer, by libcurl, which is met here alone.
 *
 * It goes to the host of the URL and nowhere else, because a token goes with
 * it: no redirect is followed (a 3xx is an answer like any other), no proxy is
 * taken from the environment unless the options say so, and a certificate that
 * does not verify ends the request before anything is sent.
 *
 * Connections are kept for the next request. An answer of any status is
 * ERR_NONE: what it means is the caller's.
 *
 * Ownership: http_client_new() copies the options. The answer's body and headers
 *            are lent until the next request.
 * Threads:   a client belongs to one thread; *cut may be set by any.
 * Limits:    HTTP_CLIENT_CONNECT_SECONDS to connect, HTTP_CLIENT_SILENT_SECONDS
 *            without a byte, and the request's own seconds and body_max.
 * Errors:    ERR_RETRY: no answer, or more than body_max of it. ERR_CONFIG: the URL
 *            cannot be used. ERR_FATAL: no memory. Texts name the URL's path, or
 *            what stands for it: neither its query nor a header nor a byte of the answer.
 */

#include "base/buf.h"

#include <stdatomic.h>

enum {
	HTTP_CLIENT_CONNECT_SECONDS = 5,
	HTTP_CLIENT_SILENT_SECONDS = 8,
	HTTP_CLIENT_HEADERS_MAX = 32,
	HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX = 3600,
};

struct http_client;

struct http_client_options {
	const char *ca_file; /* for tests: trusts what is in there; NULL: what the system does */
	const _Atomic bool *cut; /* set: the request under way ends within a second; or NULL */
	bool proxies;            /* of https_proxy, no_proxy and the like: they are used */
};

NODISCARD enum err_kind http_client_new(struct http_client **ret,
					const struct http_client_options *options, struct err *err);
void http_client_free(struct http_client *c); /* NULL is fine */

struct http_request {
	const char *method;         /* NULL: GET; to HEAD no body is waited for */
	const char *url;            /* http:// or https:// */
	const char *const *headers; /* "Name: value", ended by NULL; or NULL */
	struct span body;           /* data NULL: none */
	const char *named; /* stands in errors where the path is a secret; NULL: the path does */
	size_t body_max;   /* of the answer */
	unsigned seconds;  /* for all of it */
	/*
	 * On a connection of its own: on one that was kept, and that the server ends without an
	 * answer, libcurl sends a request a second time by itself.
	 */
	bool once;
};

struct http_answer {
	unsigned status;
	struct span body;
	unsigned retry_after_seconds; /* of the header Retry-After, bounded; 0: none */
	int64_t date_ns;              /* of the header Date; 0: none */
};

NODISCARD enum err_kind http_client_send(struct http_client *c, const struct http_request *request,
					 struct http_answer *ret, struct err *err);

/* Of the newest answer, the first header of that name, in any case; false: there is none. */
bool http_client_header(const struct http_client *c, const char *name, struct span *ret);

const char *http_client_library_version(void); /* of libcurl */

#endif
