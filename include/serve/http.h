#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

/*
 * http: the small server for checks, metrics and people: GET and HEAD of
 *
 *	/ready, /health   serve/health.h, for machines; 503 when not green
 *	/metrics          serve/metrics.h, for Prometheus
 *	/status           serve/status_page.h, for people; with a token, if one is set
 *
 * libmicrohttpd is met here alone. The server shows no secret, changes nothing
 * and reads no request body.
 *
 * Ownership: http_stop() frees; status and what the options name must live until then.
 * Threads:   libmicrohttpd's own, one.
 * Limits:    HTTP_CONNECTIONS_HELD, past which the oldest is hung up on, so that a
 *            check gets through whatever else hangs on; HTTP_CONNECTIONS_MAX wait
 *            at once for that; HTTP_IDLE_SECONDS without a byte,
 *            HTTP_REQUEST_BYTES_MAX for a request's head.
 * Errors:    ERR_CONFIG when the address cannot be listened on.
 */

#include "run/status.h"

enum {
	HTTP_CONNECTIONS_MAX = 64,
	HTTP_CONNECTIONS_HELD = 32,
	HTTP_IDLE_SECONDS = 3,
	HTTP_REQUEST_BYTES_MAX = 16 * 1024,
};

struct http;

struct http_options {
	const char *listen; /* an `address` of base/config.h; [::] takes IPv4 as well */
	struct status *status;
	const char *status_token; /* that /status asks for; empty: none */
	uint64_t heartbeat_seconds;
	bool by_http; /* see serve/look.h */
};

NODISCARD enum err_kind http_start(struct http **ret, const struct http_options *options,
				   struct err *err);
/* Whether it could be listened on now; *ret_taken: not, because somebody does. */
NODISCARD enum err_kind http_try(const char *listen_address, bool *ret_taken, struct err *err);
void http_stop(struct http *h); /* NULL is fine */

const char *http_library_version(void); /* of libmicrohttpd */

#endif
